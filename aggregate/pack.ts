/**
 * What the control thread and a packing worker say to each other. All of it survives a structured clone: plain objects,
 * numbers, strings and typed arrays. Names of files and volumes cross, never descriptors.
 */
import { alignUp } from '../base/bytes.ts';
import type { Extent, OwnName, VolumeRow, WrittenRange } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import { type AggregateId, type Ino, KIB, type Lsn, MIB } from '../base/units.ts';
import type { MovedUnit, Moves } from './moves.ts';

/** Aligned unit of an aggregate: no batch and no extent crosses a multiple of it. */
export const SEGMENT_BYTES = 4 * MIB;
/** Header, index blocks and extents begin at multiples of this, which also suits O_DIRECT. */
export const BLOCK_BYTES = 4 * KIB;
/** Upper bound of one batch's index; a batch that would need more is closed and another begun. */
export const INDEX_BYTES_MAX = 256 * KIB;
/** A file that shares more ranges than this is not mentioned: its entry would fill an index. */
export const MENTION_EXTENTS_MAX = 256;
/** Directories above a file that an index describes, at most. */
export const DIRECTORY_DEPTH_MAX = 256;
/** A file goes on in the rest of a segment only if at least this much of it fits there. */
export const PIECE_BYTES_MIN = 64 * KIB;

/** A directory as indexes describe it; the files of one job share these. */
export interface PackDirectory {
  readonly ino: Ino;
  /** Empty for the root. */
  readonly name: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** The directory that holds it; undefined for the root, and where it is not known. */
  readonly above: PackDirectory | undefined;
}

/**
 * A file that has no bytes of its own in a segment and is only described in its index: a dedicated own file, an empty
 * file, or one that shares the bytes of others.
 */
export interface PackMention {
  readonly ino: Ino;
  readonly name: Uint8Array;
  readonly directory: PackDirectory;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Timespec;
  readonly own: OwnName | undefined;
  /** Bytes of other files' segments that it names, `MENTION_EXTENTS_MAX` at most; none of an own file. */
  readonly extents: readonly Extent[];
}

/** One settled file to be packed. */
export interface PackFile {
  readonly ino: Ino;
  readonly own: OwnName;
  /** Bytes that the own file is expected to have; another size means that it changed, and it is skipped. */
  readonly size: number;
  /**
   * One of its names and the directory that holds it: for the rebuild of a store. Names have a buffer of their own, here
   * and in directories: a clone of a view copies the whole buffer behind it.
   */
  readonly name: Uint8Array;
  readonly directory: PackDirectory;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timespec;
}

export interface PackJob {
  /** Number of the job within this `DataStore`. */
  readonly id: number;
  readonly storeId: string;
  /** Number of the daemon start, the store epoch of what is written. */
  readonly start: number;
  /** Highest LSN when the job began: of two packings of one inode the later has the higher, or the same and a higher
   * aggregate or place. */
  readonly lsn: Lsn;
  /** Where to write. */
  readonly volume: VolumeRow;
  readonly aggregate: AggregateId;
  /** True when the aggregate has no file yet: the worker makes it, header first. */
  readonly fresh: boolean;
  /** Byte of the aggregate at which the first batch begins; a multiple of 4,096. */
  readonly offset: number;
  /** Size that the aggregate must not pass. */
  readonly limit: number;
  /** Number of the first batch within the aggregate. */
  readonly sequence: number;
  /** Whether the volume takes O_DIRECT. */
  readonly direct: boolean;
  /** Volumes that hold the own files. */
  readonly sources: readonly VolumeRow[];
  /** In the order in which they shall lie. */
  readonly files: readonly PackFile[];
  /** Described behind the files, as many as find room. */
  readonly mentions: readonly PackMention[];
  /** An fsync waits until what it writes is durable: the result tells by which bytes that can be told. */
  readonly isClaimed: boolean;
  /** No files: this range is written with zeros and flushed, so that a flush of what comes there is short. */
  readonly ahead: { readonly offset: number; readonly length: number } | undefined;
  /** No files: these come out of another aggregate. */
  readonly moves: Moves | undefined;
}

/**
 * - `packed`: all its data is in the aggregate;
 * - `vanished`: there is no own file of that name;
 * - `changed`: its size is not the expected one;
 * - `unreadable`: it could not be read (`error`);
 * - `postponed`: the aggregate is full, hand it to the next job;
 * - `too large`: not even an empty aggregate takes it: it stays an own file;
 * - `unwritten`: the aggregate could not be written (`error` of the result): it stays an own file.
 */
export type PackStatus = 'packed' | 'vanished' | 'changed' | 'unreadable' | 'postponed' | 'too large' | 'unwritten';

export interface PackedFile {
  readonly ino: Ino;
  readonly own: OwnName;
  readonly status: PackStatus;
  /** By file offset; holes have none. For a status other than `packed`: what was written of it in vain. */
  readonly extents: readonly Extent[];
  /** Positive errno of an own file that is `unreadable`, else 0. */
  readonly error: number;
}

export interface PackResult {
  readonly id: number;
  readonly aggregate: AggregateId;
  /** Whether the aggregate's file is there now. */
  readonly created: boolean;
  /** Where the next batch may begin. */
  readonly written: number;
  /** Number that the next batch would have. */
  readonly sequence: number;
  /** Positive errno of the write that failed, else 0. The aggregate must then not be appended to again. */
  readonly error: number;
  /** The volume refused O_DIRECT; buffered writes served. */
  readonly directRefused: boolean;
  /** One for each file of the job, in its order. */
  readonly files: readonly PackedFile[];
  /** How many of the job's mentions were written, from the first on. */
  readonly mentioned: number;
  /** All that was written, if the job is claimed. */
  readonly ranges: readonly WrittenRange[] | undefined;
  /** Outcome of the flush of all that the aggregate holds by now, 0 or -errno, after writing ahead. */
  readonly flushed: number | undefined;
  /** The job's range `ahead` holds zeros, durably. */
  readonly ahead: boolean;
  /** One for each unit of the job's moves, in their order. */
  readonly moved: readonly MovedUnit[];
}

/** Room that data of so many bytes may take at most, with index blocks and what is left unused at segments' ends. */
export function roomNeeded(dataBytes: number): number {
  const aligned = alignUp(dataBytes, BLOCK_BYTES);
  const segments = 1 + Math.ceil(aligned / (SEGMENT_BYTES - 2 * PIECE_BYTES_MIN));
  return aligned + segments * 2 * PIECE_BYTES_MIN;
}
