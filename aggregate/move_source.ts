/** The aggregates that a job moves bytes out of: nothing is read from them but whole blocks that are what was written. */
import type { BackingFile } from '../base/backing.ts';
import { haveChecksums } from '../base/crc32c.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { AggregateId } from '../base/units.ts';
import type { Moves } from './moves.ts';
import { type OpenVolume, openVolume } from './volume_set.ts';

export class MoveSources {
  readonly #moves: Moves;
  readonly #volumes: OpenVolume;
  /** The last one that was read: units of one source come together, mostly. */
  #open: { readonly id: AggregateId; readonly file: Result<BackingFile> } | undefined;

  constructor(moves: Moves, volumes: OpenVolume) {
    this.#moves = moves;
    this.#volumes = volumes;
  }

  /** 0, or -errno: -EUCLEAN when they are not what was written. `at` is a byte of the aggregate. */
  read(from: AggregateId, into: Uint8Array, block: { readonly at: number; readonly checksums: Uint32Array }): number {
    const file = this.#fileOf(from);
    if (isErrno(file)) return -file.number;
    const { at, checksums } = block;
    const count = file.read(into, at);
    if (count < 0) return count;
    return count === into.length && haveChecksums(into, checksums) ? 0 : -E.EUCLEAN.number;
  }

  close(): void {
    if (this.#open !== undefined && !isErrno(this.#open.file)) this.#open.file.close();
    this.#open = undefined;
  }

  #fileOf(id: AggregateId): Result<BackingFile> {
    if (this.#open?.id === id) return this.#open.file;
    this.close();
    const row = this.#moves.sources.get(id);
    const volume = row === undefined ? E.EIO : openVolume(row, this.#volumes);
    const file = isErrno(volume) ? volume : volume.openAggregate(id);
    this.#open = { id, file };
    return file;
  }
}
