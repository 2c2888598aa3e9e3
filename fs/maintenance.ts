/**
 * Work on the namespace that nobody waits for, done by the control thread in small pieces: a tenth of its time while
 * requests come, half of it while none do. Nothing while the store takes no changes or is short of room.
 */
import type { Core } from './core.ts';

/** One kind of such work, a record a step: about a millisecond at most. */
export interface Chore {
  /** Whether a step may find something to do. */
  readonly hasWork: boolean;
  /** Milliseconds until there will be, as far as nothing else happens; infinite, or left out, when only others can tell. */
  readonly dueInMs?: number;
  /** At most one record; false when nothing was changed. */
  step(): boolean;
}

/** Since the last request for so long, requests count as coming. */
const BUSY_MS = 20;
const BUSY_SHARE = 0.1;
const IDLE_SHARE = 0.5;
/** Time that may be saved up for later. */
const CREDIT_MAX_MS = 2;
/** Until it is looked again whether there is room. */
const REFUSED_MS = 1_000;

export class Maintenance {
  readonly #core: Core;
  readonly #chores: readonly Chore[];
  #creditMs = CREDIT_MAX_MS;
  #lastMs: number;
  #served = 0;
  #lastServedMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  /** The chore that goes first: they take turns. */
  #next = 0;

  constructor(core: Core, chores: readonly Chore[]) {
    this.#core = core;
    this.#chores = chores;
    this.#lastMs = core.clock.monotonicMs();
  }

  /** For good: the rest is done after the next mount. */
  stop(): void {
    this.#isStopped = true;
  }

  /** One step when it is time for one; `served` counts requests. Returns the milliseconds until the next. */
  turn(served: number): number {
    if (this.#isStopped) return Number.POSITIVE_INFINITY;
    if (!this.#hasWork) return this.#dueInMs;
    const { clock, namespace } = this.#core;
    const nowMs = clock.monotonicMs();
    if (served !== this.#served) this.#lastServedMs = nowMs;
    this.#served = served;
    const share = nowMs - this.#lastServedMs < BUSY_MS ? BUSY_SHARE : IDLE_SHARE;
    this.#creditMs = Math.min(CREDIT_MAX_MS, this.#creditMs + (nowMs - this.#lastMs) * share);
    this.#lastMs = nowMs;
    if (this.#creditMs > 0) {
      if (this.#core.refusal() !== undefined || namespace.low()) return REFUSED_MS;
      this.#step();
      this.#creditMs -= clock.monotonicMs() - nowMs;
      if (!this.#hasWork) return this.#dueInMs;
    }
    return Math.max(0, -this.#creditMs / share);
  }

  get #hasWork(): boolean {
    return this.#chores.some(({ hasWork }) => hasWork);
  }

  get #dueInMs(): number {
    return Math.min(...this.#chores.map(({ dueInMs = Number.POSITIVE_INFINITY }) => dueInMs));
  }

  /** The first in turn that has something to do. */
  #step(): void {
    for (const _ of this.#chores) {
      const chore = this.#chores[this.#next];
      this.#next = (this.#next + 1) % this.#chores.length;
      if (chore?.hasWork === true && chore.step()) return;
    }
  }
}
