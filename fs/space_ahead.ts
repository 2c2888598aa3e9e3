/**
 * When space is written ahead of its use: in quiet moments, and while fsyncs have to do without. One job at a time, never on
 * the worker that is kept for flushes.
 */
import type { Core } from './core.ts';
import type { WorkerJobs } from './types.ts';

/** No packing for so long is a quiet moment. */
const QUIET_MS = 250;
/** How often it is looked at otherwise, and while the disk is full. */
const LOOK_MS = 50;
const LOW_MS = 5_000;
/** And until a barrier. */
const FLUSH_MS = 500;

export class SpaceAhead {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  /** The job under way. */
  #job: number | undefined;
  #begun: number;
  #sinceMs = 0;
  /** Something was packed since it was found in a quiet moment that nothing is worth it. */
  #isDue = false;
  #nextLookMs = 0;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
    this.#begun = core.data.packing.begun;
  }

  get isIdle(): boolean {
    return this.#job === undefined;
  }

  /** Begins a job if there is one worth it; the milliseconds until it wants to be called again. */
  tick(nowMs: number): number {
    const { data, namespace, broken } = this.#core;
    if (this.#job !== undefined || broken !== undefined) return Number.POSITIVE_INFINITY;
    if (data.packing.begun !== this.#begun) {
      this.#begun = data.packing.begun;
      this.#sinceMs = nowMs;
      this.#isDue = true;
    }
    if (!this.#isDue) return Number.POSITIVE_INFINITY;
    const quietInMs = this.#sinceMs + QUIET_MS - nowMs;
    if (nowMs < this.#nextLookMs) return this.#nextLookMs - nowMs;
    this.#nextLookMs = nowMs + LOOK_MS;
    if (namespace.low()) return LOW_MS;
    const job = data.startAhead(quietInMs <= 0);
    if (job === undefined) {
      if (quietInMs > 0) return Math.min(quietInMs, LOOK_MS);
      // Where the next barrier has something to flush nothing is written ahead before it.
      this.#isDue = !data.packing.isFlushed;
      this.#nextLookMs = nowMs + FLUSH_MS;
      return this.#isDue ? FLUSH_MS : Number.POSITIVE_INFINITY;
    }
    this.#job = job.id;
    this.#workers.post({ kind: 'pack', job, isUrgent: false });
    return Number.POSITIVE_INFINITY;
  }

  finished(job: number): void {
    if (this.#job === job) this.#job = undefined;
  }
}
