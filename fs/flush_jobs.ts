/** Flushes on worker threads: a list of targets goes out in a few jobs, and its outcomes come back together. */
import type { FlushTarget } from '../base/backing.ts';
import type { WorkerJobs } from './types.ts';

/** Jobs that one list becomes, at most: flushes under way together share the host's commits. */
const PARALLEL = 3;

interface Flush {
  /** By target; filled as the jobs come back. */
  readonly outcomes: number[];
  jobs: number;
  readonly done: (outcomes: readonly number[]) => void;
}

interface Job {
  readonly flush: Flush;
  /** Which of the targets it has. */
  readonly targets: readonly number[];
  readonly isLong: boolean;
}

export class FlushJobs {
  readonly #workers: WorkerJobs;
  readonly #jobs = new Map<number, Job>();
  #next = 1;
  /** Flushes asked of the host, here or by whoever counts them in. */
  count = 0;

  constructor(workers: WorkerJobs) {
    this.#workers = workers;
  }

  get isIdle(): boolean {
    return this.#jobs.size === 0;
  }

  /**
   * Waits here for the worker's own outcomes of everything posted by now that is not long, and hands them on. Nobody else
   * could tell: the host reports a failed flush once, so that another flush of the same file may succeed after it.
   */
  awaitShort(): void {
    for (const [id, { isLong }] of [...this.#jobs]) {
      if (!isLong && this.#jobs.has(id)) this.finish(id, this.#workers.await('flush', id).outcomes);
    }
  }

  /** At least one target; `done` gets 0 or -errno for each. */
  post(
    targets: readonly FlushTarget[],
    options: { readonly isLong?: boolean; readonly done: (outcomes: readonly number[]) => void },
  ): void {
    const jobs = Math.min(PARALLEL, targets.length);
    const flush: Flush = { outcomes: targets.map(() => 0), jobs, done: options.done };
    this.count += targets.length;
    for (let first = 0; first < jobs; first++) {
      const mine = targets.map((_, i) => i).filter((i) => i % jobs === first);
      const id = this.#next++;
      const isLong = options.isLong ?? false;
      this.#jobs.set(id, { flush, targets: mine, isLong });
      const chosen = targets.filter((_, i) => i % jobs === first);
      this.#workers.post({ kind: 'flush', id, targets: chosen, isLong });
    }
  }

  /** A worker's answer. */
  finish(id: number, outcomes: readonly number[]): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    this.#jobs.delete(id);
    const { flush, targets } = job;
    for (const [i, target] of targets.entries()) flush.outcomes[target] = outcomes[i] ?? 0;
    flush.jobs -= 1;
    if (flush.jobs === 0) flush.done(flush.outcomes);
  }
}
