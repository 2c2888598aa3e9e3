/** One cell file, open for reading: nothing leaves here that its checksums do not vouch for. */
import type { Backing, BackingFile } from '../../base/backing.ts';
import { alignUp } from '../../base/bytes.ts';
import { CHECKSUM_BLOCK, crc32c } from '../../base/crc32c.ts';
import { E, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import { sharedArena } from '../../base/libc.ts';
import type { AggregateId, VolumeId } from '../../base/units.ts';
import { CELL_UNIT, type CellLayout, layoutOf } from './cell_layout.ts';
import { type CellTrailer, decodeTrailer, peekTrailerBytes } from './cell_trailer_v1.ts';
import type { Code } from './coder.ts';

/** What a trailer must say to be believed. */
export interface CellIdentity {
  readonly storeId: string;
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  readonly code: Code;
}

/** Enough for the trailer of a cell of 60 MiB; a longer one takes a second read. */
const TRAILER_GUESS_BYTES = CELL_UNIT;

export class CellFile {
  readonly trailer: CellTrailer;
  readonly layout: CellLayout;
  readonly #file: BackingFile;

  private constructor(file: BackingFile, trailer: CellTrailer) {
    this.#file = file;
    this.trailer = trailer;
    this.layout = layoutOf(trailer.code, trailer.length);
  }

  /** ENOENT without one, EUCLEAN when what is there is no whole cell file or another's; errors of the disk as they are. */
  static open(backing: Backing, path: string, wanted: CellIdentity & { readonly direct?: boolean }): Result<CellFile> {
    const direct = wanted.direct ?? false;
    const file = backing.open(path, { direct });
    if (file === E.EINVAL && direct) return CellFile.open(backing, path, { ...wanted, direct: false });
    if (isErrno(file)) return file;
    const trailer = readTrailer(file);
    if (!isErrno(trailer) && isWanted(trailer, wanted)) return new CellFile(file, trailer);
    file.close();
    return isErrno(trailer) ? trailer : E.EUCLEAN;
  }

  /** `from` is a multiple of 64 KiB, `into` ends at one or with the cell. 0, or -errno: EUCLEAN when a checksum differs. */
  read(into: Uint8Array, from: number): number {
    const count = this.#file.read(into, from);
    if (count < 0) return count;
    return count === into.length && this.holds(into, from) ? 0 : -E.EUCLEAN.number;
  }

  /** Whether bytes are those that were written there; bounds as of `read`. */
  holds(bytes: Uint8Array, from: number): boolean {
    const first = from / CHECKSUM_BLOCK;
    for (let at = 0; at < bytes.length; at += CHECKSUM_BLOCK) {
      const block = bytes.subarray(at, at + CHECKSUM_BLOCK);
      if (crc32c(block) !== this.trailer.checksums[first + at / CHECKSUM_BLOCK]) return false;
    }
    return true;
  }

  stat(): ReturnType<BackingFile['stat']> {
    return this.#file.stat();
  }

  close(): void {
    this.#file.close();
  }
}

function readTrailer(file: BackingFile): Result<CellTrailer> {
  const stat = file.stat();
  if (isErrno(stat)) return stat;
  const { size } = stat;
  if (size === 0 || size % CELL_UNIT !== 0) return E.EUCLEAN;
  const guess = readEnd(file, { size, bytes: TRAILER_GUESS_BYTES });
  if (isErrno(guess)) return guess;
  const bytes = peekTrailerBytes(guess);
  if (bytes === undefined || bytes > size) return E.EUCLEAN;
  const whole = bytes <= guess.length ? guess : readEnd(file, { size, bytes });
  if (isErrno(whole)) return whole;
  const trailer = decodeTrailer(whole);
  if (trailer === undefined) return E.EUCLEAN;
  return layoutOf(trailer.code, trailer.length).cellBytes + bytes === size ? trailer : E.EUCLEAN;
}

/** Aligned, as O_DIRECT wants it. */
function readEnd(file: BackingFile, of: { readonly size: number; readonly bytes: number }): Result<Uint8Array> {
  const bytes = Math.min(alignUp(of.bytes, CELL_UNIT), of.size);
  const into = sharedArena(bytes);
  const count = file.read(into, of.size - bytes);
  if (count < 0) return errnoOf(-count);
  return count === bytes ? into : E.EUCLEAN;
}

function isWanted(trailer: CellTrailer, wanted: CellIdentity): boolean {
  return (
    trailer.storeId === wanted.storeId &&
    trailer.volume === wanted.volume &&
    trailer.aggregate === wanted.aggregate &&
    trailer.code.dataCells === wanted.code.dataCells &&
    trailer.code.parityCells === wanted.code.parityCells
  );
}
