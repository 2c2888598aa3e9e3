/**
 * The two places that a benchmark compares: a store's mount, and a plain folder of the same disk. PACSFS_BENCH_OPTIONS are
 * the mount's (`-o`).
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PACSFS = join(import.meta.dirname, '..', '..', '..', 'bin', 'pacsfs');
const COMMAND_MS = 600_000;
const TICKS_PER_SECOND = 100;

interface Status {
  readonly supervisorPid: number;
  readonly daemonPid: number;
  readonly requests: Readonly<{ [name: string]: number }>;
}

/** Nothing of the filesystem of `folder` is in the kernel's memory; as root only. */
export function dropCaches(folder: string): void {
  execFileSync('sync', ['-f', folder], { timeout: COMMAND_MS });
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

export interface PlacesOptions {
  /** Another build than this one. */
  readonly program?: string;
  /** Lines for the store's store.yaml. */
  readonly settings?: string;
}

export class Places {
  readonly folder: string;
  readonly plain: string;
  readonly mounted: string;
  readonly store: string;

  readonly #program: string;

  constructor(parent: string, { program = PACSFS, settings = '' }: PlacesOptions = {}) {
    this.#program = program;
    this.folder = mkdtempSync(join(parent, 'pacsfs-bench-'));
    this.plain = join(this.folder, 'plain');
    this.mounted = join(this.folder, 'mnt');
    this.store = join(this.folder, 'store');
    mkdirSync(this.plain);
    mkdirSync(this.mounted);
    this.#pacsfs(['format', this.store]);
    if (settings !== '') appendFileSync(join(this.store, 'store.yaml'), `${settings}\n`);
    this.mount();
  }

  mount(): void {
    const options = process.env['PACSFS_BENCH_OPTIONS'];
    this.#pacsfs(['mount', ...(options === undefined ? [] : ['-o', options]), this.store, this.mounted]);
  }

  unmount(): void {
    this.#pacsfs(['unmount', this.mounted]);
  }

  /** Everything written so far is on the disk of both places. */
  settle(place: 'plain' | 'mounted'): void {
    if (place === 'mounted') this.#pacsfs(['sync', '--packed', this.mounted]);
    execFileSync('sync', ['-f', this.plain], { timeout: COMMAND_MS });
  }

  /** Drops what the kernel and the daemon remember; as root only. */
  forget(): void {
    this.unmount();
    dropCaches(this.plain);
    this.mount();
  }

  /** Messages by kind since the mount. */
  messages(): Readonly<{ [name: string]: number }> {
    return this.#status().requests;
  }

  daemonPid(): number {
    return this.#status().daemonPid;
  }

  /** Processor seconds of the mount's processes so far, and the memory that they have in use (bytes). */
  costs(): { readonly cpuSeconds: number; readonly memory: number } {
    const { supervisorPid, daemonPid } = this.#status();
    let cpuSeconds = 0;
    let memory = 0;
    for (const pid of [supervisorPid, daemonPid]) {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      cpuSeconds += (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
      memory += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    }
    return { cpuSeconds, memory };
  }

  remove(): void {
    try {
      // An interrupted run may be between two mounts.
      if (readFileSync('/proc/self/mounts', 'utf8').includes(` ${this.mounted} `)) this.unmount();
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  #status(): Status {
    return JSON.parse(this.#pacsfs(['status', this.mounted, '--json']));
  }

  #pacsfs(args: readonly string[]): string {
    return execFileSync(this.#program, args, { timeout: COMMAND_MS, encoding: 'utf8' });
  }
}
