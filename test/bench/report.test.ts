/** Tables of the benchmark: judged by the median of the rounds' ratios, and put between their markers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { judge, type Round, type Row, tableOf } from '../../bench/report/judge.ts';
import { replaceSection } from '../../bench/report/markers.ts';
import { plot } from '../../bench/report/plot.ts';
import { shown } from '../../bench/report/table.ts';
import { RunState } from '../../bench/run/state.ts';
import { sizesOf } from '../../bench/studies/sizes.ts';

const ROW: Row = { title: 'ingest', figure: 'rate', against: 'plain', wanted: 'at least', mustReach: 0.9, goal: 1.1 };
/** Ratios 1, 0.5 and 2; the medians of the figures have another. */
const ROUNDS: readonly Round[] = [
  { plain: { rate: 100 }, pacsfs: { rate: 100 }, slow: { rate: 10 } },
  { plain: { rate: 400 }, pacsfs: { rate: 200 }, slow: { rate: 20 } },
  { plain: { rate: 200 }, pacsfs: { rate: 400 } },
];

it('judges the median of the ratios, round by round', () => {
  expect(judge([ROW], ROUNDS, [])).toEqual([
    {
      title: 'ingest',
      unit: '',
      against: 'plain',
      theirs: 200,
      ours: 200,
      ratio: 1,
      wanted: 'at least 0.900, goal 1.10',
      verdict: 'met',
    },
  ]);
});

it('has a line for each peer, and says what was not measured', () => {
  const lines = judge([{ ...ROW, against: 'peers' }], ROUNDS, ['slow', 'absent']);
  expect(lines.map(({ against, ratio, verdict }) => [against, ratio, verdict])).toEqual([
    ['slow', 10, 'goal reached'],
    ['absent', Number.NaN, 'not measured'],
  ]);
  expect(judge([{ ...ROW, against: 'peers' }], ROUNDS, [])[0]?.verdict).toBe('not measured');
});

it('judges our figure where nobody is compared with, and less where less is better', () => {
  const { against: _, ...alone } = ROW;
  expect(judge([{ ...alone, wanted: 'at most', mustReach: 199, goal: 100 }], ROUNDS, [])[0]?.verdict).toBe('MISSED');
  expect(judge([{ ...alone, wanted: 'at most', mustReach: 300, goal: 200 }], ROUNDS, [])[0]?.verdict).toBe(
    'goal reached',
  );
  expect(judge([{ title: 'x', figure: 'rate', wanted: 'at most' }], ROUNDS, [])[0]?.verdict).toBe('');
});

it('prints a table that Markdown understands', () => {
  const [head = '', rule = '', line = ''] = tableOf(judge([ROW], ROUNDS, [])).split('\n');
  expect(head.length).toBe(rule.length);
  expect(line.split('|').map((cell) => cell.trim())).toEqual([
    '',
    'ingest',
    '',
    'plain',
    '200',
    '200',
    '1.00',
    'at least 0.900, goal 1.10',
    'met',
    '',
  ]);
  expect([shown(1234567.8), shown(12.34), shown(0.1234), shown(Number.NaN)]).toEqual([
    '1,234,568',
    '12.3',
    '0.123',
    '—',
  ]);
});

it('replaces one section and nothing else', () => {
  const document = '# Head\n\nold text\n';
  const first = replaceSection(document, 'a', 'one');
  expect(first).toBe('# Head\n\nold text\n\n<!-- bench:begin a -->\n\none\n\n<!-- bench:end a -->\n');
  const both = `${replaceSection(first, 'a b', 'other')}tail\n`;
  const second = replaceSection(both, 'a', 'two $& $1');
  expect(second).toBe(both.replace('one', () => 'two $& $1'));
  expect(() => replaceSection('<!-- bench:end a -->\n<!-- bench:begin a -->', 'a', '')).toThrow('section a');
  expect(() => replaceSection('<!-- bench:begin a -->', 'a', '')).toThrow('section a');
});

it('goes on with the rounds of an interrupted run, and only of the same one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
  try {
    const key = { workload: 'ingest', options: '', scale: 1, kernel: '6.18', program: 'a' };
    const first = new RunState(folder, key);
    first.add('ext4', { plain: { rate: 1 } });
    first.add('ext4', { plain: { rate: 2 } });
    expect(new RunState(folder, key).rounds('ext4')).toEqual([{ plain: { rate: 1 } }, { plain: { rate: 2 } }]);
    expect(new RunState(folder, key).rounds('xfs')).toEqual([]);
    expect(new RunState(folder, { ...key, program: 'b' }).rounds('ext4')).toEqual([]);
    first.remove();
    expect(new RunState(folder, key).rounds('ext4')).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('plots what is there', () => {
  const svg = plot({
    panels: [{ title: 'a < b', curves: [{ name: 'plain', values: [1, Number.NaN, 100] }] }],
    labels: ['512 B', '1 KiB', '2 KiB'],
    unit: 'MB/s',
  });
  expect(svg).toContain('a &lt; b');
  expect(/points="([^"]*)"/.exec(svg)?.[1]?.split(' ').length).toBe(2);
  expect(svg).not.toContain('NaN');
});

it('draws sizes of a PACS', () => {
  const sizes = sizesOf(1, 20_000);
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  expect(mean).toBeGreaterThan(420_000);
  expect(mean).toBeLessThan(440_000);
  expect(sizes.filter((size) => size >= 200_000 && size < 300_000).length / sizes.length).toBeCloseTo(0.63, 1);
  expect(sizesOf(1, 10)).toEqual(sizes.slice(0, 10));
});
