/**
 * The one function that carries out a record, for the operation that made it and for replay alike. Nothing is read: a
 * mutation says all there is to do, so that doing it again changes nothing.
 */
import { unreachable } from '../base/assert.ts';
import { type Slot, slotOf } from '../base/units.ts';
import type { Mutation } from './mutation.ts';
import type { ShardDatabase } from './shard_database.ts';
import type { SystemDatabase } from './system_database.ts';

export interface Databases {
  readonly system: SystemDatabase;
  shardOf(slot: Slot): ShardDatabase;
}

export function applyMutations(to: Databases, mutations: Iterable<Mutation>): void {
  for (const mutation of mutations) applyMutation(to, mutation);
}

function applyMutation(to: Databases, mutation: Mutation): void {
  switch (mutation.kind) {
    case 'inode':
      to.shardOf(slotOf(mutation.inode.ino)).putInode(mutation);
      break;
    case 'no-inode':
      to.shardOf(slotOf(mutation.ino)).deleteInode(mutation);
      break;
    case 'dentry':
      to.shardOf(mutation.slot).putDentry(mutation.slot, mutation.dentry);
      break;
    case 'no-dentry':
      to.shardOf(mutation.slot).deleteDentry(mutation.slot, mutation.dir, mutation.position);
      break;
    case 'partition':
      to.shardOf(mutation.partition.slot).putPartition(mutation.partition);
      break;
    case 'no-partition':
      to.shardOf(mutation.slot).deletePartition(mutation.slot, mutation.dir, mutation.index);
      break;
    case 'xattr':
      to.shardOf(slotOf(mutation.ino)).putXattr(mutation.ino, mutation.name, mutation.value);
      break;
    case 'no-xattr':
      to.shardOf(slotOf(mutation.ino)).deleteXattr(mutation.ino, mutation.name);
      break;
    case 'no-xattrs':
      to.shardOf(slotOf(mutation.ino)).deleteXattrs(mutation.ino);
      break;
    case 'symlink':
      to.shardOf(slotOf(mutation.ino)).putSymlink(mutation.ino, mutation.target);
      break;
    case 'no-symlink':
      to.shardOf(slotOf(mutation.ino)).deleteSymlink(mutation.ino);
      break;
    case 'sequence':
      to.shardOf(mutation.slot).putSequence(mutation.slot, mutation.next);
      break;
    case 'index':
      to.shardOf(slotOf(mutation.ino)).setIndex(mutation.ino, mutation.index, mutation.present);
      break;
    case 'aggregate':
      to.system.putAggregate(mutation.row);
      break;
    case 'no-aggregate':
      to.system.deleteAggregate(mutation.id);
      break;
    case 'sharer':
      to.system.putSharer(mutation);
      break;
    case 'no-sharer':
      to.system.deleteSharer(mutation);
      break;
    default:
      unreachable('a mutation of no known kind');
  }
}
