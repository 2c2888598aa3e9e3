import { describe, expect, it } from 'vitest';
import { E, type Result } from '../../base/errno.ts';
import { Deferred } from '../../fs/types.ts';

describe('a deferred answer', () => {
  const outcomes: Result<void>[] = [undefined, E.EIO];

  it.each(outcomes)('reaches who asked before it was settled: %s', (outcome) => {
    const heard: Result<void>[] = [];
    const deferred = new Deferred<void>();
    deferred.whenSettled((result) => heard.push(result));
    deferred.settle(outcome);
    expect(heard).toEqual([outcome]);
  });

  it.each(outcomes)('reaches who asks once it is settled: %s', (outcome) => {
    const heard: Result<void>[] = [];
    const deferred = new Deferred<void>();
    deferred.settle(outcome);
    deferred.whenSettled((result) => heard.push(result));
    expect(heard).toEqual([outcome]);
  });
});
