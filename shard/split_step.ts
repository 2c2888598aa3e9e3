/**
 * The records of a split and of a merge. Partition `upper` takes over its positions from the one it splits off from, in
 * their order, or gives them back in the opposite one; `boundary` in its row says how far that has come. Each record leaves
 * one place for every position, so that nothing need follow it: see docs/architecture.md, section 5.
 *
 *     lower  |.......................|             rows from the boundary on
 *     upper                          |.......|     rows below it
 *            start                   boundary     end of upper's positions
 */
import type { Position } from '../base/units.ts';
import {
  nextHalf,
  POSITION_LIMIT,
  parentPartition,
  partitionRange,
  partitionSlot,
  withoutPartition,
  withPartition,
} from './partition_map.ts';
import { POSITIONS_PER_HASH } from './position.ts';
import type { Record } from './record.ts';
import { type Dentry, DT_DIR, type Inode, type Partition } from './rows.ts';
import type { NamespaceStore } from './store.ts';

/** 'stuck': a row that cannot be read lies ahead, and is not to be lost. */
export type StepOutcome = 'moved' | 'done' | 'stuck';

/** A directory, and the upper half that is under way. */
export interface Move {
  readonly dir: Inode;
  readonly upper: number;
}

/** One record: the upper half of partition `index` exists, and has nothing yet. Undefined when it is as deep as they get. */
export function beginSplit(store: NamespaceStore, dir: Inode, index: number): number | undefined {
  const upper = nextHalf(dir.partitions, index);
  if (upper === undefined) return undefined;
  const partitions = withPartition(dir.partitions, upper);
  const { changed, lsn } = store.partition(dir, index);
  const record = store.begin();
  const boundary = partitionRange(partitions, upper).start;
  const slot = partitionSlot(dir.ino, upper);
  putDirectory(store, record, { ...dir, partitions });
  record.putPartition({ slot, dir: dir.ino, index: upper, entries: 0, directories: 0, changed, lsn, boundary });
  store.commit(record);
  return upper;
}

/** One record: the next rows go from the lower half to the upper one. */
export function moveUp(store: NamespaceStore, { dir, upper }: Move): StepOutcome {
  const { lower, end } = rangeOf(dir, upper);
  const from = store.moving.boundary(dir.ino, upper);
  const [source, target] = [partitionSlot(dir.ino, lower), partitionSlot(dir.ino, upper)];
  const found = store.dentriesToMove({ slot: source, dir: dir.ino, from, to: end - 1 }, 'first');
  if (found.damaged > 0) return 'stuck';
  // Names with one hash stay together: a lookup reads them at one place. The last ones may have more behind them.
  const boundary = found.more ? groupOf(found.last) : end;
  const rows = found.rows.filter(({ position }) => position < boundary);
  const record = store.begin();
  for (const row of rows) record.putDentryRow(target, row);
  if (rows.length > 0)
    record.deleteDentries({ slot: source, dir: dir.ino, from: from as Position, to: (boundary - 1) as Position });
  const isDone = boundary === end;
  const counted = countOf(rows);
  record.putPartition(changedBy(store.partition(dir, lower), counted, -1));
  const row = changedBy(store.partition(dir, upper), counted, 1);
  record.putPartition({ ...row, boundary: isDone ? POSITION_LIMIT : boundary });
  store.commit(record);
  return isDone ? 'done' : 'moved';
}

/** One record: the last rows of the upper half go back to the lower one; with none left the upper half ends. */
export function moveDown(store: NamespaceStore, { dir, upper }: Move): StepOutcome {
  const { lower, start, end } = rangeOf(dir, upper);
  const before = Math.min(end, store.moving.boundary(dir.ino, upper));
  const [source, target] = [partitionSlot(dir.ino, upper), partitionSlot(dir.ino, lower)];
  const found = store.dentriesToMove({ slot: source, dir: dir.ino, from: start, to: before - 1 }, 'last');
  if (found.damaged > 0) return 'stuck';
  const boundary = found.more ? groupOf(found.last) + POSITIONS_PER_HASH : start;
  const rows = found.rows.filter(({ position }) => position >= boundary);
  const record = store.begin();
  for (const row of rows) record.putDentryRow(target, row);
  if (rows.length > 0)
    record.deleteDentries({ slot: source, dir: dir.ino, from: boundary as Position, to: (before - 1) as Position });
  const counted = countOf(rows);
  record.putPartition(changedBy(store.partition(dir, lower), counted, 1));
  const isDone = boundary === start;
  if (isDone) {
    record.deletePartition(source, dir.ino, upper);
    putDirectory(store, record, { ...dir, partitions: withoutPartition(dir.partitions, upper) });
  } else {
    record.putPartition({ ...changedBy(store.partition(dir, upper), counted, -1), boundary });
  }
  store.commit(record);
  return isDone ? 'done' : 'moved';
}

/** The row is believed before its partitions from now on: it carries the times that they show. */
function putDirectory(store: NamespaceStore, record: Record, dir: Inode): void {
  const present = store.inode(dir.ino) ?? dir;
  const { mtime, ctime } = store.totals(present);
  record.putInode({ ...dir, mtime, ctime });
}

function rangeOf(dir: Inode, upper: number): { lower: number; start: number; end: number } {
  const { start, end } = partitionRange(dir.partitions, upper);
  return { lower: parentPartition(upper), start, end };
}

function groupOf(position: number): number {
  return position - (position % POSITIONS_PER_HASH);
}

interface Counted {
  readonly entries: number;
  readonly directories: number;
}

function countOf(rows: readonly Dentry[]): Counted {
  let directories = 0;
  for (const { type } of rows) if (type === DT_DIR) directories += 1;
  return { entries: rows.length, directories };
}

/** Neither time nor LSN: nobody sees a difference. A count that was wrong on disk stays at 0 at least. */
function changedBy(row: Partition, counted: Counted, sign: 1 | -1): Partition {
  const entries = Math.max(0, row.entries + sign * counted.entries);
  return { ...row, entries, directories: Math.max(0, row.directories + sign * counted.directories) };
}
