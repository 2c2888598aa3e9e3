/** How long clients waited because of a kill: from the kill, or the call's start if that was later, to the call's end. */
import { quantile } from '../../bench/quantile.ts';
import type { ClientReport } from './kill_load.ts';

/** No replacement answers sooner than this: a call that began by then waited for it. Later ones may be slow by themselves. */
const AFTER_NS = 100_000_000;

export interface Pauses {
  /** Of each kill, the longest wait of any client and the median over the clients, milliseconds. */
  readonly longest: readonly number[];
  readonly median: readonly number[];
}

export function pausesOf(kills: readonly number[], reports: readonly ClientReport[]): Pauses {
  const longest: number[] = [];
  const median: number[] = [];
  for (const [at, killed] of kills.entries()) {
    const until = Math.min(killed + AFTER_NS, kills[at + 1] ?? Number.MAX_SAFE_INTEGER);
    const waits = reports.map(({ slow }) =>
      Math.max(
        0,
        ...slow
          .filter(([start, length]) => start < until && start + length > killed)
          .map(([start, length]) => (start + length - Math.max(start, killed)) / 1e6),
      ),
    );
    longest.push(Math.max(...waits));
    median.push(quantile(waits, 0.5));
  }
  return { longest, median };
}

/** 'longest 312 ms; by kill: median 140, 90 % 260' */
export function describePauses({ longest, median }: Pauses): string {
  const ms = (value: number): string => String(Math.round(value));
  const spread = [0, 0.25, 0.5, 0.75, 0.9].map((share) => ms(quantile(longest, share))).join(', ');
  return (
    `longest client pause ${ms(Math.max(0, ...longest))} ms; longest of each kill: ` +
    `0, 25, 50, 75, 90 % at ${spread} ms; a client's median ${ms(quantile(median, 0.5))} ms`
  );
}
