import { expect, it } from 'vitest';
import { Durations } from '../../base/durations.ts';

it('quantiles are never too low, and 6 % too high at most', () => {
  const durations = new Durations();
  for (let i = 1; i <= 10_000; i++) durations.record(i / 100);
  for (const [part, exact] of [
    [0.5, 50],
    [0.99, 99],
    [0.9999, 99.99],
  ] as const) {
    expect(durations.quantile(part)).toBeGreaterThanOrEqual(exact);
    expect(durations.quantile(part)).toBeLessThan(exact * 1.06);
  }
  expect(durations.summary()).toMatchObject({ count: 10_000, longest: 100, p9999: 100 });
});

it('one in ten thousand shows in the last quantile and nowhere else; nothing is too short or too long', () => {
  const durations = new Durations();
  expect(durations.summary()).toEqual({ count: 0, p50: 0, p99: 0, p999: 0, p9999: 0, longest: 0 });
  for (let i = 0; i < 9_998; i++) durations.record(0);
  durations.record(4_000);
  durations.record(1e9);
  const { p50, p999, p9999, longest } = durations.summary();
  expect([p50 < 0.002, p999 < 0.002, longest]).toEqual([true, true, 1e9]);
  expect(p9999).toBeGreaterThanOrEqual(4_000);
});
