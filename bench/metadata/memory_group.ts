/** A group of processes whose memory is limited, page cache included: a cgroup of version 1. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CONTROLLER = '/sys/fs/cgroup/memory';
const COMMAND_MS = 120_000;

export class MemoryGroup {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Undefined where there is no such controller, or it may not be used. */
  static make(limitBytes: number): MemoryGroup | undefined {
    if (!existsSync(join(CONTROLLER, 'memory.limit_in_bytes'))) return undefined;
    const folder = join(CONTROLLER, `pacsfs-bench-${process.pid}`);
    try {
      mkdirSync(folder);
      writeFileSync(join(folder, 'memory.limit_in_bytes'), `${limitBytes}`);
    } catch {
      return undefined;
    }
    return new MemoryGroup(folder);
  }

  /** Runs a program in the group; what it starts stays in it. */
  run(command: string, args: readonly string[]): void {
    const script = 'echo $$ > "$0"/cgroup.procs && exec "$@"';
    const stdio: ['ignore', 'ignore', 'inherit'] = ['ignore', 'ignore', 'inherit'];
    execFileSync('sh', ['-c', script, this.#folder, command, ...args], { timeout: COMMAND_MS, stdio });
  }

  /** Bytes in use, of processes and of cached pages. */
  usage(): { readonly processes: number; readonly pages: number } {
    const stat = readFileSync(join(this.#folder, 'memory.stat'), 'utf8');
    const field = (name: string) => Number(new RegExp(`^total_${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
    return { processes: field('rss'), pages: field('cache') };
  }

  /** Its processes have ended. */
  remove(): void {
    rmdirSync(this.#folder);
  }
}
