/** What fsck and dump ask of a store and its daily work does not. */
import type { Lsn, Position } from '../base/units.ts';
import type { StoreDatabases } from './databases.ts';
import { sqliteCode } from './failure.ts';
import type { Placement } from './position.ts';

/** One line of SQLite's own check of a database. */
export interface DatabaseComplaint {
  readonly path: string;
  /** Index of the shard; undefined for system.db. */
  readonly shard: number | undefined;
  readonly complaint: string;
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
