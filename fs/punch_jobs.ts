/**
 * Ranges of aggregates that no durable row names any more are given back to the host, by a worker, for it may take long. One
 * that is lost with the daemon costs space until compaction, so a mount that ends waits for them.
 */
import type { DataStore } from '../aggregate/store.ts';
import type { WorkerJobs } from './types.ts';

export class PunchJobs {
  readonly #data: DataStore;
  readonly #workers: WorkerJobs;
  readonly #jobs = new Set<number>();
  #next = 1;

  constructor(data: DataStore, workers: WorkerJobs) {
    this.#data = data;
    this.#workers = workers;
  }

  /** Those that the barrier that is done now has let go, if there are any. */
  post(): void {
    const punches = this.#data.takePunches();
    if (punches.length === 0) return;
    const id = this.#next++;
    this.#jobs.add(id);
    this.#workers.post({ kind: 'punch', id, punches });
  }

  /** A worker's answer. */
  finish(id: number): void {
    this.#jobs.delete(id);
  }

  /** Waits here until no worker is at any. */
  settle(): void {
    for (const id of [...this.#jobs]) this.finish(this.#workers.await('punch', id).id);
  }
}
