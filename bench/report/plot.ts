/** Small line charts side by side, as SVG: values on a logarithmic axis over labels at equal distances. */

export interface Curve {
  readonly name: string;
  /** One for each label; what is not a positive number is left out. */
  readonly values: readonly number[];
}

export interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
}

export interface Plot {
  readonly panels: readonly Panel[];
  readonly labels: readonly string[];
  readonly unit: string;
}

const COLUMNS = 3;
const WIDTH = 360;
const HEIGHT = 230;
const LEFT = 52;
const RIGHT = 12;
const TOP = 30;
const BOTTOM = 56;
const COLOURS = ['#777777', '#0060a8', '#b04a00', '#2e7d32'] as const;

export function plot({ panels, labels, unit }: Plot): string {
  const all = panels.flatMap(({ curves }) => curves.flatMap(({ values }) => values.filter(isShown)));
  const low = Math.floor(Math.log10(Math.min(...all)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all))));
  const rows = Math.ceil(panels.length / COLUMNS);
  const drawn = panels.map((panel, at) => {
    const x = (at % COLUMNS) * WIDTH;
    const y = Math.floor(at / COLUMNS) * HEIGHT;
    return `<g transform="translate(${x} ${y})">${panelOf(panel, { labels, unit, low, high })}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${COLUMNS * WIDTH}" height="${rows * HEIGHT}"`,
    ' font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="white"/>\n',
    drawn.join('\n'),
    '\n</svg>\n',
  ].join('');
}

interface Axes {
  readonly labels: readonly string[];
  readonly unit: string;
  /** Powers of ten at the ends of the axis of values. */
  readonly low: number;
  readonly high: number;
}

function panelOf({ title, curves }: Panel, axes: Axes): string {
  const { labels, low, high, unit } = axes;
  const x = (at: number) => LEFT + ((WIDTH - LEFT - RIGHT) * at) / Math.max(1, labels.length - 1);
  const y = (power: number) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (power - low)) / (high - low);
  const parts = [`<text x="${LEFT}" y="16" font-weight="bold">${escaped(title)} (${escaped(unit)})</text>`];
  for (let power = low; power <= high; power++) {
    const at = y(power).toFixed(1);
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="#dddddd"/>`);
    parts.push(`<text x="${LEFT - 4}" y="${at}" text-anchor="end">${10 ** power}</text>`);
  }
  labels.forEach((label, at) => {
    const place = `${x(at).toFixed(1)} ${HEIGHT - BOTTOM + 12}`;
    parts.push(`<text transform="translate(${place}) rotate(-50)" text-anchor="end">${escaped(label)}</text>`);
  });
  curves.forEach(({ name, values }, number) => {
    const colour = COLOURS[number % COLOURS.length] ?? COLOURS[0];
    const points = values.flatMap((value, at) =>
      isShown(value) ? [`${x(at).toFixed(1)},${y(Math.log10(value)).toFixed(1)}`] : [],
    );
    parts.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`);
    parts.push(`<text x="${LEFT + 6 + number * 70}" y="${TOP + 10}" fill="${colour}">${escaped(name)}</text>`);
  });
  return parts.join('');
}

function isShown(value: number): boolean {
  return Number.isFinite(value) && value > 0;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
