/**
 * What a record does to the databases: absolute puts and deletes of rows, each naming its key. Applying one twice, or
 * once more after a crash, leaves the same rows; `shard/apply.ts` is the only code that carries them out.
 */
import type { AggregateRow, MigrationRow } from '../base/layout.ts';
import type { AggregateId, Ino, Position, ShardId, Slot } from '../base/units.ts';
import type { Dentry, Inode, Partition } from './rows.ts';

/** What an inode's put does to an index of its shard (`own_files`, `orphans`). */
export type IndexChange = 'keep' | 'add' | 'remove';

/** Which lists of a put inode have rows in `extents` to be written anew: a sum of these. */
export const LIST_EXTENTS = 1;
export const LIST_SECOND = 2;

export interface InodePut {
  readonly kind: 'inode';
  readonly inode: Inode;
  readonly lists: number;
  readonly own: IndexChange;
  readonly orphan: IndexChange;
  /** The row's bytes, once they have been made for the journal or come out of it; until the next record is made. */
  row?: Uint8Array;
}

/** Everything that hangs on the inode goes too, where its last row said that there is any. */
export interface InodeDelete {
  readonly kind: 'no-inode';
  readonly ino: Ino;
  readonly extents: boolean;
  readonly xattrs: boolean;
  readonly symlink: boolean;
  readonly own: boolean;
  readonly orphan: boolean;
}

/** All dentries that a directory has in a slot, from one position to another, both included. */
export interface DentryRangeDelete {
  readonly kind: 'no-dentries';
  readonly slot: Slot;
  readonly dir: Ino;
  readonly from: Position;
  readonly to: Position;
}

/** A slot is in `shard` from now on, whole; what `from` has of it is left over. Changes both, and `system.db`. */
export interface SlotSwitch {
  readonly kind: 'slot';
  readonly slot: Slot;
  readonly shard: ShardId;
  readonly from: ShardId;
}

export type Mutation =
  | InodePut
  | InodeDelete
  | { readonly kind: 'dentry'; readonly slot: Slot; readonly dentry: Dentry }
  | { readonly kind: 'no-dentry'; readonly slot: Slot; readonly dir: Ino; readonly position: Position }
  | DentryRangeDelete
  | { readonly kind: 'partition'; readonly partition: Partition }
  | { readonly kind: 'no-partition'; readonly slot: Slot; readonly dir: Ino; readonly index: number }
  | { readonly kind: 'xattr'; readonly ino: Ino; readonly name: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: 'no-xattr'; readonly ino: Ino; readonly name: Uint8Array }
  | { readonly kind: 'no-xattrs'; readonly ino: Ino }
  | { readonly kind: 'symlink'; readonly ino: Ino; readonly target: Uint8Array }
  | { readonly kind: 'no-symlink'; readonly ino: Ino }
  | { readonly kind: 'sequence'; readonly slot: Slot; readonly next: number }
  | { readonly kind: 'index'; readonly ino: Ino; readonly index: 'own_files' | 'orphans'; readonly present: boolean }
  | { readonly kind: 'aggregate'; readonly row: AggregateRow }
  | { readonly kind: 'no-aggregate'; readonly id: AggregateId }
  | {
      readonly kind: 'sharer' | 'no-sharer';
      readonly aggregate: AggregateId;
      readonly rangeStart: number;
      readonly ino: Ino;
    }
  | { readonly kind: 'migration'; readonly row: MigrationRow }
  | { readonly kind: 'no-migration'; readonly id: number }
  | { readonly kind: 'meta'; readonly key: string; readonly value: string | number }
  | SlotSwitch
  /** The store has so many shards, whose databases are there. */
  | { readonly kind: 'shards'; readonly count: number };
