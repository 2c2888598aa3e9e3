/**
 * One cell file in the making: under a temporary name until it is whole. Order of durability: bytes and trailer, flush,
 * then the name, then its folder; a cell file that stands under its own name is complete.
 */
import { type Backing, type BackingFile, type ByteRange, WRITE_PIECE_BYTES } from '../../base/backing.ts';
import { CHECKSUM_BLOCK, crc32c } from '../../base/crc32c.ts';
import { isErrno } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { CELL_BYTES } from './cell_layout.ts';
import { type CellTrailer, encodeTrailer } from './cell_trailer_v1.ts';
import type { EcDirectories } from './directories.ts';

export interface CellPlace {
  readonly backing: Backing;
  readonly directories: EcDirectories;
  readonly aggregate: AggregateId;
  readonly place: number;
  readonly position: number;
}

export class CellWriter {
  readonly place: number;
  readonly position: number;
  readonly #at: CellPlace;
  readonly #file: BackingFile;
  readonly #checksums: number[] = [];
  #written = 0;

  private constructor(at: CellPlace, file: BackingFile) {
    this.#at = at;
    this.place = at.place;
    this.position = at.position;
    this.#file = file;
  }

  /** -errno when it cannot be made. What is left there under the temporary name is replaced if `replaces`, else EEXIST. */
  static create(at: CellPlace, options: { readonly replaces: boolean }): CellWriter | number {
    const { backing, directories, aggregate, position } = at;
    const made = backing.makeFolder(directories.cellFolder(position, aggregate));
    if (made < 0) return made;
    const path = directories.temporaryPath(position, aggregate);
    if (options.replaces) backing.unlink(path);
    const file = backing.open(path, { write: true, create: true });
    return isErrno(file) ? -file.number : new CellWriter(at, file);
  }

  /** The next part of the cell: whole blocks of 64 KiB, but for the last. 0 or -errno. */
  append(bytes: Uint8Array): number {
    for (let at = 0; at < bytes.length; at += CHECKSUM_BLOCK) {
      this.#checksums.push(crc32c(bytes.subarray(at, at + CHECKSUM_BLOCK)));
    }
    return this.#write(bytes);
  }

  /** Has the disk begin with what was written, and waits for what was a stripe before, so that little is left to flush. */
  pace(): number {
    const last = Math.max(0, this.#written - CELL_BYTES);
    const started = this.#file.startWriteBack?.(range(last, this.#written)) ?? 0;
    if (started < 0) return started;
    const before = Math.max(0, last - CELL_BYTES);
    return last > before ? this.#file.writeBack(range(before, last)) : 0;
  }

  /** Nothing is written behind it. */
  writeTrailer(trailer: Omit<CellTrailer, 'place' | 'checksums'>): number {
    const { place } = this;
    const outcome = this.#write(encodeTrailer({ ...trailer, place, checksums: Uint32Array.from(this.#checksums) }));
    return outcome < 0 ? outcome : (this.#file.startWriteBack?.(range(0, this.#written)) ?? 0);
  }

  flush(): number {
    return this.#file.flush();
  }

  /** Behind the flush: gives it its name. */
  publish(): number {
    const { backing, directories, aggregate, position } = this.#at;
    this.#file.close();
    const from = directories.temporaryPath(position, aggregate);
    return backing.rename(from, directories.cellPath(position, aggregate));
  }

  flushName(): number {
    return this.#at.directories.flushNames(this.position, this.#at.aggregate);
  }

  /** Removes what was begun. */
  abandon(): void {
    this.#file.close();
    this.#at.backing.unlink(this.#at.directories.temporaryPath(this.position, this.#at.aggregate));
  }

  #write(bytes: Uint8Array): number {
    for (let at = 0; at < bytes.length; at += WRITE_PIECE_BYTES) {
      const piece = bytes.subarray(at, at + WRITE_PIECE_BYTES);
      const outcome = this.#file.write(piece, this.#written);
      if (outcome < 0) return outcome;
      this.#written += piece.length;
    }
    return 0;
  }
}

function range(from: number, to: number): ByteRange {
  return { offset: from, length: to - from };
}
