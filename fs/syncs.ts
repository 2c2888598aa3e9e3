/**
 * `pacsfs sync` and the end of a mount: what was written before is packed as far as it can be, then flushed, then behind a
 * barrier. What comes later need not be waited for: there may always be some.
 */
import { type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Barriers } from './barriers.ts';
import type { Comparisons } from './comparisons.ts';
import type { Core } from './core.ts';
import type { Fsyncs } from './fsyncs.ts';
import type { Packer } from './packer.ts';
import { Deferred } from './types.ts';

/** Waits until what had settled at that time is packed; at the end, until no worker is at work either. */
interface Sync {
  readonly ms: number;
  readonly deferred: Deferred<void>;
}

export interface SyncTools {
  readonly packer: Packer;
  readonly fsyncs: Fsyncs;
  readonly barriers: Barriers;
  readonly comparisons: Comparisons;
  /** Whether nothing else is under way for which the end has to wait. */
  readonly isIdle: () => boolean;
}

export class Syncs {
  readonly #core: Core;
  readonly #tools: SyncTools;
  #waiting: Sync[] = [];

  constructor(core: Core, tools: SyncTools) {
    this.#core = core;
    this.#tools = tools;
  }

  /**
   * Settled once everything written before is durable. What waits is packed first, whether that was asked for or not: a
   * segment is flushed in a fraction of the time that its files would take one by one.
   */
  begin(): Deferred<void> {
    return this.#from(this.#core.clock.monotonicMs());
  }

  /** As `begin`, when nothing comes any more: settled once all work is done. */
  beginLast(): Deferred<void> {
    return this.#from(Number.POSITIVE_INFINITY);
  }

  #from(ms: number): Deferred<void> {
    const { packer } = this.#tools;
    const deferred = new Deferred<void>();
    packer.packKept();
    packer.drain(true);
    this.#waiting.push({ ms, deferred });
    return deferred;
  }

  tick(): void {
    if (this.#waiting.length === 0) return;
    const { packer, fsyncs, comparisons, isIdle } = this.#tools;
    const isStopped = packer.isIdle && comparisons.isIdle && fsyncs.isIdle && isIdle();
    const isUndecided = this.#core.passthrough?.isUndecided === true;
    const isUnderWay = (ms: number) => packer.hasFrom(ms) || comparisons.hasFrom(ms) || isUndecided;
    const waits = ({ ms }: Sync) => (ms === Number.POSITIVE_INFINITY ? !isStopped : isUnderWay(ms));
    const finished = this.#waiting.filter((sync) => !waits(sync));
    if (finished.length === 0) return;
    this.#waiting = this.#waiting.filter((sync) => !finished.includes(sync));
    packer.drain(this.#waiting.length > 0);
    this.#core.recordAccesses();
    for (const { deferred } of finished) this.#flushAll(deferred);
  }

  /** Order of durability: own files that are not durable, then a barrier over their rows and everything else. */
  #flushAll(deferred: Deferred<void>): void {
    const { fsyncs, barriers } = this.#tools;
    fsyncs.flushAll().whenSettled((flushed) => {
      const failed: Errno | undefined = isErrno(flushed) ? flushed : undefined;
      barriers.wait().whenSettled((outcome: Result<void>) => deferred.settle(failed ?? outcome));
    });
  }
}
