import { describe, expect, it } from 'vitest';
import { approximateSpan, formatShare, formatSpan, parseShare, parseSpan } from '../../../tiering/policy/spans.ts';

describe('spans of time', () => {
  it.each([
    ['90d', 90 * 86_400],
    ['2y', 730 * 86_400],
    ['12 hours', 43_200],
    ['1.5h', 5_400],
    ['3min', 180],
    [' 1 Week ', 604_800],
    ['0s', 0],
  ])('%s', (text, seconds) => expect(parseSpan(text)).toBe(seconds));

  it('read back what they write', () => {
    for (const seconds of [0, 1, 59, 60, 3_600, 5_400, 86_400, 90 * 86_400, 365 * 86_400, 86_401]) {
      expect(parseSpan(formatSpan(seconds))).toBe(seconds);
    }
  });

  it.each([
    [''],
    ['d'],
    ['3'],
    ['3 months'],
    ['3mo'],
    ['-1d'],
    ['1e3d'],
    ['constructor'],
    ['1constructor'],
    [null],
    [{}],
    [`${'9'.repeat(400)}d`],
  ])('%j is none', (text) => expect(parseSpan(text)).toMatch(/expected/));

  it('are rounded for people', () => {
    expect(approximateSpan(86_400 * 12 + 43_200)).toBe('12.5d');
    expect(approximateSpan(12)).toBe('12s');
  });
});

describe('shares', () => {
  it('are percents', () => {
    expect(parseShare('85%')).toBe(0.85);
    expect(parseShare(' 0.5 % ')).toBe(0.005);
    expect(parseShare('100.1%')).toMatch(/found, expected 0% to 100%/);
    expect(parseShare(0.85)).toMatch(/no share/);
    expect(formatShare(0.855)).toBe('85.5%');
  });
});
