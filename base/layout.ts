/**
 * Where a file's bytes lie: words that the namespace stores, the data store reads, and neither owns alone.
 */
import type { AggregateId, VolumeId } from './units.ts';

/** Name of an own file: `own/START/n` on its volume. START is the number of the daemon start that made it. */
export interface OwnName {
  readonly volume: VolumeId;
  /** START record's number, below 2^32. */
  readonly start: number;
  /** Counter within the start, below 2^48. */
  readonly number: number;
}

/** As people find it on the volume. */
export function ownText({ volume, start, number }: OwnName): string {
  return `own/${start}/${number} of volume ${volume}`;
}

/** A byte range of a packed file and where it lies; immutable. */
export interface Extent {
  /** First byte of the file that this extent serves. */
  readonly fileOffset: number;
  /** Bytes of the file that it serves, from 1. */
  readonly length: number;
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  /** Byte of the aggregate where `fileOffset` lies; within the checksummed range. */
  readonly offset: number;
  /** The checksummed range it is part of: where it starts in the aggregate (4 KiB aligned), and its length in bytes. */
  readonly rangeStart: number;
  readonly rangeLength: number;
  /** One CRC32C per 64 KiB of the range from its start. */
  readonly checksums: Uint32Array;
  /** Whether other inodes may name the same range: `sharers` then has a row per inode that does. */
  readonly shared: boolean;
}

/** Bytes of an aggregate as they were written: their checksum tells after a power cut whether they reached the disk. */
export interface WrittenRange {
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  readonly offset: number;
  /** Below 2^32, as the CRC32C over all of it. */
  readonly length: number;
  readonly checksum: number;
}

/** 'open' is appended to, 'sealed' no more, 'dead' has no live byte and is removed behind the next barrier. */
export type AggregateState = 'open' | 'sealed' | 'dead';

/** Row of `aggregates` in `system.db`. */
export interface AggregateRow {
  readonly id: AggregateId;
  readonly volume: VolumeId;
  readonly state: AggregateState;
  /** Bytes from the start of the file that are in use or were; the next batch begins here. */
  readonly written: number;
  /** Bytes of checksummed ranges, each rounded up to 4 KiB, that some inode names. */
  readonly live: number;
  /** Newest mtime of a file packed into it, seconds since 1970. */
  readonly newestMtimeSec: number;
  /** Day (days since 1970) on which it was last read; 0 = never noted. */
  readonly lastReadDay: number;
}

/** Row of `migrations` in `system.db`: what it means is its maker's. */
export interface MigrationRow {
  readonly id: number;
  readonly state: string;
  /** JSON. */
  readonly job: string;
}

export type Tier = 'hot' | 'warm' | 'cold';
export type VolumeKind = 'dir' | 'mirror' | 'ec';

/** Row of `volumes` in `system.db`; `store.yaml` says where the paths are. */
export interface VolumeRow {
  readonly id: VolumeId;
  readonly name: string;
  readonly tier: Tier;
  readonly kind: VolumeKind;
  /** Directories of the volume in order; a `dir` has one. */
  readonly paths: readonly string[];
  /** Data and parity cells, for `ec`. */
  readonly dataCells: number;
  readonly parityCells: number;
}

/** Bytes that a range takes up in its aggregate. */
export function occupied(rangeLength: number): number {
  return Math.ceil(rangeLength / 4096) * 4096;
}
