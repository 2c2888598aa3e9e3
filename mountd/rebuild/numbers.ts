/**
 * Numbers that a rebuilt store gives out from now on: above all that the lost one can have given, of which indexes tell
 * only a part. None is given twice, so the next ones leave a gap.
 */
import { FIRST_FREE_SEQUENCE, type Ino, inoOf, type Lsn, type Slot } from '../../base/units.ts';

/** Inodes of one slot that no index named, at most: a quarter of a trillion in a store would pass it. */
export const SEQUENCE_GAP = 2 ** 26;
const SEQUENCE_LIMIT = 2 ** 41;
/** Starts of the daemon that left nothing. */
const START_GAP = 1_000;
/** Records since the last packing. Journals that survived hold lower LSNs, so nothing of them is taken for new. */
const LSN_GAP = 2 ** 32;

/** First sequence of a slot that nobody can have, when this is the highest that was seen. */
export function firstSequenceAfter(seen: number): number {
  return Math.min(Math.max(seen + 1, FIRST_FREE_SEQUENCE) + SEQUENCE_GAP, SEQUENCE_LIMIT);
}

export function inoInSlot(slot: Slot, sequence: number): Ino {
  return inoOf(slot, sequence);
}

export function startAfter(seen: number): number {
  return seen + START_GAP;
}

export function lsnAfter(seen: Lsn): Lsn {
  return (seen + LSN_GAP) as Lsn;
}
