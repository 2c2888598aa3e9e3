/** What a READ of a packed file looks at: whole blocks of 64 KiB, in the aggregates where they lie. */
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { CHECKSUM_BLOCK } from '../../base/crc32c.ts';
import type { Extent } from '../../base/layout.ts';

export interface Look {
  /** Undefined: a hole, of which only the length matters. */
  readonly extent: Extent | undefined;
  /** First byte that is looked at, in the aggregate. */
  readonly offset: number;
  readonly bytes: number;
  /** Of these so many come before the first one wanted. */
  readonly skip: number;
  readonly length: number;
  readonly checksums: Uint32Array;
}

const NONE = new Uint32Array();

/**
 * The parts of `range`, which lies within the file, in their order; undefined when an extent is not what it should be, or
 * there are more than `most`.
 */
export function planRead(
  extents: readonly Extent[],
  range: { readonly offset: number; readonly length: number },
  most: number,
): readonly Look[] | undefined {
  const looks: Look[] = [];
  const end = range.offset + range.length;
  let position = range.offset;
  for (const extent of extents) {
    if (extent.fileOffset + extent.length <= position) continue;
    if (extent.fileOffset >= end) break;
    const from = Math.max(position, extent.fileOffset);
    const to = Math.min(end, extent.fileOffset + extent.length);
    if (from > position) looks.push(hole(from - position));
    const look = lookAt(extent, from, to);
    if (look === undefined || looks.length >= most) return undefined;
    looks.push(look);
    position = to;
  }
  if (position < end) looks.push(hole(end - position));
  return looks.length > most ? undefined : looks;
}

function hole(length: number): Look {
  return { extent: undefined, offset: 0, bytes: 0, skip: 0, length, checksums: NONE };
}

/** `from` and `to` are bytes of the file. */
function lookAt(extent: Extent, from: number, to: number): Look | undefined {
  const shift = extent.offset - extent.rangeStart - extent.fileOffset;
  const [rangeFrom, rangeTo] = [from + shift, to + shift];
  if (rangeFrom < 0 || rangeTo > extent.rangeLength) return undefined;
  const first = Math.floor(rangeFrom / CHECKSUM_BLOCK);
  const last = Math.ceil(rangeTo / CHECKSUM_BLOCK);
  const checksums = extent.checksums.subarray(first, last);
  if (checksums.length !== last - first) return undefined;
  const start = first * CHECKSUM_BLOCK;
  return {
    extent,
    offset: extent.rangeStart + start,
    bytes: Math.min(last * CHECKSUM_BLOCK, extent.rangeLength) - start,
    skip: rangeFrom - start,
    length: to - from,
    checksums,
  };
}

/** The segment that holds all of what is looked at, by its number; undefined when a border lies within. */
export function segmentOf({ offset, bytes }: Look): number | undefined {
  const segment = Math.floor(offset / SEGMENT_BYTES);
  return Math.floor((offset + bytes - 1) / SEGMENT_BYTES) === segment ? segment : undefined;
}
