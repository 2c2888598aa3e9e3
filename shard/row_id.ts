/**
 * Row ids: the key of everything that belongs to one inode. slot × 2^41 + sequence, so that a slot is one contiguous
 * range of each table and can be moved whole, while an inode number carries its slot in the low 12 bits.
 */
import { type Ino, SLOT_COUNT, type Slot, sequenceOf, slotOf } from '../base/units.ts';

export const SEQUENCE_LIMIT = 2 ** 41;

/** Exact in a double: below 2^53, as inode numbers are. */
export function rowIdOf(ino: Ino): number {
  return slotOf(ino) * SEQUENCE_LIMIT + sequenceOf(ino);
}

export function inoOfRowId(id: number): Ino {
  return ((id % SEQUENCE_LIMIT) * SLOT_COUNT + Math.floor(id / SEQUENCE_LIMIT)) as Ino;
}

/** First row id of a slot; that of `slot + 1` ends the slot's range. */
export function firstRowIdOf(slot: Slot): number {
  return slot * SEQUENCE_LIMIT;
}
