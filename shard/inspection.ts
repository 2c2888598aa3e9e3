/** What fsck and dump ask of a store and its daily work does not. */
import type { Lsn, Position, ShardId, Slot } from '../base/units.ts';
import type { StoreDatabases } from './databases.ts';
import { sqliteCode } from './failure.ts';
import type { Placement } from './position.ts';
import { ShardScan } from './scan.ts';
import type { SlotKey } from './slot_rows.ts';

/** One line of SQLite's own check of a database. */
export interface DatabaseComplaint {
  readonly path: string;
  /** Index of the shard; undefined for system.db. */
  readonly shard: number | undefined;
  readonly complaint: string;
}

/** That a slot is being copied into a shard, and how far; or that rows of it may be left there. */
export interface NotedSlot {
  readonly kind: 'incoming' | 'outgoing';
  readonly slot: Slot;
  readonly shard: ShardId;
  readonly key: SlotKey | undefined;
}

export class Inspection {
  readonly #databases: StoreDatabases;
  readonly #placement: Placement;

  constructor(databases: StoreDatabases, placement: Placement) {
    this.#databases = databases;
    this.#placement = placement;
  }

  /** The key of the hash that gives names their positions. */
  get hashKey(): Uint8Array {
    return this.#databases.system.bytes('hash_key');
  }

  /** LSN of the last commit of system.db: all shards have reached it. */
  get systemLsn(): Lsn {
    return this.#databases.system.file.lsn;
  }

  /** The first of the 16 positions that a name may have. */
  positionBase(name: Uint8Array): Position {
    return this.#placement.base(name);
  }

  /** What shards note of slots that are on their way. */
  marks(): NotedSlot[] {
    return this.#databases.shards.flatMap(({ marks }, id) => {
      const shard = id as ShardId;
      const incoming = [...marks.incoming].map(([slot, mark]) => ({ kind: 'incoming' as const, slot, shard, ...mark }));
      const outgoing = [...marks.outgoing].map((slot) => ({ kind: 'outgoing' as const, slot, shard, key: [slot] }));
      return [...incoming, ...outgoing];
    });
  }

  /** Whether a shard has rows of a slot, its own or not, and the highest LSN in them; 0 where no row says one. */
  slotState(shard: ShardId, slot: Slot): { readonly hasRows: boolean; readonly newest: Lsn } {
    const database = this.#databases.shards[shard];
    if (database === undefined) return { hasRows: false, newest: 0 as Lsn };
    const scan = new ShardScan(database, { only: slot });
    let newest = 0;
    for (const row of scan.inodes()) if ('lsn' in row) newest = Math.max(newest, row.lsn);
    for (const row of scan.partitions()) if ('lsn' in row) newest = Math.max(newest, row.lsn);
    return { hasRows: database.slotRows().has(slot), newest: newest as Lsn };
  }

  /** SQLite's `quick_check` of one database after the other; nothing comes of one that is whole. */
  *integrity(): Generator<DatabaseComplaint> {
    const { system, shards } = this.#databases;
    for (const [index, { file }] of [system, ...shards].entries()) {
      const shard = index === 0 ? undefined : index - 1;
      try {
        for (const line of file.prepare<[], string>('PRAGMA quick_check(10)').pluck(true).all())
          if (line !== 'ok') yield { path: file.path, shard, complaint: line };
      } catch (thrown) {
        if (sqliteCode(thrown) === '') throw thrown;
        yield { path: file.path, shard, complaint: sqliteCode(thrown) };
      }
    }
  }
}
