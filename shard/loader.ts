/**
 * Fills the databases of a store that was just formatted with rows as another store had them, LSNs and all: no records,
 * nothing derived. For `pacsfs load`; nothing else may have the store open. Rows of one key: the last counts.
 */
import type { AggregateRow } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import { type Ino, type Lsn, MIB, type ShardId, type Slot, slotOf } from '../base/units.ts';
import { StoreDatabases } from './databases.ts';
import { ShardFailure } from './failure.ts';
import { LIST_EXTENTS, LIST_SECOND } from './mutation.ts';
import { Placement } from './position.ts';
import type { Dentry, Inode, Partition } from './rows.ts';
import type { ScannedXattr, SlotSequence } from './scan.ts';
import type { Sharer } from './system_database.ts';

/** Rows of open transactions, at most. */
const PENDING_ROWS = 20_000;
/** Bytes of one database's log from which it is moved into the database. */
const WAL_LIMIT = 64 * MIB;

export interface LoaderOptions {
  readonly now: Timespec;
  /** The store's last LSN. */
  readonly lsn: Lsn;
}

export class Loader {
  readonly #databases: StoreDatabases;
  readonly #lsn: Lsn;
  #pending = 0;

  private constructor(databases: StoreDatabases, lsn: Lsn) {
    this.#databases = databases;
    this.#lsn = lsn;
  }

  static open(folder: string, options: LoaderOptions): Loader {
    return new Loader(StoreDatabases.open(folder, { now: options.now, readOnly: false }), options.lsn);
  }

  /** Where names stand in this store. */
  placement(): Placement {
    return new Placement(this.#databases.system.bytes('hash_key'));
  }

  /** Rows come in fastest when they come shard by shard, each in the order of its keys. */
  shardOf(slot: Slot): ShardId {
    return this.#databases.shardIdOf(slot);
  }

  /** Number of the last START: none is given twice. */
  putStarts(starts: number): void {
    this.#databases.system.putMeta('starts', starts);
    this.#databases.system.putMeta('generation', starts);
  }

  putInode(inode: Inode): void {
    this.#databases.shardOf(slotOf(inode.ino)).putInode({
      kind: 'inode',
      inode,
      lists: LIST_EXTENTS | LIST_SECOND,
      own: inode.layout === 'own' ? 'add' : 'keep',
      orphan: inode.nlink === 0 ? 'add' : 'keep',
    });
    this.#count();
  }

  putDentry(slot: Slot, dentry: Dentry): void {
    this.#databases.shardOf(slot).putDentry(slot, dentry);
    this.#count();
  }

  putPartition(partition: Partition): void {
    this.#databases.shardOf(partition.slot).putPartition(partition);
    this.#count();
  }

  putXattr({ ino, name, value }: ScannedXattr): void {
    this.#databases.shardOf(slotOf(ino)).putXattr(ino, name, value);
    this.#count();
  }

  putSymlink(ino: Ino, target: Uint8Array): void {
    this.#databases.shardOf(slotOf(ino)).putSymlink(ino, target);
    this.#count();
  }

  putSequence({ slot, nextSequence }: SlotSequence): void {
    this.#databases.shardOf(slot).putSequence(slot, nextSequence);
    this.#count();
  }

  putAggregate(row: AggregateRow): void {
    this.#databases.system.putAggregate(row);
    this.#count();
  }

  putSharer(sharer: Sharer): void {
    this.#databases.system.putSharer(sharer);
    this.#count();
  }

  /** Makes everything durable, `system.db` last, and empties the logs. */
  finish(): void {
    this.#commit();
    for (const { file } of [...this.#databases.shards, this.#databases.system]) file.checkpoint();
  }

  close(): void {
    this.#databases.close();
  }

  #count(): void {
    this.#pending += 1;
    if (this.#pending >= PENDING_ROWS) this.#commit();
  }

  #commit(): void {
    for (const database of [...this.#databases.shards, this.#databases.system]) {
      if (!database.commit(this.#lsn))
        throw new ShardFailure(`Cannot commit database ${database.file.path}: the disk is full (ENOSPC)`);
      if (database.file.walBytes > WAL_LIMIT) database.file.checkpoint();
    }
    this.#pending = 0;
  }
}
