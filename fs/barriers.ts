/**
 * Barriers: what makes everything acknowledged so far survive power loss. All fsyncs that wait share one.
 */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Ino } from '../base/units.ts';
import type { Core } from './core.ts';
import { flushOwn } from './settle.ts';
import { Deferred, type WorkerJobs } from './types.ts';

/** Rows from which a barrier is made at once, whatever the interval says; fewer where the disk has little room. */
const ROWS_A_BARRIER = 50_000;
const ROWS_A_BARRIER_LOW = 1_000;

interface Waiter {
  readonly ino: Ino;
  readonly deferred: Deferred<void>;
}

export class Barriers {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  #waiters: Waiter[] = [];
  #lastMs: number;
  /** Barriers made, and fsyncs that they answered: many of the latter share one of the former. */
  made = 0;
  answered = 0;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
    this.#lastMs = core.clock.monotonicMs();
  }

  /** fsync of an inode: answered by the next barrier. */
  wait(ino: Ino): Deferred<void> {
    const deferred = new Deferred<void>();
    this.#waiters.push({ ino, deferred });
    return deferred;
  }

  /** Makes a barrier when one is asked for or due; returns the milliseconds until the next is due. */
  tick(nowMs: number): number {
    const { commitIntervalMs } = this.#core.options;
    const due = this.#lastMs + commitIntervalMs - nowMs;
    if (this.#waiters.length === 0 && due > 0 && !this.#isBehind()) return due;
    this.make();
    return commitIntervalMs;
  }

  /** Rows that await a barrier take memory, and room in the databases' logs once they are written. */
  #isBehind(): boolean {
    const { namespace } = this.#core;
    const rows = namespace.pendingRows;
    return rows > ROWS_A_BARRIER || (rows > ROWS_A_BARRIER_LOW && namespace.low());
  }

  /**
   * Order of durability: the bytes of own files whose fsync waits, then what was packed, then the rows that name them;
   * only then may bytes go that no row names any more.
   */
  make(): Result<void> {
    const waiters = this.#waiters;
    this.#waiters = [];
    const failed = this.#flushOwnFiles(waiters);
    const outcome = this.#commit();
    this.#lastMs = this.#core.clock.monotonicMs();
    this.made += 1;
    this.answered += waiters.length;
    for (const { ino, deferred } of waiters) deferred.settle(isErrno(outcome) ? outcome : failed.get(ino));
    return outcome;
  }

  #flushOwnFiles(waiters: readonly Waiter[]): Map<Ino, typeof E.EIO> {
    const failed = new Map<Ino, typeof E.EIO>();
    for (const ino of new Set(waiters.map((waiter) => waiter.ino))) {
      const inode = this.#core.namespace.inode(ino);
      if (inode?.own === undefined) continue;
      const flushed = flushOwn(this.#core, inode, this.#core.live.find(ino));
      if (isErrno(flushed)) failed.set(ino, flushed);
    }
    return failed;
  }

  #commit(): Result<void> {
    const core = this.#core;
    const flushed = core.data.flush();
    if (isErrno(flushed)) {
      core.markBroken('Cannot flush what was packed');
      return E.EIO;
    }
    const deletable = core.data.ledger.deletableAggregates();
    if (deletable.length > 0) {
      const record = core.namespace.begin();
      for (const id of deletable) record.deleteAggregate(id);
      core.commit(record);
    }
    const committed = core.namespace.barrier();
    if (isErrno(committed)) return committed;
    core.data.barrierDone();
    const punches = core.data.takePunches();
    if (punches.length > 0) this.#workers.post({ kind: 'punch', punches });
  }
}
