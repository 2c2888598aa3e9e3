/** The main thread's side of the control thread: posts, rings, and waits for answers. */
import type { MessagePort } from 'node:worker_threads';
import { Failure } from './failure.ts';
import type { Answer, MainToControl, Query } from './messages.ts';
import type { Bell } from './wake.ts';

/** Questions that wait for an answer at a time; more are refused. */
const MAX_PENDING = 256;

/** What the control thread refused, by the name of its errno. */
export class QueryError extends Error {
  override readonly name = 'QueryError';
  readonly errno: string;

  constructor(errno: string) {
    super(`The daemon answered ${errno}`);
    this.errno = errno;
  }
}

export class ControlClient {
  readonly #port: MessagePort;
  readonly #bell: Bell;
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #lastId = 0;

  constructor(port: MessagePort, bell: Bell) {
    this.#port = port;
    this.#bell = bell;
  }

  post(message: MainToControl): void {
    this.#port.postMessage(message);
    this.#bell.ring();
  }

  /** Rejects with a QueryError when the control thread refuses, with a Failure after `timeoutMs` (0 = wait for ever). */
  ask(query: Query, timeoutMs: number): Promise<unknown> {
    if (this.#pending.size >= MAX_PENDING) {
      return Promise.reject(new Failure(`${MAX_PENDING} questions wait for the daemon already; try again later`));
    }
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer =
        timeoutMs === 0
          ? undefined
          : setTimeout(
              () => this.#settle(id)?.reject(new Failure(`The daemon has not answered for ${timeoutMs} ms`)),
              timeoutMs,
            );
      const done = () => clearTimeout(timer);
      this.#pending.set(id, {
        resolve: (value) => {
          done();
          resolve(value);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.post({ kind: 'query', id, query });
    });
  }

  hear(id: number, answer: Answer): void {
    const asker = this.#settle(id);
    if (answer.kind === 'value') asker?.resolve(answer.value);
    else asker?.reject(new QueryError(answer.errno));
  }

  /** At the end of the control thread: nobody will answer any more. */
  abandon(reason: string): void {
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(new Failure(reason));
  }

  #settle(id: number) {
    const asker = this.#pending.get(id);
    this.#pending.delete(id);
    return asker;
  }
}
