/**
 * An extent as bytes, inside an inode row (up to 4) and as a row of `extents`; little-endian:
 *
 *     u8   bits: 1 shared, 2 `fileOffset` follows, 4 `offset` and `length` follow
 *     u16  volume
 *     u48  aggregate
 *     u32  rangeStart / 512
 *     u32  rangeLength, 1 to 4 MiB
 *     u64  fileOffset                      only with bit 2; else 0
 *     u32  offset - rangeStart, u32 length only with bit 4; else the whole range: 0 and rangeLength
 *     u32  x ceil(rangeLength / 64 KiB)    checksums
 *
 * Extents that overlap or are out of order decode like others: that is for fsck to find.
 */
import { assert } from '../base/assert.ts';
import { getU48, getU53, setU48, setU53 } from '../base/bytes.ts';
import { CHECKSUM_BLOCK } from '../base/crc32c.ts';
import type { Extent } from '../base/layout.ts';
import { type AggregateId, MAX_INTEGER, MIB, type VolumeId } from '../base/units.ts';

const BIT_SHARED = 1;
const BIT_FILE_OFFSET = 2;
const BIT_PARTIAL = 4;
const ALL_BITS = BIT_SHARED | BIT_FILE_OFFSET | BIT_PARTIAL;

const HEAD_BYTES = 17;
const RANGE_UNIT = 512;
/** A range lies within one segment. */
export const MAX_RANGE_BYTES = 4 * MIB;
const MAX_CHECKSUMS = MAX_RANGE_BYTES / CHECKSUM_BLOCK;
export const MAX_EXTENT_BYTES = HEAD_BYTES + 8 + 8 + MAX_CHECKSUMS * 4;

/** Writes one extent at `at` and returns where it ends. */
export function encodeExtent(view: DataView, at: number, extent: Extent): number {
  const { rangeStart, rangeLength, checksums } = extent;
  assert(rangeStart % RANGE_UNIT === 0, `Range start ${rangeStart}, expected a multiple of ${RANGE_UNIT}`);
  assert(rangeLength >= 1 && rangeLength <= MAX_RANGE_BYTES, `Range of ${rangeLength} bytes, expected 1 to 4 MiB`);
  assert(
    checksums.length === Math.ceil(rangeLength / CHECKSUM_BLOCK),
    `${checksums.length} checksums for a range of ${rangeLength} bytes`,
  );
  const skip = extent.offset - rangeStart;
  assert(extent.length >= 1, `Extent of ${extent.length} bytes, expected 1 or more`);
  assert(skip >= 0 && skip + extent.length <= rangeLength, 'Extent reaches out of its checksummed range');
  const partial = skip !== 0 || extent.length !== rangeLength;
  view.setUint8(
    at,
    (extent.shared ? BIT_SHARED : 0) | (extent.fileOffset !== 0 ? BIT_FILE_OFFSET : 0) | (partial ? BIT_PARTIAL : 0),
  );
  view.setUint16(at + 1, extent.volume, true);
  setU48(view, at + 3, extent.aggregate);
  view.setUint32(at + 9, rangeStart / RANGE_UNIT, true);
  view.setUint32(at + 13, rangeLength, true);
  let end = at + HEAD_BYTES;
  if (extent.fileOffset !== 0) {
    setU53(view, end, extent.fileOffset);
    end += 8;
  }
  if (partial) {
    view.setUint32(end, skip, true);
    view.setUint32(end + 4, extent.length, true);
    end += 8;
  }
  for (let i = 0; i < checksums.length; i++, end += 4) view.setUint32(end, checksums[i] ?? 0, true);
  return end;
}

export interface DecodedExtent {
  readonly extent: Extent;
  /** Where the bytes after it begin. */
  readonly end: number;
}

/** Reads one extent at `at`, of which nothing may lie at or behind `limit`; undefined when that is none. */
export function decodeExtent(view: DataView, at: number, limit: number): DecodedExtent | undefined {
  if (at + HEAD_BYTES > limit) return undefined;
  const bits = view.getUint8(at);
  const volume = view.getUint16(at + 1, true);
  const aggregate = getU48(view, at + 3);
  const rangeStart = view.getUint32(at + 9, true) * RANGE_UNIT;
  const rangeLength = view.getUint32(at + 13, true);
  if ((bits & ~ALL_BITS) !== 0 || volume === 0 || aggregate === 0) return undefined;
  if (rangeLength === 0 || rangeLength > MAX_RANGE_BYTES) return undefined;
  const count = Math.ceil(rangeLength / CHECKSUM_BLOCK);
  const hasFileOffset = (bits & BIT_FILE_OFFSET) !== 0;
  const partial = (bits & BIT_PARTIAL) !== 0;
  let end = at + HEAD_BYTES;
  if (end + (hasFileOffset ? 8 : 0) + (partial ? 8 : 0) + count * 4 > limit) return undefined;
  const fileOffset = hasFileOffset ? getU53(view, end) : 0;
  if (hasFileOffset) end += 8;
  const skip = partial ? view.getUint32(end, true) : 0;
  const length = partial ? view.getUint32(end + 4, true) : rangeLength;
  if (partial) end += 8;
  if (length === 0 || skip + length > rangeLength || !(fileOffset + length <= MAX_INTEGER)) return undefined;
  const checksums = new Uint32Array(count);
  for (let i = 0; i < count; i++, end += 4) checksums[i] = view.getUint32(end, true);
  const extent: Extent = {
    fileOffset,
    length,
    volume: volume as VolumeId,
    aggregate: aggregate as AggregateId,
    offset: rangeStart + skip,
    rangeStart,
    rangeLength,
    checksums,
    shared: (bits & BIT_SHARED) !== 0,
  };
  return { extent, end };
}
