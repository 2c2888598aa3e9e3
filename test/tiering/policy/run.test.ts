/** What a run of the policy needs beside decisions: plans, watermarks, guards, caps. */
import { describe, expect, it } from 'vitest';
import type { VolumeRow } from '../../../base/layout.ts';
import { GIB, MIB, type VolumeId } from '../../../base/units.ts';
import { FLAG_PINNED, type Inode } from '../../../shard/rows.ts';
import { BandwidthCaps, TokenBucket } from '../../../tiering/policy/bandwidth.ts';
import { decide } from '../../../tiering/policy/decide.ts';
import { type FileFacts, factsOf, volumesOf } from '../../../tiering/policy/facts.ts';
import { clockPause, sharePause, standing } from '../../../tiering/policy/guard.ts';
import { Plan } from '../../../tiering/policy/plan.ts';
import { AgeHistogram, watermarkNeeds } from '../../../tiering/policy/watermarks.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { COLD, DAY, FLASH, file, HOT, NOW, policy, WARM } from './fixture.ts';

const AGES = policy(`
rules:
  - {name: to-cold, when: {olderThan: 2y}, to: cold}
  - {name: to-warm, when: {olderThan: 90d}, to: warm}
watermarks:
  hot: {high: 80%, low: 60%, by: mtime}
  disks: {high: 90%, low: 80%, to: vault}
bandwidth:
  total: 100 MiB/s
  to: {cold: 10 MiB/s, disks: 50 MiB/s}
`);

const aged = (days: number, bytes = 100, place: VolumeRow = HOT) =>
  file({ mtimeSec: NOW - days * DAY, atimeSec: NOW - days * DAY, size: bytes, storedBytes: bytes, place });

describe('a plan', () => {
  it('counts files and bytes by rule, by way and by what keeps them', () => {
    const plan = new Plan();
    const files = [aged(1), aged(100), aged(100, 50, FLASH), aged(100, 7, WARM), aged(999), aged(999, 30, WARM)];
    for (const facts of files) plan.add(facts, decide(AGES, facts, { nowSec: NOW }));
    expect(plan.summary()).toEqual({
      moving: { files: 4, bytes: 280 },
      staying: { files: 2, bytes: 107 },
      byRule: [
        { rule: 'to-warm', files: 2, bytes: 150 },
        { rule: 'to-cold', files: 2, bytes: 130 },
      ],
      byWay: [
        { from: 'hot', to: 'warm', files: 1, bytes: 100 },
        { from: 'hot', to: 'cold', files: 1, bytes: 100 },
        { from: 'flash2', to: 'warm', files: 1, bytes: 50 },
        { from: 'disks', to: 'cold', files: 1, bytes: 30 },
      ],
      byCause: [
        { cause: 'unmatched', files: 1, bytes: 100 },
        { cause: 'placed', files: 1, bytes: 7 },
      ],
    });
    expect([plan.leaving('hot'), plan.leaving('warm'), plan.leaving('cold')]).toEqual([250, 30, 0]);
  });

  it('counts what watermarks move under no rule, and takes nothing off a tier for moves within it', () => {
    const plan = new Plan();
    plan.add(aged(1), { moves: true, rule: undefined, to: { kind: 'tier', tier: 'warm' } });
    plan.add(aged(1, 40), { moves: true, rule: undefined, to: { kind: 'volume', tier: 'hot', volume: FLASH } });
    expect(plan.summary().byRule).toEqual([{ rule: null, files: 2, bytes: 140 }]);
    expect(plan.leaving('hot')).toBe(100);
  });

  it('keeps a bounded number of ways, and loses no byte', () => {
    const plan = new Plan();
    for (let i = 0; i < 5_000; i++) {
      const place = { ...HOT, id: (i + 10) as VolumeId, name: `v${i}` };
      plan.add(aged(1, 2, place), { moves: true, rule: undefined, to: { kind: 'tier', tier: 'warm' } });
    }
    const { byWay, moving } = plan.summary();
    expect(byWay.length).toBeLessThanOrEqual(4_097);
    expect(byWay[0]).toMatchObject({ from: 'others', to: 'others' });
    expect(byWay.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(moving.bytes);
  });
});

describe('watermarks', () => {
  const fills = (hot: number, disks: number) =>
    new Map([
      [HOT.id, { usedBytes: hot, totalBytes: 1000 }],
      [WARM.id, { usedBytes: disks, totalBytes: 1000 }],
    ]);

  it('ask for bytes above high only, down to low', () => {
    expect(watermarkNeeds(AGES, fills(800, 900))).toEqual([]);
    expect(watermarkNeeds(AGES, fills(801, 0))).toMatchObject([
      { volume: HOT.id, bytes: 201, watermark: { to: { tier: 'warm' } } },
    ]);
    expect(watermarkNeeds(AGES, fills(0, 950))).toMatchObject([
      { volume: WARM.id, bytes: 150, watermark: { to: { volume: COLD } } },
    ]);
  });

  it('go on between high and low for a volume that is draining', () => {
    expect(watermarkNeeds(AGES, fills(700, 0), new Set([HOT.id]))).toMatchObject([{ bytes: 100 }]);
    expect(watermarkNeeds(AGES, fills(600, 0), new Set([HOT.id]))).toEqual([]);
  });

  it('say nothing of a volume that is missing', () => {
    expect(watermarkNeeds(AGES, new Map([[HOT.id, { usedBytes: 0, totalBytes: 0 }]]))).toEqual([]);
  });

  it('choose the oldest files, a day more than needed at most', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    for (let round = 0; round < 100; round++) {
      const files = Array.from({ length: 200 }, () => aged(random.below(400), 1 + random.below(100)));
      const ages = new AgeHistogram('mtime', NOW);
      for (const facts of files) ages.add(facts);
      const bytes = 1 + random.below(8_000);
      const [need] = watermarkNeeds(AGES, fills(600 + bytes, 0), new Set([HOT.id]));
      if (need === undefined) throw new Error('no need found');
      const pressure = ages.pressure(need);
      if (pressure === undefined) throw new Error('no pressure found');
      const pressures = new Map([[HOT.id, pressure]]);
      const young = files.filter(({ mtimeSec }) => NOW - mtimeSec < 90 * DAY);
      const moved = young.filter((facts) => decide(AGES, facts, { nowSec: NOW, pressures }).moves);
      const older = files.filter(({ mtimeSec }) => mtimeSec <= pressure.untilSec);
      const sum = (some: readonly FileFacts[]) => some.reduce((total, { storedBytes }) => total + storedBytes, 0);
      expect(moved).toEqual(young.filter(({ mtimeSec }) => mtimeSec <= pressure.untilSec));
      expect(sum(older)).toBeGreaterThanOrEqual(Math.min(bytes, sum(files)));
      expect(sum(older.filter(({ mtimeSec }) => mtimeSec <= pressure.untilSec - DAY))).toBeLessThan(bytes);
    }
  });

  it('have nothing to choose from on an empty volume, and take the distant past for a century ago', () => {
    const ages = new AgeHistogram('atime', NOW);
    expect(ages.untilSec(1)).toBeUndefined();
    ages.add(file({ mtimeSec: -4e9, atimeSec: -4e9 }));
    expect(ages.untilSec(1)).toBeLessThan(NOW - 99 * 365 * DAY);
    ages.add(file({ mtimeSec: NOW + 90 * DAY }));
    expect(ages.untilSec(GIB)).toBeGreaterThanOrEqual(NOW);
  });
});

describe('the guard of the clock', () => {
  const at = (wallSec: number, elapsedSec: number, bootId = 'a') => ({
    wallSec,
    monotonicMs: elapsedSec * 1000,
    bootId,
  });

  it('allows what goes on as time does, and jumps up to a day', () => {
    expect(clockPause(undefined, at(NOW, 5))).toBeUndefined();
    expect(clockPause(at(NOW, 5), at(NOW + 90 * DAY, 5 + 90 * DAY))).toBeUndefined();
    expect(clockPause(at(NOW, 5), at(NOW + DAY, 5))).toBeUndefined();
    expect(clockPause(at(NOW, 5), at(NOW - DAY, 5))).toBeUndefined();
  });

  it('pauses for more than a day, either way', () => {
    expect(clockPause(at(NOW, 5), at(NOW + 2 * DAY + 60, 65))).toEqual({
      kind: 'clock',
      reason: 'the clock jumped forward by 2d, expected at most 1d',
    });
    expect(clockPause(at(NOW, 5), at(NOW - DAY - 1, 5))?.reason).toMatch(/jumped back by 1d/);
    expect(clockPause(at(NOW, 0), at(NOW, 2 * DAY))?.reason).toMatch(/jumped back by 2d/);
  });

  it('after a reboot minds only a clock that went back', () => {
    expect(clockPause(at(NOW, 50), at(NOW + 60 * DAY, 1, 'b'))).toBeUndefined();
    expect(clockPause(at(NOW, 50), at(NOW - 2 * DAY, 1, 'b'))?.reason).toMatch(/jumped back by 2d/);
  });
});

describe('the guard of the share', () => {
  const load = (heldBytes: number, leavingBytes: number) => new Map([['hot', { heldBytes, leavingBytes }]] as const);

  it('pauses a run that moves over a fifth of a tier', () => {
    expect(sharePause(load(100 * GIB, 20 * GIB))).toBeUndefined();
    expect(sharePause(load(100 * GIB, 20 * GIB + 1))).toEqual({
      kind: 'share',
      reason: "the run would move 20.0 GiB of 100.0 GiB (20%) off tier 'hot', expected at most 20%",
    });
    expect(sharePause(load(0, 20 * GIB))?.kind).toBe('share');
  });

  it('lets small runs pass, unless told otherwise', () => {
    expect(sharePause(load(GIB, GIB - 1))).toBeUndefined();
    expect(sharePause(load(100, 21), { floorBytes: 0 })?.kind).toBe('share');
    expect(sharePause(load(100, 0), { floorBytes: 0 })).toBeUndefined();
  });

  it('stands until its own kind is confirmed', () => {
    const pauses = [
      clockPause({ wallSec: 0, monotonicMs: 0, bootId: 'a' }, { wallSec: 9 * DAY, monotonicMs: 0, bootId: 'a' }),
      undefined,
      sharePause(load(100, 99), { floorBytes: 0 }),
    ];
    expect(standing(pauses, new Set()).map(({ kind }) => kind)).toEqual(['clock', 'share']);
    expect(standing(pauses, new Set(['clock'])).map(({ kind }) => kind)).toEqual(['share']);
    expect(standing(pauses, new Set(['clock', 'share']))).toEqual([]);
  });
});

describe('a token bucket', () => {
  it('lets its rate pass on average, whatever the sizes', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    for (const most of [4_096, MIB, 64 * MIB]) {
      let now = 0;
      const bucket = new TokenBucket(10 * MIB, () => now);
      let moved = 0;
      const until = most > MIB ? 600_000 : 10_000;
      let isLate = false;
      while (now < until) {
        now += bucket.waitMs();
        isLate ||= bucket.waitMs() > 0;
        const bytes = 1 + random.below(most);
        bucket.take(bytes);
        moved += bytes;
        // Some of the time nothing is asked for: what was not used is not saved up beyond the burst.
        if (random.below(50) === 0) now += 1;
      }
      const rate = moved / (now / 1000);
      expect(isLate).toBe(false);
      // What the bucket held at first, and the last take, which is owed.
      expect(rate).toBeLessThan(10 * MIB + (4 * MIB + most) / (now / 1000));
      expect(rate).toBeGreaterThan(10 * MIB * 0.9);
    }
  });

  it('does not save up a rest', () => {
    let now = 0;
    const bucket = new TokenBucket(100 * MIB, () => now);
    now += 3_600_000;
    bucket.take(25 * MIB);
    expect(bucket.waitMs()).toBe(0);
    bucket.take(100 * MIB);
    expect(bucket.waitMs()).toBe(1_000);
    now += 999;
    expect(bucket.waitMs()).toBe(1);
  });

  it('takes back what was not moved', () => {
    const now = 0;
    const bucket = new TokenBucket(MIB, () => now);
    bucket.take(3 * MIB);
    bucket.giveBack(2 * MIB);
    expect(bucket.waitMs()).toBe(0);
    bucket.giveBack(99 * MIB);
    bucket.take(2 * MIB);
    expect(bucket.waitMs()).toBe(1_000);
  });

  it('gives nothing for a clock that went back', () => {
    let now = 1_000;
    const bucket = new TokenBucket(MIB, () => now);
    bucket.take(2 * MIB);
    now = 0;
    expect(bucket.waitMs()).toBe(1_000);
    now = 1_000;
    expect(bucket.waitMs()).toBe(0);
  });
});

describe('bandwidth caps', () => {
  it('hold all that concern a move, and take nothing while one of them waits', () => {
    let now = 0;
    const caps = new BandwidthCaps(AGES.bandwidth, () => now);
    expect(caps.tryTake(20 * MIB, COLD)).toBe(0);
    expect(caps.tryTake(MIB, COLD)).toBeGreaterThan(1_500);
    // The total has 5 MiB left: what waits for cold has taken nothing from it.
    expect(caps.tryTake(5 * MIB, WARM)).toBe(0);
    expect(caps.tryTake(1, HOT)).toBe(0);
    expect(caps.tryTake(1, HOT)).toBe(1);
    now += 10_000;
    expect(caps.tryTake(MIB, COLD)).toBe(0);
    caps.giveBack(MIB, COLD);
  });

  it('of a policy without any let everything pass', () => {
    const caps = new BandwidthCaps(policy('').bandwidth, () => 0);
    for (let i = 0; i < 100; i++) expect(caps.tryTake(GIB, COLD)).toBe(0);
  });
});

describe('facts of an inode', () => {
  const extent = (volume: VolumeRow, length: number) => ({ volume: volume.id, length }) as Inode['extents'][number];
  const inode = (rest: Partial<Inode>) =>
    ({
      size: 900,
      mtime: { sec: 5, nsec: 9 },
      atime: { sec: 7, nsec: 0 },
      uid: 1,
      gid: 2,
      project: 3,
      flags: 0,
      own: undefined,
      extents: [],
      ...rest,
    }) as Inode;
  const path = () => undefined;

  it('are those of one volume', () => {
    const packed = inode({ extents: [extent(HOT, 100), extent(COLD, 300), extent(HOT, 50)], flags: FLAG_PINNED });
    expect(volumesOf(packed)).toEqual([HOT.id, COLD.id]);
    expect(factsOf(packed, { volume: HOT, path })).toMatchObject({
      size: 900,
      storedBytes: 150,
      mtimeSec: 5,
      atimeSec: 7,
      uid: 1,
      gid: 2,
      project: 3,
      isPinned: true,
      place: HOT,
    });
    expect(factsOf(packed, { volume: COLD, path, recalledSec: 8 })).toMatchObject({ storedBytes: 300, recalledSec: 8 });
  });

  it('are those of its own file', () => {
    const own = inode({ own: { volume: HOT.id, start: 1, number: 1 } });
    expect(volumesOf(own)).toEqual([HOT.id]);
    expect(factsOf(own, { volume: HOT, path }).storedBytes).toBe(900);
    expect(factsOf(own, { volume: COLD, path }).storedBytes).toBe(0);
    expect(volumesOf(inode({}))).toEqual([]);
  });
});
