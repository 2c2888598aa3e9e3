/**
 * The rows of a store as a backup takes them: committed states of the databases, in key order and short slices, while a
 * daemon may go on writing. No two slices need be of one moment: the journal from before the first of them makes them one.
 */
import type { Timespec } from '../../base/time.ts';
import type { Lsn, Slot } from '../../base/units.ts';
import { slotOf } from '../../base/units.ts';
import { StoreDatabases } from '../databases.ts';
import { LIST_EXTENTS, LIST_SECOND, type Mutation } from '../mutation.ts';
import type { Inode } from '../rows.ts';
import { DamagedRow, ShardScan } from '../scan.ts';
import { DAMAGED } from '../shard_database.ts';

/** What a backup's header says of the databases. */
export interface StoreFacts {
  readonly storeId: string;
  readonly hashKey: Uint8Array;
  readonly slots: Uint8Array;
  readonly shards: number;
  readonly starts: number;
  readonly generation: number;
}

export class BackupSource {
  readonly #databases: StoreDatabases;
  /** Rows that could not be read. */
  damaged = 0;

  private constructor(databases: StoreDatabases) {
    this.#databases = databases;
  }

  /** Throws `StoreError`. Nothing is written; a daemon may have the store open. */
  static open(folder: string, now: Timespec): BackupSource {
    return new BackupSource(StoreDatabases.open(folder, { now, readOnly: true }));
  }

  facts(): StoreFacts {
    const { system, shards } = this.#databases;
    const starts = system.number('starts');
    return {
      storeId: system.text('store_id'),
      hashKey: system.bytes('hash_key'),
      slots: Uint8Array.from(this.#databases.slotMap()),
      shards: shards.length,
      starts,
      generation: system.optionalNumber('generation') ?? starts,
    };
  }

  /** The highest LSN that any of them has committed by now. */
  committedLsn(): Lsn {
    return Math.max(...this.#databases.all.map(({ file }) => file.readLsn())) as Lsn;
  }

  /**
   * One put after the other; no statement is open between two of them. Slots that have moved meanwhile come again, from
   * where they are then: rows of the first time that are gone by now have deletes in the journal.
   */
  *rows(): Generator<Mutation> {
    const map = [...this.#databases.slotMap()];
    for (const [id, shard] of this.#databases.shards.entries())
      yield* this.#rowsOf(new ShardScan(shard, { has: (slot) => map[slot] === id }));
    for (let isSame = false; !isSame; ) {
      isSame = true;
      for (const [slot, id] of this.#databases.readSlots().entries()) {
        if (map[slot] === id) continue;
        isSame = false;
        map[slot] = id;
        yield* this.#rowsOf(new ShardScan(this.#databases.shardAt(id), { only: slot as Slot }));
      }
    }
    for (const row of this.#databases.system.aggregates()) yield { kind: 'aggregate', row };
    for (const row of this.#databases.system.migrations()) yield { kind: 'migration', row };
    for (const sharer of this.#databases.system.allSharers()) yield { kind: 'sharer', ...sharer };
  }

  *#rowsOf(scan: ShardScan): Generator<Mutation> {
    for (const row of this.#whole(scan.inodes(), (damaged) => this.#again(damaged))) yield inodePut(row);
    for (const { slot, dentry } of this.#whole(scan.dentries())) yield { kind: 'dentry', slot, dentry };
    for (const partition of this.#whole(scan.partitions())) yield { kind: 'partition', partition };
    for (const xattr of this.#whole(scan.xattrs())) yield { kind: 'xattr', ...xattr };
    for (const symlink of this.#whole(scan.symlinks())) yield { kind: 'symlink', ...symlink };
    for (const { slot, nextSequence } of scan.sequences()) yield { kind: 'sequence', slot, next: nextSequence };
  }

  /** A row and the rows of its list may have been read around a commit: a second look tells. */
  #again({ ino }: DamagedRow): Inode | typeof DAMAGED | undefined {
    return this.#databases.shardOf(slotOf(ino)).inode(ino);
  }

  *#whole<T>(
    rows: Iterable<T | DamagedRow>,
    again?: (damaged: DamagedRow) => T | typeof DAMAGED | undefined,
  ): Generator<T> {
    for (const row of rows) {
      const found = row instanceof DamagedRow ? (again === undefined ? DAMAGED : again(row)) : row;
      if (found === DAMAGED) this.damaged += 1;
      // Undefined: removed since.
      else if (found !== undefined) yield found;
    }
  }

  close(): void {
    this.#databases.close();
  }
}

function inodePut(inode: Inode): Mutation {
  return {
    kind: 'inode',
    inode,
    lists: LIST_EXTENTS | LIST_SECOND,
    own: inode.layout === 'own' ? 'add' : 'keep',
    orphan: inode.nlink === 0 ? 'add' : 'keep',
  };
}
