/**
 * Reading packed bytes: nothing leaves here that its CRC32C does not vouch for. A read fetches the whole 64 KiB blocks
 * that it touches, straight into the caller's buffer where they fit it exactly, else through a buffer of its own.
 */
import type { BackingFile } from '../base/backing.ts';
import { CHECKSUM_BLOCK, crc32c } from '../base/crc32c.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Extent } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';

/** Blocks fetched at once through the reader's own buffer. */
const SCRATCH_BLOCKS = 16;

export interface ReadRange {
  /** First byte of the file. */
  readonly offset: number;
  readonly length: number;
  /** Size of the file: nothing is read beyond. */
  readonly size: number;
}

/** A part of an extent, in bytes from the start of its checksummed range. */
interface Piece {
  readonly extent: Extent;
  readonly from: number;
  readonly to: number;
}

export class Reader {
  readonly #open: (volume: VolumeId, id: AggregateId) => Result<BackingFile>;
  readonly #log: Log;
  readonly #scratch = new Uint8Array(SCRATCH_BLOCKS * CHECKSUM_BLOCK);

  constructor(open: (volume: VolumeId, id: AggregateId) => Result<BackingFile>, log: Log) {
    this.#open = open;
    this.#log = log;
  }

  /**
   * Bytes of a file whose extents are given by file offset; holes are zeros. The count read (0 at the end of the file)
   * or -EIO, and then the buffer holds no byte of any file.
   */
  read(extents: readonly Extent[], range: ReadRange, into: Uint8Array): number {
    const count = Math.min(into.length, range.length, range.size - range.offset);
    if (count <= 0) return 0;
    const end = range.offset + count;
    let position = range.offset;
    for (let i = firstEndingAfter(extents, position); i < extents.length; i++) {
      const extent = extents[i];
      if (extent === undefined || extent.fileOffset >= end) break;
      const from = Math.max(position, extent.fileOffset);
      const to = Math.min(end, extent.fileOffset + extent.length);
      if (from > position) into.fill(0, position - range.offset, from - range.offset);
      const shift = extent.offset - extent.rangeStart - extent.fileOffset;
      const target = into.subarray(from - range.offset, to - range.offset);
      const outcome = this.#readPiece({ extent, from: from + shift, to: to + shift }, target);
      if (outcome < 0) {
        into.fill(0, 0, count);
        return outcome;
      }
      position = to;
    }
    if (position < end) into.fill(0, position - range.offset, count);
    return count;
  }

  /** Reads the extent's whole checksummed range: 0, or -EIO when it cannot be read or is not what was written. */
  verify(extent: Extent): number {
    let at = 0;
    while (at < extent.rangeLength) {
      const length = Math.min(this.#scratch.length, extent.rangeLength - at);
      const outcome = this.#readBlocks({ extent, from: at, to: at + length }, this.#scratch.subarray(0, length));
      if (outcome < 0) return outcome;
      at += length;
    }
    return 0;
  }

  #readPiece(piece: Piece, into: Uint8Array): number {
    const { extent, from, to } = piece;
    if (from < 0 || to > extent.rangeLength) return this.#fail(extent, 'Extent leaves its checksummed range');
    if (from % CHECKSUM_BLOCK === 0 && (to % CHECKSUM_BLOCK === 0 || to === extent.rangeLength)) {
      return this.#readBlocks(piece, into);
    }
    let done = 0;
    while (from + done < to) {
      const at = from + done;
      const first = at - (at % CHECKSUM_BLOCK);
      const wanted = Math.ceil(to / CHECKSUM_BLOCK) * CHECKSUM_BLOCK;
      const last = Math.min(first + this.#scratch.length, wanted, extent.rangeLength);
      const blocks = this.#scratch.subarray(0, last - first);
      const outcome = this.#readBlocks({ extent, from: first, to: last }, blocks);
      if (outcome < 0) return outcome;
      const part = blocks.subarray(at - first, Math.min(to, last) - first);
      into.set(part, done);
      done += part.length;
    }
    return 0;
  }

  /** `from` is a multiple of the block, `to` too or the range's end, and `into` as long as the piece. */
  #readBlocks(piece: Piece, into: Uint8Array): number {
    const { extent, from } = piece;
    const file = this.#open(extent.volume, extent.aggregate);
    if (isErrno(file)) return this.#fail(extent, `Aggregate cannot be opened: ${file.name}`);
    const count = file.read(into, extent.rangeStart + from);
    if (count < 0) return this.#fail(extent, `Aggregate cannot be read: errno ${-count}`);
    if (count < into.length) return this.#fail(extent, `Aggregate ends early: ${count} bytes, expected ${into.length}`);
    for (let at = 0; at < into.length; at += CHECKSUM_BLOCK) {
      const block = (from + at) / CHECKSUM_BLOCK;
      if (crc32c(into.subarray(at, at + CHECKSUM_BLOCK)) !== extent.checksums[block]) {
        return this.#fail(extent, `Checksum differs in block ${block} of the range`);
      }
    }
    return 0;
  }

  #fail(extent: Extent, message: string): number {
    const { volume, aggregate, rangeStart, rangeLength } = extent;
    this.#log.error({ volume, aggregate, rangeStart, rangeLength }, message);
    return -E.EIO.number;
  }
}

/** Index of the first extent that serves a byte at or after `position`. */
function firstEndingAfter(extents: readonly Extent[], position: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const extent = extents[middle];
    if (extent !== undefined && extent.fileOffset + extent.length <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
