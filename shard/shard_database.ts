/**
 * The SQL of one shard: every statement prepared once, with the key it relies on. Rows come out checked (undefined means
 * damaged); what SQLite itself throws passes through to the store.
 */

import { viewOf } from '../base/bytes.ts';
import type { Extent } from '../base/layout.ts';
import type { Ino, Lsn, Position, ShardId, Slot } from '../base/units.ts';
import { Backlog } from './backlog.ts';
import { DeferredRows, type IndexName } from './deferred_rows.ts';
import { decodeExtent, encodeExtent, MAX_EXTENT_BYTES } from './extent_format.ts';
import { decodeInode, INLINE_EXTENTS, InodeEncoder } from './inode_format.ts';
import { type InodeDelete, type InodePut, LIST_EXTENTS, LIST_SECOND } from './mutation.ts';
import { RowChecksums } from './row_checksum.ts';
import { rowIdOf } from './row_id.ts';
import type { Dentry, Inode, Partition, PartitionName } from './rows.ts';
import { SlotMarks } from './slot_marks.ts';
import { SlotRows } from './slot_rows.ts';
import { SqliteFile, type SqliteOpen } from './sqlite_file.ts';

export type DentryColumns = [position: number, name: Buffer, ino: number, type: number, crc: number];
export type PartitionColumns = [
  entries: number,
  directories: number,
  sec: number,
  nsec: number,
  lsn: number,
  boundary: number,
  crc: number,
];

export const DAMAGED = Symbol('damaged');
export type Damaged = typeof DAMAGED;

/** What a directory has in one slot, or a part of it, in position order. */
export interface DentryRange {
  readonly slot: Slot;
  readonly dir: Ino;
  /** First position asked for. */
  readonly from: number;
  /** Last position asked for. */
  readonly to: number;
}

export interface DentryRows {
  readonly rows: Dentry[];
  readonly damaged: number;
  /** Whether the answer was cut at the most that it holds. */
  readonly more: boolean;
  /** Position of the last row, damaged ones included; 0 when there is none. */
  readonly last: number;
}

type DentryBounds = [slot: number, dir: number, from: number, to: number];
const DENTRIES =
  'SELECT position, name, ino, type, crc FROM dentries WHERE slot = ? AND dir = ? AND position BETWEEN ? AND ?';
/** Dentries that one statement of a listing fetches: about what a reply of readdir holds. */
export const DENTRY_SLICE = 64;
/** Dentries that one record moves from partition to partition, at most. */
export const MOVED_ROWS = 128;
/** What is not under way has this as its boundary: `POSITION_LIMIT`, as the partial index `moving` has it. */
const NO_BOUNDARY = '9007199254740992';

function statements(file: SqliteFile) {
  return {
    // All by primary key. No bound LIMIT: SQLite 3.50 compiles such a statement anew at every run (12 µs).
    dentries: file.prepare<DentryBounds, DentryColumns>(`${DENTRIES} ORDER BY position`).raw(true),
    dentrySlice: file
      .prepare<DentryBounds, DentryColumns>(`${DENTRIES} ORDER BY position LIMIT ${DENTRY_SLICE}`)
      .raw(true),
    dentriesToMove: file
      .prepare<DentryBounds, DentryColumns>(`${DENTRIES} ORDER BY position LIMIT ${MOVED_ROWS}`)
      .raw(true),
    dentriesToMoveBack: file
      .prepare<DentryBounds, DentryColumns>(`${DENTRIES} ORDER BY position DESC LIMIT ${MOVED_ROWS}`)
      .raw(true),
    firstDentry: file
      .prepare<DentryBounds, number>(
        'SELECT position FROM dentries WHERE slot = ? AND dir = ? AND position BETWEEN ? AND ? ORDER BY position LIMIT 1',
      )
      .pluck(true),
    deleteDentries: file.prepare<DentryBounds>(
      'DELETE FROM dentries WHERE slot = ? AND dir = ? AND position BETWEEN ? AND ?',
    ),
    putDentry: file.prepare<[number, number, number, Uint8Array, number, number, number]>(
      'INSERT OR REPLACE INTO dentries(slot, dir, position, name, ino, type, crc) VALUES(?, ?, ?, ?, ?, ?, ?)',
    ),
    deleteDentry: file.prepare<[number, number, number]>(
      'DELETE FROM dentries WHERE slot = ? AND dir = ? AND position = ?',
    ),
    countDentries: file
      .prepare<[number, number, number, number], [number, number]>(
        'SELECT count(*), coalesce(sum(type = 4), 0) FROM dentries WHERE slot = ? AND dir = ? AND position BETWEEN ? AND ?',
      )
      .raw(true),
    inode: file.prepare<[number], Buffer>('SELECT row FROM inodes WHERE id = ?').pluck(true),
    putInode: file.prepare<[number, Uint8Array]>('INSERT OR REPLACE INTO inodes(id, row) VALUES(?, ?)'),
    deleteInode: file.prepare<[number]>('DELETE FROM inodes WHERE id = ?'),
    extents: file
      .prepare<[number, number], [number, Buffer, number]>(
        'SELECT offset, row, crc FROM extents WHERE id = ? AND list = ? ORDER BY offset',
      )
      .raw(true),
    putExtent: file.prepare<[number, number, number, Uint8Array, number]>(
      'INSERT OR REPLACE INTO extents(id, list, offset, row, crc) VALUES(?, ?, ?, ?, ?)',
    ),
    deleteList: file.prepare<[number, number]>('DELETE FROM extents WHERE id = ? AND list = ?'),
    deleteExtents: file.prepare<[number]>('DELETE FROM extents WHERE id = ?'),
    partition: file
      .prepare<[number, number, number], PartitionColumns>(
        'SELECT entries, directories, changed_sec, changed_nsec, lsn, boundary, crc FROM partitions WHERE slot = ? AND dir = ? AND part = ?',
      )
      .raw(true),
    // By the partial index.
    moving: file
      .prepare<[], [slot: number, dir: number, index: number, ...PartitionColumns]>(
        `SELECT slot, dir, part, entries, directories, changed_sec, changed_nsec, lsn, boundary, crc FROM partitions WHERE boundary < ${NO_BOUNDARY}`,
      )
      .raw(true),
    putPartition: file.prepare<number[]>(
      'INSERT OR REPLACE INTO partitions(slot, dir, part, entries, directories, changed_sec, changed_nsec, lsn, boundary, crc) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    deletePartition: file.prepare<[number, number, number]>(
      'DELETE FROM partitions WHERE slot = ? AND dir = ? AND part = ?',
    ),
    xattr: file
      .prepare<[number, Uint8Array], [Buffer, number]>('SELECT value, crc FROM xattrs WHERE id = ? AND name = ?')
      .raw(true),
    xattrNames: file.prepare<[number], Buffer>('SELECT name FROM xattrs WHERE id = ? ORDER BY name').pluck(true),
    putXattr: file.prepare<[number, Uint8Array, Uint8Array, number]>(
      'INSERT OR REPLACE INTO xattrs(id, name, value, crc) VALUES(?, ?, ?, ?)',
    ),
    deleteXattr: file.prepare<[number, Uint8Array]>('DELETE FROM xattrs WHERE id = ? AND name = ?'),
    deleteXattrs: file.prepare<[number]>('DELETE FROM xattrs WHERE id = ?'),
    symlink: file.prepare<[number], [Buffer, number]>('SELECT target, crc FROM symlinks WHERE id = ?').raw(true),
    putSymlink: file.prepare<[number, Uint8Array, number]>(
      'INSERT OR REPLACE INTO symlinks(id, target, crc) VALUES(?, ?, ?)',
    ),
    deleteSymlink: file.prepare<[number]>('DELETE FROM symlinks WHERE id = ?'),
    sequence: file.prepare<[number], number>('SELECT next_sequence FROM slots WHERE slot = ?').pluck(true),
    putSequence: file.prepare<[number, number]>('INSERT OR REPLACE INTO slots(slot, next_sequence) VALUES(?, ?)'),
    number: file.prepare<[], number>("SELECT value FROM meta WHERE key = 'shard'").pluck(true),
    putNumber: file.prepare<[number]>("INSERT INTO meta(key, value) VALUES('shard', ?)"),
    addOwn: file.prepare<[number]>('INSERT OR IGNORE INTO own_files(id) VALUES(?)'),
    removeOwn: file.prepare<[number]>('DELETE FROM own_files WHERE id = ?'),
    addOrphan: file.prepare<[number]>('INSERT OR IGNORE INTO orphans(id) VALUES(?)'),
    removeOrphan: file.prepare<[number]>('DELETE FROM orphans WHERE id = ?'),
  };
}

/** Rows held back at most. */
const MAX_DEFERRED = 8192;
const NO_NAME = new Uint8Array(0);

export class ShardDatabase {
  readonly file: SqliteFile;
  /** What is to be written later; reads see it. */
  readonly backlog = new Backlog();
  /** Slots that are on their way here, or have left. */
  readonly marks: SlotMarks;
  readonly #sql: ReturnType<typeof statements>;
  readonly #encoder = new InodeEncoder();
  readonly #checksums = new RowChecksums();
  readonly #deferred = new DeferredRows();
  readonly #deferredTo = {
    partition: (row: Partition) => this.#writePartition(row),
    index: (ino: Ino, index: IndexName, present: boolean) => this.#writeIndex(ino, index, present),
  };
  #slotRows: SlotRows | undefined;
  readonly #extentBytes = new Uint8Array(MAX_EXTENT_BYTES);
  readonly #extentView = viewOf(this.#extentBytes);

  constructor(file: SqliteFile) {
    this.file = file;
    this.#sql = statements(file);
    this.marks = new SlotMarks(file);
  }

  static open(path: string, options: SqliteOpen): ShardDatabase {
    return new ShardDatabase(SqliteFile.open(path, options));
  }

  /** Which shard of its store it is; undefined in one that was made before shards noted it. */
  number(): ShardId | undefined {
    return this.#sql.number.get() as ShardId | undefined;
  }

  /** Once, when it is made. */
  putNumber(shard: ShardId): void {
    this.file.willWrite();
    this.#sql.putNumber.run(shard);
  }

  /** As `SqliteFile.commit`, with the rows that were held back. */
  commit(lsn: Lsn): boolean {
    this.#flushDeferred();
    const isDone = this.file.commit(lsn);
    if (!isDone) this.marks.reload();
    return isDone;
  }

  /** The rows of slots as moves see them. `sliceLimit`: rows of a step at most, for tests. */
  slotRows(sliceLimit?: number): SlotRows {
    this.#slotRows ??= new SlotRows(this.file, sliceLimit);
    return this.#slotRows;
  }

  /** As `writeDeferred`, of one slot: before its rows are read as they are. */
  writeDeferredOf(slot: Slot): void {
    this.#deferred.flushSlot(slot, this.#deferredTo);
  }

  /** Writes what is held back; before anything reads those tables but by `partition`. */
  writeDeferred(): void {
    this.file.catchUp?.();
    this.#flushDeferred();
  }

  #flushDeferred(): void {
    this.#deferred.flush(this.#deferredTo);
  }

  #deferredOne(): void {
    this.file.willWrite();
    if (this.#deferred.size > MAX_DEFERRED) this.writeDeferred();
  }

  inode(ino: Ino): Inode | Damaged | undefined {
    const coming = this.backlog.inode(ino);
    if (coming !== undefined) return coming ?? undefined;
    const row = this.#sql.inode.get(rowIdOf(ino));
    return row === undefined ? undefined : this.inodeOfRow(ino, row);
  }

  /** Decodes a row, and fetches the extents that do not stand in it. */
  inodeOfRow(ino: Ino, row: Uint8Array): Inode | Damaged {
    const decoded = decodeInode(ino, row);
    if (decoded === undefined) return DAMAGED;
    if (decoded.extentRows === 0 && decoded.secondRows === 0) return decoded.inode;
    const extents = decoded.extentRows === 0 ? decoded.inode.extents : this.#extents(ino, 0);
    const second = decoded.secondRows === 0 ? decoded.inode.second : this.#extents(ino, 1);
    if (extents === undefined || second === undefined) return DAMAGED;
    if (decoded.extentRows !== 0 && decoded.extentRows !== extents.length) return DAMAGED;
    if (decoded.secondRows !== 0 && decoded.secondRows !== second.length) return DAMAGED;
    return { ...decoded.inode, extents, second };
  }

  #extents(ino: Ino, list: number): Extent[] | undefined {
    const extents: Extent[] = [];
    for (const [, row, crc] of this.#sql.extents.all(rowIdOf(ino), list)) {
      if (this.#checksums.extentRow(ino, list, row) !== crc) return undefined;
      const decoded = decodeExtent(viewOf(row), 0, row.length);
      if (decoded === undefined || decoded.end !== row.length) return undefined;
      extents.push(decoded.extent);
    }
    return extents;
  }

  putInode(put: InodePut): void {
    const { inode } = put;
    const id = rowIdOf(inode.ino);
    const sql = this.#sql;
    this.file.willWrite();
    sql.putInode.run(id, put.row ?? this.#encoder.encode(inode));
    if ((put.lists & LIST_EXTENTS) !== 0) this.#putList(inode.ino, 0, inode.extents);
    if ((put.lists & LIST_SECOND) !== 0) this.#putList(inode.ino, 1, inode.second);
    if (put.own !== 'keep') this.setIndex(inode.ino, 'own_files', put.own === 'add');
    if (put.orphan !== 'keep') this.setIndex(inode.ino, 'orphans', put.orphan === 'add');
  }

  #putList(ino: Ino, list: number, extents: readonly Extent[]): void {
    const id = rowIdOf(ino);
    this.#sql.deleteList.run(id, list);
    if (extents.length <= INLINE_EXTENTS) return;
    for (const extent of extents) {
      const row = this.#extentBytes.subarray(0, encodeExtent(this.#extentView, 0, extent));
      this.file.willWrite();
      this.#sql.putExtent.run(id, list, extent.fileOffset, row, this.#checksums.extentRow(ino, list, row));
    }
  }

  deleteInode(gone: InodeDelete): void {
    const id = rowIdOf(gone.ino);
    const sql = this.#sql;
    this.file.willWrite();
    sql.deleteInode.run(id);
    if (gone.extents) sql.deleteExtents.run(id);
    if (gone.xattrs) sql.deleteXattrs.run(id);
    if (gone.symlink) sql.deleteSymlink.run(id);
    if (gone.own) this.setIndex(gone.ino, 'own_files', false);
    if (gone.orphan) this.setIndex(gone.ino, 'orphans', false);
  }

  setIndex(ino: Ino, index: IndexName, present: boolean): void {
    this.#deferred.setIndex(ino, index, present);
    this.#deferredOne();
  }

  #writeIndex(ino: Ino, index: IndexName, present: boolean): void {
    const { addOwn, removeOwn, addOrphan, removeOrphan } = this.#sql;
    if (index === 'own_files') (present ? addOwn : removeOwn).run(rowIdOf(ino));
    else (present ? addOrphan : removeOrphan).run(rowIdOf(ino));
  }

  /** All dentries of a range that holds few, such as the positions of one hash. */
  dentries(range: DentryRange): DentryRows {
    const found = this.#rowsOf(range, this.#sql.dentries.all(range.slot, range.dir, range.from, range.to));
    return this.backlog.hasDentries(range) ? { ...found, rows: this.backlog.merged(range, found.rows) } : found;
  }

  /** The first `DENTRY_SLICE` dentries of a range, or fewer. */
  dentrySlice(range: DentryRange): DentryRows {
    const found = this.#rowsOf(range, this.#sql.dentrySlice.all(range.slot, range.dir, range.from, range.to));
    return this.backlog.hasDentries(range) ? this.#merged(range, found, { limit: DENTRY_SLICE, end: 'first' }) : found;
  }

  /** With those that are to come, and without those that are to go, as far as the database was asked. */
  #merged(range: DentryRange, found: DentryRows, as: { limit: number; end: 'first' | 'last' }): DentryRows {
    const { limit, end } = as;
    const asked = end === 'first' ? { ...range, to: found.last } : { ...range, from: found.last };
    const rows = this.backlog.merged(found.more ? asked : range, found.rows);
    if (end === 'last') rows.reverse();
    if (rows.length <= limit) return { ...found, rows };
    rows.length = limit;
    return { ...found, rows, more: true, last: rows.at(-1)?.position ?? 0 };
  }

  #rowsOf(range: DentryRange, found: readonly DentryColumns[], limit = DENTRY_SLICE): DentryRows {
    const rows: Dentry[] = [];
    for (const columns of found) {
      const dentry = this.dentryOfRow(range.slot, range.dir, columns);
      if (dentry !== undefined) rows.push(dentry);
    }
    return {
      rows,
      damaged: found.length - rows.length,
      more: found.length === limit,
      last: found.at(-1)?.[0] ?? 0,
    };
  }

  dentryOfRow(slot: Slot, dir: Ino, columns: DentryColumns): Dentry | undefined {
    const [position, name, ino, type, crc] = columns;
    const dentry: Dentry = { dir, position: position as Position, name, ino: ino as Ino, type };
    return this.#checksums.dentry(slot, dentry) === crc ? dentry : undefined;
  }

  /** Up to `MOVED_ROWS` dentries of a range: the first ones, or the last ones from the end backwards. */
  dentriesToMove(range: DentryRange, end: 'first' | 'last'): DentryRows {
    const statement = end === 'first' ? this.#sql.dentriesToMove : this.#sql.dentriesToMoveBack;
    const found = this.#rowsOf(range, statement.all(range.slot, range.dir, range.from, range.to), MOVED_ROWS);
    return this.backlog.hasDentries(range) ? this.#merged(range, found, { limit: MOVED_ROWS, end }) : found;
  }

  /** Where the first dentry of a range stands, readable or not. */
  firstDentry(range: DentryRange): number | undefined {
    this.file.catchUp?.();
    return this.#sql.firstDentry.get(range.slot, range.dir, range.from, range.to);
  }

  /** Entries and subdirectories of a range, counted; for a partition whose own row cannot tell. */
  count(range: DentryRange): readonly [entries: number, directories: number] {
    this.file.catchUp?.();
    return this.#sql.countDentries.get(range.slot, range.dir, range.from, range.to) ?? [0, 0];
  }

  putDentry(slot: Slot, dentry: Dentry): void {
    const { dir, position, name, ino, type } = dentry;
    this.file.willWrite();
    this.#sql.putDentry.run(slot, dir, position, name, ino, type, this.#checksums.dentry(slot, dentry));
  }

  deleteDentry(slot: Slot, dir: Ino, position: Position): void {
    this.file.willWrite();
    this.#sql.deleteDentry.run(slot, dir, position);
  }

  deleteDentries({ slot, dir, from, to }: DentryRange): void {
    this.file.willWrite();
    this.#sql.deleteDentries.run(slot, dir, from, to);
  }

  /** Partitions that are being split or merged; of a damaged row only what names it. */
  movingPartitions(): (Partition | PartitionName)[] {
    this.writeDeferred();
    return this.#sql.moving.all().map(([slotNumber, dirNumber, index, ...columns]) => {
      const name = { slot: slotNumber as Slot, dir: dirNumber as Ino, index };
      const found = this.partitionOfRow(name, columns);
      return found === DAMAGED ? name : found;
    });
  }

  partition(slot: Slot, dir: Ino, index: number): Partition | Damaged | undefined {
    const coming = this.backlog.partition(dir, index);
    if (coming !== undefined) return coming ?? undefined;
    const deferred = this.#deferred.partition(dir, index);
    if (deferred !== undefined) return deferred;
    const columns = this.#sql.partition.get(slot, dir, index);
    return columns === undefined ? undefined : this.partitionOfRow({ slot, dir, index }, columns);
  }

  partitionOfRow(key: PartitionName, columns: PartitionColumns): Partition | Damaged {
    const [entries, directories, sec, nsec, lsn, boundary, crc] = columns;
    const { slot, dir, index } = key;
    const changed = { sec, nsec };
    const partition: Partition = { slot, dir, index, entries, directories, changed, lsn: lsn as Lsn, boundary };
    return this.#checksums.partition(partition) === crc ? partition : DAMAGED;
  }

  putPartition(partition: Partition): void {
    this.#deferred.putPartition(partition);
    this.#deferredOne();
  }

  #writePartition(partition: Partition): void {
    const { slot, dir, index, entries, directories, changed, lsn, boundary } = partition;
    const crc = this.#checksums.partition(partition);
    const { putPartition } = this.#sql;
    putPartition.run(slot, dir, index, entries, directories, changed.sec, changed.nsec, lsn, boundary, crc);
  }

  deletePartition(slot: Slot, dir: Ino, index: number): void {
    this.#deferred.dropPartition(dir, index);
    this.file.willWrite();
    this.#sql.deletePartition.run(slot, dir, index);
  }

  xattr(ino: Ino, name: Uint8Array): Uint8Array | Damaged | undefined {
    const coming = this.backlog.attached.xattr(ino, name);
    if (coming !== undefined) return coming ?? undefined;
    const found = this.#sql.xattr.get(rowIdOf(ino), name);
    if (found === undefined) return undefined;
    const [value, crc] = found;
    return this.#checksums.attached(ino, name, value) === crc ? value : DAMAGED;
  }

  xattrNames(ino: Ino): Uint8Array[] {
    return this.backlog.attached.xattrNames(ino, this.#sql.xattrNames.all(rowIdOf(ino)));
  }

  putXattr(ino: Ino, name: Uint8Array, value: Uint8Array): void {
    this.file.willWrite();
    this.#sql.putXattr.run(rowIdOf(ino), name, value, this.#checksums.attached(ino, name, value));
  }

  deleteXattr(ino: Ino, name: Uint8Array): void {
    this.file.willWrite();
    this.#sql.deleteXattr.run(rowIdOf(ino), name);
  }

  deleteXattrs(ino: Ino): void {
    this.file.willWrite();
    this.#sql.deleteXattrs.run(rowIdOf(ino));
  }

  symlink(ino: Ino): Uint8Array | Damaged | undefined {
    const coming = this.backlog.attached.symlink(ino);
    if (coming !== undefined) return coming ?? undefined;
    const found = this.#sql.symlink.get(rowIdOf(ino));
    if (found === undefined) return undefined;
    const [target, crc] = found;
    return this.#checksums.attached(ino, NO_NAME, target) === crc ? target : DAMAGED;
  }

  putSymlink(ino: Ino, target: Uint8Array): void {
    this.file.willWrite();
    this.#sql.putSymlink.run(rowIdOf(ino), target, this.#checksums.attached(ino, NO_NAME, target));
  }

  deleteSymlink(ino: Ino): void {
    this.file.willWrite();
    this.#sql.deleteSymlink.run(rowIdOf(ino));
  }

  /** First sequence of a slot that has not been reserved; undefined when none ever was. */
  nextSequence(slot: Slot): number | undefined {
    return this.backlog.nextSequence(slot) ?? this.#sql.sequence.get(slot);
  }

  putSequence(slot: Slot, next: number): void {
    this.file.willWrite();
    this.#sql.putSequence.run(slot, next);
  }
}
