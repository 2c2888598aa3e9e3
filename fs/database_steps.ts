/**
 * The databases' cycle between requests: commits and rows that waited, a few milliseconds at a time, on the control
 * thread; logs that have become long are moved by workers.
 */
import { isErrno } from '../base/errno.ts';
import type { CheckpointOutcome, NamespaceStore } from '../shard/store.ts';
import type { Core } from './core.ts';
import type { WorkerJobs } from './types.ts';

export class DatabaseSteps {
  readonly #core: Core;
  readonly #namespace: NamespaceStore;
  readonly #workers: WorkerJobs;
  /** Paths of the databases whose logs are being moved, by job. */
  readonly #jobs = new Map<number, string>();
  #next = 1;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#namespace = core.namespace;
    this.#workers = workers;
  }

  /** One step. `full`: a commit found the disk full, and waits for another barrier. */
  turn(): 'more' | 'done' | 'full' {
    const more = this.#namespace.turn();
    for (const path of this.#takeMoves()) {
      const id = this.#next++;
      this.#jobs.set(id, path);
      this.#workers.post({ kind: 'checkpoint', id, path });
    }
    // Backpressure: memory for what waits to be written is bounded.
    if (this.#namespace.mustWait) this.settle();
    if (isErrno(more)) return 'full';
    return more ? 'more' : 'done';
  }

  /** A log must not be moved into another file that has the database's name. */
  #takeMoves(): string[] {
    const paths = this.#namespace.takeMoves((path) => this.#await(path));
    if (paths.length === 0 || !this.#core.hasLostDatabase()) return paths;
    for (const path of paths) this.#namespace.moved(path, { isComplete: false, failure: undefined });
    return [];
  }

  /** Whether no log is being moved. */
  get isIdle(): boolean {
    return this.#jobs.size === 0;
  }

  /** A worker's answer. */
  finish(id: number, outcome: CheckpointOutcome): void {
    const path = this.#jobs.get(id);
    if (path === undefined) return;
    this.#jobs.delete(id);
    this.#namespace.moved(path, outcome);
  }

  /** A row must be written to a database that a worker is at. */
  #await(path: string): void {
    for (const [id, moved] of [...this.#jobs]) if (moved === path) this.#settle(id);
  }

  #settle(id: number): void {
    this.finish(id, this.#workers.await('checkpoint', id).outcome);
  }

  /** Waits here until no worker is at a database any more: before it is closed, above all. */
  settle(): void {
    for (const id of [...this.#jobs.keys()]) this.#settle(id);
  }
}
