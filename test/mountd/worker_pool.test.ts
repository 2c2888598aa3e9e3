import { describe, expect, test } from 'vitest';
import { leastBurdened } from '../../mountd/worker_pool.ts';

describe('which worker gets a job', () => {
  test('nothing long ever goes to the first, and nothing urgent behind something long', () => {
    const costs = [0, 0, 0];
    const post = (cost: number) => {
      const index = leastBurdened(costs, cost);
      costs[index] = (costs[index] ?? 0) + cost;
      return index;
    };
    expect([post(1000), post(1000), post(1000)]).toEqual([1, 2, 1]);
    expect([post(1), post(10), post(1)]).toEqual([0, 0, 0]);
  });

  test('segments leave the first to what somebody waits for while others are free', () => {
    expect(leastBurdened([0, 0, 0], 10)).toBe(1);
    expect(leastBurdened([0, 10, 0], 10)).toBe(2);
    expect(leastBurdened([0, 10, 10], 10)).toBe(0);
    expect(leastBurdened([0, 10, 10], 1)).toBe(0);
  });

  test('one worker takes everything', () => {
    expect([leastBurdened([5], 1000), leastBurdened([5], 1)]).toEqual([0, 0]);
  });
});
