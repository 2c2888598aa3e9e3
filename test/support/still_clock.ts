/** A clock that a test moves. */
import { type Clock, SystemClock, type Timespec } from '../../base/time.ts';

/** Stands still until it is moved; wall time goes a microsecond on with each look, so that no two changes tie. */
export class StillClock implements Clock {
  readonly #start: number;
  readonly #wall = new SystemClock();
  #micros = 0;
  ms = 1_000_000;
  /** When set, wall time is the machine's, for what compares it with the times of files on disk. */
  isWallReal = false;

  /** Microseconds since 1970 at its start, default the machine's. */
  constructor(start = Date.now() * 1000) {
    this.#start = start;
  }

  now(): Timespec {
    if (this.isWallReal) return this.#wall.now();
    this.#micros += 1;
    const micros = this.#start + this.#micros + (this.ms - 1_000_000) * 1000;
    return { sec: Math.floor(micros / 1e6), nsec: (micros % 1e6) * 1000 };
  }

  lastTick(): Timespec {
    return this.now();
  }

  monotonicMs(): number {
    return this.ms;
  }

  advance(ms: number): void {
    this.ms += ms;
  }
}
