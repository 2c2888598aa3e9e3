/** From what was measured in rounds to the lines of a table: medians, the rounds' ratios, and what they had to reach. */
import { median } from '../metadata/figures.ts';
import { markdownTable, shown } from './table.ts';

/** What one place did in one round. */
export type Figures = Readonly<Record<string, number>>;

/** One round: the figures of each place by its name. */
export type Round = Readonly<Record<string, Figures>>;

export interface Row {
  readonly title: string;
  readonly figure: string;
  readonly unit?: string;
  /** The place whose figure ours is divided by, 'peers' for each of the peers; none when ours itself is judged. */
  readonly against?: string;
  /** Of the other place, when it is not the same figure. */
  readonly theirFigure?: string;
  /** Whose figure is judged; 'pacsfs'. */
  readonly of?: string;
  /** Whether more or less is better; what must be reached and what is aimed at, of the ratio or of our figure. */
  readonly wanted: 'at least' | 'at most';
  readonly mustReach?: number;
  readonly goal?: number;
}

export interface Line {
  readonly title: string;
  readonly unit: string;
  readonly against: string;
  readonly theirs: number;
  readonly ours: number;
  /** Median of the rounds' ratios; NaN without somebody to compare with. */
  readonly ratio: number;
  readonly wanted: string;
  readonly verdict: 'goal reached' | 'met' | 'MISSED' | 'not measured' | '';
}

export const OURS = 'pacsfs';

/** Rows that compare with peers give a line for each of them; those of a place that did not run say so. */
export function judge(rows: readonly Row[], rounds: readonly Round[], peers: readonly string[]): Line[] {
  return rows.flatMap((row) => {
    if (row.against !== 'peers') return [lineOf(row, row.against, rounds)];
    const lines = peers.map((peer) => lineOf(row, peer, rounds));
    return lines.length > 0 ? lines : [lineOf(row, 'peers', rounds)];
  });
}

function lineOf(row: Row, against: string | undefined, rounds: readonly Round[]): Line {
  const ours = rounds.map((round) => round[row.of ?? OURS]?.[row.figure] ?? Number.NaN);
  const theirs = rounds.map((round) =>
    against === undefined ? Number.NaN : (round[against]?.[row.theirFigure ?? row.figure] ?? Number.NaN),
  );
  const ratio = middle(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));
  const judged = against === undefined ? middle(ours) : ratio;
  return {
    title: row.title,
    unit: row.unit ?? '',
    against: against ?? '',
    theirs: middle(theirs),
    ours: middle(ours),
    ratio,
    wanted: wantedOf(row),
    verdict: verdictOf(row, judged),
  };
}

/** Rounds in which a place did not run do not count. */
function middle(values: readonly number[]): number {
  return median(values.filter((value) => Number.isFinite(value)));
}

function wantedOf({ wanted, mustReach, goal }: Row): string {
  if (mustReach === undefined) return '';
  return `${wanted} ${shown(mustReach)}${goal === undefined ? '' : `, goal ${shown(goal)}`}`;
}

function verdictOf({ wanted, mustReach, goal }: Row, value: number): Line['verdict'] {
  if (!Number.isFinite(value)) return 'not measured';
  if (mustReach === undefined) return '';
  const reaches = (limit: number) => (wanted === 'at least' ? value >= limit : value <= limit);
  if (goal !== undefined && reaches(goal)) return 'goal reached';
  return reaches(mustReach) ? 'met' : 'MISSED';
}

const HEAD = ['what', 'unit', 'against', 'theirs', 'pacsfs', 'ratio', 'must reach, goal', ''];
const FIRST_NUMBER = 3;
const LAST_NUMBER = 5;

export function tableOf(lines: readonly Line[]): string {
  const cells = lines.map(({ title, unit, against, theirs, ours, ratio, wanted, verdict }) => [
    title,
    unit,
    against,
    against === '' ? '' : shown(theirs),
    shown(ours),
    against === '' ? '' : shown(ratio),
    wanted,
    verdict,
  ]);
  return markdownTable([HEAD, ...cells], (column) => column >= FIRST_NUMBER && column <= LAST_NUMBER);
}
