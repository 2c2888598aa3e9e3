import { describe, expect, test } from 'vitest';
import { MIB } from '../../base/units.ts';
import { nextLookMs } from '../../fs/low_space.ts';

describe('room is looked at', () => {
  test('the more often the less there is, and not all the time at the end', () => {
    expect([100_000, 2_000, 200, 1, 0, -50].map((mib) => nextLookMs(mib * MIB))).toEqual([
      1_000,
      (2_000 * MIB) / 4_000_000,
      (200 * MIB) / 4_000_000,
      20,
      100,
      100,
    ]);
  });
});
