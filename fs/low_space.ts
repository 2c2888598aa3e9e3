/**
 * Looks after disks into which somebody may write unheard: whoever writes past this process is told by the host that a disk
 * is full, so what can be given back has to be given back before. Asking costs a statfs; it is done the more seldom the more
 * there is left, and not at all while everybody is heard. Rows are safe without it: what they need is kept apart, as bytes
 * (shard/ballast.ts).
 */
import { isErrno } from '../base/errno.ts';
import { MIB } from '../base/units.ts';
import type { Barriers } from './barriers.ts';
import type { Core } from './core.ts';
import type { OwnAhead } from './own_ahead.ts';

/** Less than this is near the end: half of what has to be free for space to be written ahead. A small disk has less. */
const NEAR_BYTES = 256 * MIB;
const NEAR_SHARE = 1 / 40;
const NEAR_SHARE_MOST = 1 / 8;
/** Faster than disks and page caches of one host take bytes: so long it takes at least until that is reached. */
const BYTES_A_MS = 4_000_000;
const LOOK_MS_LEAST = 20;
const LOOK_MS_MOST = 1_000;
/** Near the end: what there is to give back has been given back. */
const LOOK_MS_NEAR = 100;

/** Milliseconds until the next look, with so many bytes more than what is near the end. */
export function nextLookMs(spareBytes: number): number {
  if (spareBytes <= 0) return LOOK_MS_NEAR;
  return Math.min(LOOK_MS_MOST, Math.max(LOOK_MS_LEAST, spareBytes / BYTES_A_MS));
}

export class LowSpace {
  readonly #core: Core;
  readonly #barriers: Barriers;
  readonly #ownAhead: OwnAhead;
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor(core: Core, tools: { readonly barriers: Barriers; readonly ownAhead: OwnAhead }) {
    this.#core = core;
    this.#barriers = tools.barriers;
    this.#ownAhead = tools.ownAhead;
  }

  /** Milliseconds until it wants to be called again. */
  tick(nowMs: number): number {
    const { passthrough, data } = this.#core;
    if (passthrough?.isInUse !== true || this.#core.refusal() !== undefined) return Number.POSITIVE_INFINITY;
    if (nowMs < this.#nextMs) return this.#nextMs - nowMs;
    let spareBytes = Number.POSITIVE_INFINITY;
    for (const { total, available, ahead } of data.space()) {
      const near = Math.min(Math.max(NEAR_BYTES, total * NEAR_SHARE), total * NEAR_SHARE_MOST);
      spareBytes = Math.min(spareBytes, available - ahead - near);
    }
    if (spareBytes <= 0) this.#giveBack();
    const inMs = nextLookMs(spareBytes);
    this.#nextMs = nowMs + inMs;
    return inMs;
  }

  /** What was deleted is gone after a barrier, which nobody waits for. */
  #giveBack(): void {
    const { data } = this.#core;
    data.giveBackAhead();
    if (isErrno(data.newestPlacement())) this.#ownAhead.giveBack();
    if (this.#barriers.isIdle && data.hasLetGo) this.#barriers.wait();
  }
}
