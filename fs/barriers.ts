/**
 * Barriers: what makes everything acknowledged so far survive power loss. One answers all who wait when it begins; who
 * comes later waits for the next. It takes its LSN at the beginning, its flushes run on workers, and requests go on:
 *
 *     idle -> what was packed is flushed -> BARRIER is appended -> the journal is flushed -> idle
 *
 * Where somebody waits, and all that was packed was packed for fsyncs, both are flushed at once: the journal then says by
 * which bytes one can tell after a power cut whether it counts.
 *
 *     idle -> CLAIM is appended -> what was packed and the journal are flushed -> BARRIER is appended -> idle
 */
import type { PackResult } from '../aggregate/pack.ts';
import type { FlushBatch } from '../aggregate/store.ts';
import { assert } from '../base/assert.ts';
import type { FlushTarget } from '../base/backing.ts';
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Lsn } from '../base/units.ts';
import type { FlushOutcome } from '../shard/journal/flush_outcome.ts';
import type { Core } from './core.ts';
import type { FlushJobs } from './flush_jobs.ts';
import { PunchJobs } from './punch_jobs.ts';
import { Deferred, type WorkerDone, type WorkerJobs } from './types.ts';
import { UnlinkJobs } from './unlink_jobs.ts';

/** Uncommitted rows from which a barrier is made at once; fewer where the disk has little room. */
const ROWS_A_BARRIER = 50_000;
const ROWS_A_BARRIER_TIGHT = 200;

/** How long a barrier is put off at most for others to join it. */
const COMPANY_MS = 5;

interface Barrier {
  /** Everything up to here is durable when it is done. */
  readonly lsn: Lsn;
  /** What it flushes before the journal. */
  readonly batch: FlushBatch;
  readonly waiters: readonly Deferred<void>[];
  readonly listeners: readonly (() => void)[];
}

/** What has become of the flush of a barrier's data, and of the journal where that was flushed beside it. */
interface Told {
  readonly outcomes: readonly number[];
  readonly journal: readonly FlushTarget[] | undefined;
}

export interface BarrierTools {
  readonly workers: WorkerJobs;
  readonly flushes: FlushJobs;
  /** Waits here for a worker that packs, and takes its result in. */
  readonly awaitPack: (job: number) => void;
}

export class Barriers {
  readonly #core: Core;
  readonly #awaitPack: (job: number) => void;
  readonly #flushes: FlushJobs;
  readonly #unlinks: UnlinkJobs;
  readonly #punches: PunchJobs;
  #waiting: Deferred<void>[] = [];
  #listeners: (() => void)[] = [];
  #underWay: Barrier | undefined;
  /** Jobs that flush what the barrier under way has flushed: they may have been told of a failure that it was not told of. */
  #unheard: { readonly packs: Set<number>; readonly goOn: () => void } | undefined;
  #lastMs: number;
  /** When the first of those who wait came. */
  #firstMs = 0;
  /** Databases found no room to commit since the last one began: it is tried again in its time. */
  #hasFailed = false;
  /** Barriers made so far. */
  made = 0;

  constructor(core: Core, tools: BarrierTools) {
    this.#core = core;
    this.#flushes = tools.flushes;
    this.#awaitPack = tools.awaitPack;
    this.#unlinks = new UnlinkJobs(core.data, tools.workers);
    this.#punches = new PunchJobs(core.data, tools.workers);
    this.#lastMs = core.clock.monotonicMs();
  }

  /** Settled by the next barrier: everything recorded by now is durable then. Bytes of own files are the caller's. */
  wait(): Deferred<void> {
    const deferred = new Deferred<void>();
    if (this.#waiting.length === 0) this.#firstMs = this.#core.clock.monotonicMs();
    this.#waiting.push(deferred);
    return deferred;
  }

  /** Called when the next barrier that begins has ended; asks for none. */
  afterNext(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** The disk was too full for a database to commit what a barrier covers. */
  noteFull(): void {
    this.#hasFailed = true;
  }

  /** Whether everything recorded by now is durable already. */
  get isDurable(): boolean {
    const { namespace, broken } = this.#core;
    return broken === undefined && namespace.lsn === namespace.durableLsn;
  }

  /** Removals of own files that a barrier has let go. */
  get unlinks(): UnlinkJobs {
    return this.#unlinks;
  }

  /** A worker has given room back. */
  removed(done: Extract<WorkerDone, { readonly kind: 'punch' | 'unlink' }>): void {
    if (done.kind === 'punch') this.#punches.finish(done.id);
    else this.#unlinks.finish(done.id, done.outcomes);
  }

  /** Ranges of aggregates that a barrier has let go. */
  get punches(): PunchJobs {
    return this.#punches;
  }

  get isUnderWay(): boolean {
    return this.#underWay !== undefined;
  }

  get isIdle(): boolean {
    return this.#underWay === undefined && this.#waiting.length === 0;
  }

  /**
   * Begins a barrier when one is asked for or due; returns the milliseconds until the next is due. Who waits is joined by
   * those whose bytes are about to be durable, if they come at once.
   */
  tick(nowMs: number, isCompanyComing = false): number {
    const { commitIntervalMs } = this.#core.options;
    if (this.#underWay !== undefined) return commitIntervalMs;
    const due = this.#lastMs + commitIntervalMs - nowMs;
    if (this.#waiting.length === 0 && due > 0 && !this.#isBehind(nowMs)) return due;
    const heldMs = this.#firstMs + COMPANY_MS - nowMs;
    if (due > 0 && heldMs > 0 && isCompanyComing) return heldMs;
    this.#begin();
    return commitIntervalMs;
  }

  /**
   * One barrier here and now, over everything recorded by now, and all databases commit: at the end, and when they cannot
   * wait. The one under way ends before it: what workers flush must not be flushed again here while their outcomes are not
   * known, for that could succeed where theirs has failed.
   */
  make(): Result<void> {
    const core = this.#core;
    while (this.#underWay !== undefined) {
      assert(!this.#flushes.isIdle || this.#unheard !== undefined, 'Nobody flushes for the barrier under way');
      for (const job of [...(this.#unheard?.packs ?? [])]) this.#awaitPack(job);
      this.#flushes.awaitShort();
    }
    for (const job of core.data.packing.flushing()) this.#awaitPack(job);
    const barrier = this.#start();
    if (core.broken !== undefined) return this.#fail(barrier, core.broken);
    this.#flushes.count += barrier.batch.targets.length;
    if (isErrno(core.data.flush(barrier.batch))) return this.#fail(barrier, 'Cannot flush what was packed');
    const isNeeded = core.namespace.durableLsn < barrier.lsn;
    const committed = core.namespace.barrier();
    this.#hasFailed = isErrno(committed);
    // The journal has it all, durably: on a full disk the databases follow when there is room.
    if (isErrno(committed) && core.namespace.durableLsn < barrier.lsn) return this.#answer(barrier, committed);
    if (isNeeded) this.#flushes.count += 1;
    this.#unlinks.removeNow();
    return this.#finish(barrier, isNeeded);
  }

  /** Rows that await a commit take memory, and room in the databases' logs once they are written. */
  #isBehind(nowMs: number): boolean {
    const { namespace } = this.#core;
    const rows = namespace.pendingRows;
    if (this.#hasFailed) return false;
    return rows > ROWS_A_BARRIER || (rows > ROWS_A_BARRIER_TIGHT && namespace.tight()) || namespace.isDue(nowMs);
  }

  /** From here on it is fixed what the barrier covers, and what may go once it is done. */
  #start(): Barrier {
    const core = this.#core;
    const waiters = this.#waiting;
    this.#waiting = [];
    const listeners = this.#listeners;
    this.#listeners = [];
    this.#lastMs = core.clock.monotonicMs();
    this.#hasFailed = false;
    const deletable = core.broken === undefined ? core.data.ledger.deletableAggregates() : [];
    if (deletable.length > 0) {
      const record = core.namespace.begin();
      for (const id of deletable) record.deleteAggregate(id);
      core.commit(record);
    }
    core.data.barrierBegins();
    return { lsn: core.namespace.lsn, batch: core.data.takeFlush(), waiters, listeners };
  }

  /** Order of durability: what was packed, then the journal, whose records name it. */
  #begin(): void {
    const barrier = this.#start();
    const core = this.#core;
    const { broken } = core;
    if (broken !== undefined) {
      this.#fail(barrier, broken);
      return;
    }
    this.#underWay = barrier;
    core.namespace.barrierBegins(this.#lastMs);
    const journal = this.#claim(barrier);
    const targets = [...barrier.batch.targets, ...(journal ?? [])];
    if (targets.length === 0) this.#flushJournal(barrier);
    else this.#flushes.post(targets, { done: (outcomes) => this.#flushed(barrier, { outcomes, journal }) });
  }

  /** What is to be flushed of the journal beside the data; undefined where the data comes first. */
  #claim({ lsn, batch, waiters }: Barrier): readonly FlushTarget[] | undefined {
    const { namespace } = this.#core;
    // The first one covers what a daemon before has written, and nobody can tell what that was.
    if (batch.ranges === undefined || waiters.length === 0 || this.made === 0) return undefined;
    if (namespace.durableLsn >= lsn || isErrno(namespace.appendBarrier(lsn, batch.ranges))) return undefined;
    return namespace.journalFlushTargets();
  }

  #flushed(barrier: Barrier, told: Told): void {
    const packs = new Set(this.#core.data.packing.flushing(barrier.batch.aggregates));
    if (packs.size > 0) this.#unheard = { packs, goOn: () => this.#flushedAll(barrier, told) };
    else this.#flushedAll(barrier, told);
  }

  /** What has become of a job that packs, which is about to be taken in. */
  packed({ id, flushed }: PackResult): void {
    if (flushed !== undefined) this.#flushes.count += 1;
    if (flushed !== undefined && flushed < 0) this.#core.markBroken('Cannot flush what was packed');
    const unheard = this.#unheard;
    unheard?.packs.delete(id);
    if (unheard === undefined || unheard.packs.size > 0) return;
    this.#unheard = undefined;
    unheard.goOn();
  }

  /** A claim whose data could not be flushed stays one: nothing that follows it in the journal confirms it. */
  #flushedAll(barrier: Barrier, { outcomes, journal }: Told): void {
    const { targets } = barrier.batch;
    const flushed = this.#core.data.flushDone(barrier.batch, outcomes.slice(0, targets.length));
    if (!isErrno(flushed) && this.#core.broken === undefined) {
      if (journal === undefined) this.#flushJournal(barrier);
      else this.#journalFlushed(barrier, journal, outcomes.slice(targets.length));
      return;
    }
    this.#underWay = undefined;
    this.#fail(barrier, 'Cannot flush what was packed');
    // Told once by the host: nobody may believe another flush of it.
    if (journal !== undefined)
      this.#core.namespace.barrierFlushed(barrier.lsn, told(journal, outcomes.slice(targets.length)), false);
  }

  #flushJournal(barrier: Barrier): void {
    const { namespace } = this.#core;
    if (namespace.durableLsn >= barrier.lsn) {
      this.#underWay = undefined;
      this.#finish(barrier, false);
      return;
    }
    const appended = namespace.appendBarrier(barrier.lsn);
    if (isErrno(appended)) {
      this.#underWay = undefined;
      this.#answer(barrier, appended);
      return;
    }
    const journal = namespace.journalFlushTargets();
    if (journal.length === 0) this.#journalFlushed(barrier, [], []);
    else this.#flushes.post(journal, { done: (outcomes) => this.#journalFlushed(barrier, journal, outcomes) });
  }

  #journalFlushed(barrier: Barrier, journal: readonly FlushTarget[], outcomes: readonly number[]): void {
    // A journal of the store's own that cannot be flushed ends the daemon, one in another folder is written no more.
    this.#core.namespace.barrierFlushed(barrier.lsn, told(journal, outcomes));
    this.#underWay = undefined;
    this.#finish(barrier, true);
  }

  /**
   * Only now may bytes go that no row names any more, and databases commit (`turn`); whoever waits goes first. What broke
   * while the journal was flushed may be what they wait for.
   */
  #finish(barrier: Barrier, isCounted: boolean): Result<void> {
    const core = this.#core;
    if (isCounted) this.made += 1;
    const answered = this.#answer(barrier, core.broken === undefined ? undefined : E.EIO);
    this.#unlinks.post();
    core.data.barrierDone();
    this.#punches.post();
    return answered;
  }

  /** What a record names may be lost: nothing is called durable any more. */
  #fail(barrier: Barrier, reason: string): Result<void> {
    this.#core.markBroken(reason);
    return this.#answer(barrier, E.EIO);
  }

  #answer(barrier: Barrier, outcome: Errno | undefined): Result<void> {
    for (const waiter of barrier.waiters) waiter.settle(outcome);
    for (const listener of barrier.listeners) listener();
    return outcome;
  }
}

function told(targets: readonly FlushTarget[], outcomes: readonly number[]): FlushOutcome[] {
  return targets.map((target, i) => ({ target, outcome: outcomes[i] ?? -E.EIO.number }));
}
