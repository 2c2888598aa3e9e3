/**
 * The cycle of each database, in which nobody waits for a disk. What comes while a transaction may not grow any more goes
 * into the backlog (backlog.ts), where reads find it:
 *
 *     open: rows go into the transaction, until it is long or old
 *     closed, as a barrier begins: so that the barrier covers all of it
 *     committed, once the barrier is complete; where the log has become long, a worker moves it into the database
 *     (checkpoint.ts), which ends it only because no transaction is open meanwhile
 *     catching up: the backlog is applied, a few rows at a time; then it is open again
 *
 * A transaction is so long that its commit takes `COMMIT_MS`, by what the last ones took.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import { type AnyDatabase, carryOut } from './apply.ts';
import type { CheckpointOutcome } from './checkpoint.ts';
import type { StoreDatabases } from './databases.ts';
import { ShardFailure, sqliteCode } from './failure.ts';

/** What a commit, and a look at the backlog, may take of the control thread's time. */
const COMMIT_MS = 2;
const CATCH_UP_MS = 1;
/** So many mutations that wait are worth another look's time: one that grows is caught up with before it is too long. */
const MUTATIONS_A_LOOK = 4_096;
/** Rows between two looks at the clock. */
const CATCH_UP_ROWS = 16;
const LEAST_ROWS = 64;
/** Transactions that are so far on their way to be long go with a barrier that another one has asked for. */
const COMPANY = 0.5;
/** Mutations in all backlogs, about 1 KB each, from which the cycle has to wait for disks after all. */
const MAX_BACKLOG = 65_536;
/** How often a log that holds up the journal is tried to be moved, at most. */
const MOVE_AGAIN_MS = 1_000;

type Phase = 'open' | 'closed' | 'moving' | 'catching up';

interface Member {
  readonly database: AnyDatabase;
  phase: Phase;
  /** When it was first seen with an open transaction. */
  dirtySinceMs: number | undefined;
  /** Of the last commits, a row's share. */
  rowMs: number;
  /** Bytes of its log after its last commit, and what the larger of the last commits have added. */
  logBytes: number;
  growth: number;
  /** Commits when its log was given to a worker; undefined when none has it. */
  movedAt: number | undefined;
  /** When one was given it last. */
  moveMs: number;
}

export interface CycleOptions {
  readonly clock: Clock;
  /** A transaction of so many rows wants a barrier. One that is so old goes with the next, at twice the age it wants one. */
  readonly shardTxnRows: number;
  readonly shardTxnMs: number;
  /** Commits; false when the disk was full, and everything is open again. */
  readonly commit: (database: AnyDatabase) => boolean;
  /** Moves a log on this thread. */
  readonly moveHere: (database: AnyDatabase) => void;
  /** Whether a log of so many bytes is to be moved. */
  readonly isLong: (database: AnyDatabase, bytes: number) => boolean;
  /** Whether it is to be committed, and its log moved, however little there is. */
  readonly isWanted: (database: AnyDatabase) => boolean;
  /** Whether databases that are seldom written keep the journal from being used over again. */
  readonly isJournalShort: () => boolean;
}

export class Cycle {
  readonly #databases: StoreDatabases;
  readonly #options: CycleOptions;
  readonly #members: Member[] = [];
  /** Logs that a worker is to move. */
  #moves: Member[] = [];

  constructor(databases: StoreDatabases, options: CycleOptions) {
    this.#databases = databases;
    this.#options = options;
    this.noteShards();
  }

  /** Databases that were added take part from now on. */
  noteShards(): void {
    for (const database of this.#databases.all) {
      if (this.#members.some((member) => member.database === database)) continue;
      const phase = 'open';
      const moveMs = Number.NEGATIVE_INFINITY;
      const none = { dirtySinceMs: undefined, rowMs: 0, logBytes: 0, growth: 0, movedAt: undefined };
      this.#members.push({ database, phase, moveMs, ...none });
    }
  }

  /** Mutations that are in no transaction yet. */
  get backlog(): number {
    let length = 0;
    for (const { database } of this.#members) length += database.backlog.length;
    return length;
  }

  /** Whether a transaction is so long or old that it wants a barrier. */
  isDue(nowMs: number): boolean {
    let isDue = false;
    for (const member of this.#members) if (this.#isDue(member, nowMs, 1)) isDue = true;
    return isDue;
  }

  /** `factor`: of the rows from which it is long. */
  #isDue(member: Member, nowMs: number, factor: number): boolean {
    const { file } = member.database;
    if (!file.dirty || member.phase !== 'open') return false;
    member.dirtySinceMs ??= nowMs;
    const isAsked = factor === 1;
    if (nowMs - member.dirtySinceMs >= (isAsked ? 2 : 1) * this.#options.shardTxnMs) return true;
    if (file.rows >= factor * this.#rowsOf(member) || this.#options.isWanted(member.database)) return true;
    return this.#options.isJournalShort();
  }

  #rowsOf({ rowMs }: Member): number {
    const { shardTxnRows } = this.#options;
    return rowMs === 0 ? shardTxnRows : Math.min(shardTxnRows, Math.max(LEAST_ROWS, COMMIT_MS / rowMs));
  }

  /** A barrier begins that covers everything recorded so far. Whatever is halfway there goes with it. */
  close(nowMs: number): void {
    for (const member of this.#members) {
      if (!this.#isDue(member, nowMs, COMPANY)) continue;
      member.database.writeDeferred();
      this.#take(member, 'closed');
    }
  }

  #take(member: Member, phase: 'closed' | 'moving'): void {
    const { backlog, file } = member.database;
    member.phase = phase;
    backlog.isTaking = true;
    file.catchUp = () => this.#catchUp(member, Number.POSITIVE_INFINITY);
  }

  /** One step of a few milliseconds at most, with everything up to `durable` covered by barriers. */
  turn(durable: Lsn): 'done' | 'more' | 'disk full' {
    const covered = this.#members.find(
      ({ phase, database: { file } }) => phase === 'closed' && file.highest <= durable,
    );
    if (covered !== undefined) return this.#commit(covered) ? 'more' : 'disk full';
    this.#moveOld(this.#options.isJournalShort());
    const { backlog } = this;
    if (backlog > MAX_BACKLOG) this.#giveUp();
    const behind = this.#members.find(({ phase }) => phase === 'catching up');
    if (behind === undefined) return 'done';
    const wantedMs = CATCH_UP_MS * (1 + backlog / MUTATIONS_A_LOOK);
    this.#catchUp(behind, this.#options.clock.monotonicMs() + wantedMs);
    return 'more';
  }

  #commit(member: Member): boolean {
    const { clock, commit, isLong, isWanted } = this.#options;
    const { database } = member;
    const { rows } = database.file;
    const beganMs = clock.monotonicMs();
    if (!commit(database)) return false;
    const rowMs = (clock.monotonicMs() - beganMs) / Math.max(rows, LEAST_ROWS);
    member.rowMs = member.rowMs === 0 ? rowMs : (3 * member.rowMs + rowMs) / 4;
    const { walBytes } = database.file;
    const added = walBytes > member.logBytes ? walBytes - member.logBytes : walBytes;
    member.logBytes = walBytes;
    member.growth = Math.max(added, 0.75 * member.growth);
    // Two like it would be too many: it stays under its limit unless a transaction is a third of that.
    // A worker that was overtaken answers first: its answer would be taken for that of the next one.
    const isAsked = member.movedAt !== undefined;
    if (!isAsked && (isLong(database, walBytes + 2 * member.growth) || isWanted(database))) this.#move(member);
    else member.phase = 'catching up';
    return true;
  }

  /** `database` has been committed, here or by others. */
  committed(database: AnyDatabase): void {
    const member = this.#members.find((each) => each.database === database);
    if (member === undefined) return;
    member.dirtySinceMs = undefined;
    if (member.phase === 'closed') member.phase = 'catching up';
  }

  #move(member: Member): void {
    this.#take(member, 'moving');
    member.movedAt = member.database.file.commits;
    member.moveMs = this.#options.clock.monotonicMs();
    this.#moves.push(member);
  }

  /** The journal is to be used over again: databases that are seldom written must not keep it. If not, what is wanted. */
  #moveOld(isJournalShort: boolean): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const member of this.#members) {
      const { file } = member.database;
      if (!isJournalShort && !this.#options.isWanted(member.database)) continue;
      if (member.phase !== 'open' || member.movedAt !== undefined) continue;
      if (file.dirty || !Number.isFinite(file.neededFrom)) continue;
      if (nowMs - member.moveMs >= MOVE_AGAIN_MS) this.#move(member);
    }
  }

  /**
   * Logs that begin with the next commit, as all do after a clean end, are begun by workers: SQLite flushes the head of a
   * new one within that commit.
   */
  beginLogs(): void {
    for (const member of this.#members) {
      const { file } = member.database;
      if (member.phase === 'open' && !file.dirty && file.walBytes === 0) this.#move(member);
    }
  }

  /**
   * Databases whose logs a worker is to move, by their paths: `checkpointDatabase`, then `moved`. `wait` returns once it was
   * told what has come of a path: for a row that must be written while the worker writes.
   */
  takeMoves(wait?: (path: string) => void): string[] {
    return this.#moves.splice(0).map(({ database: { file } }) => {
      if (wait !== undefined) file.share(() => wait(file.path));
      return file.path;
    });
  }

  /** What has come of it. Throws `ShardFailure` when a write or a flush has failed: the daemon must end. */
  moved(path: string, outcome: CheckpointOutcome): void {
    const member = this.#members.find(({ database }) => database.file.path === path);
    assert(member !== undefined, `A log was moved of ${path}, which is not open`);
    const { file } = member.database;
    const { movedAt } = member;
    member.movedAt = undefined;
    file.unshare();
    if (outcome.failure !== undefined)
      throw new ShardFailure(`Cannot checkpoint database ${path}: SQLite says ${outcome.failure}`);
    // What was committed meanwhile is not in it.
    if (outcome.isComplete && file.commits === movedAt) file.checkpointed();
    // Whose log nobody else can move moves it here: otherwise the journal would never be used over again.
    if (outcome.cannotOpen === true && !file.dirty) this.#options.moveHere(member.database);
    if (member.phase === 'moving') member.phase = 'catching up';
  }

  /** Whether the backlogs are so long that what workers move has to be waited for. */
  get mustWait(): boolean {
    return this.backlog > MAX_BACKLOG && this.#members.some(({ phase }) => phase === 'moving');
  }

  /** What waits for a barrier that does not come goes on growing, until the next one. */
  #giveUp(): void {
    for (const member of this.#members)
      if (member.phase === 'closed' || member.phase === 'catching up') this.#catchUp(member, Number.POSITIVE_INFINITY);
  }

  /** Everything goes into the transactions, here and now. */
  openAll(): void {
    for (const member of this.#members) if (member.phase !== 'open') this.#catchUp(member, Number.POSITIVE_INFINITY);
  }

  /** Applies the backlog, until `endMs`; a log that is being moved then goes on instead of beginning anew. */
  #catchUp(member: Member, endMs: number): void {
    const { database } = member;
    const { backlog, file } = database;
    const { applying } = this.#databases;
    const { lsn } = applying;
    const { catchUp } = file;
    file.catchUp = undefined;
    try {
      for (let count = 1; ; count++) {
        const next = backlog.first();
        if (next === undefined) break;
        applying.lsn = next.lsn;
        carryOut(database, next.mutation);
        backlog.applied();
        if (count % CATCH_UP_ROWS === 0 && this.#options.clock.monotonicMs() >= endMs) break;
      }
    } catch (thrown) {
      throw new ShardFailure(`Cannot apply record ${applying.lsn}: SQLite says ${sqliteCode(thrown)}`, {
        cause: thrown,
      });
    }
    applying.lsn = lsn;
    if (backlog.length > 0) {
      file.catchUp = catchUp;
      return;
    }
    backlog.isTaking = false;
    member.phase = 'open';
  }
}
