/** Rows of partitions: one for each bit of a directory's bitmap and no others, counting what lies in them. */
import { type Ino, ROOT_INO, type Slot } from '../../base/units.ts';
import {
  POSITION_LIMIT,
  partitionExists,
  partitionIndexes,
  partitionPair,
  partitionRange,
  partitionSlot,
  SINGLE_PARTITION,
} from '../../shard/partition_map.ts';
import { POSITIONS_PER_HASH } from '../../shard/position.ts';
import type { Partition } from '../../shard/rows.ts';
import { DamagedRow } from '../../shard/scan.ts';
import { type CheckContext, placeKey } from './context.ts';
import type { Repair } from './findings.ts';
import { HAS_PARTITION_ROW, ROW_DAMAGED } from './inode_table.ts';

export interface Counted {
  readonly entries: number;
  readonly directories: number;
}

const NOTHING: Counted = { entries: 0, directories: 0 };

/**
 * Partitions of one shard beside its dentries, both by slot and directory: two sorted lists walked together, so that
 * memory stays constant. Of one directory a slot holds at most one partition.
 */
export class PartitionCheck {
  readonly #ctx: CheckContext;
  readonly #shard: number;
  readonly #rows: Iterator<Partition | DamagedRow>;
  #next: Partition | DamagedRow | undefined;

  constructor(ctx: CheckContext, shard: number, rows: Iterator<Partition | DamagedRow>) {
    this.#ctx = ctx;
    this.#shard = shard;
    this.#rows = rows;
    this.#advance();
  }

  /** The names that a directory has in a slot; called in ascending order. */
  counted(slot: Slot, dir: Ino, counted: Counted): void {
    for (let row = this.#next; row !== undefined; row = this.#next) {
      const order = row.slot - slot || directoryOf(row) - dir;
      if (order > 0) return;
      this.#check(row, order === 0 ? counted : NOTHING);
      this.#advance();
    }
  }

  finish(): void {
    for (let row = this.#next; row !== undefined; row = this.#next) {
      this.#check(row, NOTHING);
      this.#advance();
    }
  }

  #advance(): void {
    const { value, done } = this.#rows.next();
    this.#next = done === true ? undefined : value;
  }

  #check(row: Partition | DamagedRow, counted: Counted): void {
    const dir = directoryOf(row);
    const index = row instanceof DamagedRow ? row.place : row.index;
    const where = { directory: dir, partition: index, slot: row.slot, shard: this.#shard };
    if (!this.#ctx.isAtHome(row.slot, this.#shard, where) || !this.#belongs(row.slot, { dir, index }, where)) return;
    markSeen(this.#ctx, dir, index);
    if (row instanceof DamagedRow) {
      const repair: Repair = (repairer) => repairer.rebuildPartition(dir, index);
      this.#ctx.add({
        kind: 'bad-row-checksum',
        where,
        found: 'an unreadable partition',
        expected: 'a whole row',
        repair,
      });
      return;
    }
    this.#checkBoundary(row, where);
    const { entries, directories, lsn } = row;
    if (lsn > this.#ctx.namespace.lsn)
      this.#ctx.add({
        kind: 'wrong-lsn',
        where,
        found: `LSN ${lsn}`,
        expected: `at most ${this.#ctx.namespace.lsn}`,
        repair: (repairer) => repairer.setPartition(row, counted),
      });
    if (entries === counted.entries && directories === counted.directories) return;
    this.#ctx.add({
      kind: 'wrong-partition-count',
      where,
      found: `${entries} entries, ${directories} of them directories`,
      expected: `${counted.entries}, ${counted.directories} of them directories`,
      repair: (repairer) => repairer.setPartition(row, counted),
    });
  }

  /** A partition that is being split or merged is an upper half, has no halves of its own, and is cut where it has positions. */
  #checkBoundary({ dir, index, boundary }: Partition, where: object): void {
    if (boundary === POSITION_LIMIT) return;
    const bitmap = this.#ctx.inodes.bitmaps.get(dir) ?? SINGLE_PARTITION;
    const pair = partitionPair(bitmap, index);
    const { start, end } = partitionRange(bitmap, index);
    const canMove = pair !== undefined && pair.upper === index && pair.areLeaves;
    if (canMove && boundary >= start && boundary < end && boundary % POSITIONS_PER_HASH === 0) return;
    this.#ctx.add({
      kind: 'wrong-boundary',
      where,
      found: boundary,
      expected: canMove ? `${start} to ${end - POSITIONS_PER_HASH}, or ${POSITION_LIMIT}` : POSITION_LIMIT,
      repair: (repairer) => repairer.setBoundary(dir, index, canMove),
    });
  }

  /** Whether the directory is there, is one, and has such a partition in this slot. */
  #belongs(slot: Slot, of: { readonly dir: Ino; readonly index: number }, where: object): boolean {
    const { inodes } = this.#ctx;
    const { dir, index } = of;
    const at = inodes.find(dir);
    if (at >= 0 && inodes.has(at, ROW_DAMAGED)) return false;
    const bitmap = inodes.bitmaps.get(dir) ?? SINGLE_PARTITION;
    const isRight =
      at >= 0 && inodes.isDirectory(at) && partitionExists(bitmap, index) && partitionSlot(dir, index) === slot;
    if (isRight) return true;
    this.#ctx.add({
      kind: 'stray-partition',
      where,
      found: at < 0 ? 'a partition of no inode' : 'a partition that its directory does not have',
      expected: 'none',
      repair: (repairer) => repairer.removePartition(slot, dir, index),
    });
    return false;
  }
}

function directoryOf(row: Partition | DamagedRow): Ino {
  return row instanceof DamagedRow ? row.ino : row.dir;
}

function markSeen(ctx: CheckContext, dir: Ino, index: number): void {
  if (ctx.inodes.bitmaps.has(dir)) ctx.splitPartitions.add(placeKey(dir, index));
  else ctx.inodes.set(ctx.inodes.find(dir), HAS_PARTITION_ROW);
}

/** After all shards: partitions that have no row. */
export function checkMissingPartitions(ctx: CheckContext): void {
  const { inodes } = ctx;
  if (inodes.find(ROOT_INO) < 0 && !ctx.hasUnseenRows)
    ctx.add({
      kind: 'missing-root',
      where: { inode: ROOT_INO },
      found: 'no inode',
      expected: 'the root directory',
      repair: (repairer) => repairer.makeRoot(),
    });
  for (let at = 0; at < inodes.count; at++) {
    if (!inodes.isDirectory(at) || inodes.has(at, ROW_DAMAGED)) continue;
    const dir = inodes.ino(at);
    const bitmap = inodes.bitmaps.get(dir);
    const indexes = bitmap === undefined ? [0] : partitionIndexes(bitmap);
    for (const index of indexes) {
      if (bitmap === undefined ? inodes.has(at, HAS_PARTITION_ROW) : ctx.splitPartitions.has(placeKey(dir, index)))
        continue;
      ctx.add({
        kind: 'missing-partition',
        where: { directory: dir, partition: index, slot: partitionSlot(dir, index) },
        found: 'no row',
        expected: 'one',
        repair: (repairer) => repairer.rebuildPartition(dir, index),
      });
    }
  }
}
