/** When partitions split and merge, by how many entries they have. */
import type { Ino } from '../base/units.ts';

/** Entries at which a partition may split, where store.yaml says nothing else. */
export const SPLIT_AT = 65_536;
export const SPLIT_AT_LEAST = 64;

/**
 * Entries above which a partition splits: `splitAt` × 2^u, u in [0, 1) drawn from directory and partition. With one number
 * for all, a directory whose names are spread evenly would split everywhere at once.
 */
export function splitThreshold(splitAt: number, dir: Ino, index: number): number {
  return splitAt * 2 ** (mixed(dir, index) / 2 ** 32);
}

/** Two siblings with fewer entries together merge. */
export function mergeThreshold(splitAt: number): number {
  return splitAt / 8;
}

/** A merge under way turns back from here on: well above where it began, so that it does not turn again and again. */
export function turnThreshold(splitAt: number): number {
  return splitAt / 4;
}

/** The depth at which `entries`, evenly spread, need no split: for directories that are written at one go. */
export function evenDepth(splitAt: number, entries: number): number {
  let depth = 0;
  // A little room: no hash spreads names quite evenly.
  while (depth < 12 && entries / 2 ** depth > splitAt * 0.95) depth += 1;
  return depth;
}

/** 32 bits of both. Finalizer of MurmurHash3, A. Appleby. */
function mixed(dir: Ino, index: number): number {
  let value = (dir >>> 0) ^ Math.imul(Math.floor(dir / 2 ** 32), 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
