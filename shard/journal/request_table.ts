/** The last requests that records have completed, for requests that the kernel sends again after a restart. */
import type { CompletedRequest } from './record_codec.ts';

/** As many as may be carried out and not yet answered: `maxUnanswered`. */
export const MAX_REQUESTS = 1024;

export class RequestTable {
  readonly #byUnique = new Map<bigint, CompletedRequest>();

  add(request: CompletedRequest): void {
    // The newest stand last.
    this.#byUnique.delete(request.unique);
    this.#byUnique.set(request.unique, request);
    if (this.#byUnique.size <= MAX_REQUESTS) return;
    for (const oldest of this.#byUnique.keys()) {
      this.#byUnique.delete(oldest);
      break;
    }
  }

  find(unique: bigint): CompletedRequest | undefined {
    return this.#byUnique.get(unique);
  }

  /** Oldest first. */
  all(): CompletedRequest[] {
    return [...this.#byUnique.values()];
  }

  clear(): void {
    this.#byUnique.clear();
  }
}
