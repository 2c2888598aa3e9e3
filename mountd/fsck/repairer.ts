/**
 * Puts right what can be derived from other rows. Each repair is one record over what the rows say now; what a repair
 * changes elsewhere (a count, a flag) the next check finds and the next round puts right. No file's bytes are deleted.
 */

import type { Backing } from '../../base/backing.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { AggregateRow, OwnName } from '../../base/layout.ts';
import type { Timespec } from '../../base/time.ts';
import {
  type AggregateId,
  type Ino,
  type Lsn,
  type Position,
  ROOT_INO,
  type ShardId,
  type Slot,
  type VolumeId,
} from '../../base/units.ts';
import type { NotedSlot } from '../../shard/inspection.ts';
import { POSITION_LIMIT } from '../../shard/partition_map.ts';
import type { Record } from '../../shard/record.ts';
import { type Dentry, DT_DIR, type Inode, type Partition } from '../../shard/rows.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import type { Sharer } from '../../shard/system_database.ts';
import { Failure } from '../failure.ts';
import type { CheckContext } from './context.ts';
import { flushRecovered } from './flush_recovered.ts';
import { LostAndFound } from './lost_and_found.ts';
import { newDirectory } from './new_directory.ts';

/** Rows of open transactions, at most. */
const PENDING_ROWS = 10_000;
const DIRECTORY_MODE = 0o040700;
const ROOT_MODE = 0o040755;

export class Repairer {
  readonly #ctx: CheckContext;
  readonly #backing: Backing;
  readonly #namespace: NamespaceStore;
  readonly #aggregates: Map<AggregateId, AggregateRow>;
  readonly #now: Timespec;
  readonly #lost: LostAndFound;
  #hasFlushed = false;

  constructor(ctx: CheckContext, { now, backing }: { readonly now: Timespec; readonly backing: Backing }) {
    this.#ctx = ctx;
    this.#backing = backing;
    this.#namespace = ctx.namespace;
    this.#aggregates = new Map(ctx.aggregates);
    this.#now = now;
    this.#lost = new LostAndFound(ctx.namespace, now);
  }

  /**
   * Makes what was repaired so far durable, and with it whatever a killed daemon has recorded behind its last barrier: the
   * bytes that those records name come first.
   */
  flush(): void {
    this.#flushBytes();
    const done = this.#namespace.barrier();
    if (isErrno(done)) throw new Failure(`Cannot write the repairs: ${done.name}; free some space there and try again`);
  }

  #flushBytes(): void {
    if (this.#hasFlushed) return;
    this.#hasFlushed = true;
    flushRecovered(this.#ctx.data, this.#namespace, this.#backing);
  }

  // Names

  removeDangling(slot: Slot, dentry: Dentry): void {
    // Its inode may be one that cannot be seen, or one that is being made anew for the names it holds.
    if (this.#ctx.hasUnseenRows || this.#ctx.lostDirectories.has(dentry.ino)) return;
    if (this.#namespace.readInode(dentry.ino) !== E.ENOENT) return;
    this.#change((record) => record.deleteDentryRow(slot, dentry.dir, dentry.position));
  }

  removeName(dir: Ino, position: number): void {
    const row = this.#namespace.inode(dir);
    if (row === undefined) return;
    this.#change((record) => record.deleteDentry(row, { position: position as Position }));
  }

  /** Moves a name to where its hash and the directory's partitions want it. */
  replaceDentry(slot: Slot, dentry: Dentry): void {
    const dir = this.#namespace.inode(dentry.dir);
    if (dir === undefined) return;
    const found = this.#namespace.findName(dir, dentry.name);
    if (!isErrno(found) && found.ino === dentry.ino && found.position === dentry.position) {
      this.#removeCopy(slot, dir, dentry);
      return;
    }
    if (found !== E.ENOENT) return;
    const position = this.#namespace.placeFor(dir, dentry.name);
    if (isErrno(position)) return;
    const inode = this.#namespace.inode(dentry.ino);
    this.#change((record) => {
      record.deleteDentryRow(slot, dentry.dir, dentry.position);
      record.putDentry(dir, { ...dentry, position });
      if (inode?.parent === dir.ino && inode.position === dentry.position) this.#put(record, { ...inode, position });
    });
  }

  /** The name is in its place too: this row is one that was not deleted when it moved. */
  #removeCopy(slot: Slot, dir: Inode, { position }: Dentry): void {
    if (this.#namespace.partitionOf(dir, position).slot === slot) return;
    this.#change((record) => record.deleteDentryRow(slot, dir.ino, position));
  }

  /** Writes the dentry anew, with the type that its inode has. */
  setType(slot: Slot, dentry: Dentry): void {
    const dir = this.#namespace.inode(dentry.dir);
    const inode = this.#namespace.inode(dentry.ino);
    if (dir === undefined || inode === undefined) return;
    this.#change((record) => {
      record.deleteDentryRow(slot, dentry.dir, dentry.position);
      record.putDentry(dir, { ...dentry, type: inode.mode >> 12 });
    });
  }

  // Directories

  /** A directory whose row is lost, for the sake of the names in it. */
  makeDirectory(ino: Ino): void {
    this.#makeDirectory({ ino, mode: DIRECTORY_MODE, parent: 0 as Ino });
  }

  makeRoot(): void {
    this.#makeDirectory({ ino: ROOT_INO, mode: ROOT_MODE, parent: ROOT_INO });
  }

  rebuildPartition(dir: Ino, index: number): void {
    const row = this.#namespace.inode(dir);
    if (row === undefined) return;
    // The store counts what a missing or damaged row does not tell.
    this.#change((record) => record.putPartition(this.#namespace.partition(row, index)));
  }

  setPartition(row: Partition, counted: { readonly entries: number; readonly directories: number }): void {
    const lsn = Math.min(row.lsn, this.#namespace.lsn) as Lsn;
    this.#change((record) => record.putPartition({ ...row, ...counted, lsn }));
  }

  /** Where the rows say that a split has come to; `canMove` is false for what cannot be under way. */
  setBoundary(dir: Ino, index: number, canMove: boolean): void {
    const row = this.#namespace.inode(dir);
    if (row === undefined) return;
    const boundary = canMove ? this.#namespace.boundaryByRows(row, index) : POSITION_LIMIT;
    this.#change((record) => record.putPartition({ ...this.#namespace.partition(row, index), boundary }));
  }

  removePartition(slot: Slot, dir: Ino, index: number): void {
    if (this.#ctx.hasUnseenRows || this.#ctx.lostDirectories.has(dir)) return;
    this.#change((record) => record.deletePartition(slot, dir, index));
  }

  /** Gives an inode without a name one in lost+found. */
  reconnect(ino: Ino): void {
    const inode = this.#namespace.inode(ino);
    if (inode === undefined) return;
    const place = this.#lost.placeFor(ino);
    if (place === undefined) return;
    const { dir, name, position } = place;
    const type = inode.mode >> 12;
    this.#change((record) => {
      record.putDentry(dir, { dir: dir.ino, position, name, ino, type });
      record.touchDirectory(dir, { entries: 1, directories: type === DT_DIR ? 1 : 0, now: this.#now, position });
      this.#put(record, { ...inode, nlink: 1, parent: dir.ino, position });
    });
  }

  /** Takes a directory out of the ring that it is part of. */
  moveToLost(ino: Ino, from: { readonly directory: Ino; readonly position: number }): void {
    this.removeName(from.directory, from.position);
    this.reconnect(ino);
  }

  // Inodes

  /** Writes the row anew, with an LSN of today. */
  rewrite(ino: Ino): void {
    this.#update(ino, {});
  }

  setNlink(ino: Ino, nlink: number): void {
    this.#update(ino, { nlink });
  }

  setParent(ino: Ino, place: { readonly parent: Ino; readonly position: number }): void {
    this.#update(ino, place);
  }

  setSize(ino: Ino, size: number): void {
    this.#update(ino, { size });
  }

  setFlags(ino: Ino, change: { readonly clear: number; readonly set: number }): void {
    const inode = this.#namespace.inode(ino);
    if (inode !== undefined) this.#update(ino, { flags: (inode.flags & ~change.clear) | change.set });
  }

  reserve(slot: Slot, next: number): void {
    this.#change((record) => record.reserve(slot, next));
  }

  /** Rows of the slot are left in `from`, and the slot is in `shard`, whatever was noted. */
  releaseSlot(slot: Slot, places: { readonly shard: ShardId; readonly from: ShardId }): void {
    this.#change((record) => record.switchSlot(slot, places));
  }

  forgetMove(note: NotedSlot): void {
    this.#namespace.moves.forget(note);
  }

  /** Rows that slots have left behind are removed here and now. */
  removeLeftovers(): void {
    const { moves } = this.#namespace;
    while (moves.hasLeftovers) if (moves.turn() === 'waiting') this.flush();
  }

  setIndex(ino: Ino, index: 'own_files' | 'orphans', isPresent: boolean): void {
    this.#change((record) => record.setIndex(ino, index, isPresent));
  }

  /** Rows that hang on a number which no inode has. */
  removeAttached(ino: Ino): void {
    if (this.#ctx.hasUnseenRows || this.#ctx.lostDirectories.has(ino)) return;
    if (this.#namespace.readInode(ino) !== E.ENOENT) return;
    this.#change((record) => record.deleteInode(ino));
  }

  removeSymlink(ino: Ino): void {
    if (!this.#ctx.hasUnseenRows) this.#change((record) => record.deleteSymlink(ino));
  }

  // Bytes

  setAggregate(id: AggregateId, change: Partial<AggregateRow>): void {
    const row = this.#aggregates.get(id);
    if (row !== undefined) this.makeAggregate({ ...row, ...change });
  }

  makeAggregate(row: AggregateRow): void {
    this.#aggregates.set(row.id, row);
    this.#change((record) => record.putAggregate(row));
  }

  setSharer({ aggregate, rangeStart, ino }: Sharer, isPresent: boolean): void {
    this.#change((record) => {
      if (isPresent) record.putSharer(aggregate, rangeStart, ino);
      else record.deleteSharer(aggregate, rangeStart, ino);
    });
  }

  setAsideOwn(own: OwnName): void {
    this.#ctx.data.setAsideOwn(own);
  }

  setAsideAggregate(volume: VolumeId, id: AggregateId): void {
    this.#ctx.data.setAsideAggregate(volume, id);
  }

  #makeDirectory(of: { readonly ino: Ino; readonly mode: number; readonly parent: Ino }): void {
    if (this.#namespace.readInode(of.ino) !== E.ENOENT) return;
    this.#change((record) =>
      record.putInode(newDirectory(of, { now: this.#now, generation: this.#namespace.generation })),
    );
  }

  #update(ino: Ino, change: Partial<Inode>): void {
    const inode = this.#namespace.inode(ino);
    if (inode === undefined) return;
    this.#change((record) => this.#put(record, { ...inode, ...change }));
  }

  /** The newest row of a directory is believed before its partitions: it must carry the times that they show. */
  #put(record: Record, inode: Inode): void {
    if (inode.mode >> 12 !== DT_DIR) {
      record.putInode(inode);
      return;
    }
    const { mtime, ctime } = this.#namespace.totals(inode);
    record.putInode({ ...inode, mtime, ctime });
  }

  #change(build: (record: Record) => void): void {
    const record = this.#namespace.begin();
    build(record);
    this.#namespace.commit(record);
    if (this.#namespace.pendingRows > PENDING_ROWS) this.flush();
  }
}
