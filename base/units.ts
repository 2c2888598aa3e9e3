/** Numbers with a meaning: brands that cost nothing at run time, each with one checked constructor. */
import { assert } from './assert.ts';

declare const brand: unique symbol;
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Inode number: sequence × 4096 + slot, below 2^53; also the node id that the kernel uses. */
export type Ino = Branded<number, 'Ino'>;
/** Unit of placement of the namespace, 0 to 4095. */
export type Slot = Branded<number, 'Slot'>;
/** Index of a shard database, 0 to 255. */
export type ShardId = Branded<number, 'ShardId'>;
/** Place of a name in its directory's order, 16 to 2^53 - 1; also its readdir cookie. */
export type Position = Branded<number, 'Position'>;
/** Sequence number of a record, from 1, below 2^48. */
export type Lsn = Branded<number, 'Lsn'>;
/** Number of a volume within its store, 1 to 65535. */
export type VolumeId = Branded<number, 'VolumeId'>;
/** Number of an aggregate within its store, from 1, never used twice, below 2^48. */
export type AggregateId = Branded<number, 'AggregateId'>;

export const SLOT_COUNT = 4096;
/** Positions and inode numbers are exact in a double. */
export const MAX_INTEGER = Number.MAX_SAFE_INTEGER;
export const ROOT_INO = 1 as Ino;
/** Sequences 1 to 16 of slot 0 (inode numbers below this one, besides the root) are reserved. */
export const FIRST_FREE_SEQUENCE = 17;
export const FIRST_POSITION = 16;

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export function ino(value: number): Ino {
  assert(Number.isSafeInteger(value) && value >= 1, `Inode number ${value}, expected 1 to 2^53 - 1`);
  return value as Ino;
}

export function slot(value: number): Slot {
  assert(Number.isInteger(value) && value >= 0 && value < SLOT_COUNT, `Slot ${value}, expected 0 to ${SLOT_COUNT - 1}`);
  return value as Slot;
}

export function position(value: number): Position {
  assert(Number.isSafeInteger(value) && value >= FIRST_POSITION, `Position ${value}, expected 16 to 2^53 - 1`);
  return value as Position;
}

export function lsn(value: number): Lsn {
  assert(Number.isSafeInteger(value) && value >= 0 && value < 2 ** 48, `LSN ${value}, expected 0 to 2^48 - 1`);
  return value as Lsn;
}

export function volumeId(value: number): VolumeId {
  assert(Number.isInteger(value) && value >= 1 && value <= 0xffff, `Volume id ${value}, expected 1 to 65535`);
  return value as VolumeId;
}

export function aggregateId(value: number): AggregateId {
  assert(Number.isInteger(value) && value >= 1 && value < 2 ** 48, `Aggregate id ${value}, expected 1 to 2^48 - 1`);
  return value as AggregateId;
}

/** The slot that holds an inode. The root, inode 1, lies in slot 1 as the arithmetic says (sequence 0). */
export function slotOf(number: Ino): Slot {
  return (number % SLOT_COUNT) as Slot;
}

export function sequenceOf(number: Ino): number {
  return Math.floor(number / SLOT_COUNT);
}

export function inoOf(inSlot: Slot, sequence: number): Ino {
  return ino(sequence * SLOT_COUNT + inSlot);
}
