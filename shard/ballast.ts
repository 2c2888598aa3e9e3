/**
 * The reserve of the metadata filesystem: a file of written bytes that is removed when a commit finds the disk full, and
 * made again when there is room. It makes room for the commits that end the full state, deletes above all.
 */
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import type { Backing } from '../base/backing.ts';
import { E, isErrno } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import { MIB } from '../base/units.ts';

export const BALLAST_BYTES = 16 * MIB;
/** What an open may need on the disk: a log and its index for each of a hundred databases. */
const OPEN_BYTES = 8 * MIB;

export interface BallastOptions {
  /** The metadata folder. */
  readonly folder: string;
  /** Bytes; 0 = no ballast. */
  readonly size: number;
}

export class Ballast {
  readonly #backing: Backing;
  readonly #folder: string;
  readonly #path: string;
  readonly #size: number;
  #present: boolean;

  constructor(backing: Backing, options: BallastOptions) {
    this.#backing = backing;
    this.#folder = options.folder;
    this.#path = join(options.folder, 'ballast');
    this.#size = options.size;
    const found = backing.stat(this.#path);
    this.#present = !isErrno(found) && found.size >= this.#size;
  }

  get present(): boolean {
    return this.#present || this.#size === 0;
  }

  /** Bytes that it has when it is present. */
  get size(): number {
    return this.#size;
  }

  /** Gives its space back to the filesystem. */
  release(): void {
    this.#backing.unlink(this.#path);
    this.#present = false;
  }

  /** Writes the file if it is missing and the filesystem has twice its size free; 0 or -errno. */
  restore(): number {
    if (this.present) return 0;
    const space = this.#backing.space(this.#folder);
    if (isErrno(space)) return -space.number;
    if (space.available < 2 * this.#size) return -E.ENOSPC.number;
    this.#backing.unlink(this.#path);
    const outcome = this.#write();
    if (outcome < 0) this.#backing.unlink(this.#path);
    this.#present = outcome === 0;
    return outcome;
  }

  /** Random bytes: a filesystem that compresses or skips zeros would reserve nothing. */
  #write(): number {
    const file = this.#backing.open(this.#path, { write: true, create: true });
    if (isErrno(file)) return -file.number;
    const chunk = randomFillSync(new Uint8Array(Math.min(MIB, this.#size)));
    let outcome = 0;
    for (let at = 0; at < this.#size && outcome >= 0; at += chunk.length) {
      outcome = file.write(chunk.subarray(0, Math.min(chunk.length, this.#size - at)), at);
    }
    if (outcome >= 0) outcome = file.flush();
    file.close();
    return Math.min(outcome, 0);
  }
}

/** On a full disk SQLite could not even make the files beside each database: the ballast is for that too. */
export function makeRoomToOpen(backing: Backing, folder: string, log: Log): void {
  const space = backing.space(folder);
  if (isErrno(space) || space.available >= OPEN_BYTES) return;
  log.warn({ available: space.available }, 'Metadata disk is full: releasing the ballast file');
  new Ballast(backing, { folder, size: BALLAST_BYTES }).release();
}
