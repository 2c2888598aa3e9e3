/**
 * The one function that carries out a record, for the operation that made it and for replay alike. Nothing is read: a
 * mutation says all there is to do, so that doing it again changes nothing.
 */
import { unreachable } from '../base/assert.ts';
import { type Slot, slotOf } from '../base/units.ts';
import type { Mutation, SlotSwitch } from './mutation.ts';
import type { ShardDatabase } from './shard_database.ts';
import type { Applying } from './sqlite_file.ts';
import { SystemDatabase } from './system_database.ts';

export type AnyDatabase = ShardDatabase | SystemDatabase;

export interface Databases {
  readonly system: SystemDatabase;
  /** The record that is being applied. */
  readonly applying: Applying;
  shardOf(slot: Slot): ShardDatabase;
  /** Where a copy of the slot is being made, if there is one: whatever changes the slot changes it too. */
  copyOf(slot: Slot): ShardDatabase | undefined;
  /** Every database that is concerned, if it `lacks` the change. */
  switchSlot(to: SlotSwitch, lacks?: Lacks): boolean;
  setShardCount(count: number): void;
}

/** Whether a database does not have a change already. */
export type Lacks = (database: AnyDatabase) => boolean;

export function applyMutations(to: Databases, mutations: Iterable<Mutation>): void {
  for (const mutation of mutations) applyMutation(to, mutation);
}

/** A database that takes nothing in for now keeps it in its backlog. Returns whether any database lacked it. */
export function applyMutation(to: Databases, mutation: Mutation, lacks?: Lacks): boolean {
  if (mutation.kind === 'slot') return to.switchSlot(mutation, lacks);
  const slot = slotOfMutation(mutation);
  const owner = slot === undefined ? to.system : to.shardOf(slot);
  const copy = slot === undefined ? undefined : to.copyOf(slot);
  const isLacking = lacks?.(owner) ?? true;
  if (isLacking && mutation.kind === 'shards') to.setShardCount(mutation.count);
  else if (isLacking) give(owner, mutation, to.applying);
  if (copy === undefined || lacks?.(copy) === false) return isLacking;
  give(copy, mutation, to.applying);
  return true;
}

function give(database: AnyDatabase, mutation: Mutation, { lsn }: Applying): void {
  if (database.backlog.isTaking) database.backlog.add(mutation, lsn);
  else carryOut(database, mutation);
}

/** Applies it to the open transaction of its database. */
export function carryOut(database: ShardDatabase | SystemDatabase, mutation: Mutation): void {
  if (database instanceof SystemDatabase) changeSystem(database, mutation);
  else changeShard(database, mutation);
}

function changeShard(shard: ShardDatabase, mutation: Mutation): void {
  switch (mutation.kind) {
    case 'inode':
      shard.putInode(mutation);
      break;
    case 'no-inode':
      shard.deleteInode(mutation);
      break;
    case 'dentry':
      shard.putDentry(mutation.slot, mutation.dentry);
      break;
    case 'no-dentry':
      shard.deleteDentry(mutation.slot, mutation.dir, mutation.position);
      break;
    case 'no-dentries':
      shard.deleteDentries(mutation);
      break;
    case 'partition':
      shard.putPartition(mutation.partition);
      break;
    case 'no-partition':
      shard.deletePartition(mutation.slot, mutation.dir, mutation.index);
      break;
    case 'xattr':
      shard.putXattr(mutation.ino, mutation.name, mutation.value);
      break;
    case 'no-xattr':
      shard.deleteXattr(mutation.ino, mutation.name);
      break;
    case 'no-xattrs':
      shard.deleteXattrs(mutation.ino);
      break;
    case 'symlink':
      shard.putSymlink(mutation.ino, mutation.target);
      break;
    case 'no-symlink':
      shard.deleteSymlink(mutation.ino);
      break;
    case 'sequence':
      shard.putSequence(mutation.slot, mutation.next);
      break;
    case 'index':
      shard.setIndex(mutation.ino, mutation.index, mutation.present);
      break;
    default:
      unreachable('a mutation of no known kind');
  }
}

function changeSystem(system: SystemDatabase, mutation: Mutation): void {
  switch (mutation.kind) {
    case 'aggregate':
      system.putAggregate(mutation.row);
      break;
    case 'no-aggregate':
      system.deleteAggregate(mutation.id);
      break;
    case 'sharer':
      system.putSharer(mutation);
      break;
    case 'no-sharer':
      system.deleteSharer(mutation);
      break;
    case 'migration':
      system.putMigration(mutation.row);
      break;
    case 'no-migration':
      system.deleteMigration(mutation.id);
      break;
    case 'meta':
      system.putMeta(mutation.key, mutation.value);
      break;
    default:
      unreachable('a mutation of no known kind');
  }
}

/** The slot that a mutation changes; undefined for `system.db` and for the switch of a slot. */
export function slotOfMutation(mutation: Mutation): Slot | undefined {
  switch (mutation.kind) {
    case 'inode':
      return slotOf(mutation.inode.ino);
    case 'partition':
      return mutation.partition.slot;
    case 'dentry':
    case 'no-dentry':
    case 'no-dentries':
    case 'no-partition':
    case 'sequence':
      return mutation.slot;
    case 'aggregate':
    case 'no-aggregate':
    case 'sharer':
    case 'no-sharer':
    case 'migration':
    case 'no-migration':
    case 'meta':
    case 'slot':
    case 'shards':
      return undefined;
    default:
      return slotOf(mutation.ino);
  }
}
