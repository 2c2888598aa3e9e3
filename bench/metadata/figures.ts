/** What the metadata benchmark found: one table for all rows. */

export interface Figure {
  /** The row that found it. */
  readonly row: string;
  readonly what: string;
  readonly found: string;
  /** What is wanted, and whether that is met; without it the figure is for information. */
  readonly wanted?: string;
  readonly met?: boolean;
}

const GAP = '  ';

/** A table for people, as wide as its widest cells. */
export function tableOf(figures: readonly Figure[]): string {
  const lines = figures.map((figure) => [figure.row, figure.what, figure.found, figure.wanted ?? '', verdict(figure)]);
  const cells = [['row', 'figure', 'found', 'wanted', ''], ...lines];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

function verdict({ met }: Figure): string {
  if (met === undefined) return '';
  return met ? 'met' : 'MISSED';
}

/** A figure that must not be above a limit. */
export function atMost(
  limit: number,
  of: { row: string; what: string; found: number; show: (value: number) => string },
): Figure {
  const { row, what, found, show } = of;
  return { row, what, found: show(found), wanted: `at most ${show(limit)}`, met: found <= limit };
}

export function microseconds(value: number): string {
  return `${value.toFixed(1)} µs`;
}

export function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

export function times(value: number): string {
  return `${value.toFixed(2)} times`;
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(bytes < 100 * 2 ** 20 ? 1 : 0)} MiB`;
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
