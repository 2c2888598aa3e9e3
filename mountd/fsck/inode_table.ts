/**
 * What fsck remembers of every inode: about 60 bytes each, in typed arrays. The rows of a shard come in the order of
 * their row ids, so the ids need no index: a number is found by binary search in its shard's part.
 */
import { assert } from '../../base/assert.ts';
import { type Ino, type ShardId, type Slot, slotOf } from '../../base/units.ts';
import { inoOfRowId, rowIdOf } from '../../shard/row_id.ts';
import { DT_DIR, type Inode } from '../../shard/rows.ts';

/** Bits of what is known of an inode. */
export const ROW_DAMAGED = 1 << 0;
export const PARENT_NAMES_IT = 1 << 1;
export const HAS_XATTR = 1 << 2;
export const HAS_ACL_ACCESS = 1 << 3;
export const HAS_ACL_DEFAULT = 1 << 4;
export const HAS_SYMLINK = 1 << 5;
export const HAS_PARTITION_ROW = 1 << 6;
export const HAS_ENTRIES = 1 << 7;
export const LONG_EXTENTS = 1 << 8;
export const LONG_SECOND = 1 << 9;
export const LAYOUT_OWN = 1 << 10;
export const IN_OWN_INDEX = 1 << 11;
export const IN_ORPHANS = 1 << 12;
export const REACHABLE = 1 << 13;
export const UNREACHABLE = 1 << 14;
export const ON_PATH = 1 << 15;

const FIRST_CAPACITY = 1024;

export class InodeTable {
  count = 0;
  #ids = new Float64Array(FIRST_CAPACITY);
  #parents = new Float64Array(FIRST_CAPACITY);
  #positions = new Float64Array(FIRST_CAPACITY);
  #foundParents = new Float64Array(FIRST_CAPACITY);
  #foundPositions = new Float64Array(FIRST_CAPACITY);
  #nlinks = new Uint32Array(FIRST_CAPACITY);
  #names = new Uint32Array(FIRST_CAPACITY);
  #bits = new Uint32Array(FIRST_CAPACITY);
  #modes = new Uint16Array(FIRST_CAPACITY);
  #flags = new Uint16Array(FIRST_CAPACITY);
  /** Bitmaps of directories that have split; all others have partition 0 alone. */
  readonly bitmaps = new Map<Ino, Uint8Array>();
  /** Index of the first row of each shard; the last one ends where the table does. */
  readonly #starts: number[] = [];
  readonly #shardOf: (slot: Slot) => ShardId;

  constructor(shardOf: (slot: Slot) => ShardId) {
    this.#shardOf = shardOf;
  }

  /** The rows that follow are of the next shard, from 0 on. */
  beginShard(): void {
    this.#starts.push(this.count);
  }

  add(inode: Inode): number {
    const at = this.#append(inode.ino);
    this.#parents[at] = inode.parent;
    this.#positions[at] = inode.position;
    this.#nlinks[at] = inode.nlink;
    this.#modes[at] = inode.mode;
    this.#flags[at] = inode.flags;
    if (inode.partitions.length > 1 || (inode.partitions[0] ?? 1) !== 1) this.bitmaps.set(inode.ino, inode.partitions);
    return at;
  }

  /** An inode of whose row nothing is known but that it is there. */
  addDamaged(ino: Ino): void {
    this.#bits[this.#append(ino)] = ROW_DAMAGED;
  }

  /** Index of an inode, -1 when there is none. */
  find(ino: number): number {
    const shard = this.#shardOf(slotOf(ino as Ino));
    const id = rowIdOf(ino as Ino);
    let low = this.#starts[shard] ?? this.count;
    let high = this.#starts[shard + 1] ?? this.count;
    const end = high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ids[middle] ?? 0) < id) low = middle + 1;
      else high = middle;
    }
    return low < end && this.#ids[low] === id ? low : -1;
  }

  ino(at: number): Ino {
    return inoOfRowId(this.#ids[at] ?? 0);
  }

  mode(at: number): number {
    return this.#modes[at] ?? 0;
  }

  /** DT_*; 0 for a damaged row. */
  type(at: number): number {
    return this.mode(at) >> 12;
  }

  isDirectory(at: number): boolean {
    return this.type(at) === DT_DIR;
  }

  nlink(at: number): number {
    return this.#nlinks[at] ?? 0;
  }

  flags(at: number): number {
    return this.#flags[at] ?? 0;
  }

  /** Directory and position that the inode's own row says. */
  parent(at: number): Ino {
    return (this.#parents[at] ?? 0) as Ino;
  }

  position(at: number): number {
    return this.#positions[at] ?? 0;
  }

  /** Dentries that name it. */
  names(at: number): number {
    return this.#names[at] ?? 0;
  }

  /** One of the dentries that name it: where it was found. */
  foundParent(at: number): Ino {
    return (this.#foundParents[at] ?? 0) as Ino;
  }

  foundPosition(at: number): number {
    return this.#foundPositions[at] ?? 0;
  }

  /** Counts a name; the one that the row says is kept as the found one, else the first. */
  addName(at: number, dir: Ino, position: number): void {
    const isRecorded = this.#parents[at] === dir && this.#positions[at] === position;
    if (this.#names[at] === 0 || isRecorded) {
      this.#foundParents[at] = dir;
      this.#foundPositions[at] = position;
    }
    this.#names[at] = this.names(at) + 1;
    if (isRecorded) this.set(at, PARENT_NAMES_IT);
  }

  has(at: number, bit: number): boolean {
    return ((this.#bits[at] ?? 0) & bit) !== 0;
  }

  set(at: number, bit: number): void {
    this.#bits[at] = (this.#bits[at] ?? 0) | bit;
  }

  clear(at: number, bit: number): void {
    this.#bits[at] = (this.#bits[at] ?? 0) & ~bit;
  }

  #append(ino: Ino): number {
    const at = this.count;
    const id = rowIdOf(ino);
    assert(at === this.#starts.at(-1) || (this.#ids[at - 1] ?? 0) < id, 'Inodes of a shard come in order');
    if (at === this.#ids.length) this.#grow();
    this.#ids[at] = id;
    this.count = at + 1;
    return at;
  }

  #grow(): void {
    const length = this.#ids.length * 2;
    const wider = <T extends Float64Array | Uint32Array | Uint16Array>(into: T, from: T): T => {
      into.set(from);
      return into;
    };
    this.#ids = wider(new Float64Array(length), this.#ids);
    this.#parents = wider(new Float64Array(length), this.#parents);
    this.#positions = wider(new Float64Array(length), this.#positions);
    this.#foundParents = wider(new Float64Array(length), this.#foundParents);
    this.#foundPositions = wider(new Float64Array(length), this.#foundPositions);
    this.#nlinks = wider(new Uint32Array(length), this.#nlinks);
    this.#names = wider(new Uint32Array(length), this.#names);
    this.#bits = wider(new Uint32Array(length), this.#bits);
    this.#modes = wider(new Uint16Array(length), this.#modes);
    this.#flags = wider(new Uint16Array(length), this.#flags);
  }
}
