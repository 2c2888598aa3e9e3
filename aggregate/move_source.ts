/** The aggregate that a job moves bytes out of: nothing is read from it but whole blocks that are what was written. */
import type { BackingFile } from '../base/backing.ts';
import { blockChecksums } from '../base/crc32c.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Moves } from './moves.ts';
import type { Volume } from './volume.ts';

export class MoveSource {
  readonly #file: Result<BackingFile>;

  constructor(volume: Result<Volume>, moves: Moves) {
    this.#file = isErrno(volume) ? volume : volume.openAggregate(moves.source);
  }

  /** 0, or -errno: -EIO also when they are not what was written. `at` is a byte of the aggregate. */
  read(into: Uint8Array, at: number, checksums: Uint32Array): number {
    if (isErrno(this.#file)) return -this.#file.number;
    const count = this.#file.read(into, at);
    if (count < 0) return count;
    const found = count < into.length ? [] : blockChecksums(into);
    const isSame = found.length === checksums.length && found.every((each, i) => each === checksums[i]);
    return isSame ? 0 : -E.EIO.number;
  }

  close(): void {
    if (!isErrno(this.#file)) this.#file.close();
  }
}
