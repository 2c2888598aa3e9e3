import { describe, expect, it } from 'vitest';
import {
  isOpen,
  nextChange,
  parseDays,
  parseTimeOfDay,
  type Window,
  windowText,
  type Zone,
  zoneOf,
} from '../../../tiering/policy/windows.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';

function zone(name: string): Zone {
  const found = zoneOf(name);
  if (found === undefined) throw new Error(`no zone ${name}`);
  return found;
}

function window(days: string[], from: string, to: string): Window {
  return { days: parseDays(days) as number, from: parseTimeOfDay(from) as number, to: parseTimeOfDay(to) as number };
}

const sec = (iso: string) => Date.parse(iso) / 1000;
const BERLIN = zone('Europe/Berlin');
const UTC = zone('UTC');

describe('windows', () => {
  it('are always open when there is none', () => {
    expect(isOpen([], sec('2026-06-01T12:00Z'), UTC)).toBe(true);
    expect(nextChange([], 5, { zone: UTC, open: true })).toBe(5);
    expect(nextChange([], 5, { zone: UTC, open: false })).toBeUndefined();
  });

  it('begin with their first minute and end before their last', () => {
    const noon = [window(['mon'], '12:00', '13:30')];
    // 1 June 2026 is a Monday.
    expect(isOpen(noon, sec('2026-06-01T11:59:59Z'), UTC)).toBe(false);
    expect(isOpen(noon, sec('2026-06-01T12:00:00Z'), UTC)).toBe(true);
    expect(isOpen(noon, sec('2026-06-01T13:29:59Z'), UTC)).toBe(true);
    expect(isOpen(noon, sec('2026-06-01T13:30:00Z'), UTC)).toBe(false);
    expect(isOpen(noon, sec('2026-06-02T12:30:00Z'), UTC)).toBe(false);
  });

  it('past midnight belong to the day on which they began', () => {
    const friday = [window(['fri'], '20:00', '06:00')];
    expect(isOpen(friday, sec('2026-06-05T21:00Z'), UTC)).toBe(true);
    expect(isOpen(friday, sec('2026-06-06T05:59Z'), UTC)).toBe(true);
    expect(isOpen(friday, sec('2026-06-06T06:00Z'), UTC)).toBe(false);
    expect(isOpen(friday, sec('2026-06-05T05:00Z'), UTC)).toBe(false);
    expect(isOpen(friday, sec('2026-06-06T21:00Z'), UTC)).toBe(false);
    const saturday = [window(['sat'], '20:00', '06:00')];
    expect(isOpen(saturday, sec('2026-06-07T05:00Z'), UTC)).toBe(true);
    expect(isOpen(saturday, sec('2026-06-08T05:00Z'), UTC)).toBe(false);
  });

  it('until 24:00 end with the day', () => {
    const late = [window(['mon'], '22:00', '24:00')];
    expect(isOpen(late, sec('2026-06-01T23:59:59Z'), UTC)).toBe(true);
    expect(isOpen(late, sec('2026-06-02T00:00:00Z'), UTC)).toBe(false);
  });

  it('are in local time, summer and winter', () => {
    const night = [window(['sun-sat'], '20:00', '06:00')];
    expect(isOpen(night, sec('2026-07-01T18:00Z'), BERLIN)).toBe(true);
    expect(isOpen(night, sec('2026-07-01T17:59Z'), BERLIN)).toBe(false);
    expect(isOpen(night, sec('2026-01-01T18:00Z'), BERLIN)).toBe(false);
    expect(isOpen(night, sec('2026-01-01T19:00Z'), BERLIN)).toBe(true);
  });

  it('where clocks go forward: the hour left out is in no window, and one it lies in begins behind it', () => {
    // 29 March 2026 in Berlin: 2:00 is 3:00, at 1:00 UTC.
    const inside = [window(['sun'], '02:15', '02:45')];
    expect(nextChange(inside, sec('2026-03-29T00:00Z'), { zone: BERLIN, open: true })).toBe(sec('2026-04-05T00:15Z'));
    const across = [window(['sun'], '02:30', '04:00')];
    expect(isOpen(across, sec('2026-03-29T00:59:59Z'), BERLIN)).toBe(false);
    expect(nextChange(across, sec('2026-03-29T00:00Z'), { zone: BERLIN, open: true })).toBe(sec('2026-03-29T01:00Z'));
    expect(nextChange(across, sec('2026-03-29T01:00Z'), { zone: BERLIN, open: false })).toBe(sec('2026-03-29T02:00Z'));
  });

  it('where clocks go back: the hour that comes twice counts twice', () => {
    // 25 October 2026 in Berlin: 3:00 is 2:00, at 1:00 UTC.
    const inside = [window(['sun'], '02:15', '02:45')];
    const opens = [sec('2026-10-25T00:15Z'), sec('2026-10-25T01:15Z')];
    expect(nextChange(inside, sec('2026-10-24T20:00Z'), { zone: BERLIN, open: true })).toBe(opens[0]);
    expect(nextChange(inside, opens[0] as number, { zone: BERLIN, open: false })).toBe(sec('2026-10-25T00:45Z'));
    expect(nextChange(inside, sec('2026-10-25T00:45Z'), { zone: BERLIN, open: true })).toBe(opens[1]);
    const night = [window(['sat'], '20:00', '06:00')];
    let open = 0;
    for (let at = sec('2026-10-24T12:00Z'); at < sec('2026-10-25T12:00Z'); at += 60)
      open += isOpen(night, at, BERLIN) ? 1 : 0;
    expect(open).toBe(11 * 60);
  });

  it('change when a look at every minute says so', () => {
    const random = new Random(firstSeed('PACSFS_SEED'));
    const zones = [BERLIN, UTC, zone('Australia/Lord_Howe'), zone('Asia/Kathmandu'), zone('America/St_Johns')];
    const starts = [
      '2026-03-28T10:00Z',
      '2026-10-24T10:00Z',
      '2026-04-04T02:07Z',
      '2026-10-03T09:59Z',
      '2026-03-07T23:01Z',
      '1969-12-31T23:59Z',
    ];
    for (let round = 0; round < 150; round++) {
      const here = zones[random.below(zones.length)] as Zone;
      const windows = Array.from({ length: 1 + random.below(2) }, () => {
        const from = random.below(1440);
        return { days: 1 + random.below(127), from, to: (from + 1 + random.below(1439)) % 1440 };
      }).map((made) => (made.to === made.from ? { ...made, to: 1440 } : made));
      const start = sec(starts[random.below(starts.length)] ?? '') + random.below(3600);
      const open = random.below(2) === 0;
      const found = nextChange(windows, start, { zone: here, open });
      let expected: number | undefined;
      for (let at = start; at < start + 3 * 86_400 && expected === undefined; at = (Math.floor(at / 60) + 1) * 60) {
        if (isOpen(windows, at, here) === open) expected = at;
      }
      if (expected !== undefined) expect(found).toBe(expected);
      else expect(found ?? Infinity).toBeGreaterThanOrEqual(start + 3 * 86_400);
    }
  });

  it('may have days that wrap around', () => {
    expect(parseDays(['sat-mon'])).toBe(0b1000011);
    expect(parseDays(['Mon', 'wed - thu'])).toBe(0b0011010);
    expect(parseDays(['sun-sat'])).toBe(127);
  });

  it('are shown as they were meant', () => {
    expect(windowText(window(['fri', 'sat'], '20:00', '06:05'))).toBe('fri, sat 20:00 to 06:05');
    expect(windowText(window(['sun-sat'], '00:00', '24:00'))).toBe('every day 00:00 to 24:00');
  });

  it("have the machine's zone unless told otherwise, and none that is unknown", () => {
    const own = zoneOf(undefined) as Zone;
    const now = sec('2026-06-01T12:00Z');
    expect(own(now)).toBe(-new Date(now * 1000).getTimezoneOffset());
    expect(zoneOf('Mars/Olympus')).toBeUndefined();
    expect(BERLIN(now)).toBe(120);
    expect(zone('America/St_Johns')(sec('2026-01-01T00:00:30Z'))).toBe(-210);
  });
});
