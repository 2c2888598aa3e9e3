/** Times as the kernel has them, and the clock that every part is handed (tests hand in their own). */
import { hrtime } from 'node:process';

/** Seconds since 1970 (may be negative) and 0 to 999,999,999 nanoseconds. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

export interface Clock {
  /** Wall time. */
  now(): Timespec;
  /** Milliseconds from an arbitrary start that never go back. */
  monotonicMs(): number;
}

export const EPOCH: Timespec = Object.freeze({ sec: 0, nsec: 0 });

/** -1, 0 or 1 as `a` is before, at or after `b`. */
export function compareTimes(a: Timespec, b: Timespec): number {
  if (a.sec !== b.sec) return a.sec < b.sec ? -1 : 1;
  return a.nsec === b.nsec ? 0 : a.nsec < b.nsec ? -1 : 1;
}

export function timespecFromNs(ns: bigint): Timespec {
  const sec = ns / 1_000_000_000n;
  const nsec = ns % 1_000_000_000n;
  return nsec < 0n
    ? { sec: Number(sec) - 1, nsec: Number(nsec) + 1_000_000_000 }
    : { sec: Number(sec), nsec: Number(nsec) };
}

/** Fractions of a millisecond count; a double holds microseconds for dates of our time. */
export function timespecFromMs(ms: number): Timespec {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.min(999_999_999, Math.max(0, Math.round((ms - sec * 1000) * 1e6))) };
}

/** ISO 8601 with nanoseconds. */
export function formatTime(time: Timespec): string {
  const whole = new Date(time.sec * 1000);
  if (Number.isNaN(whole.getTime())) return `${time.sec}.${String(time.nsec).padStart(9, '0')}s`;
  return whole.toISOString().replace(/\.\d+Z$/, `.${String(time.nsec).padStart(9, '0')}Z`);
}

/**
 * The system's clock: wall time at microsecond grain. `Date.now` ticks in milliseconds, so the monotonic clock, read
 * without BigInt, supplies the rest; the anchor is taken anew whenever the two differ by more than 2 ms (a set clock).
 */
export class SystemClock implements Clock {
  #anchorWallMs = 0;
  #anchorMonotonicMs = 0;

  now(): Timespec {
    const wallMs = Date.now();
    const monotonicMs = this.monotonicMs();
    let ms = this.#anchorWallMs + (monotonicMs - this.#anchorMonotonicMs);
    if (Math.abs(ms - wallMs) > 2) {
      this.#anchorWallMs = wallMs;
      this.#anchorMonotonicMs = monotonicMs;
      ms = wallMs;
    }
    return timespecFromMs(ms);
  }

  monotonicMs(): number {
    const [sec, nsec] = hrtime();
    return sec * 1000 + nsec / 1e6;
  }
}
