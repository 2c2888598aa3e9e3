/**
 * What compaction and migrations move: checksummed ranges out of aggregates into another one, of the same volume or not, together with what the files that name them
 * will be. Whole 64 KiB blocks go, with the checksums that were made when they were written; of a range that files were cut
 * down to, only the blocks that some of them still touch. All of it survives a structured clone.
 */
import { CHECKSUM_BLOCK } from '../base/crc32c.ts';
import { type Extent, occupied, type VolumeRow } from '../base/layout.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import type { PackMention } from './pack.ts';

/** Blocks of one range of the source. */
export interface MoveRange {
  /** Byte of the source at which the range begins, and its length. */
  readonly rangeStart: number;
  readonly rangeLength: number;
  /** Byte of the range at which the blocks begin, and their bytes: to a block's end, or the range's. */
  readonly from: number;
  readonly length: number;
  /** Of these blocks. */
  readonly checksums: Uint32Array;
}

/** Ranges, and every file that names any of them: they are switched together or not at all. */
export interface MoveUnit {
  /** Where the ranges lie. */
  readonly source: AggregateId;
  readonly ranges: readonly MoveRange[];
  /** As they are now, by all their extents, for the index beside the copies. */
  readonly files: readonly PackMention[];
}

/** Where a part of a range is now. */
export interface MovedPiece {
  /** Of the source's range. */
  readonly sourceStart: number;
  /** Byte of that range, a multiple of 64 KiB. */
  readonly from: number;
  readonly length: number;
  /** Byte of the target. */
  readonly rangeStart: number;
  readonly checksums: Uint32Array;
}

/**
 * - `moved`: all its ranges, and what its files will be, are in the target;
 * - `unreadable`: a block, or the source, cannot be read (`error`), or a block is not what was written (`error` 0);
 * - `postponed`: no room in this aggregate;
 * - `too large`: not even an empty one has room;
 * - `unwritten`: the target could not be written, or has not kept it.
 */
export type MoveStatus = 'moved' | 'unreadable' | 'postponed' | 'too large' | 'unwritten';

export interface MovedUnit {
  readonly status: MoveStatus;
  /** What was written, also in vain. */
  readonly pieces: readonly MovedPiece[];
  /** Positive errno of the source, else 0. */
  readonly error: number;
  /** Where the range that cannot be read begins. */
  readonly badRange: number | undefined;
}

/** The part of a packing job that moves; it goes to the job's volume, and comes from that or any other. */
export interface Moves {
  /** The volume of each aggregate that a unit comes from. */
  readonly sources: ReadonlyMap<AggregateId, VolumeRow>;
  /** What is copied is flushed, read back and compared before the job is answered: see `prove`. */
  readonly isProven: boolean;
  readonly units: readonly MoveUnit[];
}

/** The blocks that extents of one range touch, from the first to the last; undefined when some extent leaves its range. */
export function blocksOf(extents: readonly Extent[]): MoveRange | undefined {
  const [first] = extents;
  if (first === undefined) return undefined;
  const { rangeStart, rangeLength, checksums } = first;
  let from = rangeLength;
  let to = 0;
  for (const extent of extents) {
    const begin = extent.offset - rangeStart;
    if (extent.rangeLength !== rangeLength || begin < 0 || begin + extent.length > rangeLength) return undefined;
    from = Math.min(from, begin);
    to = Math.max(to, begin + extent.length);
  }
  const firstBlock = Math.floor(from / CHECKSUM_BLOCK);
  const endBlock = Math.ceil(to / CHECKSUM_BLOCK);
  if (checksums.length < endBlock) return undefined;
  const begin = firstBlock * CHECKSUM_BLOCK;
  return {
    rangeStart,
    rangeLength,
    from: begin,
    length: Math.min(endBlock * CHECKSUM_BLOCK, rangeLength) - begin,
    checksums: checksums.slice(firstBlock, endBlock),
  };
}

/** Bytes that a unit's copies take up. */
export function unitBytes(unit: MoveUnit): number {
  let bytes = 0;
  for (const { length } of unit.ranges) bytes += occupied(length);
  return bytes;
}

export interface MovePlace {
  readonly source: AggregateId;
  readonly target: AggregateId;
  /** The target's. */
  readonly volume: VolumeId;
}

/** A file's extents as they are when these pieces have moved; undefined when some byte of the source is in none of them. */
export function movedExtents(
  extents: readonly Extent[],
  pieces: readonly MovedPiece[],
  { source, target, volume }: MovePlace,
): readonly Extent[] | undefined {
  const moved: Extent[] = [];
  for (const extent of extents) {
    if (extent.aggregate !== source) {
      moved.push(extent);
      continue;
    }
    const begin = extent.offset - extent.rangeStart;
    const end = begin + extent.length;
    let at = begin;
    for (const piece of pieces) {
      if (piece.sourceStart !== extent.rangeStart || piece.from + piece.length <= at || piece.from >= end) continue;
      if (piece.from > at) return undefined;
      const length = Math.min(end, piece.from + piece.length) - at;
      moved.push({
        ...extent,
        fileOffset: extent.fileOffset + at - begin,
        length,
        volume,
        aggregate: target,
        offset: piece.rangeStart + at - piece.from,
        rangeStart: piece.rangeStart,
        rangeLength: piece.length,
        checksums: piece.checksums,
      });
      at += length;
    }
    if (at < end) return undefined;
  }
  return moved;
}

/** A piece as an extent of nobody's: what the ledger counts. */
export function pieceExtent(piece: MovedPiece, volume: VolumeRow, aggregate: AggregateId): Extent {
  return {
    fileOffset: 0,
    length: piece.length,
    volume: volume.id,
    aggregate,
    offset: piece.rangeStart,
    rangeStart: piece.rangeStart,
    rangeLength: piece.length,
    checksums: piece.checksums,
    shared: false,
  };
}
