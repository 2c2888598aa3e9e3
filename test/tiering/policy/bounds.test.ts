import { describe, expect, it } from 'vitest';
import { AggregateBounds, mayHoldMoves } from '../../../tiering/policy/bounds.ts';
import { decide, type Moment, type Pressure } from '../../../tiering/policy/decide.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { COLD, DAY, FLASH, file, HOT, NOW, policy, WARM } from './fixture.ts';
import { randomFile, randomPolicy } from './random_policy.ts';

const AGES = policy('rules:\n  - {name: a, when: {olderThan: 90d}, to: warm}\n');
const ALIVE = { live: 4096, state: 'sealed', volume: HOT } as const;

function boundsOf(...ages: number[]) {
  const bounds = new AggregateBounds();
  for (const age of ages) bounds.note(file({ mtimeSec: NOW - age * DAY, atimeSec: NOW - age * DAY }));
  return bounds.known();
}

describe('an aggregate', () => {
  it('with nothing live is left out', () => {
    expect(mayHoldMoves(AGES, { ...ALIVE, live: 0 }, { nowSec: NOW })).toBe(false);
    expect(mayHoldMoves(AGES, { ...ALIVE, state: 'dead' }, { nowSec: NOW })).toBe(false);
  });

  it('of which nothing is known is looked into, unless no rule moves anything from its volume', () => {
    expect(mayHoldMoves(AGES, ALIVE, { nowSec: NOW })).toBe(true);
    expect(mayHoldMoves(AGES, { ...ALIVE, volume: WARM }, { nowSec: NOW })).toBe(false);
    expect(mayHoldMoves(AGES, { ...ALIVE, volume: COLD }, { nowSec: NOW })).toBe(false);
    expect(mayHoldMoves(policy(''), ALIVE, { nowSec: NOW })).toBe(false);
  });

  it('is left out until its oldest file is due', () => {
    const bounds = boundsOf(10, 80);
    expect(mayHoldMoves(AGES, { ...ALIVE, bounds }, { nowSec: NOW })).toBe(false);
    expect(mayHoldMoves(AGES, { ...ALIVE, bounds }, { nowSec: NOW + 10 * DAY - 1 })).toBe(false);
    expect(mayHoldMoves(AGES, { ...ALIVE, bounds }, { nowSec: NOW + 10 * DAY })).toBe(true);
  });

  it('is looked into when its volume is under pressure and it holds one of the oldest', () => {
    const pressed = (untilSec: number): Moment => ({
      nowSec: NOW,
      pressures: new Map([[HOT.id, { to: { kind: 'tier', tier: 'warm' }, by: 'atime', untilSec }]]),
    });
    const bounds = boundsOf(10, 80);
    expect(mayHoldMoves(AGES, { ...ALIVE, bounds }, pressed(NOW - 80 * DAY))).toBe(true);
    expect(mayHoldMoves(AGES, { ...ALIVE, bounds }, pressed(NOW - 81 * DAY))).toBe(false);
    expect(mayHoldMoves(AGES, { ...ALIVE, volume: FLASH, bounds }, pressed(NOW))).toBe(false);
  });

  it('is never left out when a file in it moves', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    let moved = 0;
    let leftOut = 0;
    let rules = randomPolicy(random);
    for (let round = 0; round < 10_000; round++) {
      if (round % 10 === 0) rules = randomPolicy(random);
      const place = [HOT, FLASH, WARM, COLD][random.below(4)] ?? HOT;
      const files = Array.from({ length: 1 + random.below(5) }, () => randomFile(random, place));
      const noted = new AggregateBounds();
      for (const facts of files) noted.note(facts);
      // What has been read since it was noted, or is gone.
      const later = files
        .map((facts) => (random.below(3) === 0 ? { ...facts, atimeSec: NOW + random.below(100 * DAY) } : facts))
        .filter(() => random.below(5) > 0);
      const pressure: Pressure = {
        to: { kind: 'tier', tier: 'cold' },
        by: random.below(2) === 0 ? 'mtime' : 'atime',
        untilSec: NOW - random.below(900 * DAY),
      };
      const pressures = random.below(3) === 0 && place !== COLD ? new Map([[place.id, pressure]]) : new Map();
      const moment = { nowSec: NOW + random.below(300 * DAY), pressures };
      const moves = later.some((facts) => decide(rules, facts, moment).moves);
      const row = { live: 1, state: 'open', volume: place } as const;
      const withBounds = mayHoldMoves(rules, { ...row, bounds: noted.known() }, moment);
      const without = mayHoldMoves(rules, row, moment);
      if (moves) {
        moved += 1;
        expect(withBounds).toBe(true);
      }
      if (withBounds) expect(without).toBe(true);
      else leftOut += 1;
    }
    expect(moved).toBeGreaterThan(1_000);
    expect(leftOut).toBeGreaterThan(1_000);
  });
});
