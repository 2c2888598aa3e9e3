/**
 * A record: everything that one operation changes, as absolute puts and deletes of rows. Building one writes nothing;
 * `NamespaceStore.commit` appends it to the journal and applies it. What a record has put, reads of the record see; reads
 * of the store see the state before it. Of two puts of one row the later counts.
 */
import { assert } from '../base/assert.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { AggregateRow, MigrationRow } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import { type AggregateId, type Ino, inoOf, type Lsn, type Position, type ShardId, type Slot } from '../base/units.ts';
import { INLINE_EXTENTS } from './inode_format.ts';
import type { CompletedRequest } from './journal/record_codec.ts';
import { type DentryRangeDelete, type IndexChange, LIST_EXTENTS, LIST_SECOND, type Mutation } from './mutation.ts';
import { MutationSet, type RowKey } from './mutation_set.ts';
import { POSITION_LIMIT, partitionIndexes, partitionSlot } from './partition_map.ts';
import { type Dentry, FLAG_XATTRS, type Inode, type Partition } from './rows.ts';
import type { Sequences } from './sequences.ts';

/** What a record asks of the store. */
export interface RecordSource {
  readonly sequences: Sequences;
  readInode(ino: Ino): Result<Inode>;
  partition(dir: Inode, index: number): Partition;
  partitionOf(dir: Inode, position: number): { readonly index: number; readonly slot: Slot };
}

export interface DirectoryTouch {
  /** Change of the number of entries, and how much of it is subdirectories. */
  readonly entries: number;
  readonly directories: number;
  /** The directory's new mtime and ctime. */
  readonly now: Timespec;
  /** Whose partition changes; without it that of the directory's last dentry in this record, else partition 0. */
  readonly position?: Position;
}

const MODE_TYPE = 0o170000;
const MODE_DIRECTORY = 0o040000;
const MODE_SYMLINK = 0o120000;

export class Record {
  /** The LSN that it will have. */
  readonly lsn: Lsn;
  readonly #source: RecordSource;
  readonly #mutations = new MutationSet();
  readonly #minted = new Set<Ino>();
  #request: CompletedRequest | undefined;
  #lastDentry: { readonly dir: Ino; readonly position: Position } | undefined;

  constructor(lsn: Lsn, source: RecordSource) {
    this.lsn = lsn;
    this.#source = source;
  }

  get mutations(): MutationSet {
    return this.#mutations;
  }

  /** The request that the record completes: sent again after a restart of the daemon, it is answered, not done again. */
  completes(request: CompletedRequest): void {
    this.#request = request;
  }

  get request(): CompletedRequest | undefined {
    return this.#request;
  }

  /** The inode as this record will leave it; damaged and missing ones are undefined. */
  inode(ino: Ino): Inode | undefined {
    const pending = this.#mutations.get(inodeKey(ino));
    if (pending?.kind === 'inode') return pending.inode;
    if (pending?.kind === 'no-inode') return undefined;
    const stored = this.#source.readInode(ino);
    return isErrno(stored) ? undefined : stored;
  }

  /** The partition as this record will leave it. */
  partition(dir: Inode, index: number): Partition {
    const pending = this.#mutations.get(partitionKey(dir.ino, index));
    return pending?.kind === 'partition' ? pending.partition : this.#source.partition(dir, index);
  }

  /** A number that no inode of the slot has or had. Lost for good if the record is dropped, which costs nothing. */
  newIno(slot: Slot): Ino {
    const { sequences } = this.#source;
    const sequence = sequences.take(slot);
    const key = sequenceKey(slot);
    const pending = this.#mutations.get(key);
    const reserved = pending?.kind === 'sequence' ? pending.next : sequences.reserved(slot);
    if (sequence >= reserved)
      this.#mutations.put(key, { kind: 'sequence', slot, next: sequences.blockAfter(sequence) });
    const ino = inoOf(slot, sequence);
    this.#minted.add(ino);
    return ino;
  }

  /** For repairs: all sequences of the slot below `next` count as used. */
  reserve(slot: Slot, next: number): void {
    this.#source.sequences.skipTo(slot, next);
    this.#mutations.put(sequenceKey(slot), { kind: 'sequence', slot, next });
  }

  /** Puts the row, with this record's LSN. A directory that had no row also gets its partition 0, empty. */
  putInode(inode: Inode): void {
    const row = { ...inode, lsn: this.lsn };
    const stored = this.#minted.has(inode.ino) ? E.ENOENT : this.#source.readInode(inode.ino);
    const isNew = stored === E.ENOENT;
    const before = isErrno(stored) ? undefined : stored;
    this.#mutations.put(inodeKey(inode.ino), {
      kind: 'inode',
      inode: row,
      lists: changedLists(before, row, isNew),
      own: indexChange(row.layout === 'own', isNew ? false : before && before.layout === 'own'),
      orphan: indexChange(row.nlink === 0, isNew ? false : before && before.nlink === 0),
    });
    if (isNew && isDirectory(inode) && this.#mutations.get(partitionKey(inode.ino, 0)) === undefined)
      this.putPartition({
        slot: partitionSlot(inode.ino, 0),
        dir: inode.ino,
        index: 0,
        entries: 0,
        directories: 0,
        changed: inode.mtime,
        lsn: this.lsn,
        boundary: POSITION_LIMIT,
      });
  }

  /** Deletes the row and all that hangs on it: extents, xattrs, symlink target, index entries, partitions. */
  deleteInode(ino: Ino): void {
    const stored = this.#source.readInode(ino);
    const before = isErrno(stored) ? undefined : stored;
    // Of an inode that cannot be read nobody knows what hangs on it: everything is looked for.
    const unknown = before === undefined;
    this.#mutations.put(inodeKey(ino), {
      kind: 'no-inode',
      ino,
      extents: unknown || before.extents.length > INLINE_EXTENTS || before.second.length > INLINE_EXTENTS,
      xattrs: unknown || (before.flags & FLAG_XATTRS) !== 0,
      symlink: unknown || (before.mode & MODE_TYPE) === MODE_SYMLINK,
      own: unknown || before.layout === 'own',
      orphan: unknown || before.nlink === 0,
    });
    if (before === undefined || !isDirectory(before)) return;
    for (const index of partitionIndexes(before.partitions))
      this.deletePartition(partitionSlot(ino, index), ino, index);
  }

  putDentry(dir: Inode, dentry: Dentry): void {
    assert(dentry.dir === dir.ino, 'A dentry names another directory than it is put into');
    assert(dentry.name.length >= 1 && dentry.name.length <= 255, `Name of ${dentry.name.length} bytes`);
    this.putDentryRow(this.#source.partitionOf(dir, dentry.position).slot, dentry);
    this.#lastDentry = dentry;
  }

  /** A dentry row wherever it is to lie. */
  putDentryRow(slot: Slot, dentry: Dentry): void {
    this.#mutations.put(dentryKey(slot, dentry.dir, dentry.position), { kind: 'dentry', slot, dentry });
  }

  deleteDentry(dir: Inode, dentry: Pick<Dentry, 'position'>): void {
    this.deleteDentryRow(this.#source.partitionOf(dir, dentry.position).slot, dir.ino, dentry.position);
    this.#lastDentry = { dir: dir.ino, position: dentry.position };
  }

  /** All of a directory's rows in a slot from one position to another; of which the record puts none. */
  deleteDentries(range: Omit<DentryRangeDelete, 'kind'>): void {
    this.#mutations.put(rowKey('D', range.dir, range.from, range.slot), { kind: 'no-dentries', ...range });
  }

  /** For repairs: a dentry row wherever it lies, of a directory that need not exist. */
  deleteDentryRow(slot: Slot, dir: Ino, position: Position): void {
    this.#mutations.put(dentryKey(slot, dir, position), { kind: 'no-dentry', slot, dir, position });
  }

  /** Counts a change of a directory's entries in its partition, whose time becomes the directory's mtime and ctime. */
  touchDirectory(dir: Inode, touch: DirectoryTouch): void {
    const last = this.#lastDentry?.dir === dir.ino ? this.#lastDentry.position : undefined;
    const position = touch.position ?? last;
    const index = position === undefined ? 0 : this.#source.partitionOf(dir, position).index;
    const before = this.partition(dir, index);
    this.putPartition({
      ...before,
      // A count that was wrong on disk must not end the daemon: fsck finds it.
      entries: Math.max(0, before.entries + touch.entries),
      directories: Math.max(0, before.directories + touch.directories),
      changed: touch.now,
      lsn: this.lsn,
    });
  }

  putPartition(partition: Partition): void {
    this.#mutations.put(partitionKey(partition.dir, partition.index), { kind: 'partition', partition });
  }

  deletePartition(slot: Slot, dir: Ino, index: number): void {
    this.#mutations.put(partitionKey(dir, index), { kind: 'no-partition', slot, dir, index });
  }

  /** The caller sets FLAG_XATTRS in the inode's row. */
  putXattr(ino: Ino, name: Uint8Array, value: Uint8Array): void {
    this.#mutations.put(xattrKey(ino, name), { kind: 'xattr', ino, name, value });
  }

  deleteXattr(ino: Ino, name: Uint8Array): void {
    this.#mutations.put(xattrKey(ino, name), { kind: 'no-xattr', ino, name });
  }

  deleteXattrs(ino: Ino): void {
    // Puts that this record made before must not be applied after the delete, nor outlive it.
    this.#mutations.drop((other) => XATTR_KINDS.has(other.kind) && 'ino' in other && other.ino === ino);
    this.#mutations.put(rowKey('X', ino), { kind: 'no-xattrs', ino });
  }

  putSymlink(ino: Ino, target: Uint8Array): void {
    this.#mutations.put(rowKey('l', ino), { kind: 'symlink', ino, target });
  }

  /** For repairs; `deleteInode` takes the target along. */
  deleteSymlink(ino: Ino): void {
    this.#mutations.put(rowKey('l', ino), { kind: 'no-symlink', ino });
  }

  /** For repairs; puts and deletes of inodes keep the indexes themselves. */
  setIndex(ino: Ino, index: 'own_files' | 'orphans', present: boolean): void {
    this.#mutations.put(rowKey('i', ino, 0, index), { kind: 'index', ino, index, present });
  }

  /** A value of system.db's table `meta`. */
  putMeta(key: string, value: string | number): void {
    this.#mutations.put({ table: 'm', first: 0, second: 0, third: key }, { kind: 'meta', key, value });
  }

  /** The slot is in another shard from now on: see slot_moves.ts. */
  switchSlot(slot: Slot, to: { readonly shard: ShardId; readonly from: ShardId }): void {
    this.#mutations.put(rowKey('o', slot), { kind: 'slot', slot, ...to });
  }

  /** The store has so many shards from now on, whose databases are there. */
  setShardCount(count: number): void {
    this.#mutations.put(rowKey('c', 0), { kind: 'shards', count });
  }

  putAggregate(row: AggregateRow): void {
    this.#mutations.put(rowKey('a', row.id), { kind: 'aggregate', row });
  }

  deleteAggregate(id: AggregateId): void {
    this.#mutations.put(rowKey('a', id), { kind: 'no-aggregate', id });
  }

  putMigration(row: MigrationRow): void {
    this.#mutations.put(rowKey('g', row.id), { kind: 'migration', row });
  }

  deleteMigration(id: number): void {
    this.#mutations.put(rowKey('g', id), { kind: 'no-migration', id });
  }

  putSharer(aggregate: AggregateId, rangeStart: number, ino: Ino): void {
    this.#mutations.put(rowKey('h', aggregate, rangeStart, ino), { kind: 'sharer', aggregate, rangeStart, ino });
  }

  deleteSharer(aggregate: AggregateId, rangeStart: number, ino: Ino): void {
    this.#mutations.put(rowKey('h', aggregate, rangeStart, ino), { kind: 'no-sharer', aggregate, rangeStart, ino });
  }

  /** Whether this record takes the sharer's row away. */
  dropsSharer(aggregate: AggregateId, rangeStart: number, ino: Ino): boolean {
    return this.#mutations.get(rowKey('h', aggregate, rangeStart, ino))?.kind === 'no-sharer';
  }
}

function isDirectory(inode: Inode): boolean {
  return (inode.mode & MODE_TYPE) === MODE_DIRECTORY;
}

const XATTR_KINDS: ReadonlySet<Mutation['kind']> = new Set(['xattr', 'no-xattr', 'no-xattrs']);

function rowKey(table: string, first: number, second = 0, third: number | string = 0): RowKey {
  return { table, first, second, third };
}

function inodeKey(ino: Ino): RowKey {
  return rowKey('n', ino);
}

function dentryKey(slot: Slot, dir: Ino, position: Position): RowKey {
  return rowKey('d', dir, position, slot);
}

function partitionKey(dir: Ino, index: number): RowKey {
  return rowKey('p', dir, index);
}

function sequenceKey(slot: Slot): RowKey {
  return rowKey('s', slot);
}

function xattrKey(ino: Ino, name: Uint8Array): RowKey {
  return rowKey('x', ino, 0, Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1'));
}

/** Only a change of an index is written; when the row before is unknown, all is. */
function indexChange(is: boolean, was: boolean | undefined): IndexChange {
  if (is === was) return 'keep';
  return is ? 'add' : 'remove';
}

/** Lists are immutable: the same array as before has the same rows as before. */
function changedLists(before: Inode | undefined, row: Inode, isNew: boolean): number {
  let lists = 0;
  const long = (length: number) => length > INLINE_EXTENTS;
  if (before?.extents !== row.extents && (long(row.extents.length) || (!isNew && long(before?.extents.length ?? 5))))
    lists |= LIST_EXTENTS;
  if (before?.second !== row.second && (long(row.second.length) || (!isNew && long(before?.second.length ?? 5))))
    lists |= LIST_SECOND;
  return lists;
}
