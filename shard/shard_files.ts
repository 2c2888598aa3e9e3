/** The files of a store's shards: opened, and recognised as this store's own before anything is done to them. */
import { existsSync } from 'node:fs';
import type { ShardId } from '../base/units.ts';
import { StoreError, sqliteCode } from './failure.ts';
import { shardPath } from './format.ts';
import { type MissingShard, MissingShardError, type MissingState } from './missing_shard.ts';
import { SHARD_SCHEMA } from './schema.ts';
import { ShardDatabase } from './shard_database.ts';
import { getMeta, putMeta, SHARD_NUMBER, STORE_ID, UNFINISHED } from './shard_identity.ts';
import type { SqliteOpen } from './sqlite_file.ts';

export interface ShardOpen extends Omit<SqliteOpen, 'schema' | 'recognise'> {
  readonly storeId: string;
  /** One that a repair has begun to fill is opened, too. */
  readonly allowUnfinished?: boolean;
}

/** Throws `MissingShardError` for one that is not there or not this store's, other `StoreError`s for anything else. */
export function openShard(folder: string, shard: ShardId, options: ShardOpen): ShardDatabase {
  const path = shardPath(folder, shard);
  const missing = (state: MissingState, reason: string): MissingShard => ({ shard, path, state, reason });
  if (!existsSync(path)) throw new MissingShardError(missing('absent', 'is not there'));
  const recognise = (meta: (key: string) => unknown) => {
    const stranger = strangerOf(meta, { ...options, shard });
    if (stranger !== undefined) throw new MissingShardError(missing(...stranger));
  };
  try {
    const database = ShardDatabase.open(path, { schema: SHARD_SCHEMA, recognise, ...options });
    // One that was made before shards noted their store.
    const isNoted = options.readOnly === true || getMeta(database.file, STORE_ID) !== undefined;
    if (!isNoted) putMeta(database.file, STORE_ID, options.storeId);
    return database;
  } catch (thrown) {
    throw asMissing(thrown, missing) ?? thrown;
  }
}

/** Undefined for what says nothing about this one file: a full disk, a filesystem that is read only, a bug. */
function asMissing(
  thrown: unknown,
  missing: (state: MissingState, reason: string) => MissingShard,
): MissingShardError | undefined {
  if (thrown instanceof StoreError && thrown.code === 'not-a-store')
    return new MissingShardError(missing('foreign', 'is not part of a pacsfs store'), { code: thrown.code });
  const cause = thrown instanceof StoreError ? thrown.cause : thrown;
  const code = sqliteCode(cause);
  const reason = `cannot be opened: SQLite says ${code}`;
  if (/^SQLITE_(CORRUPT|NOTADB|FORMAT|ERROR)/.test(code))
    return new MissingShardError(missing('damaged', reason), { cause });
  if (/^SQLITE_(IOERR|CANTOPEN|PERM|AUTH)/.test(code))
    return new MissingShardError(missing('unreadable', reason), { cause });
  return undefined;
}

/** Why it is not this one. Shards of early versions say neither their number nor their store. */
function strangerOf(
  meta: (key: string) => unknown,
  { shard, storeId, allowUnfinished }: ShardOpen & { readonly shard: ShardId },
): [state: MissingState, reason: string] | undefined {
  const store = meta(STORE_ID);
  if (store !== undefined && store !== storeId) return ['foreign', `is of store ${store}, expected ${storeId}`];
  const number = meta(SHARD_NUMBER);
  if (number !== undefined && number !== shard)
    return ['foreign', `is shard ${number}, expected shard ${shard}: files were mixed up`];
  if (meta(UNFINISHED) === undefined || allowUnfinished === true) return undefined;
  return ['unfinished', 'was being made anew by a repair that was interrupted'];
}
