/** Spans of time and shares as people write them: '90d', '2y', '12 hours'; '85%'. */

export const SECONDS_PER_DAY = 86_400;

const SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  second: 1,
  seconds: 1,
  min: 60,
  minute: 60,
  minutes: 60,
  h: 3_600,
  hour: 3_600,
  hours: 3_600,
  d: SECONDS_PER_DAY,
  day: SECONDS_PER_DAY,
  days: SECONDS_PER_DAY,
  w: 7 * SECONDS_PER_DAY,
  week: 7 * SECONDS_PER_DAY,
  weeks: 7 * SECONDS_PER_DAY,
  y: 365 * SECONDS_PER_DAY,
  year: 365 * SECONDS_PER_DAY,
  years: 365 * SECONDS_PER_DAY,
};

/** Longest span: what is kept for longer is kept for good. */
export const MAX_SPAN_SEC = 1_000 * 365 * SECONDS_PER_DAY;

/** Whole seconds, or what is wrong. A year has 365 days; months have no length of their own and are refused. */
export function parseSpan(value: unknown): number | string {
  const example = "expected one like '90d', '12h' or '2y'";
  if (typeof value !== 'string') return `${shown(value)} is no span of time, ${example}`;
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(value);
  const unit = match?.[2]?.toLowerCase() ?? '';
  if (['m', 'mo', 'month', 'months'].includes(unit)) {
    return `'${value}' is no span of time, expected minutes ('3min') or, for months, days ('90d')`;
  }
  if (match === null || !Object.hasOwn(SECONDS, unit)) return `${shown(value)} is no span of time, ${example}`;
  const seconds = Math.round(Number(match[1]) * (SECONDS[unit] ?? 0));
  return seconds <= MAX_SPAN_SEC ? seconds : `'${value}' found, expected at most 1000y`;
}

/** In the largest unit that leaves it whole: what `parseSpan` reads back exactly. */
export function formatSpan(seconds: number): string {
  for (const unit of ['y', 'd', 'h', 'min'] as const) {
    const factor = SECONDS[unit] ?? 1;
    if (seconds >= factor && seconds % factor === 0) return `${seconds / factor}${unit}`;
  }
  return `${seconds}s`;
}

/** Rounded, for people: '12.5d', '3.1y'. */
export function approximateSpan(seconds: number): string {
  for (const unit of ['y', 'd', 'h', 'min'] as const) {
    const factor = SECONDS[unit] ?? 1;
    if (seconds >= factor) return `${Number((seconds / factor).toFixed(1))}${unit}`;
  }
  return `${seconds}s`;
}

/** 0 to 1, or what is wrong. */
export function parseShare(value: unknown): number | string {
  const match = typeof value === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(value) : null;
  if (match === null) return `${shown(value)} is no share, expected one like '85%'`;
  const percent = Number(match[1]);
  return percent <= 100 ? percent / 100 : `${match[1]}% found, expected 0% to 100%`;
}

export function formatShare(share: number): string {
  return `${Number((share * 100).toFixed(1))}%`;
}

/** A value as it stood in the file, short enough for a message. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
