/**
 * Handles that a predecessor counted and that may be gone: a request on their inode was in flight when it died. The kernel
 * says so by FORGET, exactly when nothing holds the inode any more; having it drop the name makes it say so soon. Whoever
 * uses the name meanwhile is not disturbed, but the kernel then keeps the inode: so it is tried again, ever more seldom.
 */
import type { Ino } from '../base/units.ts';
import type { Core } from './core.ts';
import { Describer } from './describer.ts';

const RETRY_MS_LEAST = 1_000;
const RETRY_MS_MOST = 64_000;
/** Names dropped in one go, at most; the others have their turn when these are done. */
const NAMES_AT_ONCE = 256;

/** Has the kernel drop a name, at some later time; nobody waits for it, and it may be lost. */
export type DropName = (parent: Ino, name: Uint8Array) => void;

export class Doubts {
  readonly #core: Core;
  readonly #drop: DropName;
  readonly #left: Set<Ino>;
  #waitMs = RETRY_MS_LEAST;
  #dueMs: number;

  /** After the handles of the predecessor were taken over. */
  constructor(core: Core, drop: DropName) {
    this.#core = core;
    this.#drop = drop;
    this.#left = new Set([...core.live.all()].filter(({ isInDoubt }) => isInDoubt).map(({ ino }) => ino));
    this.#dueMs = core.clock.monotonicMs() + this.#waitMs;
  }

  /** Milliseconds until it wants to be called again. */
  tick(nowMs: number): number {
    if (this.#left.size === 0) return Number.POSITIVE_INFINITY;
    if (nowMs < this.#dueMs) return this.#dueMs - nowMs;
    const turn = [...this.#left].slice(0, NAMES_AT_ONCE);
    for (const ino of turn) {
      this.#left.delete(ino);
      if (this.#core.live.find(ino)?.isInDoubt !== true) continue;
      this.#left.add(ino);
      this.#ask(ino);
    }
    if (turn.length < NAMES_AT_ONCE) this.#waitMs = Math.min(RETRY_MS_MOST, this.#waitMs * 2);
    this.#dueMs = nowMs + this.#waitMs;
    return this.#left.size === 0 ? Number.POSITIVE_INFINITY : this.#waitMs;
  }

  /** One without a name is forgotten by itself. Of several names the others may keep it: then it stays in doubt. */
  #ask(ino: Ino): void {
    const inode = this.#core.namespace.inode(ino);
    if (inode === undefined || inode.nlink === 0) return;
    const name = new Describer(this.#core.namespace).name(inode.parent, inode.position);
    if (name.length > 0) this.#drop(inode.parent, name);
  }
}
