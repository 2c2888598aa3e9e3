/** Times as the kernel has them, and the clock that every part is handed (tests hand in their own). */
import { hrtime } from 'node:process';
import { lastTick, realTime } from './libc.ts';

/** Seconds since 1970 (may be negative) and 0 to 999,999,999 nanoseconds. */
export interface Timespec {
  readonly sec: number;
  readonly nsec: number;
}

export interface Clock {
  /** Wall time. */
  now(): Timespec;
  /** What the host's filesystems give as time to what changes now, or a little less: its last clock tick. */
  lastTick(): Timespec;
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

/** ISO 8601 with nanoseconds. */
export function formatTime(time: Timespec): string {
  const whole = new Date(time.sec * 1000);
  if (Number.isNaN(whole.getTime())) return `${time.sec}.${String(time.nsec).padStart(9, '0')}s`;
  return whole.toISOString().replace(/\.\d+Z$/, `.${String(time.nsec).padStart(9, '0')}Z`);
}

/** The system's clock. */
export class SystemClock implements Clock {
  now(): Timespec {
    return realTime();
  }

  lastTick(): Timespec {
    return lastTick();
  }

  monotonicMs(): number {
    const [sec, nsec] = hrtime();
    return sec * 1000 + nsec / 1e6;
  }
}
