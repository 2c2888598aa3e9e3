/**
 * Brings what the journal has into the databases, and keeps their logs, the journal and the space of their disk within
 * bounds. A database commits only what a completed barrier covers: it can lag the journal, never lead it.
 */
import { assert } from '../base/assert.ts';
import type { Backing } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import type { AnyDatabase } from './apply.ts';
import type { Ballast } from './ballast.ts';
import type { CheckpointOutcome } from './checkpoint.ts';
import { Cycle } from './cycle.ts';
import type { StoreDatabases } from './databases.ts';
import { isLoss, ShardFailure, sqliteCode } from './failure.ts';
import type { Journal } from './journal/journal.ts';
import { replay } from './replay.ts';

/** How long a look at the disk's free space counts. */
const SPACE_MEMORY_MS = 100;
/** Rows written without a commit from which nothing new should be made: about 100 MB of memory. */
const MAX_PENDING_ROWS = 100_000;
/** Part of the journal that must be free for new things to be made, and for anything but deletes. */
const LOW_JOURNAL = 0.25;
/** A little before either it is better to wait for what workers do about it. */
const HELD_ROWS = 80_000;
const HELD_JOURNAL = 0.3;

/** Told of what the databases do, by the path of the database: for the crash suite. */
export interface DatabaseWatcher {
  committed(path: string, lsn: Lsn): void;
  checkpointed(path: string, complete: boolean): void;
  /** The database of a further shard has been made, durably. */
  added?(path: string): void;
}

export interface CommitterOptions {
  /** The metadata folder. */
  readonly folder: string;
  readonly backing: Backing;
  readonly ballast: Ballast;
  readonly journal: Journal | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of one database's log from which it is checkpointed. */
  readonly walLimit: number;
  /** Free bytes of the metadata filesystem under which nothing new should be made. */
  readonly reserve: number;
  /** A shard's transaction is committed at so many rows, or when it is so old. */
  readonly shardTxnRows: number;
  readonly shardTxnMs: number;
  readonly watch: DatabaseWatcher | undefined;
  /** Told before the daemon ends because a database could not be written or flushed. */
  readonly onLoss: (reason: string) => void;
}

/** Bytes of the metadata filesystem, and how many there should be; with half of these it is critical. */
interface Room {
  /** Free, whoever may use it. */
  readonly available: number;
  /** Free once the ballast is back in its place. */
  readonly left: number;
  readonly limit: number;
}

export class Committer {
  readonly #databases: StoreDatabases;
  readonly #options: CommitterOptions;
  readonly #cycle: Cycle;
  /** Whose logs are to be moved, however short. */
  readonly #toSettle = new Set<AnyDatabase>();
  #durable: Lsn;
  #room: Room = { available: 0, left: 0, limit: 0 };
  /** The last commits found the disk full. */
  #hasFailed = false;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(databases: StoreDatabases, options: CommitterOptions) {
    this.#databases = databases;
    this.#options = options;
    this.#durable = options.journal?.barrierLsn ?? databases.highestLsn();
    this.#cycle = new Cycle(databases, {
      ...options,
      commit: (database) => !isErrno(this.#commit([database])),
      moveHere: (database) => this.#moveHere(database),
      isLong: ({ file }, bytes) => bytes > this.#logLimit || (this.#isJournalShort && Number.isFinite(file.neededFrom)),
      isWanted: (database) => this.#toSettle.has(database),
      isJournalShort: () => this.#isJournalShort,
    });
  }

  /** Everything up to here survives power loss. */
  get durable(): Lsn {
    return this.#durable;
  }

  /** Rows written since the last commits, over all databases, and those that are to be written. */
  get pendingRows(): number {
    return this.#databases.pendingRows + this.#cycle.backlog;
  }

  /** A barrier up to `lsn` is complete. */
  barrierDone(lsn: Lsn): void {
    if (lsn > this.#durable) this.#durable = lsn;
  }

  /**
   * Commits every database that the last barrier covers wholly. ENOSPC: the disk is full, and nothing is lost: all is
   * still applied, in the journal, and can be tried again.
   */
  commitAll(): Result<void> {
    const outcome = this.#commit(this.#databases.all.filter(({ file }) => file.dirty && file.highest <= this.#durable));
    this.#checkpointLong();
    return outcome;
  }

  // The cycle of the databases beside everything else: cycle.ts

  /** Whether a transaction, or the journal, wants a barrier. */
  isDue(nowMs: number): boolean {
    return this.#cycle.isDue(nowMs);
  }

  /** A barrier begins: transactions that are due are to be committed once it is complete. */
  barrierBegins(nowMs: number): void {
    this.#cycle.close(nowMs);
  }

  /** One step: true when there is more to do at once. ENOSPC as for `commitAll`. */
  turn(): Result<boolean> {
    const outcome = this.#cycle.turn(this.#durable);
    return outcome === 'disk full' ? E.ENOSPC : outcome === 'more';
  }

  /** Databases were added. */
  noteShards(): void {
    this.#cycle.noteShards();
  }

  /**
   * Whether all that a database held at `lsn` survives power loss without the journal. If not, it goes with the next barrier
   * however short its transaction is, and its whole log is moved into it.
   */
  settle(database: AnyDatabase, lsn: Lsn): boolean {
    const isSettled = database.file.neededFrom > lsn;
    if (isSettled) this.#toSettle.delete(database);
    else this.#toSettle.add(database);
    return isSettled;
  }

  beginLogs(): void {
    this.#cycle.beginLogs();
  }

  takeMoves(wait?: (path: string) => void): string[] {
    return this.#cycle.takeMoves(wait);
  }

  #moveHere(database: AnyDatabase): void {
    const { path } = database.file;
    this.#options.log.warn({ path }, 'A worker cannot open a database to move its log: it is moved between requests');
    this.#checkpointOne(database);
  }

  moved(path: string, outcome: CheckpointOutcome): void {
    if (outcome.failure !== undefined) this.#noteLoss(path, outcome.failure);
    this.#cycle.moved(path, outcome);
    this.#options.journal?.release(this.#databases.neededFrom as Lsn);
  }

  get mustWait(): boolean {
    return this.#cycle.mustWait;
  }

  /** Everything goes into open transactions: what follows is done here and now. */
  openAll(): void {
    this.#cycle.openAll();
  }

  #commit(due: readonly AnyDatabase[]): Result<void> {
    const { ballast } = this.#options;
    // All are tried: one that commits and is moved into its database leaves room in its log.
    // Once one has failed, what came since is in the transactions of all: those wait for the next barrier.
    const isLeft = (database: AnyDatabase) => database.file.highest > this.#durable || !this.#commitOne(database);
    const failed = due.filter(isLeft);
    if (failed.length > 0) {
      this.#releaseBallast();
      this.#hasFailed = true;
      if (failed.filter(isLeft).length > 0) return E.ENOSPC;
    }
    if (due.length > 0) this.#hasFailed = false;
    if (!ballast.present && !this.tight()) ballast.restore();
  }

  /**
   * SQLite rolls a transaction back when its commit finds the disk full; the journal has what was in it, and it is applied
   * again to the databases that lack it.
   */
  #commitOne(database: AnyDatabase): boolean {
    const { file } = database;
    assert(
      file.highest <= this.#durable,
      `Commit of ${file.path} at ${file.highest} ahead of the barrier ${this.#durable}`,
    );
    // Whole up to where its backlog begins.
    const whole = Math.min(this.#durable, database.backlog.from - 1) as Lsn;
    if (this.#noting(file, () => database.commit(whole))) {
      this.#cycle.committed(database);
      this.#options.watch?.committed(file.path, whole);
      return true;
    }
    // What was to come is in the journal too, and may be for copies of slots that are gone with the transaction.
    database.backlog.clear();
    this.#databases.noteCopies();
    // What its log holds goes into the database, so that the next commit finds room in the log as it is.
    this.#checkpointOne(database);
    const { journal } = this.#options;
    if (journal === undefined) return false;
    this.#cycle.openAll();
    const { lsn } = this.#databases.applying;
    replay(this.#databases, journal.readFrom((file.lsn + 1) as Lsn));
    this.#databases.applying.lsn = lsn;
    return false;
  }

  #noting<T>({ path }: { readonly path: string }, act: () => T): T {
    try {
      return act();
    } catch (thrown) {
      if (thrown instanceof ShardFailure) this.#noteLoss(path, sqliteCode(thrown.cause));
      throw thrown;
    }
  }

  #noteLoss(path: string, code: string): void {
    if (isLoss(code)) this.#options.onLoss(`Cannot write or flush ${path}: SQLite says ${code}`);
  }

  #releaseBallast(): void {
    const { ballast, log } = this.#options;
    if (!this.#hasFailed) log.warn({ lsn: this.#durable }, 'Metadata disk is full: releasing the ballast file');
    ballast.release();
  }

  /** Makes room for the journal on a full disk, where it cannot be used over again; false when there is none to make. */
  makeRoom(): boolean {
    const { ballast, journal } = this.#options;
    this.commitAll();
    for (const { file } of this.#databases.all) if (!file.dirty) file.checkpoint();
    journal?.release(this.#databases.neededFrom as Lsn);
    const hadBallast = ballast.present;
    this.#releaseBallast();
    return hadBallast || (journal?.free(false) ?? 1) > 0;
  }

  #checkpointOne(database: AnyDatabase): boolean {
    const { file } = database;
    const isComplete = this.#noting(file, () => file.checkpoint());
    this.#options.watch?.checkpointed(file.path, isComplete);
    return isComplete;
  }

  /** With little room the logs are used over again rather than lengthened. */
  get #logLimit(): number {
    return this.tight() ? 0 : this.#options.walLimit;
  }

  /** A database that is seldom written must not keep the journal from being used over again. */
  get #isJournalShort(): boolean {
    const { journal } = this.#options;
    return journal !== undefined && journal.free(!this.tight()) < 0.5;
  }

  #checkpointLong(): void {
    const limit = this.#logLimit;
    for (const database of this.#databases.all) {
      const { file } = database;
      if (!file.dirty && (this.#toSettle.has(database) || file.walBytes > limit)) this.#checkpointOne(database);
    }
    const { journal } = this.#options;
    if (journal === undefined) return;
    journal.release(this.#databases.neededFrom as Lsn);
    if (!this.#isJournalShort) return;
    for (const database of this.#databases.all) {
      if (!database.file.dirty && Number.isFinite(database.file.neededFrom)) this.#checkpointOne(database);
    }
    journal.release(this.#databases.neededFrom as Lsn);
  }

  /** Commits what the last barrier covers and moves every log into its database, as far as readers elsewhere allow. */
  checkpoint(): void {
    this.commitAll();
    for (const database of this.#databases.all) if (!database.file.dirty) this.#checkpointOne(database);
    this.#options.journal?.release(this.#databases.neededFrom as Lsn);
  }

  /** Whether the metadata filesystem, the journal, or the barrier is so far behind that nothing new should be made. */
  low(): boolean {
    const { journal } = this.#options;
    const { available, left, limit } = this.#look();
    if (journal !== undefined && journal.free(left >= limit) < LOW_JOURNAL) return true;
    // Room within the databases is room for rows, but no filesystem tells of it; what commits them goes through logs first,
    // which need room of the filesystem.
    const isFull = left < limit && (available < limit || left + this.#freeBytes() < limit);
    return isFull || this.#hasFailed || this.pendingRows > MAX_PENDING_ROWS;
  }

  /** Whether so much waits for a barrier, for commits or for logs that are moved that nothing should be added meanwhile. */
  get isBehind(): boolean {
    const { journal } = this.#options;
    return this.pendingRows > HELD_ROWS || (journal !== undefined && journal.free(!this.tight()) < HELD_JOURNAL);
  }

  /** Whether there is so little room that barriers should be small: a commit then finds room in the logs as they are. */
  tight(): boolean {
    const { left, limit } = this.#look();
    return left < limit;
  }

  /** Whether what is left must be kept for commits, deletes above all: no file may grow into it. */
  critical(): boolean {
    const { left, limit } = this.#look();
    return left < limit / 2;
  }

  /** Whether so little is left, or not kept apart, that nobody may write whom this process does not hear. */
  scarce(): boolean {
    const { left, limit } = this.#look();
    return left < 2 * limit || !this.#options.ballast.present;
  }

  /** What deletes have left free within the databases. */
  #freeBytes(): number {
    return this.#databases.all.reduce((bytes, { file }) => bytes + file.freeBytes, 0);
  }

  /** Room that is used up is noticed within a time, room that comes back at once. */
  #look(): Room {
    const { backing, ballast, clock, folder, reserve } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#room.left >= this.#room.limit && nowMs - this.#lookedMs < SPACE_MEMORY_MS) return this.#room;
    this.#lookedMs = nowMs;
    const space = backing.space(folder);
    // One that cannot be asked is not called full.
    if (isErrno(space)) return this.#room;
    // A small disk keeps an eighth of itself at most; what the ballast has released is not there for others.
    const limit = Math.min(reserve, space.total / 8);
    const left = space.available - (ballast.present ? 0 : Math.min(ballast.size, space.total / 4));
    this.#room = { available: space.available, left, limit };
    return this.#room;
  }
}
