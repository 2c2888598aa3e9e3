import { describe, expect, it } from 'vitest';
import { getI64, getU48, getU53, setI64, setU48, setU53 } from '../../base/bytes.ts';

const view = new DataView(new ArrayBuffer(8));
const EDGES = [0, 1, 255, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 48 - 1, 2 ** 53 - 1];

describe('64-bit fields', () => {
  it.each(EDGES)('hold %d', (value) => {
    setU53(view, 0, value);
    expect(view.getBigUint64(0, true)).toBe(BigInt(value));
    expect(getU53(view, 0)).toBe(value);
  });

  it.each(EDGES.slice(1).flatMap((value) => [value, -value]))('hold %d with its sign', (value) => {
    setI64(view, 0, value);
    expect(view.getBigInt64(0, true)).toBe(BigInt(value));
    expect(getI64(view, 0)).toBe(value);
  });

  it('refuse what a double does not hold exactly', () => {
    for (const value of [-1, 2 ** 53, 0.5, Number.NaN]) expect(() => setU53(view, 0, value)).toThrow('53 bits');
    view.setBigUint64(0, 2n ** 53n, true);
    expect(getU53(view, 0)).toBeNaN();
  });
});

describe('48-bit fields', () => {
  it.each(EDGES.filter((value) => value < 2 ** 48))('hold %d', (value) => {
    setU48(view, 0, value);
    expect(getU48(view, 0)).toBe(value);
  });

  it('refuse more', () => {
    for (const value of [-1, 2 ** 48, Number.NaN]) expect(() => setU48(view, 0, value)).toThrow('48 bits');
  });
});
