/** Makes the metadata folder of a new store: the shards, then `system.db`, without which none of it is a store. */
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { assert } from '../base/assert.ts';
import type { Backing } from '../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { SIPHASH_KEY_BYTES } from '../base/siphash.ts';
import type { Timespec } from '../base/time.ts';
import { type Lsn, ROOT_INO, type ShardId, SLOT_COUNT, type Slot, slotOf } from '../base/units.ts';
import { BALLAST_BYTES, Ballast } from './ballast.ts';
import { emptyInode } from './empty_inode.ts';
import { ShardFailure, sqliteCode } from './failure.ts';
import { Journal } from './journal/journal.ts';
import { HAS_JOURNAL } from './journal/recovery.ts';
import type { JournalShape } from './journal/shape.ts';
import { POSITION_LIMIT, partitionSlot, SINGLE_PARTITION } from './partition_map.ts';
import type { Inode } from './rows.ts';
import { SHARD_SCHEMA, SYSTEM_SCHEMA } from './schema.ts';
import { ShardDatabase } from './shard_database.ts';
import { putMeta, STORE_ID } from './shard_identity.ts';
import { SqliteFile } from './sqlite_file.ts';
import { SystemDatabase } from './system_database.ts';

export const MAX_SHARDS = 256;
const FIRST_LSN = 1 as Lsn;

export interface FormatOptions {
  /** UUID of the store. */
  readonly storeId: string;
  /** 1 to 256. */
  readonly shardCount: number;
  /** Times of the root directory. */
  readonly now: Timespec;
  readonly volumes: readonly VolumeRow[];
  /** Permission bits of the root directory; default 0755. */
  readonly rootMode?: number;
  readonly rootUid?: number;
  readonly rootGid?: number;
  /** Default: drawn by chance. */
  readonly hashKey?: Uint8Array;
  readonly backing?: Backing;
  /** Default 16 MiB; 0 = none, for tests. */
  readonly ballastBytes?: number;
  /** The store's last LSN; default 1, that of the root directory. */
  readonly lsn?: Lsn;
  readonly journal?: JournalShape;
}

export function systemPath(folder: string): string {
  return join(folder, 'system.db');
}

export function shardFolder(folder: string): string {
  return join(folder, 'shards');
}

export function journalPath(folder: string): string {
  return join(folder, 'journal');
}

export function shardPath(folder: string, shard: number): string {
  return join(shardFolder(folder), `${String(shard).padStart(3, '0')}.db`);
}

/** Writes the metadata of an empty store into `folder`; EEXIST when there is one, else what the disk says. */
export function formatNamespace(folder: string, options: FormatOptions): Result<void> {
  const { shardCount } = options;
  assert(shardCount >= 1 && shardCount <= MAX_SHARDS, `${shardCount} shards, expected 1 to ${MAX_SHARDS}`);
  const backing = options.backing ?? new PosixBacking();
  if (!isErrno(backing.stat(systemPath(folder)))) return E.EEXIST;
  const outcome = backing.makeFolder(shardFolder(folder));
  if (outcome < 0) return errnoOf(-outcome);
  try {
    // Shards before system.db: a format that was interrupted leaves no store. Each commit is durable by itself.
    for (let shard = 0; shard < shardCount; shard++) {
      if (!isErrno(backing.stat(shardPath(folder, shard)))) return E.EEXIST;
      const made = makeShard(folder, shard as ShardId, options);
      if (isErrno(made)) return made;
    }
    const flushed = backing.flushFolder(shardFolder(folder));
    if (flushed < 0) return errnoOf(-flushed);
    const made = makeSystem(folder, options);
    if (isErrno(made)) return made;
  } catch (thrown) {
    return formatError(thrown);
  }
  const { storeId, lsn = FIRST_LSN, journal: shape = {} } = options;
  const journal = Journal.create(backing, { path: journalPath(folder), storeId, lsn, shape });
  if (journal < 0) return errnoOf(-journal);
  const ballast = new Ballast(backing, { folder, size: options.ballastBytes ?? BALLAST_BYTES });
  const written = ballast.restore();
  // A small disk goes without: the store then gives ENOSPC a little earlier.
  if (written < 0 && written !== -E.ENOSPC.number) return errnoOf(-written);
  const flushed = backing.flushFolder(folder);
  return flushed < 0 ? errnoOf(-flushed) : undefined;
}

function formatError(thrown: unknown): Result<void> {
  const code = sqliteCode(thrown instanceof ShardFailure ? thrown.cause : thrown);
  if (code === 'SQLITE_FULL') return E.ENOSPC;
  if (code === 'SQLITE_READONLY' || code.startsWith('SQLITE_READONLY_')) return E.EROFS;
  if (code === 'SQLITE_CANTOPEN') return E.EACCES;
  if (code === '') throw thrown;
  return E.EIO;
}

function shardOfSlot(slot: Slot, shardCount: number): ShardId {
  return (slot % shardCount) as ShardId;
}

function makeShard(folder: string, shard: ShardId, options: FormatOptions): Result<void> {
  const file = SqliteFile.create(shardPath(folder, shard), { schema: SHARD_SCHEMA, now: options.now });
  try {
    const database = new ShardDatabase(file);
    database.putNumber(shard);
    putMeta(file, STORE_ID, options.storeId);
    if (shardOfSlot(slotOf(ROOT_INO), options.shardCount) === shard) putRoot(database, options);
    if (!database.commit(FIRST_LSN)) return E.ENOSPC;
  } finally {
    file.close();
  }
}

function putRoot(database: ShardDatabase, options: FormatOptions): void {
  const { now } = options;
  const mode = 0o040000 | ((options.rootMode ?? 0o755) & 0o7777);
  const root: Inode = {
    ...emptyInode(ROOT_INO, mode, now),
    uid: options.rootUid ?? 0,
    gid: options.rootGid ?? 0,
    lsn: FIRST_LSN,
    partitions: SINGLE_PARTITION,
  };
  database.putInode({ kind: 'inode', inode: root, lists: 0, own: 'keep', orphan: 'keep' });
  database.putPartition({
    slot: partitionSlot(ROOT_INO, 0),
    dir: ROOT_INO,
    index: 0,
    entries: 0,
    directories: 0,
    changed: now,
    lsn: FIRST_LSN,
    boundary: POSITION_LIMIT,
  });
}

function makeSystem(folder: string, options: FormatOptions): Result<void> {
  const file = SqliteFile.create(systemPath(folder), { schema: SYSTEM_SCHEMA, now: options.now });
  try {
    const system = new SystemDatabase(file);
    system.putMeta('store_id', options.storeId);
    system.putMeta('hash_key', options.hashKey ?? randomFillSync(new Uint8Array(SIPHASH_KEY_BYTES)));
    system.putMeta('shard_count', options.shardCount);
    system.putMeta('starts', 0);
    system.putMeta(HAS_JOURNAL, 1);
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      system.putSlot(slot as Slot, shardOfSlot(slot as Slot, options.shardCount));
    }
    for (const volume of options.volumes) system.putVolume(volume);
    if (!system.commit(FIRST_LSN)) return E.ENOSPC;
  } finally {
    file.close();
  }
}
