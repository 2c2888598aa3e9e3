import { describe, expect, it } from 'vitest';
import type { Ino } from '../../base/units.ts';
import {
  POSITION_LIMIT,
  partitionExists,
  partitionIndexes,
  partitionIndexOf,
  partitionRange,
  partitionSlot,
  SINGLE_PARTITION,
  withPartition,
} from '../../shard/partition_map.ts';
import { TestStore } from './fixture.ts';

/** Numbers that look like chance but are the same in each run. */
function* numbers(seed: number): Generator<number> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

/** A bitmap as splits make it: each takes an existing partition and halves it. */
function grow(splits: number, seed: number): Uint8Array {
  let bitmap = SINGLE_PARTITION;
  const chance = numbers(seed);
  const whole = [{ index: 0, depth: 0 }];
  for (let i = 0; i < splits; i++) {
    const at = Math.floor((chance.next().value ?? 0) * whole.length);
    const [parent] = whole.splice(at, 1);
    const { index, depth } = parent ?? { index: 0, depth: 0 };
    const sibling = index | (1 << depth);
    bitmap = withPartition(bitmap, sibling);
    if (depth + 1 < 12) whole.push({ index, depth: depth + 1 }, { index: sibling, depth: depth + 1 });
  }
  return bitmap;
}

describe('partitions', () => {
  it('number the halves as GIGA+ does', () => {
    const quarter = POSITION_LIMIT / 4;
    const four = [1, 2, 3].reduce(withPartition, SINGLE_PARTITION);
    const at = (bitmap: Uint8Array, part: number) => partitionIndexOf(bitmap, part * quarter + 5);
    expect([0, 1, 2, 3].map((part) => at(SINGLE_PARTITION, part))).toEqual([0, 0, 0, 0]);
    expect([0, 1, 2, 3].map((part) => at(withPartition(SINGLE_PARTITION, 1), part))).toEqual([0, 0, 1, 1]);
    expect([0, 1, 2, 3].map((part) => at(four, part))).toEqual([0, 2, 1, 3]);
    expect(partitionRange(four, 1)).toEqual({ index: 1, depth: 2, start: 2 * quarter, end: 3 * quarter });
  });

  it('read an empty bitmap as that of a directory that never split', () => {
    expect(partitionIndexOf(new Uint8Array(0), 12345)).toBe(0);
    expect(partitionExists(new Uint8Array(0), 0)).toBe(true);
    expect(partitionRange(new Uint8Array(0), 0)).toEqual({ index: 0, depth: 0, start: 0, end: POSITION_LIMIT });
  });

  it('cover all positions exactly once, whatever was split', () => {
    for (const splits of [0, 1, 2, 7, 40, 500, 4095]) {
      const bitmap = grow(splits, splits + 1);
      const ranges = partitionIndexes(bitmap).map((index) => partitionRange(bitmap, index));
      ranges.sort((a, b) => a.start - b.start);
      expect(ranges).toHaveLength(splits + 1);
      let end = 0;
      for (const range of ranges) {
        expect(range.start).toBe(end);
        end = range.end;
        expect(partitionIndexOf(bitmap, range.start)).toBe(range.index);
        expect(partitionIndexOf(bitmap, range.end - 1)).toBe(range.index);
      }
      expect(end).toBe(POSITION_LIMIT);
    }
  });

  it('fit in 512 bytes, and never change a bitmap in place', () => {
    const before = grow(20, 3);
    const copy = before.slice();
    expect(grow(4095, 9)).toHaveLength(512);
    withPartition(before, 4095);
    expect(before).toEqual(copy);
    expect(SINGLE_PARTITION).toEqual(Uint8Array.of(1));
  });

  it('live in the slots behind their directory, around the end', () => {
    expect(partitionSlot((4096 * 7 + 4090) as Ino, 0)).toBe(4090);
    expect(partitionSlot((4096 * 7 + 4090) as Ino, 10)).toBe(4);
  });
});

it('a directory of many partitions lists, finds and counts as one of one does', () => {
  const test = new TestStore({ shardCount: 8 });
  const dir = test.makeDirectory(test.root(), 'split');
  const record = test.store.begin();
  record.putInode({ ...dir, partitions: grow(25, 5) });
  for (const index of partitionIndexes(grow(25, 5)).slice(1)) {
    record.putPartition({
      slot: partitionSlot(dir.ino, index),
      dir: dir.ino,
      index,
      entries: 0,
      directories: 0,
      changed: dir.mtime,
      lsn: record.lsn,
      boundary: POSITION_LIMIT,
    });
  }
  test.store.commit(record);
  const split = test.get(dir.ino);
  const names = Array.from({ length: 400 }, (_, i) => `name-${i}`);
  for (const [i, name] of names.entries()) {
    if (i % 10 === 0) test.makeDirectory(split, name);
    else test.make(split, name);
  }
  for (const name of names.slice(0, 50)) test.unlink(split, name);
  test.store.barrier();
  test.reopen();
  const all = test.store.list(split, 0, 1000);
  expect(all).toHaveLength(350);
  for (let i = 1; i < all.length; i++) expect(all[i]?.position).toBeGreaterThan(all[i - 1]?.position ?? 0);
  expect(test.store.totals(split)).toMatchObject({ entries: 350, directories: 35 });
  for (const name of names.slice(50)) expect(test.store.lookup(split, Buffer.from(name))).toBeDefined();
  const used = new Set(all.map((dentry) => test.store.partitionOf(split, dentry.position).index));
  expect(used.size).toBeGreaterThan(15);
  expect(test.store.list(split, all[99]?.position ?? 0, 100)).toEqual(all.slice(100, 200));
});
