/**
 * A small ext4 filesystem on a loop device, to be filled. Needs root; users of a store on it run in children as ever. It
 * goes with the test's process, however that ends.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearAway } from './leavings.ts';
import { guardFolder, releaseFolder } from './reaper.ts';

export class SmallDisk {
  /** Where it is mounted. */
  readonly path: string;
  readonly #folder: string;
  #fillers = 0;

  constructor(sizeMib: number) {
    this.#folder = mkdtempSync(join(tmpdir(), 'pacsfs-disk-'));
    guardFolder(this.#folder);
    this.path = join(this.#folder, 'mnt');
    const image = join(this.#folder, 'image');
    mkdirSync(this.path);
    call('truncate', '-s', `${sizeMib}M`, image);
    // No blocks kept for root, as whom the daemon runs here: full means full.
    call('mkfs.ext4', '-q', '-F', '-m', '0', image);
    const device = call('losetup', '-f', '--show', image).trim();
    call('mount', device, this.path);
  }

  /** Bytes that anybody can still write. */
  available(): number {
    return Number(call('df', '--output=avail', '-B1', this.path).split('\n')[1]);
  }

  /** Takes every byte that is left, as another program on this disk might. */
  fill(): void {
    this.#fillers += 1;
    // It ends by finding the disk full; a second one takes what was left over by blocks of 64 KiB.
    for (const [block, name] of [
      ['64k', `filler${this.#fillers}`],
      ['512', `filler${this.#fillers}b`],
    ]) {
      try {
        call('dd', 'if=/dev/zero', `of=${join(this.path, name ?? '')}`, `bs=${block}`, 'conv=fsync');
      } catch {
        // Full.
      }
    }
  }

  /** Gives back what `fill` took. */
  empty(): void {
    for (const name of readdirSync(this.path)) {
      if (name.startsWith('filler')) rmSync(join(this.path, name), { force: true });
    }
  }

  /** Ends whatever still uses it; may be called twice. */
  async remove(): Promise<void> {
    if (!(await clearAway(this.#folder)))
      throw new Error(`Cannot remove the disk at ${this.path}: something still uses it`);
    releaseFolder(this.#folder);
  }
}

function call(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
}
