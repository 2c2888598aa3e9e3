/** The tiering policy of a store, as the rest of the program sees it: checked, resolved, immutable. */
import type { Tier } from '../../base/layout.ts';
import type { VolumeId } from '../../base/units.ts';
import type { Glob } from './glob.ts';
import type { Target } from './target.ts';
import type { Window, Zone } from './windows.ts';

/**
 * Which of a file's times its age is counted from: its last change ('mtime'), or its last read ('atime'), which a later
 * change counts as, too: access times are not raised by writing.
 */
export type AgeBy = 'mtime' | 'atime';

/** All that are there must hold. */
export interface Conditions {
  readonly by: AgeBy;
  /** At least, and below; seconds. */
  readonly olderThanSec: number | undefined;
  readonly youngerThanSec: number | undefined;
  /** Bytes of the file, more and less than. */
  readonly largerThan: number | undefined;
  readonly smallerThan: number | undefined;
  /** One of them matches, and none of the others. */
  readonly paths: readonly Glob[] | undefined;
  readonly notPaths: readonly Glob[] | undefined;
  readonly users: ReadonlySet<number> | undefined;
  readonly groups: ReadonlySet<number> | undefined;
  readonly projects: ReadonlySet<number> | undefined;
  readonly pinned: boolean | undefined;
  /** Where the file lies now: in one of them. */
  readonly on: readonly Target[] | undefined;
}

export interface Rule {
  readonly name: string;
  readonly when: Conditions;
  readonly to: Target;
}

/** Of one volume. */
export interface Watermark {
  /** Share of the volume in use above which files leave it, and down to which; 0 to 1. */
  readonly high: number;
  readonly low: number;
  readonly to: Target;
  /** Which files are the oldest. */
  readonly by: AgeBy;
  /** Also outside the windows. */
  readonly anytime: boolean;
}

/** How migrations to a tier write. */
export interface Packing {
  /** Files up to this are packed; `PACK_EVERYTHING` for all. 0 = each in a backing file of its own. */
  readonly packBelow: number;
  readonly aggregateBytes: number;
}

export const PACK_EVERYTHING = Number.MAX_SAFE_INTEGER;

export interface Policy {
  /** In order: the first that matches decides. */
  readonly rules: readonly Rule[];
  readonly watermarks: ReadonlyMap<VolumeId, Watermark>;
  /** None: always. */
  readonly windows: readonly Window[];
  readonly zone: Zone;
  /** Bytes a second; those of a target hold beside the total. */
  readonly bandwidth: {
    readonly total: number | undefined;
    readonly tiers: ReadonlyMap<Tier, number>;
    readonly volumes: ReadonlyMap<VolumeId, number>;
  };
  /** A recalled file does not go down before. */
  readonly minResidenceSec: number;
  /** Of the tiers below hot; store.yaml says how the hot tier packs. */
  readonly packing: ReadonlyMap<Tier, Packing>;
}
