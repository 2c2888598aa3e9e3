import { describe, expect, it } from 'vitest';
import { decide, dueAt, type Pressure } from '../../../tiering/policy/decide.ts';
import type { FileFacts } from '../../../tiering/policy/facts.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { COLD, DAY, FLASH, file, HOT, NOW, policy, WARM } from './fixture.ts';
import { randomFile, randomPolicy } from './random_policy.ts';

const AGES = `
rules:
  - {name: to-cold, when: {olderThan: 2y}, to: cold}
  - {name: to-warm, when: {olderThan: 90d}, to: warm}
minResidence: 14d
`;
const NOW_ONLY = { nowSec: NOW };

/** 'to-warm > warm' for a move, 'placed' and the like for a stay. */
function outcome(text: string, facts: FileFacts, pressure?: Pressure): string {
  const pressures = pressure && new Map([[facts.place.id, pressure]]);
  const decision = decide(policy(text), facts, { nowSec: NOW, ...(pressures && { pressures }) });
  const rule = decision.rule?.name ?? '-';
  if (!decision.moves) return `${rule} ${decision.cause}`;
  return `${rule} > ${decision.to.kind === 'tier' ? decision.to.tier : decision.to.volume.name}`;
}

const aged = (days: number, facts: Partial<Omit<FileFacts, 'path'>> & { readonly path?: string } = {}) =>
  file({ mtimeSec: NOW - days * DAY, atimeSec: NOW - days * DAY, ...facts });

describe('a decision', () => {
  it("is the first matching rule's", () => {
    expect(outcome(AGES, aged(10))).toBe('- unmatched');
    expect(outcome(AGES, aged(100))).toBe('to-warm > warm');
    expect(outcome(AGES, aged(800))).toBe('to-cold > cold');
  });

  it('begins with the second in which the age is reached', () => {
    expect(outcome(AGES, file({ mtimeSec: NOW - 90 * DAY }))).toBe('to-warm > warm');
    expect(outcome(AGES, file({ mtimeSec: NOW - 90 * DAY + 1 }))).toBe('- unmatched');
    const young = 'rules:\n  - {name: up, when: {youngerThan: 1d}, to: hot}\n';
    expect(outcome(young, file({ mtimeSec: NOW - DAY + 1, place: WARM }))).toBe('up > hot');
    expect(outcome(young, file({ mtimeSec: NOW - DAY, place: WARM }))).toBe('- unmatched');
    expect(outcome(young, file({ mtimeSec: NOW + 5 * DAY, place: WARM }))).toBe('up > hot');
  });

  it('leaves a file where its rule wants it, and later rules do not touch it', () => {
    expect(outcome(AGES, aged(100, { place: WARM }))).toBe('to-warm placed');
    const keep = `rules:\n  - {name: keep, when: {paths: 'trial/**'}, to: hot}\n  - {name: down, when: {olderThan: 1d}, to: warm}\n`;
    expect(outcome(keep, aged(100, { path: 'trial/1/2' }))).toBe('keep placed');
    expect(outcome(keep, aged(100, { path: 'other/1/2' }))).toBe('down > warm');
    expect(outcome(keep, aged(100, { path: 'trial/1', place: COLD }))).toBe('keep > hot');
  });

  it('by age never moves a file up', () => {
    expect(outcome(AGES, aged(100, { place: COLD }))).toBe('to-warm lower');
  });

  it('tells a volume from its tier', () => {
    const to = (target: string) => `rules:\n  - {name: a, when: {olderThan: 1d}, to: ${target}}\n`;
    expect(outcome(to('hot'), aged(5, { place: FLASH }))).toBe('a placed');
    expect(outcome(to('flash2'), aged(5))).toBe('a > flash2');
    expect(outcome(to('flash2'), aged(5, { place: FLASH }))).toBe('a placed');
  });

  it('leaves pinned files alone, unless a rule asks for pins', () => {
    expect(outcome(AGES, aged(800, { isPinned: true }))).toBe('- pinned');
    const pins = `rules:\n  - {name: pins, when: {pinned: true}, to: hot}\n  - {name: down, when: {olderThan: 1d}, to: warm}\n`;
    expect(outcome(pins, aged(800, { isPinned: true, place: COLD }))).toBe('pins > hot');
    expect(outcome(pins, aged(800))).toBe('down > warm');
    const pressed = { to: { kind: 'tier', tier: 'warm' }, by: 'atime', untilSec: NOW } as const;
    expect(outcome('', aged(800, { isPinned: true }), pressed)).toBe('- pinned');
  });

  it('holds recalled files for minResidence', () => {
    const recalled = (days: number, place = HOT) => aged(800, { place, recalledSec: NOW - days * DAY });
    expect(outcome(AGES, recalled(13))).toBe('to-cold residence');
    expect(outcome(AGES, recalled(14))).toBe('to-cold > cold');
    const up = 'rules:\n  - {name: up, to: hot}\n';
    expect(outcome(up, recalled(1, WARM))).toBe('up > hot');
  });

  it('counts a change as use by atime, and reads not as changes', () => {
    const by = (word: string) => `rules:\n  - {name: a, when: {olderThan: 30d, by: ${word}}, to: warm}\n`;
    const readNow = file({ mtimeSec: NOW - 99 * DAY, atimeSec: NOW });
    const writtenNow = file({ mtimeSec: NOW, atimeSec: NOW - 99 * DAY });
    expect(outcome(by('mtime'), readNow)).toBe('a > warm');
    expect(outcome(by('atime'), readNow)).toBe('- unmatched');
    expect(outcome(by('atime'), writtenNow)).toBe('- unmatched');
    expect(outcome(by('atime'), aged(31))).toBe('a > warm');
  });

  it.each<[string, Partial<FileFacts>, Partial<FileFacts>]>([
    ['largerThan: 100', { size: 101 }, { size: 100 }],
    ['smallerThan: 100', { size: 99 }, { size: 100 }],
    ['user: pacs', { uid: 1001 }, { uid: 0 }],
    ['user: [0, 7]', { uid: 7 }, { uid: 1001 }],
    ['group: staff', { gid: 50 }, { gid: 51 }],
    ['project: 3', { project: 3 }, { project: 0 }],
    ['pinned: true', { isPinned: true }, { isPinned: false }],
    ['pinned: false', { isPinned: false }, { isPinned: true }],
    ['on: hot', { place: FLASH }, { place: COLD }],
    ['on: [disks, vault]', { place: COLD }, { place: HOT }],
  ])('looks at %s', (condition, yes, no) => {
    const text = `rules:\n  - {name: a, when: {${condition}}, to: disks}\n`;
    expect(outcome(text, { ...file(), ...yes })).toBe('a > disks');
    expect(outcome(text, { ...file(), ...no })).not.toMatch(/^a /);
  });

  it('asks for the path last and once', () => {
    let asked = 0;
    const facts = {
      ...aged(10),
      path: () => {
        asked += 1;
        return new TextEncoder().encode('a/b');
      },
    };
    const rules = policy(`rules:
  - {name: a, when: {olderThan: 90d, paths: 'a/*'}, to: warm}
  - {name: b, when: {user: 3, paths: 'a/*'}, to: warm}
`);
    expect(decide(rules, facts, NOW_ONLY).moves).toBe(false);
    expect(asked).toBe(0);
    const more = policy(`rules:
  - {name: a, when: {paths: 'b/*'}, to: warm}
  - {name: b, when: {notPaths: 'a/*'}, to: warm}
  - {name: c, when: {paths: ['c', 'a/*']}, to: cold}
`);
    expect(decide(more, facts, NOW_ONLY).rule?.name).toBe('c');
    expect(asked).toBe(1);
    dueAt(more, facts, NOW_ONLY);
  });

  it('of a file without a name is made without rules about paths', () => {
    const nameless = { ...aged(100), path: () => undefined };
    const text = `rules:\n  - {name: a, when: {paths: '**'}, to: cold}\n  - {name: b, when: {notPaths: 'x'}, to: cold}\n  - {name: c, to: warm}\n`;
    expect(outcome(text, nameless)).toBe('c > warm');
  });

  it('under pressure takes the oldest that no rule keeps', () => {
    const pressed: Pressure = { to: { kind: 'tier', tier: 'warm' }, by: 'mtime', untilSec: NOW - 20 * DAY };
    expect(outcome(AGES, aged(20), pressed)).toBe('- > warm');
    expect(outcome(AGES, aged(19), pressed)).toBe('- unmatched');
    expect(outcome(AGES, aged(30, { recalledSec: NOW - DAY }), pressed)).toBe('- residence');
    expect(outcome(AGES, aged(800), pressed)).toBe('to-cold > cold');
    const keep = `rules:\n  - {name: keep, when: {paths: 'trial/**'}, to: hot}\n`;
    expect(outcome(keep, aged(50, { path: 'trial/1' }), pressed)).toBe('keep placed');
  });
});

describe('when a file is due', () => {
  it('is now for a move', () => {
    expect(dueAt(policy(AGES), aged(100), NOW_ONLY)).toMatchObject({ atSec: NOW, rule: { name: 'to-warm' } });
  });

  it('is when the first rule by age takes it', () => {
    expect(dueAt(policy(AGES), aged(10), NOW_ONLY)).toMatchObject({ atSec: NOW + 80 * DAY, rule: { name: 'to-warm' } });
    const onWarm = aged(100, { place: WARM });
    expect(dueAt(policy(AGES), onWarm, NOW_ONLY)).toMatchObject({ atSec: NOW + 630 * DAY, rule: { name: 'to-cold' } });
    expect(dueAt(policy(AGES), aged(1000, { place: COLD }), NOW_ONLY)).toBeUndefined();
    expect(dueAt(policy(AGES), aged(1, { isPinned: true }), NOW_ONLY)).toBeUndefined();
  });

  it('is when a rule that keeps it ends', () => {
    const text = `rules:\n  - {name: keep, when: {youngerThan: 30d}, to: hot}\n  - {name: down, when: {olderThan: 1d}, to: warm}\n`;
    expect(dueAt(policy(text), aged(10), NOW_ONLY)).toMatchObject({ atSec: NOW + 20 * DAY, rule: { name: 'down' } });
  });

  it('is when a recalled file has stayed long enough', () => {
    const recalled = aged(800, { recalledSec: NOW - 4 * DAY });
    expect(dueAt(policy(AGES), recalled, NOW_ONLY)).toMatchObject({ atSec: NOW + 10 * DAY, rule: { name: 'to-cold' } });
  });

  it('is the earliest time at which a decision is a move', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    let later = 0;
    let rules = randomPolicy(random);
    for (let round = 0; round < 4_000; round++) {
      if (round % 10 === 0) rules = randomPolicy(random);
      const facts = randomFile(random);
      const due = dueAt(rules, facts, NOW_ONLY);
      if (due !== undefined) {
        const then = decide(rules, facts, { nowSec: due.atSec });
        expect(then).toMatchObject({ moves: true, to: due.to });
        if (due.atSec > NOW) {
          later += 1;
          expect(decide(rules, facts, { nowSec: due.atSec - 1 }).moves).toBe(false);
        }
      }
      for (let look = 0; look < 30; look++) {
        const at = NOW + random.below(3_000 * DAY);
        if (decide(rules, facts, { nowSec: at }).moves) expect(due?.atSec ?? Infinity).toBeLessThanOrEqual(at);
      }
    }
    expect(later).toBeGreaterThan(100);
  });
});
