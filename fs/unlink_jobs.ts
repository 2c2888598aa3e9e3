/**
 * Removal of own files that no durable row names any more: on a worker, for the host frees the pages and blocks of a large
 * one for as long as a second. Their names are never used again, so a removal that is late, or lost with the daemon, harms
 * nothing: the next start finds what is left.
 */
import type { DataStore, UnlinkBatch } from '../aggregate/store.ts';
import type { WorkerJobs } from './types.ts';

export class UnlinkJobs {
  readonly #data: DataStore;
  readonly #workers: WorkerJobs;
  readonly #jobs = new Map<number, UnlinkBatch>();
  #next = 1;

  constructor(data: DataStore, workers: WorkerJobs) {
    this.#data = data;
    this.#workers = workers;
  }

  get isIdle(): boolean {
    return this.#jobs.size === 0;
  }

  /** Those that the barrier that is done now has let go; before `barrierDone`, which would remove them itself. */
  post(): void {
    for (const batch of this.#data.takeUnlinks()) {
      const id = this.#next++;
      this.#jobs.set(id, batch);
      this.#workers.post({ kind: 'unlink', id, paths: batch.paths });
    }
  }

  /** As `post`, here: room is wanted at once. What workers are at is waited for. */
  removeNow(): void {
    this.post();
    for (const id of [...this.#jobs.keys()]) this.finish(id, this.#workers.await('unlink', id).outcomes);
  }

  /** A worker's answer. */
  finish(id: number, outcomes: readonly number[]): void {
    const batch = this.#jobs.get(id);
    if (batch === undefined) return;
    this.#jobs.delete(id);
    this.#data.unlinksDone(batch, outcomes);
  }
}
