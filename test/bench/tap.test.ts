import { describe, expect, it } from 'vitest';
import { parseTap } from '../../bench/conformance/tap.ts';

describe('the Test Anything Protocol', () => {
  it('tells passed from failed, with numbers and texts', () => {
    const result = parseTap('1..3\nok 1\nnot ok 2 - tried chmod, expected 0, got EPERM\nok 3\n');
    expect(result.planned).toBe(3);
    expect(result.passed).toEqual([1, 3]);
    expect(result.failed).toEqual([2]);
    expect(result.texts.get(2)).toBe('tried chmod, expected 0, got EPERM');
  });

  it('takes a failure that is marked as known for passed, as prove does', () => {
    expect(parseTap('1..1\nnot ok 1 # TODO not on Linux\n').passed).toEqual([1]);
  });

  it('counts where numbers are left out, and finds no plan where none was made', () => {
    expect(parseTap('ok\nnot ok - could not find pjdfstest app\n')).toMatchObject({
      planned: 0,
      passed: [1],
      failed: [2],
    });
  });

  it('reads a file that skips everything', () => {
    expect(parseTap('1..0 # skip no such call here\n')).toMatchObject({ planned: 0, passed: [], failed: [] });
  });
});
