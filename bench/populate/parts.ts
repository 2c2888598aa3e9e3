/**
 * The partitions that a directory of so many names would have after all its splits, and which names are in each. Of a
 * directory that never split nothing is kept; of a large one four bytes a name.
 */
import { SLOT_COUNT, type Slot } from '../../base/units.ts';
import {
  MAX_PARTITION_DEPTH,
  POSITION_LIMIT,
  partitionIndexes,
  partitionIndexOf,
  partitionSlot,
  SINGLE_PARTITION,
  withPartition,
} from '../../shard/partition_map.ts';
import type { Directory } from './tree.ts';

const PREFIXES = 2 ** MAX_PARTITION_DEPTH;
const PREFIX_WIDTH = POSITION_LIMIT / PREFIXES;

/** One partition of one directory. */
export interface Part {
  readonly directory: Directory;
  readonly index: number;
  readonly slot: Slot;
  /** Which of the directory's members are in it, in no order; undefined: all of them. */
  readonly members: Uint32Array | undefined;
}

export interface PartsOptions {
  readonly directories: readonly Directory[];
  /** Subdirectories and files of a directory. */
  readonly membersOf: (directory: Directory) => number;
  /** Position of a member's hash. */
  readonly baseOf: (directory: Directory, member: number) => number;
  /** More names than this in a partition, and it splits. */
  readonly splitAt: (directory: Directory, index: number) => number;
}

export class Parts {
  readonly #options: PartsOptions;
  readonly #bySlot: Part[][] = Array.from({ length: SLOT_COUNT }, () => []);
  readonly #bitmaps = new Map<Directory, Uint8Array>();

  constructor(options: PartsOptions) {
    this.#options = options;
    for (const directory of options.directories) {
      const { slot } = directory;
      if (options.membersOf(directory) > options.splitAt(directory, 0)) this.#split(directory);
      else this.#bySlot[slot]?.push({ directory, index: 0, slot, members: undefined });
    }
    for (const parts of this.#bySlot) parts.sort((a, b) => a.directory.ino - b.directory.ino || a.index - b.index);
  }

  /** Those that live in a slot, in the order of their keys: two of one directory never do. */
  inSlot(slot: Slot): readonly Part[] {
    return this.#bySlot[slot] ?? [];
  }

  /** Which partitions a directory has. */
  bitmapOf(directory: Directory): Uint8Array {
    return this.#bitmaps.get(directory) ?? SINGLE_PARTITION;
  }

  #split(directory: Directory): void {
    const { membersOf, baseOf, splitAt } = this.#options;
    const count = membersOf(directory);
    const prefixes = new Uint16Array(count);
    const perPrefix = new Uint32Array(PREFIXES);
    for (let member = 0; member < count; member++) {
      const prefix = Math.floor(baseOf(directory, member) / PREFIX_WIDTH);
      prefixes[member] = prefix;
      perPrefix[prefix] = (perPrefix[prefix] ?? 0) + 1;
    }
    const bitmap = bitmapFor(perPrefix, (index) => splitAt(directory, index));
    this.#bitmaps.set(directory, bitmap);
    const indexOf = Uint16Array.from(perPrefix, (_, prefix) => partitionIndexOf(bitmap, prefix * PREFIX_WIDTH));
    const sizes = new Uint32Array(PREFIXES);
    for (const [prefix, index] of indexOf.entries()) sizes[index] = (sizes[index] ?? 0) + (perPrefix[prefix] ?? 0);
    const members = new Map<number, Uint32Array>();
    for (const index of partitionIndexes(bitmap)) members.set(index, new Uint32Array(sizes[index] ?? 0));
    const filled = new Uint32Array(PREFIXES);
    for (let member = 0; member < count; member++) {
      const index = indexOf[prefixes[member] ?? 0] ?? 0;
      const at = filled[index] ?? 0;
      filled[index] = at + 1;
      (members.get(index) as Uint32Array)[at] = member;
    }
    for (const [index, own] of members) {
      const slot = partitionSlot(directory.ino, index);
      this.#bySlot[slot]?.push({ directory, index, slot, members: own });
    }
  }
}

/** Splits until no partition has more names than it may: which ones there are then. */
function bitmapFor(perPrefix: Uint32Array, splitAt: (index: number) => number): Uint8Array {
  let bitmap: Uint8Array = SINGLE_PARTITION;
  const divide = (of: { index: number; depth: number; from: number; to: number }): void => {
    const { index, depth, from, to } = of;
    const count = perPrefix.subarray(from, to).reduce((sum, names) => sum + names, 0);
    if (depth === MAX_PARTITION_DEPTH || count <= splitAt(index)) return;
    const middle = (from + to) / 2;
    const upper = index + 2 ** depth;
    bitmap = withPartition(bitmap, upper);
    divide({ index, depth: depth + 1, from, to: middle });
    divide({ index: upper, depth: depth + 1, from: middle, to });
  };
  divide({ index: 0, depth: 0, from: 0, to: PREFIXES });
  return bitmap;
}
