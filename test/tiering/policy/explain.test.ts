import { describe, expect, it } from 'vitest';
import { decide, type Moment } from '../../../tiering/policy/decide.ts';
import { explain, explanationText } from '../../../tiering/policy/explain.ts';
import type { FileFacts } from '../../../tiering/policy/facts.ts';
import type { Policy } from '../../../tiering/policy/policy.ts';
import { actsFrom, mayAct } from '../../../tiering/policy/schedule.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { DAY, file, HOT, NOW, policy, WARM } from './fixture.ts';
import { randomFile, randomPolicy } from './random_policy.ts';

const HOSPITAL = policy(`
rules:
  - {name: trials, when: {paths: ['trials/**', 'studies/**']}, to: hot}
  - {name: to-cold, when: {olderThan: 2y}, to: cold}
  - {name: to-warm, when: {olderThan: 90d, largerThan: 1 MiB}, to: warm}
  - {name: rest, when: {olderThan: 180d}, to: warm}
windows:
  - {days: [sat], from: '20:00', to: '06:00'}
timeZone: UTC
watermarks:
  hot: {high: 85%, low: 75%}
  disks: {high: 85%, low: 75%, anytime: false}
`);

function explained(rules: Policy, facts: FileFacts, moment: Moment = { nowSec: NOW }) {
  return explain(rules, facts, { path: '/mnt/pacs/patient/study/1.dcm', moment });
}

describe('an explanation', () => {
  it('says which rule applies, why earlier ones do not, and when it acts', () => {
    const found = explained(HOSPITAL, file({ mtimeSec: NOW - 100 * DAY, size: 2 ** 21 }));
    expect(found).toEqual({
      path: '/mnt/pacs/patient/study/1.dcm',
      volume: 'hot',
      tier: 'hot',
      outcome: 'moves',
      rule: 'to-warm',
      to: 'warm',
      reason: "rule 'to-warm' applies",
      next: { rule: 'to-warm', to: 'warm', due: '2026-06-01T12:00:00Z', acts: '2026-06-06T20:00:00Z' },
      rules: [
        { rule: 'trials', to: 'hot', verdict: 'fails', reason: 'its path is none of trials/**, studies/**' },
        {
          rule: 'to-cold',
          to: 'cold',
          verdict: 'fails',
          reason: 'it was changed 100d ago, expected at least 2y: from 2028-02-21T12:00:00Z on',
        },
        { rule: 'to-warm', to: 'warm', verdict: 'applies', reason: 'all its conditions hold' },
        { rule: 'rest', to: 'warm', verdict: 'later', reason: '' },
      ],
    });
    expect(explanationText(found).split('\n')).toEqual([
      '/mnt/pacs/patient/study/1.dcm',
      "  on volume 'hot' (hot): moves to warm: rule 'to-warm' applies",
      "  next: to warm by rule 'to-warm', from 2026-06-06T20:00:00Z",
      "  rule 'trials' (to hot): does not apply: its path is none of trials/**, studies/**",
      "  rule 'to-cold' (to cold): does not apply: it was changed 100d ago, expected at least 2y: from 2028-02-21T12:00:00Z on",
      "  rule 'to-warm' (to warm): applies: all its conditions hold",
      "  rule 'rest' (to warm): not asked",
    ]);
  });

  it('names the rule to come of a file that stays', () => {
    const found = explained(HOSPITAL, file());
    expect(found).toMatchObject({ outcome: 'stays', rule: null, to: null, reason: 'no rule matches' });
    expect(found.next).toEqual({ rule: 'rest', to: 'warm', due: '2026-11-18T12:00:00Z', acts: '2026-11-21T20:00:00Z' });
    expect(found.rules[2]?.reason).toBe('it was changed 10d ago, expected at least 90d: from 2026-08-20T12:00:00Z on');
  });

  it('has a reason for whatever keeps a file', () => {
    const reason = (facts: FileFacts, rules = HOSPITAL) => explained(rules, facts).reason;
    expect(reason(file({ path: 'trials/1' }))).toBe("rule 'trials' wants it on hot, where it is");
    expect(reason(file({ isPinned: true }))).toBe('it is pinned, and no rule asks for pins');
    expect(reason(file({ mtimeSec: NOW - 999 * DAY, recalledSec: NOW - DAY }))).toBe(
      "rule 'to-cold' would move it down, but it was recalled at 2026-05-31T12:00:00Z and stays until 2026-06-07T12:00:00Z",
    );
    const up = policy('rules:\n  - {name: a, when: {olderThan: 1d}, to: hot}\n');
    expect(reason(file({ place: WARM }), up)).toBe(
      "rule 'a' is by age, which moves files down only, and it lies below 'hot' already",
    );
  });

  it('tells of a watermark, which need not wait for a window', () => {
    const pressed = (place = HOT, untilSec = NOW): Moment => ({
      nowSec: NOW,
      pressures: new Map([[place.id, { to: { kind: 'tier', tier: 'cold' }, by: 'atime', untilSec }]]),
    });
    const found = explained(HOSPITAL, file(), pressed());
    expect(found).toMatchObject({ outcome: 'moves', rule: null, to: 'cold', next: { acts: '2026-06-01T12:00:00Z' } });
    expect(found.reason).toBe("volume 'hot' is above its watermark (85%), and the file is among the oldest");
    expect(explanationText(found)).toContain('next: to cold by the watermark, from 2026-06-01T12:00:00Z');
    expect(explained(HOSPITAL, file({ place: WARM }), pressed(WARM)).next?.acts).toBe('2026-06-06T20:00:00Z');
    expect(explained(HOSPITAL, file(), pressed(HOT, NOW - 11 * DAY)).reason).toMatch(/not among the oldest of 'hot'/);
  });

  it.each([
    ['on: [warm, flash2]', file(), "it lies on 'hot' (hot), expected warm, flash2"],
    ['youngerThan: 1d', file(), 'it was changed 10d ago, expected less than 1d'],
    ['youngerThan: 1d, by: atime', file(), 'it was last used 10d ago, expected less than 1d'],
    [
      'olderThan: 1d',
      file({ mtimeSec: NOW + DAY }),
      'it was changed 1d in the future, expected at least 1d: from 2026-06-03T12:00:00Z on',
    ],
    ['largerThan: 1 MiB', file(), 'it has 244.1 KiB, expected more than 1.0 MiB'],
    ['smallerThan: 9', file(), 'it has 244.1 KiB, expected less than 9 bytes'],
    ['user: root', file(), 'its user is 1001, expected 0'],
    ['group: [1, 2, 3, 4, 5, 6, 7]', file(), 'its group is 50, expected 1, 2, 3, 4, 5 or 2 more'],
    ['project: 9', file(), 'its project is 0, expected 9'],
    ["notPaths: '**'", file(), 'its path is one of **, expected none'],
    ['pinned: true', file(), 'the file is not pinned, expected one that is'],
    ['pinned: false', file({ isPinned: true }), 'the file is pinned, expected one that is not'],
    ['user: 1001', file({ isPinned: true }), 'the file is pinned, and the rule does not ask for pins'],
  ])('of a rule with %s says what was found and expected', (when, facts, reason) => {
    const found = explained(policy(`rules:\n  - {name: a, when: {${when}}, to: cold}\n`), facts);
    expect(found.rules[0]).toMatchObject({ verdict: 'fails', reason });
  });

  it('agrees with the decision, always', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    for (let round = 0; round < 500; round++) {
      const [rules, facts] = [randomPolicy(random), randomFile(random)];
      const [found, decision] = [explained(rules, facts), decide(rules, facts, { nowSec: NOW })];
      expect(found.outcome).toBe(decision.moves ? 'moves' : 'stays');
      expect(found.rules.find(({ verdict }) => verdict === 'applies')?.rule ?? null).toBe(decision.rule?.name ?? null);
      if (decision.moves) expect(found.next?.due).toBe('2026-06-01T12:00:00Z');
      expect(explanationText(found)).not.toMatch(/undefined|NaN|null|Infinity/);
    }
  });
});

describe('a chosen move', () => {
  it('is made in a window, by a watermark at any time', () => {
    const [rule] = HOSPITAL.rules;
    const saturday = Date.UTC(2026, 5, 6, 21) / 1000;
    expect(mayAct(HOSPITAL, { rule, from: HOT }, NOW)).toBe(false);
    expect(mayAct(HOSPITAL, { rule, from: HOT }, saturday)).toBe(true);
    expect(mayAct(HOSPITAL, { rule: undefined, from: HOT }, NOW)).toBe(true);
    expect(mayAct(HOSPITAL, { rule: undefined, from: WARM }, NOW)).toBe(false);
    expect(actsFrom(HOSPITAL, { rule, from: HOT }, NOW)).toBe(Date.UTC(2026, 5, 6, 20) / 1000);
  });
});
