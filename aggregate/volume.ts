/**
 * One volume as the data store sees it. Names cross this interface, never paths or descriptors of the caller's making:
 * a `mirror`, an `ec` set or an object store implements it as well as a directory does.
 *
 * Counts and outcomes are 0 (or a count) or -errno, as in the backing interface.
 */
import type { Backing, BackingFile, BackingSpace, BackingStat, FlushTarget } from '../base/backing.ts';
import type { Result } from '../base/errno.ts';
import type { OwnName, VolumeKind, VolumeRow } from '../base/layout.ts';
import type { AggregateId } from '../base/units.ts';

export interface AggregateOpen {
  readonly write?: boolean;
  /** O_DIRECT: buffers, offsets and lengths in multiples of 4,096. */
  readonly direct?: boolean;
}

export interface Volume {
  readonly row: VolumeRow;
  /** Whether files may be written here: an own file for each, appended aggregates. Else only whole aggregates are. */
  readonly holdsOwnFiles: boolean;

  /** A file that is always there and never changes, open for reading. */
  lendIdentity(): Result<BackingFile>;

  /** Makes it, open for reading and writing; EEXIST when it is there. */
  createOwn(name: OwnName): Result<BackingFile>;
  /** Open for reading and writing. */
  openOwn(name: OwnName): Result<BackingFile>;
  /** Open for reading. */
  lendOwn(name: OwnName): Result<BackingFile>;
  unlinkOwn(name: OwnName): number;
  /** Moves it to `lost/` of the volume, where people may look at it, under a name that is free there. */
  setAsideOwn(name: OwnName): number;
  statOwn(name: OwnName): Result<BackingStat>;
  /** Daemon starts that have a folder of own files, in no order. */
  ownStarts(): Result<readonly number[]>;
  /** Removes the folder of a start, if nothing is in it; 0 or -errno. */
  removeOwnStart(start: number): number;
  /** Own files of one start, in no order. */
  ownNames(start: number): Result<readonly OwnName[]>;
  /** What to flush so that an own file's bytes survive power loss. */
  ownTarget(name: OwnName): FlushTarget;
  /** What to flush so that the names of own files of this start do. What has been handed out once counts as flushed. */
  ownNameTargets(start: number): readonly FlushTarget[];

  /** Makes it, open for writing; EEXIST when it is there. */
  createAggregate(id: AggregateId, options?: AggregateOpen): Result<BackingFile>;
  openAggregate(id: AggregateId, options?: AggregateOpen): Result<BackingFile>;
  /** Open for reading, with O_DIRECT if files here can be read so. */
  lendAggregate(id: AggregateId): Result<BackingFile>;
  unlinkAggregate(id: AggregateId): number;
  /** As `setAsideOwn`. */
  setAsideAggregate(id: AggregateId): number;
  statAggregate(id: AggregateId): Result<BackingStat>;
  /** Folders of aggregates (numbers, `folderOf`), in no order. */
  aggregateFolders(): Result<readonly number[]>;
  aggregateIds(folder: number): Result<readonly AggregateId[]>;
  aggregateTarget(id: AggregateId): FlushTarget;
  /** As `ownNameTargets`. */
  aggregateNameTargets(id: AggregateId): readonly FlushTarget[];

  space(): Result<BackingSpace>;
  /** Whether files here can be read and written with O_DIRECT; found out by trying. */
  acceptsDirect(): boolean;
}

/** The volume behind a row; EINVAL where the row makes no sense. Without `storeId` the identity files are believed. */
export type VolumeMaker = (
  row: VolumeRow,
  options: { readonly backing: Backing; readonly storeId?: string | undefined },
) => Result<Volume>;

/** What serves the kinds beyond `dir`: made above this folder, handed in by the program. */
export type VolumeKinds = { readonly [kind in Exclude<VolumeKind, 'dir'>]?: VolumeMaker };

const AGGREGATES_PER_FOLDER = 4096;

export function folderOf(id: AggregateId): number {
  return Math.floor(id / AGGREGATES_PER_FOLDER);
}
