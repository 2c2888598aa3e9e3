/**
 * Makes shards anew whose files are lost: from a backup's rows of their slots, if there is one, and from whatever journals
 * still have. What takes the file's place is whole as far as that goes, durable, and marked as unfinished, until the repair
 * that knows more has done its part. What was there is renamed, never written.
 */
import { assert } from '../base/assert.ts';
import type { Backing, BackingFile } from '../base/backing.ts';
import { E, errnoOf, isErrno } from '../base/errno.ts';
import type { Timespec } from '../base/time.ts';
import { type Lsn, MIB, ROOT_INO, type ShardId, slotOf } from '../base/units.ts';
import { carryOut, slotOfMutation } from './apply.ts';
import { readBackup } from './backup/contents.ts';
import { StoreDatabases } from './databases.ts';
import { StoreError } from './failure.ts';
import { journalPath, shardFolder } from './format.ts';
import type { JournalRecord } from './journal/record_codec.ts';
import { SurvivingJournal } from './journal/survivor.ts';
import type { MissingShard } from './missing_shard.ts';
import type { Mutation } from './mutation.ts';
import { SHARD_SCHEMA } from './schema.ts';
import { ShardDatabase } from './shard_database.ts';
import { putMeta, SHARD_NUMBER, STORE_ID, UNFINISHED } from './shard_identity.ts';
import { SqliteFile } from './sqlite_file.ts';

/** Rows of open transactions, at most. */
const PENDING_ROWS = 20_000;
const WAL_LIMIT = 64 * MIB;
const ENDINGS = ['', '-wal', '-shm', '-journal'] as const;
/** LSN of what a format makes: the root directory. */
const FORMAT_LSN = 1;

export interface RefillJob {
  readonly backing: Backing;
  /** The metadata folder. */
  readonly folder: string;
  readonly bootId: string;
  readonly now: Timespec;
  readonly missing: readonly MissingShard[];
  readonly backup?: BackingFile | undefined;
  /** Folders on other disks that the journal was written to as well. */
  readonly journals: readonly string[];
  /** Behind the names of files that were there and are none of this store: `003.db.lost-SUFFIX`. */
  readonly suffix: string;
}

export interface Refilled {
  /** Nothing is missing: the backup and the journals lead up to now without a gap. */
  readonly isComplete: boolean;
  /** Records of journals that were applied. */
  readonly records: number;
}

/** How far a shard that is unfinished came, in its own table `meta`. */
export type RefillState = 'complete' | 'partial';

/** Throws `BackupError` for a backup that cannot be used, `StoreError` for anything else; then nothing has changed. */
export function refillShards(job: RefillJob): Refilled {
  const { folder, now, backing } = job;
  const databases = StoreDatabases.open(folder, { now, readOnly: true, allowMissing: true });
  const refill = new Refill(job, databases);
  try {
    const refilled = refill.run();
    refill.putInPlace();
    return refilled;
  } finally {
    refill.close();
    databases.close();
    for (const { path } of job.missing) removeAll(backing, `${path}.new`);
  }
}

class Refill {
  readonly #job: RefillJob;
  readonly #old: StoreDatabases;
  readonly #shards = new Map<ShardId, ShardDatabase>();
  #records = 0;
  /** Everything up to here is in them. */
  #reached = FORMAT_LSN as Lsn;
  #hasGap = false;

  constructor(job: RefillJob, old: StoreDatabases) {
    this.#job = job;
    this.#old = old;
  }

  run(): Refilled {
    const { backing, missing, now } = this.#job;
    const storeId = this.#old.system.text('store_id');
    for (const { shard, path } of missing) {
      removeAll(backing, `${path}.new`);
      const file = SqliteFile.create(`${path}.new`, { schema: SHARD_SCHEMA, now });
      this.#shards.set(shard, new ShardDatabase(file));
      putMeta(file, SHARD_NUMBER, shard);
      putMeta(file, STORE_ID, storeId);
    }
    this.#takeBackup(storeId);
    this.#takeJournals(storeId);
    const isComplete = !this.#hasGap;
    const state: RefillState = isComplete ? 'complete' : 'partial';
    for (const { file } of this.#shards.values()) putMeta(file, UNFINISHED, state);
    this.#commit(this.#reached);
    for (const { file } of this.#shards.values())
      if (!file.checkpoint()) throw new StoreError('disk-full', `Cannot write ${file.path}: the disk is full`);
    this.close();
    return { isComplete, records: this.#records };
  }

  /** Order: each file has its new name, then, with all of them, the folder is durable. */
  putInPlace(): void {
    const { backing, missing, folder, suffix } = this.#job;
    for (const { path } of missing) {
      for (const ending of ENDINGS) {
        const outcome = backing.rename(`${path}${ending}`, `${path}.lost-${suffix}${ending}`);
        if (outcome !== -E.ENOENT.number) check(outcome, `set ${path}${ending} aside`);
      }
      check(backing.rename(`${path}.new`, path), `name ${path}`);
    }
    check(backing.flushFolder(shardFolder(folder)), `flush ${shardFolder(folder)}`);
  }

  close(): void {
    for (const { file } of this.#shards.values()) file.close();
    this.#shards.clear();
  }

  #takeBackup(storeId: string): void {
    const { backup } = this.#job;
    if (backup === undefined) {
      // What the format made of the root is in no journal.
      this.#hasGap = this.#isLost(slotOf(ROOT_INO));
      return;
    }
    const { lsn } = readBackup(backup, { storeId, take: (mutations) => this.#apply(mutations) });
    this.#reached = lsn;
  }

  /** From the one that goes back furthest on; the store's own is believed about where the history ends. */
  #takeJournals(storeId: string): void {
    const { backing, folder, bootId, journals } = this.#job;
    const opened: SurvivingJournal[] = [];
    const open = (path: string): SurvivingJournal | undefined => {
      const found = SurvivingJournal.open({ backing, path, storeId, bootId });
      if (isErrno(found)) return undefined;
      opened.push(found);
      return found;
    };
    try {
      const own = open(journalPath(folder));
      const highest = this.#old.highestLsn();
      // Commits are of what a barrier has covered; what is behind it the next open applies.
      const end = own?.durableLsn ?? highest;
      const others = journals.flatMap((path) => open(path) ?? []).sort((a, b) => a.firstLsn - b.firstLsn);
      for (const journal of others) this.#follow(journal, end);
      if (own !== undefined) this.#follow(own, end);
      if (this.#reached < Math.max(end, highest)) this.#hasGap = true;
      this.#reached = Math.max(this.#reached, end) as Lsn;
    } finally {
      for (const journal of opened) journal.close();
    }
  }

  #follow(journal: SurvivingJournal, end: Lsn): void {
    for (const record of journal.records((this.#reached + 1) as Lsn)) {
      if (record === undefined) {
        this.#hasGap = true;
        continue;
      }
      if (record.lsn > end) return;
      this.#take(record);
    }
  }

  #take(record: JournalRecord): void {
    if (record.lsn !== this.#reached + 1) this.#hasGap = true;
    this.#apply(record.mutations);
    this.#reached = record.lsn;
    this.#records += 1;
  }

  #isLost(slot: Parameters<StoreDatabases['shardIdOf']>[0]): boolean {
    return this.#shards.has(this.#old.shardIdOf(slot));
  }

  #apply(mutations: Iterable<Mutation>): void {
    for (const mutation of mutations) {
      const slot = slotOfMutation(mutation);
      if (slot === undefined || !this.#isLost(slot)) continue;
      carryOut(this.#shardOf(slot), mutation);
    }
    let rows = 0;
    for (const { file } of this.#shards.values()) rows += file.rows;
    if (rows > PENDING_ROWS) this.#commit(0 as Lsn);
  }

  #shardOf(slot: Parameters<StoreDatabases['shardIdOf']>[0]): ShardDatabase {
    const shard = this.#shards.get(this.#old.shardIdOf(slot));
    assert(shard !== undefined, `Slot ${slot} is in no shard that is made anew`);
    return shard;
  }

  #commit(lsn: Lsn): void {
    for (const shard of this.#shards.values()) {
      if (!shard.commit(lsn)) throw new StoreError('disk-full', `Cannot write ${shard.file.path}: the disk is full`);
      if (shard.file.walBytes > WAL_LIMIT) shard.file.checkpoint();
    }
  }
}

function check(outcome: number, action: string): void {
  if (outcome < 0) throw new StoreError('damaged', `Cannot ${action}: ${errnoOf(-outcome).name}`);
}

function removeAll(backing: Backing, path: string): void {
  for (const ending of ENDINGS) backing.unlink(`${path}${ending}`);
}
