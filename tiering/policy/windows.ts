/**
 * When migrations may work: weekdays and times of day on the clock on the wall. A window that ends before it begins runs
 * past midnight and belongs to the day on which it began. Where clocks are put back, a time that comes twice is in the
 * window twice; where they are put forward, one that does not come is in none.
 */
import { shown } from './spans.ts';

/** Sunday is 0. */
export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;

export const MINUTES_PER_DAY = 1_440;

export interface Window {
  /** Bit i: the window begins on day i. */
  readonly days: number;
  /** Minutes since midnight, 0 to 1,439; and to 1,440. */
  readonly from: number;
  readonly to: number;
}

/** Minutes by which local time is ahead of UTC at a time (seconds since 1970). */
export type Zone = (sec: number) => number;

/** The machine's own zone, or one by its name in the tz database; undefined when there is none of that name. */
export function zoneOf(name: string | undefined): Zone | undefined {
  if (name === undefined) return (sec) => -new Date(sec * 1000).getTimezoneOffset();
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    });
  } catch {
    return undefined;
  }
  return (sec) => {
    const fields: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(sec * 1000)) fields[type] = Number(value);
    const { year = 1970, month = 1, day = 1, hour = 0, minute = 0 } = fields;
    return Math.round(Date.UTC(year, month - 1, day, hour, minute) / 60_000) - Math.floor(sec / 60);
  };
}

/** Whether any window is open; with none at all, always. */
export function isOpen(windows: readonly Window[], sec: number, zone: Zone): boolean {
  return windows.length === 0 || isOpenLocally(windows, Math.floor(sec / 60) + zone(sec));
}

/** `minute`: local minutes since Thursday, 1 January 1970, 0:00. */
function isOpenLocally(windows: readonly Window[], minute: number): boolean {
  const dayNumber = Math.floor(minute / MINUTES_PER_DAY);
  const ofDay = minute - dayNumber * MINUTES_PER_DAY;
  const day = (((dayNumber + 4) % 7) + 7) % 7;
  const dayBefore = (day + 6) % 7;
  return windows.some(({ days, from, to }) => {
    const today = (days & (1 << day)) !== 0;
    if (from < to) return today && ofDay >= from && ofDay < to;
    return (today && ofDay >= from) || ((days & (1 << dayBefore)) !== 0 && ofDay < to);
  });
}

/** Zones change their offset at quarters of an hour only. */
const STEP_MINUTES = 15;
/** A window that comes once a week and falls into an hour that is left out comes again a week later. */
const LOOK_AHEAD_MINUTES = 15 * MINUTES_PER_DAY;

/**
 * The next time from `sec` on at which the windows are `open` (or closed): `sec` itself when they are now, undefined when
 * not within the next two weeks.
 */
export function nextChange(
  windows: readonly Window[],
  sec: number,
  options: { readonly zone: Zone; readonly open: boolean },
): number | undefined {
  const { zone, open } = options;
  if (isOpen(windows, sec, zone) === open) return sec;
  if (windows.length === 0) return undefined;
  const first = Math.floor(sec / 60) + 1;
  let offset = 0;
  for (let minute = first; minute < first + LOOK_AHEAD_MINUTES; minute++) {
    if (minute === first || minute % STEP_MINUTES === 0) offset = zone(minute * 60);
    if (isOpenLocally(windows, minute + offset) === open) return minute * 60;
  }
  return undefined;
}

// ---- As people write them ----

/** Bits of the days in ['mon-fri', 'sun'], or what is wrong. */
export function parseDays(value: unknown): number | string {
  if (!Array.isArray(value) || value.length === 0) return `${shown(value)} found, expected a list like [mon-fri, sun]`;
  const names: readonly string[] = DAYS;
  let bits = 0;
  for (const item of value as unknown[]) {
    const [first, last, more] = typeof item === 'string' ? item.toLowerCase().split('-') : [];
    const from = names.indexOf(first?.trim() ?? '');
    const to = last === undefined ? from : names.indexOf(last.trim());
    if (from < 0 || to < 0 || more !== undefined) {
      return `${shown(item)} is no day, expected one of ${DAYS.join(', ')} or a range like mon-fri`;
    }
    for (let day = from; ; day = (day + 1) % 7) {
      bits |= 1 << day;
      if (day === to) break;
    }
  }
  return bits;
}

/** Minutes since midnight, 0 to 1,440, or what is wrong. */
export function parseTimeOfDay(value: unknown): number | string {
  const match = typeof value === 'string' ? /^\s*(\d{1,2}):(\d{2})\s*$/.exec(value) : null;
  const [hour, minute] = [Number(match?.[1] ?? -1), Number(match?.[2] ?? -1)];
  const minutes = hour * 60 + minute;
  if (match === null || minute > 59 || minutes > MINUTES_PER_DAY) {
    return `${shown(value)} is no time of day, expected one from '00:00' to '24:00'`;
  }
  return minutes;
}

export function windowText({ days, from, to }: Window): string {
  const time = (minutes: number) =>
    `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
  const named = DAYS.filter((_, day) => (days & (1 << day)) !== 0);
  return `${named.length === DAYS.length ? 'every day' : named.join(', ')} ${time(from)} to ${time(to)}`;
}
