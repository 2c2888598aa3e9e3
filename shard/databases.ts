/** The open databases of a store: `system.db`, the shards, and the map from slot to shard. */
import { existsSync } from 'node:fs';
import type { Timespec } from '../base/time.ts';
import type { Lsn, ShardId, Slot } from '../base/units.ts';
import type { Databases } from './apply.ts';
import { StoreError } from './failure.ts';
import { shardPath, systemPath } from './format.ts';
import { SHARD_SCHEMA, SYSTEM_SCHEMA } from './schema.ts';
import { ShardDatabase } from './shard_database.ts';
import { SystemDatabase } from './system_database.ts';

export interface OpenOptions {
  readonly now: Timespec;
  readonly readOnly: boolean;
}

export class StoreDatabases implements Databases {
  readonly system: SystemDatabase;
  readonly shards: readonly ShardDatabase[];
  readonly #slots: readonly ShardId[];

  private constructor(system: SystemDatabase, shards: readonly ShardDatabase[]) {
    this.system = system;
    this.shards = shards;
    this.#slots = system.slots();
    if (this.#slots.some((shard) => shard >= shards.length))
      throw new StoreError('damaged', `Database ${system.file.path} maps slots to shards that do not exist`);
  }

  /** Opens all of them, or none and throws `StoreError`. */
  static open(folder: string, options: OpenOptions): StoreDatabases {
    const path = systemPath(folder);
    if (!existsSync(path)) throw new StoreError('not-a-store', `No pacsfs store in ${folder}: ${path} is missing`);
    const system = SystemDatabase.open(path, { schema: SYSTEM_SCHEMA, ...options });
    const shards: ShardDatabase[] = [];
    try {
      const count = system.number('shard_count');
      for (let shard = 0; shard < count; shard++) shards.push(openShard(folder, shard, options));
      return new StoreDatabases(system, shards);
    } catch (thrown) {
      for (const shard of shards) shard.file.close();
      system.file.close();
      throw thrown;
    }
  }

  shardOf(slot: Slot): ShardDatabase {
    const shard = this.shards[this.#slots[slot] ?? 0];
    if (shard === undefined) throw new StoreError('damaged', `Slot ${slot} is in no shard`);
    return shard;
  }

  shardIdOf(slot: Slot): ShardId {
    return this.#slots[slot] ?? (0 as ShardId);
  }

  slotMap(): readonly ShardId[] {
    return this.#slots;
  }

  /** The highest LSN that any of them has committed. */
  highestLsn(): Lsn {
    return Math.max(this.system.file.lsn, ...this.shards.map((shard) => shard.file.lsn)) as Lsn;
  }

  close(): void {
    for (const shard of this.shards) shard.file.close();
    this.system.file.close();
  }
}

function openShard(folder: string, shard: number, options: OpenOptions): ShardDatabase {
  const path = shardPath(folder, shard);
  if (!existsSync(path))
    throw new StoreError('missing-shard', `Shard ${shard} of the store is missing: expected ${path}`);
  const database = ShardDatabase.open(path, { schema: SHARD_SCHEMA, ...options });
  const found = database.number();
  if (found === undefined || found === shard) return database;
  database.file.close();
  throw new StoreError('damaged', `Database ${path} is shard ${found}, expected shard ${shard}: files were mixed up`);
}
