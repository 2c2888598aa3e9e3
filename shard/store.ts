/**
 * The namespace store: inodes, dentries, partitions, xattrs, symlinks over the shards, and what `system.db` holds. Reads
 * see the newest state, uncommitted changes included. Changes are made by records, one at a time:
 *
 *     const record = store.begin();
 *     record.putInode(...); record.putDentry(...); record.touchDirectory(...);
 *     store.commit(record);      // acknowledged: visible to every later read
 *     store.barrier();           // durable
 *
 * Rows from disk are checked. `readInode`, `findName`, `readList`, `readXattr` and `readSymlink` tell what is absent from
 * what is damaged (EIO); `inode`, `lookup` and their like answer undefined for both, after the damage has been logged.
 */
import { assert } from '../base/assert.ts';
import type { Backing } from '../base/backing.ts';
import { equalBytes } from '../base/bytes.ts';
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { AggregateRow, VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { type Clock, EPOCH } from '../base/time.ts';
import {
  type AggregateId,
  type Ino,
  type Lsn,
  MIB,
  type Position,
  type ShardId,
  type Slot,
  slotOf,
} from '../base/units.ts';
import { applyMutations } from './apply.ts';
import { BALLAST_BYTES, Ballast, makeRoomToOpen } from './ballast.ts';
import { Committer } from './committer.ts';
import { StoreDatabases } from './databases.ts';
import { ShardFailure, sqliteCode } from './failure.ts';
import { Inspection } from './inspection.ts';
import { type Journal, MemoryJournal } from './journal.ts';
import { POSITION_LIMIT, partitionIndexes, partitionIndexOf, partitionRange, partitionSlot } from './partition_map.ts';
import { type NameHash, Placement, POSITIONS_PER_HASH } from './position.ts';
import { Record } from './record.ts';
import { RowCache } from './row_cache.ts';
import type { Dentry, DirectoryTotals, Inode, Partition } from './rows.ts';
import { ShardScan } from './scan.ts';
import { Sequences } from './sequences.ts';
import { DAMAGED, type DentryRows } from './shard_database.ts';
import type { Sharer } from './system_database.ts';

export { ShardFailure, StoreError } from './failure.ts';
export { type FormatOptions, formatNamespace } from './format.ts';
export { NO_PARTITIONS, SINGLE_PARTITION } from './partition_map.ts';
export { Record } from './record.ts';
export { DamagedRow } from './scan.ts';
export { clampTime } from './time_format.ts';

export interface NamespaceOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly readOnly?: boolean;
  /** Default: this machine's filesystems. */
  readonly backing?: Backing;
  /** Rows kept in memory; defaults 65,536 inodes and 16,384 partitions. */
  readonly cachedInodes?: number;
  readonly cachedPartitions?: number;
  /** Bytes of one database's log from which a barrier checkpoints it; default 64 MiB. */
  readonly walLimit?: number;
  /** Bytes kept free on the metadata filesystem, and those of its ballast file (0 = none); defaults 64 and 16 MiB. */
  readonly reserveBytes?: number;
  readonly ballastBytes?: number;
  /** For tests: 49-bit hashes of names that collide as they wish. */
  readonly nameHash?: NameHash;
}

/** The last range of dentries that was read for a name: LOOKUP, CREATE and its place ask for the same one in turn. */
interface HashRange {
  readonly dir: Ino;
  readonly base: Position;
  readonly found: DentryRows;
}

export class NamespaceStore {
  readonly storeId: string;
  readonly shardCount: number;
  readonly readOnly: boolean;
  /**
   * Whether the last barrier before this open was cut off between two commits, so that shards may disagree. Nothing may
   * be concluded from a missing row then, nothing removed because no row names it, until fsck has run.
   */
  readonly torn: boolean;
  readonly #databases: StoreDatabases;
  readonly #committer: Committer;
  readonly #journal: Journal = new MemoryJournal();
  readonly #placement: Placement;
  readonly #sequences: Sequences;
  readonly #cache: RowCache;
  readonly #log: Log;
  readonly #source: {
    readonly sequences: Sequences;
    readInode(ino: Ino): Result<Inode>;
    partition: NamespaceStore['partition'];
  };
  #lastRange: HashRange | undefined;
  #current: Record | undefined;
  #lsn: Lsn;
  #starts: number;
  #rebooted = true;

  private constructor(folder: string, databases: StoreDatabases, options: NamespaceOptions) {
    const { system } = databases;
    const backing = options.backing ?? new PosixBacking();
    this.#databases = databases;
    this.#log = options.log;
    this.readOnly = options.readOnly === true;
    this.storeId = system.text('store_id');
    this.shardCount = databases.shards.length;
    this.#starts = system.number('starts');
    this.#lsn = databases.highestLsn();
    this.torn = this.#lsn > system.file.lsn;
    this.#placement = new Placement(system.bytes('hash_key'), options.nameHash);
    this.#cache = new RowCache({
      inodes: options.cachedInodes ?? 65_536,
      partitions: options.cachedPartitions ?? 16_384,
    });
    this.#sequences = new Sequences((slot) => databases.shardOf(slot).nextSequence(slot));
    this.#source = {
      sequences: this.#sequences,
      readInode: (ino) => this.readInode(ino),
      partition: (dir, index) => this.partition(dir, index),
    };
    this.#committer = new Committer(databases, {
      folder,
      backing,
      journal: this.#journal,
      ballast: new Ballast(backing, { folder, size: options.ballastBytes ?? BALLAST_BYTES }),
      clock: options.clock,
      log: options.log,
      walLimit: options.walLimit ?? 64 * MIB,
      reserve: options.reserveBytes ?? 64 * MIB,
    });
  }

  /** Opens the metadata folder of a store; throws `StoreError` when it holds none, or none that this pacsfs can serve. */
  static open(folder: string, options: NamespaceOptions): NamespaceStore {
    const backing = options.backing ?? new PosixBacking();
    if (options.readOnly !== true) makeRoomToOpen(backing, folder, options.log);
    const databases = StoreDatabases.open(folder, { now: options.clock.now(), readOnly: options.readOnly === true });
    try {
      const store = new NamespaceStore(folder, databases, options);
      if (store.torn)
        options.log.warn({ lsn: store.lsn }, 'The last barrier was cut off: shards may disagree, run fsck');
      return store;
    } catch (thrown) {
      databases.close();
      throw thrown;
    }
  }

  /** LSN of the last committed record, durable or not. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  get durableLsn(): Lsn {
    return this.#committer.durable;
  }

  /** Number of the newest START: raised by `raiseStart`, 0 in a store that was never mounted. */
  get generation(): number {
    return this.#starts;
  }

  /** Whether the machine was booted since the start before this one, so that what was not flushed by then may be lost. */
  get rebooted(): boolean {
    return this.#rebooted;
  }

  /**
   * Raises the count of starts and makes it durable, before anything is named by it; returns the new number. `bootId` tells
   * one boot of the machine from the next; the empty one, of nobody knows when, is never the same.
   */
  raiseStart(bootId = ''): number {
    assert(!this.readOnly, 'A store opened for reading has no start');
    const { system } = this.#databases;
    this.#rebooted = bootId === '' || system.optionalText('boot_id') !== bootId;
    this.#starts += 1;
    const isNoted = this.#committer.commitSystem(() => {
      system.putMeta('starts', this.#starts);
      system.putMeta('boot_id', bootId);
    });
    if (!isNoted) throw new ShardFailure('Cannot note the start of the daemon: the metadata disk is full');
    return this.#starts;
  }

  // ---- Reading one row ----

  inode(ino: Ino): Inode | undefined {
    const found = this.readInode(ino);
    return isErrno(found) ? undefined : found;
  }

  /** ENOENT: there is no such inode. EIO: its row is damaged. */
  readInode(ino: Ino): Result<Inode> {
    const cached = this.#cache.inodes.get(ino);
    if (cached !== undefined) return cached;
    try {
      const found = this.#databases.shardOf(slotOf(ino)).inode(ino);
      if (found === undefined) return E.ENOENT;
      if (found === DAMAGED) return this.#damaged('inodes', ino);
      this.#cache.inodes.set(ino, found);
      return found;
    } catch (thrown) {
      return this.#unreadable(thrown, ino);
    }
  }

  lookup(dir: Inode, name: Uint8Array): Dentry | undefined {
    const found = this.findName(dir, name);
    return isErrno(found) ? undefined : found;
  }

  /** ENOENT: no such name. EIO: a damaged row may be the one. */
  findName(dir: Inode, name: Uint8Array): Result<Dentry> {
    const range = this.#hashRange(dir, this.#placement.base(name));
    if (isErrno(range)) return range;
    for (const dentry of range.rows) if (equalBytes(dentry.name, name)) return dentry;
    return range.damaged > 0 ? E.EIO : E.ENOENT;
  }

  /** A free position for a name that the directory lacks. ENOSPC: 16 names have its hash. EIO: see `findName`. */
  placeFor(dir: Inode, name: Uint8Array): Result<Position> {
    const base = this.#placement.base(name);
    const range = this.#hashRange(dir, base);
    if (isErrno(range)) return range;
    if (range.damaged > 0) return E.EIO;
    let free = base as number;
    for (const { position } of range.rows) {
      if (position !== free) break;
      free += 1;
    }
    return free < base + POSITIONS_PER_HASH ? (free as Position) : E.ENOSPC;
  }

  #hashRange(dir: Inode, base: Position): Result<DentryRows> {
    const last = this.#lastRange;
    if (last !== undefined && last.base === base && last.dir === dir.ino) return last.found;
    const slot = this.partitionOf(dir, base).slot;
    const to = base + POSITIONS_PER_HASH - 1;
    try {
      const shard = this.#databases.shardOf(slot);
      const found = shard.dentries({ slot, dir: dir.ino, from: base, to });
      if (found.damaged > 0) this.#damaged('dentries', dir.ino);
      this.#lastRange = { dir: dir.ino, base, found };
      return found;
    } catch (thrown) {
      return this.#unreadable(thrown, dir.ino);
    }
  }

  xattr(ino: Ino, name: Uint8Array): Uint8Array | undefined {
    const found = this.readXattr(ino, name);
    return isErrno(found) ? undefined : found;
  }

  /** ENODATA: no such attribute. EIO: its row is damaged. */
  readXattr(ino: Ino, name: Uint8Array): Result<Uint8Array> {
    try {
      const found = this.#databases.shardOf(slotOf(ino)).xattr(ino, name);
      return found === DAMAGED ? this.#damaged('xattrs', ino) : (found ?? E.ENODATA);
    } catch (thrown) {
      return this.#unreadable(thrown, ino);
    }
  }

  /** Names of an inode's attributes, in the order of their bytes. */
  xattrNames(ino: Ino): Uint8Array[] {
    return this.#databases.shardOf(slotOf(ino)).xattrNames(ino);
  }

  symlinkTarget(ino: Ino): Uint8Array | undefined {
    const found = this.readSymlink(ino);
    return isErrno(found) ? undefined : found;
  }

  /** ENOENT: the inode has no target. EIO: its row is damaged. */
  readSymlink(ino: Ino): Result<Uint8Array> {
    try {
      const found = this.#databases.shardOf(slotOf(ino)).symlink(ino);
      return found === DAMAGED ? this.#damaged('symlinks', ino) : (found ?? E.ENOENT);
    } catch (thrown) {
      return this.#unreadable(thrown, ino);
    }
  }

  // ---- Directories ----

  /** Where a new directory's inode belongs; all others take the slot of the partition that holds their name. */
  slotForDirectory(parent: Ino, name: Uint8Array): Slot {
    return this.#placement.slotForDirectory(parent, name);
  }

  /** Which partition holds a position, and the slot that it lives in. */
  partitionOf(dir: Inode, position: number): { readonly index: number; readonly slot: Slot } {
    const index = partitionIndexOf(dir.partitions, position);
    return { index, slot: partitionSlot(dir.ino, index) };
  }

  /** A row that is missing or damaged is counted anew: a wrong 0 would let a full directory be removed. */
  partition(dir: Inode, index: number): Partition {
    const cached = this.#cache.partition(dir.ino, index);
    if (cached !== undefined) return cached;
    const slot = partitionSlot(dir.ino, index);
    const shard = this.#databases.shardOf(slot);
    let found = shard.partition(slot, dir.ino, index);
    if (found === undefined || found === DAMAGED) {
      this.#damaged('partitions', dir.ino);
      const { start, end } = partitionRange(dir.partitions, index);
      const [entries, directories] = shard.count({ slot, dir: dir.ino, from: start, to: end - 1 });
      const lsn = 0 as Lsn;
      found = { slot, dir: dir.ino, index, entries, directories, changed: EPOCH, lsn, boundary: POSITION_LIMIT };
    }
    this.#cache.setPartition(found);
    return found;
  }

  /**
   * Entries of a directory and its times: those of whichever of its own row and its partitions was written last. A put of
   * the row carries the times that were effective before, so at equal LSNs the partition is the newer.
   */
  totals(dir: Inode): DirectoryTotals {
    let { mtime, ctime, lsn } = dir;
    let entries = 0;
    let directories = 0;
    for (const index of partitionIndexes(dir.partitions)) {
      const partition = this.partition(dir, index);
      entries += partition.entries;
      directories += partition.directories;
      if (partition.lsn < lsn) continue;
      lsn = partition.lsn;
      mtime = partition.changed;
      ctime = partition.changed;
    }
    return { entries, directories, mtime, ctime };
  }

  /** Up to `limit` dentries with positions above `after`, in order; throws `ShardFailure` when SQLite cannot read. */
  list(dir: Inode, after: number, limit: number): Dentry[] {
    const found = this.readList(dir, after, limit);
    if (isErrno(found)) throw new ShardFailure(`Cannot list directory ${dir.ino}: the database is damaged`);
    return found;
  }

  /** As `list`, but EIO for a database that cannot be read. Damaged dentries are logged and left out. */
  readList(dir: Inode, after: number, limit: number): Result<Dentry[]> {
    const found: Dentry[] = [];
    let from = after + 1;
    try {
      while (found.length < limit && from < POSITION_LIMIT) {
        const index = partitionIndexOf(dir.partitions, from);
        const slot = partitionSlot(dir.ino, index);
        const { end } = partitionRange(dir.partitions, index);
        const part = this.#databases.shardOf(slot).dentrySlice({ slot, dir: dir.ino, from, to: end - 1 });
        if (part.damaged > 0) this.#damaged('dentries', dir.ino);
        const wanted = limit - found.length;
        found.push(...(part.rows.length > wanted ? part.rows.slice(0, wanted) : part.rows));
        from = part.more ? part.last + 1 : end;
      }
      return found;
    } catch (thrown) {
      return this.#unreadable(thrown, dir.ino);
    }
  }

  // ---- Changing ----

  /** A new record; one that was begun before and not committed is dropped. */
  begin(): Record {
    assert(!this.readOnly, 'A store opened for reading takes no records');
    this.#current = new Record((this.#lsn + 1) as Lsn, this.#source);
    return this.#current;
  }

  /** Appends the record to the journal, applies it, and returns its LSN; an empty one changes nothing. */
  commit(record: Record): Lsn {
    assert(record === this.#current, 'The record is not the one begun last, or was committed before');
    this.#current = undefined;
    const { mutations } = record;
    if (mutations.size === 0) return this.#lsn;
    // Order: journal first (from there on it survives the process), then the open transactions, then memory.
    this.#journal.append([{ lsn: record.lsn, mutations }]);
    try {
      applyMutations(this.#databases, mutations);
    } catch (thrown) {
      throw new ShardFailure(`Cannot apply record ${record.lsn}: SQLite says ${sqliteCode(thrown)}`, { cause: thrown });
    }
    for (const mutation of mutations) {
      this.#cache.apply(mutation);
      if (mutation.kind === 'sequence') this.#sequences.committed(mutation.slot, mutation.next);
      else if (mutation.kind === 'dentry' || mutation.kind === 'no-dentry') this.#lastRange = undefined;
    }
    this.#lsn = record.lsn;
    return record.lsn;
  }

  /**
   * Makes every committed record survive power loss. The caller has flushed the data that they name. ENOSPC: the disk
   * is full; all stays applied, and a later barrier tries again. Throws `ShardFailure` for any other refusal: what was
   * acknowledged may be lost, and the daemon must end.
   */
  barrier(): Result<Lsn> {
    const outcome = this.#committer.barrier(this.#lsn);
    return isErrno(outcome) ? outcome : this.#lsn;
  }

  /** Rows written since the last barrier: the open transactions' size, which the caller bounds by barriers. */
  get pendingRows(): number {
    return this.#committer.pendingRows;
  }

  /** Whether the metadata filesystem is nearly full: refuse whatever makes something new with ENOSPC. */
  low(): boolean {
    return this.#committer.low();
  }

  /** Whether that filesystem is so full that nothing may grow, files of its own disk neither: see `Committer`. */
  critical(): boolean {
    return this.#committer.critical();
  }

  /** Shortens what the next open has to read: moves the logs into the databases. */
  checkpoint(): void {
    this.#committer.checkpoint();
  }

  /** Without a barrier before it, records since the last one are dropped. */
  close(): void {
    this.#databases.close();
  }

  // ---- What belongs to no directory ----

  volumes(): VolumeRow[] {
    return this.#databases.system.volumes();
  }

  aggregates(): AggregateRow[] {
    return [...this.#databases.system.aggregates()];
  }

  /** Inodes that name a shared range. */
  sharers(aggregate: AggregateId, rangeStart: number): Ino[] {
    return this.#databases.system.sharers(aggregate, rangeStart);
  }

  allSharers(): Iterable<Sharer> {
    return this.#databases.system.allSharers();
  }

  // ---- Walking over everything ----

  /** All rows of one shard (0 to `shardCount` - 1), in slices. */
  scan(shard: number): ShardScan {
    const database = this.#databases.shards[shard];
    assert(database !== undefined, `Shard ${shard}, expected 0 to ${this.shardCount - 1}`);
    return new ShardScan(database);
  }

  shardOf(slot: Slot): ShardId {
    return this.#databases.shardIdOf(slot);
  }

  /** What fsck and dump ask beyond that. */
  inspect(): Inspection {
    return new Inspection(this.#databases, this.#placement);
  }

  /** Inodes without a name (open, or left over from before the mount). */
  *orphans(): Generator<Ino> {
    for (const shard of this.#databases.shards) yield* new ShardScan(shard).orphans();
  }

  /** Inodes whose bytes are in own files. */
  *ownFileInodes(): Generator<Ino> {
    for (const shard of this.#databases.shards) yield* new ShardScan(shard).ownFiles();
  }

  // ---- Damage ----

  #damaged(table: string, ino: Ino): Errno {
    this.#log.error({ table, ino }, 'Damaged or missing row: run fsck');
    return E.EIO;
  }

  /** SQLite could not read a page: EIO for whoever asked. Anything else is a bug and goes on. */
  #unreadable(thrown: unknown, ino: Ino): Errno {
    const code = sqliteCode(thrown);
    if (!code.startsWith('SQLITE_CORRUPT') && !code.startsWith('SQLITE_IOERR')) throw thrown;
    this.#log.error({ code, ino }, 'Cannot read a database: run fsck');
    return E.EIO;
  }
}
