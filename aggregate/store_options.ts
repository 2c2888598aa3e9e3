/** What the data store is opened with, and what it tells of its volumes. */
import type { Backing, BackingSpace } from '../base/backing.ts';
import type { AggregateRow, VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import { MIB } from '../base/units.ts';
import { SEGMENT_BYTES } from './pack.ts';
import type { VolumeKinds } from './volume.ts';

const AGGREGATE_BYTES_DEFAULT = 64 * MIB;

export interface DataStoreOptions {
  /** Size of a new aggregate, rounded down to whole segments of 4 MiB. Default 64 MiB. */
  readonly aggregateBytes?: number;
  /** Bytes of an aggregate in use from which space is written ahead; default an eighth of it. */
  readonly aheadFrom?: number;
  /** So many bytes are written ahead at a time; default 16 MiB. */
  readonly aheadBytes?: number;
  /** Open aggregates for each volume, and so packing jobs at a time. Default 2. */
  readonly lanesPerVolume?: number;
  /** Descriptors kept open. Default 1,024. */
  readonly maxOpenFiles?: number;
  /** Own files of a volume that are made ahead of their use, at most. Default 512; 0 = none. */
  readonly ownAhead?: number;
  /** Free bytes below which a volume takes no new own file. Default 64 MiB or 1 % of it, whichever is less. */
  readonly reserveBytes?: number;
  /** Changes nothing, not even the state of aggregates that an earlier start left open. */
  readonly readOnly?: boolean;
  readonly clock?: Clock;
}

export interface OpenDataStore {
  readonly backing: Backing;
  /** Kinds of volumes beyond `dir` that can be opened. */
  readonly kinds?: VolumeKinds | undefined;
  readonly storeId: string;
  /** Number of this daemon start, never used before. */
  readonly start: number;
  readonly volumes: readonly VolumeRow[];
  readonly aggregates: readonly AggregateRow[];
  readonly options?: DataStoreOptions;
  readonly log: Log;
}

export interface VolumeSpace extends BackingSpace {
  readonly volume: VolumeRow;
  /** Bytes written with zeros ahead of their use, which count as free. */
  readonly ahead: number;
}

/** Bytes of an aggregate, whole segments. */
export function wholeSegments(wanted: number = AGGREGATE_BYTES_DEFAULT): number {
  return Math.max(1, Math.floor(wanted / SEGMENT_BYTES)) * SEGMENT_BYTES;
}
