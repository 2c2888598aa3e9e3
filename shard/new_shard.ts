/**
 * Makes the database of a further shard, before any record says that there is one. What a crash leaves is a database
 * under a passing name, which is made again, or an empty one that nobody counts, which is used.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import type { Backing } from '../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { Timespec } from '../base/time.ts';
import type { Lsn, ShardId } from '../base/units.ts';
import { StoreError } from './failure.ts';
import { shardFolder, shardPath } from './format.ts';
import { SHARD_SCHEMA } from './schema.ts';
import { ShardDatabase } from './shard_database.ts';
import { openShard } from './shard_files.ts';
import { putMeta, STORE_ID } from './shard_identity.ts';
import { SqliteFile } from './sqlite_file.ts';

export interface NewShard {
  readonly storeId: string;
  readonly shard: ShardId;
  readonly now: Timespec;
  /** The store's last durable LSN: the database lacks nothing. */
  readonly lsn: Lsn;
  readonly backing: Backing;
}

/** As many files, from number `from` on; `added` hears of each. Outcomes as of `makeShardFile`. */
export function makeShardFiles(
  folder: string,
  made: Omit<NewShard, 'shard'> & {
    readonly from: number;
    readonly count: number;
    readonly added: ((path: string) => void) | undefined;
  },
): Result<void> {
  for (let shard = made.from as ShardId; shard < made.from + made.count; shard++) {
    const outcome = makeShardFile(folder, { ...made, shard });
    if (isErrno(outcome)) return outcome;
    made.added?.(shardPath(folder, shard));
  }
}

/**
 * Durable when it returns. ENOSPC: no room. EEXIST: a database of that number is there, and something is in it. Any other
 * failure is thrown.
 */
export function makeShardFile(folder: string, made: NewShard): Result<void> {
  const { storeId, shard, now, lsn, backing } = made;
  const path = shardPath(folder, shard);
  if (existsSync(path)) return isEmptyShard(folder, made) ? undefined : E.EEXIST;
  const passing = `${path}.new`;
  for (const name of [passing, `${passing}-wal`, `${passing}-shm`]) rmSync(name, { force: true });
  const file = SqliteFile.create(passing, { schema: SHARD_SCHEMA, now });
  let isWhole = false;
  try {
    const database = new ShardDatabase(file);
    database.putNumber(shard);
    putMeta(file, STORE_ID, storeId);
    isWhole = database.commit(lsn);
  } finally {
    // Closing moves the log into the database, flushes that, and removes the log.
    file.close();
    if (!isWhole) for (const name of [passing, `${passing}-wal`, `${passing}-shm`]) rmSync(name, { force: true });
  }
  if (!isWhole) return E.ENOSPC;
  renameSync(passing, path);
  const flushed = backing.flushFolder(shardFolder(folder));
  return flushed < 0 ? errnoOf(-flushed) : undefined;
}

/** What an add that did not come to its record has left. */
function isEmptyShard(folder: string, { storeId, shard, now }: NewShard): boolean {
  try {
    const database = openShard(folder, shard, { storeId, now });
    try {
      const { incoming, outgoing } = database.marks;
      return database.slotRows().isEmpty && incoming.size + outgoing.size === 0;
    } finally {
      database.file.close();
    }
  } catch (thrown) {
    if (thrown instanceof StoreError) return false;
    throw thrown;
  }
}
