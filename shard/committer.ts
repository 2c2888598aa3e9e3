/**
 * Makes what is applied durable, and keeps the logs of the databases and the space of their disk within bounds. Until
 * the journal is on disk this is all there is: a crash between two commits of one barrier can leave one shard ahead of
 * another. `system.db` is therefore committed last and every time: a shard with a higher LSN than it tells of that.
 */
import { assert } from '../base/assert.ts';
import type { Backing } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import { applyMutations } from './apply.ts';
import type { Ballast } from './ballast.ts';
import type { StoreDatabases } from './databases.ts';
import type { Journal } from './journal.ts';

/** How long a look at the disk's free space counts. */
const SPACE_MEMORY_MS = 100;
/** Rows written without a barrier from which nothing new should be made: about 100 MB of memory. */
const MAX_PENDING_ROWS = 100_000;

export interface CommitterOptions {
  /** The metadata folder. */
  readonly folder: string;
  readonly backing: Backing;
  readonly ballast: Ballast;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of one database's log from which it is checkpointed. */
  readonly walLimit: number;
  /** Free bytes of the metadata filesystem under which nothing new should be made. */
  readonly reserve: number;
}

/** How much room the metadata filesystem has: for whatever comes, for what makes nothing new, or for commits only. */
type Room = 'enough' | 'low' | 'critical';

export class Committer {
  readonly #databases: StoreDatabases;
  readonly #options: CommitterOptions;
  #durable: Lsn;
  #room: Room = 'enough';
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(databases: StoreDatabases, options: CommitterOptions) {
    this.#databases = databases;
    this.#options = options;
    this.#durable = databases.highestLsn();
  }

  /** Everything up to here survives power loss. */
  get durable(): Lsn {
    return this.#durable;
  }

  /** Rows written since the last barrier, over all databases. */
  get pendingRows(): number {
    const { shards, system } = this.#databases;
    return shards.reduce((rows, shard) => rows + shard.file.rows, system.file.rows);
  }

  /** ENOSPC: the disk is full, and nothing but durability is lost: all is still applied and can be tried again. */
  barrier(lsn: Lsn): Result<void> {
    if (lsn === this.#durable && this.pendingRows === 0) return;
    const { shards, system } = this.#databases;
    const { ballast, journal, log, walLimit } = this.#options;
    if (!this.#commitAll(lsn)) {
      log.warn({ lsn }, 'Metadata disk is full: releasing the ballast file');
      ballast.release();
      if (!this.#commitAll(lsn)) return E.ENOSPC;
    }
    this.#durable = lsn;
    journal.release(lsn);
    const room = this.#look();
    // With little room the logs are used over again rather than lengthened.
    const limit = room === 'enough' ? walLimit : 0;
    for (const { file } of [...shards, system]) if (file.walBytes > limit) file.checkpoint();
    if (!ballast.present && room === 'enough') ballast.restore();
  }

  /**
   * Order of durability: shards, then `system.db`, which says that all shards have reached `lsn`. SQLite rolls a
   * transaction back when its commit finds the disk full; then the records since the last barrier are applied again,
   * to all databases, which changes nothing where they have been applied.
   */
  #commitAll(lsn: Lsn): boolean {
    const { shards, system } = this.#databases;
    for (const database of [...shards, system]) {
      if (!database.file.dirty && database !== system) continue;
      if (database.commit(lsn)) continue;
      // What its log holds goes into the database, so that the next commit finds room in the log as it is.
      database.file.checkpoint();
      for (const record of this.#options.journal.readFrom((this.#durable + 1) as Lsn)) {
        applyMutations(this.#databases, record.mutations);
      }
      return false;
    }
    return true;
  }

  /**
   * Commits a change of `system.db` alone, outside of records: `change` is called once more when the disk was full and the
   * ballast has been released. False when it is full even then. Nothing else may be pending.
   */
  commitSystem(change: () => void): boolean {
    const { system } = this.#databases;
    assert(this.pendingRows === system.file.rows, 'Shards have changes that await a barrier');
    change();
    if (system.commit(this.#durable)) return true;
    this.#options.ballast.release();
    change();
    return system.commit(this.#durable);
  }

  /** Moves every log into its database, as far as readers elsewhere allow. */
  checkpoint(): void {
    for (const { file } of [...this.#databases.shards, this.#databases.system]) if (!file.dirty) file.checkpoint();
  }

  /** Whether the metadata filesystem, or the barrier, is so far behind that nothing new should be made. */
  low(): boolean {
    return this.#look() !== 'enough' || this.pendingRows > MAX_PENDING_ROWS;
  }

  /** Whether what is left must be kept for commits, deletes above all: nothing may grow any more. */
  critical(): boolean {
    return this.#look() === 'critical';
  }

  /** Room that is used up is noticed within a time, room that comes back at once. */
  #look(): Room {
    const { backing, ballast, clock, folder, reserve } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#room === 'enough' && nowMs - this.#lookedMs < SPACE_MEMORY_MS) return this.#room;
    this.#lookedMs = nowMs;
    const space = backing.space(folder);
    // One that cannot be asked is not called full.
    if (isErrno(space)) return this.#room;
    // A small disk keeps an eighth of itself at most; what the ballast has released is not there for others.
    const limit = Math.min(reserve, space.total / 8);
    const left = space.available - (ballast.present ? 0 : Math.min(ballast.size, space.total / 4));
    this.#room = left >= limit ? 'enough' : left >= limit / 2 ? 'low' : 'critical';
    return this.#room;
  }
}
