/** The control thread's side of the workers: a job goes to the one that has fewest. */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { WorkerDone, WorkerJob } from '../fs/types.ts';

export class WorkerPool {
  readonly #ports: readonly MessagePort[];
  /** Jobs that each worker has and has not answered; the core bounds them. */
  readonly #pending: number[];

  constructor(ports: readonly MessagePort[]) {
    assert(ports.length > 0, 'No workers, expected at least 1');
    this.#ports = ports;
    this.#pending = ports.map(() => 0);
  }

  post(job: WorkerJob): void {
    const least = this.#pending.indexOf(Math.min(...this.#pending));
    this.#pending[least] = (this.#pending[least] ?? 0) + 1;
    this.#ports[least]?.postMessage(job);
  }

  /** Hands over everything that is done by now, without waiting. */
  collect(take: (done: WorkerDone) => void): void {
    for (const [index, port] of this.#ports.entries()) {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        this.#pending[index] = (this.#pending[index] ?? 0) - 1;
        take(next.message as WorkerDone);
      }
    }
  }
}
