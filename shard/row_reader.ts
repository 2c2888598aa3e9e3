/**
 * Reads of the namespace: the newest state, uncommitted changes included, over the rows kept in memory and the databases.
 * Rows from disk are checked. `readInode`, `findName`, `readList`, `readXattr` and `readSymlink` tell what is absent from
 * what is damaged (EIO); `inode`, `lookup` and their like answer undefined for both, after the damage has been logged.
 */
import { equalBytes } from '../base/bytes.ts';
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import { EPOCH } from '../base/time.ts';
import { FIRST_POSITION, type Ino, type Lsn, type Position, type Slot, slotOf } from '../base/units.ts';
import type { StoreDatabases } from './databases.ts';
import { DirectoryTotalsCache, type PartitionSums } from './directory_totals.ts';
import { ShardFailure, sqliteCode } from './failure.ts';
import { isReadOfMissing } from './missing_shard.ts';
import { MovingPartitions } from './moving_partitions.ts';
import type { Mutation } from './mutation.ts';
import {
  POSITION_LIMIT,
  parentPartition,
  partitionExists,
  partitionIndexes,
  partitionIndexOf,
  partitionRange,
  partitionSlot,
} from './partition_map.ts';
import { PartitionQueue } from './partition_queue.ts';
import { type NameHash, Placement, POSITIONS_PER_HASH } from './position.ts';
import { RowCache } from './row_cache.ts';
import type { Dentry, DirectoryTotals, Inode, Partition } from './rows.ts';
import { DAMAGED, type DentryRange, type DentryRows, MOVED_ROWS } from './shard_database.ts';
import { SPLIT_AT } from './split_rules.ts';

/** The last range of dentries that was read for a name: LOOKUP, CREATE and its place ask for the same one in turn. */
interface HashRange {
  readonly dir: Ino;
  readonly base: Position;
  readonly found: DentryRows;
}

export interface RowReaderOptions {
  readonly log: Log;
  /** Rows kept in memory; defaults 65,536 inodes and 16,384 partitions. */
  readonly cachedInodes?: number;
  readonly cachedPartitions?: number;
  /** Entries from which partitions may split; default 65,536. */
  readonly splitAt?: number;
  /** For tests: dentries that one record moves; default and at most 128, at least 17 where 16 names may share a hash. */
  readonly movedRows?: number;
  /** For tests: 49-bit hashes of names that collide as they wish. */
  readonly nameHash?: NameHash;
}

/** Positions that lie in one place, one after the other. */
export interface DirectoryPiece {
  readonly index: number;
  readonly slot: Slot;
  /** One past its last position. */
  readonly end: number;
}

export class RowReader {
  /** Partitions that may have to split or merge. */
  readonly crowded: PartitionQueue;
  /** Those that are being split or merged. */
  readonly moving = new MovingPartitions();
  readonly #databases: StoreDatabases;
  readonly #placement: Placement;
  readonly #cache: RowCache;
  readonly #totals = new DirectoryTotalsCache();
  readonly #log: Log;
  readonly #movedRows: number;
  #lastRange: HashRange | undefined;

  protected constructor(databases: StoreDatabases, options: RowReaderOptions) {
    this.#databases = databases;
    this.#log = options.log;
    this.#movedRows = options.movedRows ?? MOVED_ROWS;
    this.crowded = new PartitionQueue(options.splitAt ?? SPLIT_AT);
    this.#placement = new Placement(databases.system.bytes('hash_key'), options.nameHash);
    this.#cache = new RowCache({
      inodes: options.cachedInodes ?? 65_536,
      partitions: options.cachedPartitions ?? 16_384,
    });
  }

  protected get placement(): Placement {
    return this.#placement;
  }

  /** Everything is read anew. */
  protected forgetRows(): void {
    this.#cache.clear();
    this.#totals.clear();
    this.#lastRange = undefined;
    this.readMoving();
  }

  /** A mutation has been applied to the databases. */
  protected applied(mutation: Mutation): void {
    const { kind } = mutation;
    if (kind === 'dentry' || kind === 'no-dentry' || kind === 'no-dentries') this.#lastRange = undefined;
    else if (kind === 'partition') this.#partitionPut(mutation.partition);
    else if (kind === 'no-partition') this.#totals.apply(mutation, this.#cache.partition(mutation.dir, mutation.index));
    else if (kind === 'no-inode') this.#totals.apply(mutation, undefined);
    this.moving.apply(mutation);
    this.#cache.apply(mutation);
  }

  #partitionPut(partition: Partition): void {
    const { dir, index } = partition;
    const before = this.#cache.partition(dir, index);
    this.#totals.apply({ kind: 'partition', partition }, before);
    this.crowded.note(partition, before, () => index > 0 || hasSplit(this.#cache.inodes.peek(dir)));
  }

  /** Once the databases have what the journal has: which partitions are being split or merged. */
  protected readMoving(): void {
    this.moving.clear();
    for (const shard of this.#databases.shards) {
      try {
        for (const found of shard.movingPartitions()) {
          if (this.#databases.shardOf(found.slot) !== shard) continue;
          if ('boundary' in found) this.moving.set(found);
          else this.#restoreBoundary(found.dir, found.index);
        }
      } catch (thrown) {
        this.#unreadable(thrown, 0 as Ino);
      }
    }
  }

  /** Of a row that is damaged or missing: its boundary is where the rows that have not moved begin. */
  #restoreBoundary(ino: Ino, index: number): number {
    const dir = this.inode(ino);
    const boundary = dir === undefined ? POSITION_LIMIT : this.boundaryByRows(dir, index);
    this.moving.set({ dir: ino, index, boundary });
    return boundary;
  }

  /** How far the split of partition `index` has come by its rows alone; throws what SQLite throws. */
  boundaryByRows(dir: Inode, index: number): number {
    if (index === 0 || !partitionExists(dir.partitions, index)) return POSITION_LIMIT;
    const { start, end } = partitionRange(dir.partitions, index);
    const slot = partitionSlot(dir.ino, parentPartition(index));
    const first = this.#databases.shardOf(slot).firstDentry({ slot, dir: dir.ino, from: start, to: end - 1 });
    return first === undefined ? POSITION_LIMIT : first - (first % POSITIONS_PER_HASH);
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
  partitionOf(
    dir: Pick<Inode, 'ino' | 'partitions'>,
    position: number,
  ): { readonly index: number; readonly slot: Slot } {
    let index = partitionIndexOf(dir.partitions, position);
    if (!this.moving.isEmpty && position >= this.moving.boundary(dir.ino, index)) index = parentPartition(index);
    return { index, slot: partitionSlot(dir.ino, index) };
  }

  /** The rest, from `position` on, of what lies together with it. */
  pieceFrom(dir: Inode, position: number): DirectoryPiece {
    const whole = partitionIndexOf(dir.partitions, position);
    const { end } = partitionRange(dir.partitions, whole);
    const boundary = this.moving.boundary(dir.ino, whole);
    const index = position >= boundary ? parentPartition(whole) : whole;
    return { index, slot: partitionSlot(dir.ino, index), end: position < boundary ? Math.min(end, boundary) : end };
  }

  /** The first or last rows of a range, as many as one record moves. Throws what SQLite throws. */
  dentriesToMove(range: DentryRange, end: 'first' | 'last'): DentryRows {
    const found = this.#databases.shardOf(range.slot).dentriesToMove(range, end);
    if (found.rows.length <= this.#movedRows) return found;
    const rows = found.rows.slice(0, this.#movedRows);
    return { rows, damaged: found.damaged, more: true, last: rows.at(-1)?.position ?? 0 };
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
      const boundary = this.#restoreBoundary(dir.ino, index);
      // Of one directory a slot holds one partition.
      const [entries, directories] = shard.count({ slot, dir: dir.ino, from: FIRST_POSITION, to: POSITION_LIMIT - 1 });
      const lsn = 0 as Lsn;
      found = { slot, dir: dir.ino, index, entries, directories, changed: EPOCH, lsn, boundary };
    }
    this.#cache.setPartition(found);
    return found;
  }

  /**
   * Entries of a directory and its times: those of whichever of its own row and its partitions was written last. A put of
   * the row carries the times that were effective before, so at equal LSNs the partition is the newer.
   */
  totals(dir: Inode): DirectoryTotals {
    const { entries, directories, changed, lsn } = hasSplit(dir) ? this.#sums(dir) : this.partition(dir, 0);
    const { mtime, ctime } = lsn < dir.lsn ? dir : { mtime: changed, ctime: changed };
    return { entries, directories, mtime, ctime };
  }

  #sums(dir: Inode): PartitionSums {
    const kept = this.#totals.find(dir.ino);
    if (kept !== undefined) return kept;
    const rows = partitionIndexes(dir.partitions).map((index) => this.partition(dir, index));
    return this.#totals.keep(dir.ino, rows);
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
        const { slot, end } = this.pieceFrom(dir, from);
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

  // ---- Damage ----

  #damaged(table: string, ino: Ino): Errno {
    this.#log.error({ table, ino }, 'Damaged or missing row: run fsck');
    return E.EIO;
  }

  /** SQLite could not read a page: EIO for whoever asked. Anything else is a bug and goes on. */
  #unreadable(thrown: unknown, ino: Ino): Errno {
    // That it is missing was said when the store was opened.
    if (isReadOfMissing(thrown)) return E.EIO;
    const code = sqliteCode(thrown);
    if (!code.startsWith('SQLITE_CORRUPT') && !code.startsWith('SQLITE_IOERR')) throw thrown;
    this.#log.error({ code, ino }, 'Cannot read a database: run fsck');
    return E.EIO;
  }
}

/** Whether a directory has more than partition 0. */
function hasSplit(dir: Inode | undefined): boolean {
  return dir !== undefined && (dir.partitions.length > 1 || (dir.partitions[0] ?? 1) !== 1);
}
