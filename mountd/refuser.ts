/**
 * What answers a mount that has no daemon any more and will get none: EIO to every request, so that nobody hangs, until it
 * is unmounted. A thread of its own, because unmounting may itself have to wait for such answers.
 */
import { Worker } from 'node:worker_threads';
import type { RefuserSetup } from './messages.ts';
import { programFile } from './program_files.ts';

export class Refuser {
  /** Settles when the mount is gone or `stop` was called. */
  readonly ended: Promise<void>;
  readonly #isStopping = new Int32Array(new SharedArrayBuffer(4));

  constructor(fuseFd: number, maxWrite: number) {
    const data: RefuserSetup = { fuseFd, maxWrite, isStopping: this.#isStopping };
    const thread = new Worker(programFile('refuser_thread'), { name: 'refuser', workerData: data });
    this.ended = new Promise((resolve, reject) => thread.once('exit', () => resolve()).once('error', reject));
  }

  stop(): void {
    Atomics.store(this.#isStopping, 0, 1);
  }
}
