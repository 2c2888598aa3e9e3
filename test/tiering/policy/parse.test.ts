import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GIB, MIB } from '../../../base/units.ts';
import { emptyPolicy, parsePolicy } from '../../../tiering/policy/parse.ts';
import { PACK_EVERYTHING } from '../../../tiering/policy/policy.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { COLD, CONTEXT, DAY, FLASH, HOT, policy } from './fixture.ts';

const DOCUMENT = join(import.meta.dirname, '../../../docs/tiering.md');

function flaws(text: string, context = CONTEXT): readonly string[] {
  const parsed = parsePolicy(text, 'tiering.yaml', context);
  return 'flaws' in parsed ? parsed.flaws : [];
}

function examples(): string[] {
  return [...readFileSync(DOCUMENT, 'utf8').matchAll(/^```yaml\n(.*?)^```/gms)].map((match) => match[1] ?? '');
}

describe('tiering.yaml', () => {
  it('reads every example of the documentation', () => {
    expect(examples().length).toBeGreaterThanOrEqual(4);
    for (const example of examples()) expect(flaws(example)).toEqual([]);
  });

  it('gives what the first example says', () => {
    const read = policy((examples()[0] ?? '').replace('version: 1', ''));
    expect(read.rules.map(({ name }) => name)).toEqual(['to-cold', 'to-warm']);
    expect(read.rules[1]).toMatchObject({ to: { kind: 'tier', tier: 'warm' }, when: { olderThanSec: 90 * DAY } });
    expect([...read.watermarks.keys()]).toEqual([HOT.id, FLASH.id]);
    expect(read.watermarks.get(HOT.id)).toMatchObject({ high: 0.85, low: 0.75, to: { tier: 'warm' }, by: 'atime' });
    expect(read.windows).toEqual([
      { days: 0b0111110, from: 20 * 60, to: 6 * 60 },
      { days: 0b1000001, from: 0, to: 24 * 60 },
    ]);
    expect(read.bandwidth.total).toBe(400 * MIB);
    expect(read.bandwidth.tiers.get('cold')).toBe(150 * MIB);
    expect(read.minResidenceSec).toBe(14 * DAY);
    expect(read.packing.get('warm')).toEqual({ packBelow: 64 * MIB, aggregateBytes: 256 * MIB });
    expect(read.packing.get('cold')).toEqual({ packBelow: PACK_EVERYTHING, aggregateBytes: 512 * MIB });
  });

  it('fills in what is left out', () => {
    const read = emptyPolicy(CONTEXT);
    expect(read).toMatchObject({ rules: [], windows: [], minResidenceSec: 7 * DAY, bandwidth: { total: undefined } });
    expect(read.packing.get('warm')).toEqual({ packBelow: PACK_EVERYTHING, aggregateBytes: GIB / 4 });
    expect(read.packing.get('cold')?.aggregateBytes).toBe(GIB / 2);
    expect(read.packing.has('hot')).toBe(false);
  });

  it('resolves owners, one or many', () => {
    const read = policy('rules:\n  - {name: a, when: {user: pacs, group: [staff, 7], project: [1, 2]}, to: warm}\n');
    expect(read.rules[0]?.when.users).toEqual(new Set([1001]));
    expect(read.rules[0]?.when.groups).toEqual(new Set([50, 7]));
    expect(read.rules[0]?.when.projects).toEqual(new Set([1, 2]));
  });

  it("takes a volume's watermark before its tier's, whatever their order", () => {
    for (const text of [
      'flash2: {high: 50%, low: 40%}, hot: {high: 90%, low: 80%}',
      'hot: {high: 90%, low: 80%}, flash2: {high: 50%, low: 40%}',
    ]) {
      const read = policy(`watermarks: {${text}}`);
      expect(read.watermarks.get(FLASH.id)?.high).toBe(0.5);
      expect(read.watermarks.get(HOT.id)?.high).toBe(0.9);
    }
  });

  it("means the tier by a tier's word, the volume by volume:", () => {
    const read = policy(
      "rules:\n  - {name: a, when: {on: 'volume:hot'}, to: warm}\n  - {name: b, when: {on: hot}, to: vault}\n",
    );
    expect(read.rules[0]?.when.on).toEqual([{ kind: 'volume', tier: 'hot', volume: HOT }]);
    expect(read.rules[1]?.when.on).toEqual([{ kind: 'tier', tier: 'hot' }]);
    expect(read.rules[1]?.to).toEqual({ kind: 'volume', tier: 'cold', volume: COLD });
  });

  const rule = (text: string) => `version: 1\nrules:\n  - name: a\n    ${text}\n    to: warm\n`;
  const refused: [what: string, text: string, message: string | RegExp][] = [
    ['nothing', '', /line 1: policy: nothing found, expected a policy that begins with version: 1$/],
    ['no version', 'rules: []', /line 1: version: nothing found, expected 1$/],
    ['a newer version', 'version: 2', /newer format, version 2 found, this pacsfs knows up to 1; update pacsfs$/],
    ['no YAML', 'version: [1', /line 1: policy: /],
    [
      'an alias by mistake',
      'version: 1\nrules:\n  - name: a\n    when: {paths: [**/a]}\n',
      /line 4: policy: '\*\*\/a' is an alias of nothing; a word that begins with '\*' stands in quotes$/,
    ],
    ['a word twice', 'version: 1\nrules: []\nrules: []\n', /line 3: policy: Map keys must be unique/],
    ['an unknown word', 'version: 1\nrulez: []\n', /line 2: rulez: unknown word; docs\/tiering.md has/],
    ['an unknown condition', rule('when: {older: 3d}'), /line 4: rules.0.when.older: unknown word/],
    ['a rule that is a word', 'version: 1\nrules: [a]\n', /line 2: rules.0: 'a' found, expected a rule/],
    [
      'rules that are no list',
      'version: 1\nrules: {a: 1}\n',
      /line 2: rules: {"a":1} found, expected a list of rules$/,
    ],
    [
      'a name that is none',
      rule('').replace('name: a', 'name: 1a'),
      /line 3: rules.0.name: '1a' found, expected up to 64/,
    ],
    ['no target', 'version: 1\nrules:\n  - name: a\n', /line 3: rules.0.to: nothing found, expected one of hot, warm/],
    [
      'an unknown tier',
      rule('').replace('to: warm', 'to: tepid'),
      /line 5: rules.0.to: 'tepid' is no tier or volume of this store, expected one of hot, warm, cold, volume:hot, flash2, disks, vault$/,
    ],
    [
      'a wrong unit',
      rule('when: {olderThan: 90 moons}'),
      /line 4: rules.0.when.olderThan: '90 moons' is no span of time, expected one like '90d'/,
    ],
    [
      'months',
      rule('when: {olderThan: 3m}'),
      /'3m' is no span of time, expected minutes \('3min'\) or, for months, days/,
    ],
    ['an age without unit', rule('when: {olderThan: 90}'), /90 is no span of time/],
    ['a negative age', rule('when: {olderThan: -3d}'), /'-3d' is no span of time/],
    ['a very long age', rule('when: {olderThan: 1001y}'), /'1001y' found, expected at most 1000y/],
    [
      'a wrong time',
      rule('when: {olderThan: 3d, by: ctime}'),
      /line 4: rules.0.when.by: 'ctime' found, expected mtime or atime$/,
    ],
    [
      'by without an age',
      rule('when: {by: atime}'),
      /rules.0.when.by: .*the rule has none, expected olderThan or youngerThan$/,
    ],
    [
      'no age between',
      rule('when: {olderThan: 3d, youngerThan: 72h}'),
      /youngerThan: no file is older than 3d and younger than 3d/,
    ],
    [
      'a wrong size',
      rule('when: {largerThan: 8 parsecs}'),
      /line 4: .*largerThan: '8 parsecs' is no size, expected one like '8 MiB'/,
    ],
    [
      'no size between',
      rule('when: {largerThan: 8, smallerThan: 9}'),
      /smallerThan: no file has less than 9 and more than 8/,
    ],
    ['a negative size', rule('when: {largerThan: -8}'), /-8 is no size/],
    [
      'an unknown user',
      rule('when: {user: nobody-here}'),
      /line 4: rules.0.when.user: this machine knows no user 'nobody-here'/,
    ],
    [
      'an unknown group in a list',
      rule('when: {group: [staff, none]}'),
      /rules.0.when.group.1: this machine knows no group 'none'/,
    ],
    ['a user that is no number', rule('when: {user: 1.5}'), /1.5 is no user's number, expected a whole number/],
    ['a project by name', rule('when: {project: seven}'), /'seven' is no project, expected a whole number from 0/],
    ['a pin that is a word', rule('when: {pinned: maybe}'), /'maybe' found, expected true or false$/],
    ['an empty list', rule('when: {paths: []}'), /rules.0.when.paths: 0 entries found, expected 1 to 1000$/],
    [
      'a bad pattern',
      rule("when: {paths: [ok, 'a**']}"),
      /line 4: rules.0.when.paths.1: 'a\*\*': '\*\*' found within a name/,
    ],
    [
      'two rules of one name',
      'version: 1\nrules:\n  - {name: a, when: {olderThan: 2y}, to: cold}\n  - {name: a, when: {olderThan: 1d}, to: warm}\n',
      /line 4: rules.1.name: rule 1 has the name 'a' already$/,
    ],
    [
      'a rule that never acts',
      'version: 1\nrules:\n  - {name: a, when: {olderThan: 1d}, to: warm}\n  - {name: b, when: {olderThan: 2y}, to: cold}\n',
      /line 4: rules.1.name: rule 'b' never acts: 'a' before it takes every file/,
    ],
    [
      'a watermark upside down',
      'version: 1\nwatermarks:\n  hot: {high: 70%, low: 80%}\n',
      /line 3: watermarks.hot.low: 80% found, expected less than high, which is 70%$/,
    ],
    [
      'a watermark without low',
      'version: 1\nwatermarks:\n  hot: {high: 70%}\n',
      /line 3: watermarks.hot.low: nothing is no share, expected one like '85%'$/,
    ],
    [
      'a share without sign',
      'version: 1\nwatermarks:\n  hot: {high: 70, low: 60%}\n',
      /watermarks.hot.high: 70 is no share/,
    ],
    [
      'a share above all',
      'version: 1\nwatermarks:\n  hot: {high: 101%, low: 60%}\n',
      /101% found, expected 0% to 100%/,
    ],
    [
      'a watermark of nothing',
      'version: 1\nwatermarks:\n  lukewarm: {high: 70%, low: 60%}\n',
      /line 3: watermarks.lukewarm: 'lukewarm' is no tier or volume/,
    ],
    [
      'a watermark upwards',
      'version: 1\nwatermarks:\n  disks: {high: 70%, low: 60%, to: hot}\n',
      /line 3: watermarks.disks.to: 'hot' is not of a tier below 'warm'/,
    ],
    [
      'a watermark at the bottom',
      'version: 1\nwatermarks:\n  vault: {high: 70%, low: 60%}\n',
      /line 3: watermarks.vault: no volume of a tier below 'cold'/,
    ],
    [
      'one volume by two words',
      'version: 1\nwatermarks:\n  disks: {high: 70%, low: 60%}\n  volume:disks: {high: 71%, low: 60%}\n',
      /line 4: watermarks.volume:disks: 'disks' and 'volume:disks' are the same/,
    ],
    ['no window', 'version: 1\nwindows: []\n', /line 2: windows: no window found: nothing would ever move/],
    [
      'a window of no length',
      "version: 1\nwindows:\n  - {from: '20:00', to: '20:00'}\n",
      /line 3: windows.0.to: the window ends as it begins/,
    ],
    [
      'a window from the end',
      "version: 1\nwindows:\n  - {from: '24:00', to: '06:00'}\n",
      /line 3: windows.0.from: '24:00' begins the next day/,
    ],
    [
      'a time that is none',
      'version: 1\nwindows:\n  - {from: 8 pm}\n',
      /line 3: windows.0.from: '8 pm' is no time of day/,
    ],
    ['a minute that is none', "version: 1\nwindows:\n  - {from: '10:60'}\n", /'10:60' is no time of day/],
    [
      'a day that is none',
      'version: 1\nwindows:\n  - {days: [mon-someday]}\n',
      /line 3: windows.0.days: 'mon-someday' is no day, expected one of sun, mon/,
    ],
    [
      'no days',
      'version: 1\nwindows:\n  - {days: []}\n',
      /windows.0.days: \[\] found, expected a list like \[mon-fri, sun\]$/,
    ],
    [
      'a time zone that is none',
      'version: 1\ntimeZone: Mars/Olympus\n',
      /line 2: timeZone: this machine knows no time zone 'Mars\/Olympus'/,
    ],
    [
      'a rate without time',
      'version: 1\nbandwidth: {total: 200 MiB}\n',
      /line 2: bandwidth.total: '200 MiB' is no rate, expected one like '200 MiB\/s'$/,
    ],
    ['a rate of nothing', 'version: 1\nbandwidth: {total: 0/s}\n', /'0\/s' found, expected at least '1 KiB\/s'$/],
    [
      'a rate to nowhere',
      'version: 1\nbandwidth:\n  to:\n    tape: 1 MiB/s\n',
      /line 4: bandwidth.to.tape: 'tape' is no tier or volume/,
    ],
    [
      'hot packing',
      'version: 1\npacking:\n  hot: {packBelow: 1 MiB}\n',
      /line 3: packing.hot: store.yaml says how the hot tier packs/,
    ],
    [
      'an odd aggregate',
      'version: 1\npacking:\n  warm: {aggregateBytes: 9 MiB}\n',
      /packing.warm.aggregateBytes: 9 MiB found, expected a multiple of 4 MiB$/,
    ],
    [
      'a large aggregate',
      'version: 1\npacking:\n  warm: {aggregateBytes: 1 GiB}\n',
      /1 GiB found, expected 8 MiB to 512 MiB$/,
    ],
    [
      'files larger than their aggregate',
      'version: 1\npacking:\n  warm: {packBelow: 65 MiB, aggregateBytes: 64 MiB}\n',
      /line 3: packing.warm.packBelow: 65 MiB found, expected at most aggregateBytes, which is 64 MiB/,
    ],
    [
      'own files on ec',
      'version: 1\npacking:\n  cold: {packBelow: 0}\n',
      /line 3: packing.cold.packBelow: volume 'vault' is of kind 'ec', which holds packed files only/,
    ],
    ['a residence of words', 'version: 1\nminResidence: long\n', /line 2: minResidence: 'long' is no span of time/],
  ];
  it.each(refused)('refuses %s with its line and reason', (_, text, message) => {
    expect(flaws(text)[0]).toMatch(message);
    for (const flaw of flaws(text)) expect(flaw).toMatch(/^Cannot use tiering.yaml, line \d+: [^\n]+: [^\n]+$/);
  });

  it('names every flaw, not only the first', () => {
    const found = flaws('version: 1\nrulez: 1\nminResidence: x\nbandwidth: {total: y}\n');
    expect(found).toHaveLength(3);
  });

  it('refuses a tier of which the store has no volume', () => {
    const context = { ...CONTEXT, volumes: [HOT] };
    expect(flaws(rule(''), context)[0]).toMatch(
      /no volume of this store is of tier 'warm', expected one of hot, volume:hot$/,
    );
    expect(flaws('version: 1\nwatermarks:\n  hot: {high: 9%, low: 8%}\n', context)[0]).toMatch(
      /no volume of a tier below/,
    );
  });

  it('lets a rule stand that an earlier one does not wholly cover', () => {
    const pairs: [string, string][] = [
      ['{olderThan: 2y}', '{olderThan: 1y}'],
      ['{olderThan: 1y}', '{olderThan: 2y, by: atime}'],
      ['{paths: a/**}', '{paths: b/**}'],
      ['{olderThan: 1d}', '{olderThan: 2d, pinned: true}'],
      ['{pinned: true}', '{pinned: false}'],
      ['{notPaths: a/**}', '{olderThan: 1d}'],
      ['{user: 1}', '{user: [1, 2]}'],
      ['{on: hot}', '{on: [hot, warm]}'],
      ['{largerThan: 5}', '{largerThan: 4}'],
    ];
    for (const [a, b] of pairs) {
      const text = (first: string, second: string) =>
        `version: 1\nrules:\n  - {name: a, when: ${first}, to: warm}\n  - {name: b, when: ${second}, to: cold}\n`;
      expect(flaws(text(a, b)), `${a} then ${b}`).toEqual([]);
      expect(flaws(text(a, a))[0], `${a} twice`).toMatch(/never acts/);
    }
  });
});

describe('any text', () => {
  const WORDS = [
    'version: 1',
    'rules',
    'name',
    'when',
    'to',
    'olderThan',
    '90d',
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '- ',
    '\n',
    '\n  ',
    '\n    ',
    '*',
    '**',
    '&a',
    '*a',
    '<<',
    '!!',
    "'",
    '"',
    '#',
    '|',
    '>',
    '%',
    '\\',
    '\0',
    '\uD800',
    '\u{1F600}',
    '__proto__',
    'constructor',
    'null',
    '~',
    '.nan',
    '-1',
    '1e999',
    '0x10',
    'windows',
    'from',
    "'20:00'",
    'hot',
    'watermarks',
    'high',
    '85%',
    'bandwidth',
    'packing',
    '2026-01-01',
    '? ',
    '\t',
  ];

  it('gives a policy or messages, and throws nothing', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    const base = examples();
    let policies = 0;
    for (let round = 0; round < 2_000; round++) {
      const text = round % 2 === 0 ? mutated(base[random.below(base.length)] ?? '', random) : madeUp(random);
      const parsed = parsePolicy(text, 'tiering.yaml', CONTEXT);
      if ('policy' in parsed) policies += 1;
      else {
        expect(parsed.flaws.length).toBeGreaterThan(0);
        for (const flaw of parsed.flaws)
          expect(flaw, JSON.stringify(text)).toMatch(/^Cannot use tiering.yaml, line \d+: .+: .+$/);
      }
    }
    // Some mutations change a number or a comment only.
    expect(policies).toBeGreaterThan(20);
  });

  it('however deep or long', () => {
    expect(flaws(`version: ${'['.repeat(50_000)}`)[0]).toMatch(/^Cannot use tiering.yaml, line 1: policy: /);
    expect(flaws(`version: 1\n#${' '.repeat(2 * MIB)}`)[0]).toMatch(/characters found, expected at most/);
    const bomb = `a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c]\n`;
    expect(flaws(bomb)).not.toEqual([]);
  });

  function mutated(text: string, random: Random): string {
    let changed = text;
    for (let i = 0; i <= random.below(3); i++) {
      const at = random.below(changed.length);
      const word = WORDS[random.below(WORDS.length)] ?? '';
      const cut = random.below(4) === 0 ? random.below(20) : random.below(2);
      changed = changed.slice(0, at) + (random.below(3) === 0 ? '' : word) + changed.slice(at + cut);
    }
    return changed;
  }

  function madeUp(random: Random): string {
    const count = random.below(30);
    return Array.from({ length: count }, () => WORDS[random.below(WORDS.length)] ?? '').join(
      random.below(2) === 0 ? '' : ' ',
    );
  }
});
