/**
 * When own files are made ahead: as soon as more are wanted, a batch at a time, by a worker that is not kept for flushes.
 * Nobody ever waits for one: a create that finds none makes its own.
 */
import type { OwnBatch, OwnsMade } from '../aggregate/store.ts';
import { errnoOf } from '../base/errno.ts';
import type { Core } from './core.ts';
import type { WorkerJobs } from './types.ts';

/** Until it is tried again after a worker could not make one, or room was given back: creates make their own until then. */
const PAUSE_MS = 5_000;

export class OwnAhead {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  /** The batch under way. */
  #batch: OwnBatch | undefined;
  #id = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
  }

  /** Begins a batch if one is wanted. */
  tick(nowMs: number): void {
    if (this.#batch !== undefined || this.#isStopped || nowMs < this.#notBeforeMs) return;
    const { data, namespace } = this.#core;
    // A broken store is left as it is; what room there is for rows is not for files that nobody has asked for.
    if (this.#core.refusal() !== undefined || namespace.low()) return;
    this.#batch = data.ownPool.start();
    if (this.#batch === undefined) return;
    this.#id += 1;
    this.#workers.post({ kind: 'own', id: this.#id, batch: this.#batch });
  }

  /** A worker's answer. */
  finish(result: OwnsMade): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    this.#core.data.ownPool.made(batch, result);
    if (result.error === 0) return;
    this.#pause();
    const fields = { volume: batch.volume.id, errno: errnoOf(result.error).name };
    this.#core.log.warn(fields, 'Cannot make own files ahead; creates make their own for a while');
  }

  /** The disk is full: whether there was something to give back. */
  giveBack(): boolean {
    const { ownPool } = this.#core.data;
    if (ownPool.count === 0) return false;
    ownPool.empty();
    this.#pause();
    return true;
  }

  /** From now on none are made. */
  stop(): void {
    this.#isStopped = true;
  }

  /** At the end: none is left behind but in a broken store, of which nothing is taken away. */
  close(): void {
    this.stop();
    if (this.#batch !== undefined) this.finish(this.#workers.await('own', this.#id).result);
    if (this.#core.refusal() !== undefined) return;
    const left = this.#core.data.ownPool.empty();
    if (left > 0) this.#core.log.warn({ left }, 'Cannot remove own files that were made ahead; the next mount does it');
  }

  #pause(): void {
    this.#notBeforeMs = this.#core.clock.monotonicMs() + PAUSE_MS;
  }
}
