/** A time as 9 bytes: seconds since 1970 plus 2^39 as u40, nanoseconds as u32. Covers the years -15451 to 19391. */
import { assert } from '../base/assert.ts';
import type { Timespec } from '../base/time.ts';

export const TIME_BYTES = 9;
export const SECOND_BYTES = 5;
const BIAS = 2 ** 39;
const TWO_32 = 2 ** 32;
export const MAX_SECOND = BIAS - 1;
export const MIN_SECOND = -BIAS;
const NANOSECONDS = 1_000_000_000;

/** The nearest time that a row can hold; callers do this to what users set (utimensat), before they build a record. */
export function clampTime(time: Timespec): Timespec {
  if (time.sec > MAX_SECOND) return { sec: MAX_SECOND, nsec: NANOSECONDS - 1 };
  if (time.sec < MIN_SECOND) return { sec: MIN_SECOND, nsec: 0 };
  return time;
}

export function setSecond(view: DataView, at: number, sec: number): void {
  assert(sec >= MIN_SECOND && sec <= MAX_SECOND, `Second ${sec}, expected at most 2^39 from 1970`);
  const biased = sec + BIAS;
  view.setUint32(at, biased % TWO_32, true);
  view.setUint8(at + 4, Math.floor(biased / TWO_32));
}

export function getSecond(view: DataView, at: number): number {
  return view.getUint8(at + 4) * TWO_32 + view.getUint32(at, true) - BIAS;
}

export function setTime(view: DataView, at: number, time: Timespec): void {
  assert(time.nsec >= 0 && time.nsec < NANOSECONDS, `${time.nsec} nanoseconds, expected 0 to 999,999,999`);
  setSecond(view, at, time.sec);
  view.setUint32(at + SECOND_BYTES, time.nsec, true);
}

/** Undefined when the nanoseconds are none. */
export function getTime(view: DataView, at: number): Timespec | undefined {
  const nsec = view.getUint32(at + SECOND_BYTES, true);
  return nsec < NANOSECONDS ? { sec: getSecond(view, at), nsec } : undefined;
}

export function sameTime(a: Timespec, b: Timespec): boolean {
  return a === b || (a.sec === b.sec && a.nsec === b.nsec);
}
