/**
 * Which partition holds a position: extendible hashing with GIGA+ numbering (S. Patil and G. Gibson, "Scale and
 * Concurrency of GIGA+", FAST 2011). A position's top bits, read backwards, name its partition; a bitmap says which
 * partitions exist. Partition 0 is there from the start and holds all; when partition i of depth d splits, the upper
 * half of its positions becomes partition i + 2^d. So the longest existing suffix of the reversed bits is the one.
 *
 *     depth 0: 0 = all        depth 1: 0 = 0..., 1 = 1...        depth 2: 0 = 00.., 2 = 01.., 1 = 10.., 3 = 11..
 */
import { assert } from '../base/assert.ts';
import { type Ino, SLOT_COUNT, type Slot, slotOf } from '../base/units.ts';

/** At most 4,096 partitions a directory; from there partitions grow. */
export const MAX_PARTITION_DEPTH = 12;
export const MAX_BITMAP_BYTES = 2 ** MAX_PARTITION_DEPTH / 8;
const POSITION_BITS = 53;
/** One past the last position. */
export const POSITION_LIMIT = 2 ** POSITION_BITS;

/** The bitmap of a directory that has never split, and that of everything else. Shared: never write to them. */
export const SINGLE_PARTITION: Uint8Array = Uint8Array.of(1);
export const NO_PARTITIONS: Uint8Array = new Uint8Array(0);

export interface PartitionRange {
  readonly index: number;
  /** Leading bits that all its positions share. */
  readonly depth: number;
  readonly start: number;
  /** One past its last position. */
  readonly end: number;
}

/** Partition 0 exists whatever the bitmap says, so an empty one is read as that of a directory that never split. */
export function partitionExists(bitmap: Uint8Array, index: number): boolean {
  return index === 0 || (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
}

/** Number of the partition that holds `position`. */
export function partitionIndexOf(bitmap: Uint8Array, position: number): number {
  if (bitmap.length <= 1 && (bitmap[0] ?? 1) === 1) return 0;
  const reversed = reverseBits(Math.floor(position / 2 ** (POSITION_BITS - MAX_PARTITION_DEPTH)), MAX_PARTITION_DEPTH);
  for (let depth = MAX_PARTITION_DEPTH; depth > 0; depth--) {
    const index = reversed & ((1 << depth) - 1);
    if (partitionExists(bitmap, index)) return index;
  }
  return 0;
}

/** The positions that partition `index` holds, given which others exist. */
export function partitionRange(bitmap: Uint8Array, index: number): PartitionRange {
  assert(partitionExists(bitmap, index), `Partition ${index} is not in the bitmap`);
  let depth = 32 - Math.clz32(index);
  while (depth < MAX_PARTITION_DEPTH && partitionExists(bitmap, index | (1 << depth))) depth += 1;
  const width = 2 ** (POSITION_BITS - depth);
  const start = reverseBits(index, depth) * width;
  return { index, depth, start, end: start + width };
}

/** Numbers of all partitions, ascending. */
export function partitionIndexes(bitmap: Uint8Array): number[] {
  const indexes = [0];
  for (let index = 1; index < bitmap.length * 8; index++) if (partitionExists(bitmap, index)) indexes.push(index);
  return indexes;
}

/** A bitmap with one partition more; trailing zero bytes are never stored. */
export function withPartition(bitmap: Uint8Array, index: number): Uint8Array {
  assert(index >= 0 && index < 2 ** MAX_PARTITION_DEPTH, `Partition ${index}, expected 0 to 4095`);
  const next = new Uint8Array(Math.max(bitmap.length, (index >> 3) + 1, 1));
  next.set(bitmap);
  next[0] = (next[0] ?? 0) | 1;
  next[index >> 3] = (next[index >> 3] ?? 0) | (1 << (index & 7));
  return next;
}

/** A bitmap with one partition less, of those that have no halves of their own. */
export function withoutPartition(bitmap: Uint8Array, index: number): Uint8Array {
  assert(index > 0 && partitionExists(bitmap, index), `Partition ${index} cannot go`);
  const next = bitmap.slice();
  next[index >> 3] = (next[index >> 3] ?? 0) & ~(1 << (index & 7));
  let length = next.length;
  while (length > 1 && next[length - 1] === 0) length -= 1;
  return next.subarray(0, length);
}

/** The partition that `index`, which is not 0, has split off from. */
export function parentPartition(index: number): number {
  assert(index > 0, 'Partition 0 has no parent');
  return index & ~(1 << (31 - Math.clz32(index)));
}

/** A partition and its sibling: two halves of what was one. Both are leaves when neither has been halved since. */
export interface PartitionPair {
  readonly lower: number;
  readonly upper: number;
  readonly areLeaves: boolean;
}

/** Undefined for partition 0 of a directory that has no other. */
export function partitionPair(bitmap: Uint8Array, index: number): PartitionPair | undefined {
  const { depth } = partitionRange(bitmap, index);
  if (depth === 0) return undefined;
  const bit = 1 << (depth - 1);
  const lower = index & ~bit;
  const upper = lower | bit;
  const areLeaves = partitionRange(bitmap, lower).depth === depth && partitionRange(bitmap, upper).depth === depth;
  return { lower, upper, areLeaves };
}

/** What a split of partition `index` adds; undefined when it is as deep as partitions get. */
export function nextHalf(bitmap: Uint8Array, index: number): number | undefined {
  const { depth } = partitionRange(bitmap, index);
  return depth === MAX_PARTITION_DEPTH ? undefined : index | (1 << depth);
}

/** All partitions of one depth, 0 to 12: for directories that are written at one go. */
export function evenPartitions(depth: number): Uint8Array {
  assert(depth >= 0 && depth <= MAX_PARTITION_DEPTH, `Depth ${depth}, expected 0 to ${MAX_PARTITION_DEPTH}`);
  const bitmap = new Uint8Array(Math.max(1, 2 ** depth / 8));
  return bitmap.fill(depth < 3 ? 2 ** (2 ** depth) - 1 : 0xff);
}

/** Where partition `index` of a directory lives. */
export function partitionSlot(dir: Ino, index: number): Slot {
  return ((slotOf(dir) + index) % SLOT_COUNT) as Slot;
}

function reverseBits(value: number, count: number): number {
  let reversed = 0;
  for (let bit = 0; bit < count; bit++) reversed |= ((value >> bit) & 1) << (count - 1 - bit);
  return reversed;
}
