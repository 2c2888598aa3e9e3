/** The time that a policy is asked about: the present, or one given on the command line. */
import { formatTime, SystemClock } from '../../base/time.ts';
import { usage } from '../failure.ts';

/** Seconds since 1970 of an ISO 8601 time like '2026-06-01T12:00:00Z'; the present without one. */
export function momentOf(text: string | undefined): number {
  if (text === undefined) return new SystemClock().now().sec;
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw usage(`Cannot use --now '${text}': expected a time like 2026-06-01T12:00:00Z`);
  return Math.floor(ms / 1000);
}

export function isoOf(sec: number): string {
  return formatTime({ sec, nsec: 0 }).replace('.000000000Z', 'Z');
}
