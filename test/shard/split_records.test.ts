/**
 * Splits and merges record by record: at each of them the process is abandoned, and what the next one finds in databases
 * and journal is the same directory; from there it goes on to the end.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../../base/log.ts';
import type { Ino, Slot } from '../../base/units.ts';
import { partitionIndexes, partitionSlot } from '../../shard/partition_map.ts';
import { Splitter } from '../../shard/splitter.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { cycle, scratchFolder, TestStore } from './fixture.ts';
import { directory, expectDirectory, SplitModel } from './split_model.ts';

const BOOT = 'one boot';

/** Pairs and triples of names with one hash, spread over all positions. */
function sharedHash(name: Uint8Array): number {
  const number = Number(Buffer.from(name).toString().slice(1));
  return Math.floor(((Math.imul(Math.floor(number / 3), 0x9e3779b1) >>> 0) / 2 ** 32) * 2 ** 49);
}

function filled(names: number): SplitModel {
  const test = new TestStore({ shardCount: 2, splitAt: 64, bootId: BOOT, nameHash: sharedHash, shardTxnRows: 100 });
  test.store.raiseStart();
  const model = new SplitModel(test, test.makeDirectory(test.root(), 'x1').ino);
  for (let i = 0; i < names; i++) model.create(`f${i}`, i % 20 === 0);
  expect(test.store.barrier()).toBe(test.store.lsn);
  return model;
}

/** The splits that a store wants now, all of them; every record is followed by `look`. */
function settle(store: NamespaceStore, look: () => void = () => undefined): void {
  const splitter = new Splitter(store, silentLog);
  for (let steps = 0; splitter.hasWork; steps++) {
    expect(steps).toBeLessThan(1_000);
    const before = store.lsn;
    splitter.step();
    expect(store.lsn - before).toBeLessThanOrEqual(1);
    if (store.lsn > before) look();
  }
}

function partitions(store: NamespaceStore, dir: Ino): number {
  return partitionIndexes(directory(store, dir).partitions).length;
}

/** What the next process finds when this one is abandoned here: after a kill, and after the loss of power. */
function expectAbandoned(model: SplitModel, more: { readonly splitAt?: number } = {}): void {
  for (const bootId of [BOOT, 'another boot']) {
    const folder = scratchFolder();
    cpSync(model.test.folder, folder, { recursive: true });
    const next = model.test.open(folder, { bootId, ...more });
    expectDirectory(next, model.dir, model.names);
    settle(next);
    expect([...next.moving]).toEqual([]);
    expectDirectory(next, model.dir, model.names);
    next.close();
  }
}

/** A barrier and commits every few records, so that the databases lag the journal by differing numbers of them. */
function commitNowAndThen(store: NamespaceStore, record: number): void {
  if (record % 4 !== 1) return;
  if (record % 8 === 1) {
    cycle(store, true);
    return;
  }
  store.appendBarrier(store.lsn);
  store.barrierFlushed(store.lsn, 0);
}

/** Changes one row behind the store's back. */
function spoil(test: TestStore, slot: Slot, { sql, of }: { readonly sql: string; readonly of: number[] }): void {
  test.store.barrier();
  const shard = test.store.shardOf(slot);
  test.store.close();
  const database = new Database(join(test.folder, 'shards', `00${shard}.db`));
  expect(database.prepare(sql).run(...of).changes).toBe(1);
  database.close();
  test.store = test.open();
}

describe('abandoned at any record', () => {
  it('a split goes on', { timeout: 120_000 }, () => {
    const model = filled(420);
    const { store } = model.test;
    let records = 0;
    settle(store, () => {
      records += 1;
      model.check();
      expectAbandoned(model);
      commitNowAndThen(store, records);
    });
    expect(partitions(store, model.dir)).toBeGreaterThan(4);
    expect(records).toBeGreaterThan(10);
  });

  it('a merge goes on', { timeout: 120_000 }, () => {
    const model = filled(700);
    settle(model.test.store);
    model.test.store.close();
    // Two halves of many rows each are few under these rules, so that merging them takes several records.
    const splitAt = 8 * 4096;
    const store = model.test.open(model.test.folder, { splitAt });
    store.raiseStart();
    model.test.store = store;
    store.crowded.add({ dir: model.dir, index: partitionIndexes(model.row.partitions).at(-1) ?? 0 });
    for (const index of partitionIndexes(model.row.partitions)) store.crowded.add({ dir: model.dir, index });
    let records = 0;
    let midway = 0;
    settle(store, () => {
      records += 1;
      if (!store.moving.isEmpty) midway += 1;
      model.check();
      expectAbandoned(model, { splitAt });
      commitNowAndThen(store, records);
    });
    expect(partitions(store, model.dir)).toBe(1);
    expect(midway).toBeGreaterThan(2);
  });
});

it('what is under way turns round when names come or go, from wherever it is', () => {
  const model = filled(600);
  const { store } = model.test;
  const splitter = new Splitter(store, silentLog);
  for (let i = 0; i < 3; i++) splitter.step();
  expect([...store.moving]).toMatchObject([{ index: 1 }]);
  const names = [...model.names.keys()];
  for (const name of names.slice(4)) model.unlink(name);
  model.check();
  // Backwards, and forwards again.
  splitter.step();
  model.check();
  for (const name of names.slice(4, 300)) model.create(name);
  model.check();
  while (splitter.hasWork) splitter.step();
  model.check();
  expect(partitions(store, model.dir)).toBeGreaterThan(2);
  expect(splitter.counts.merges).toBeGreaterThan(0);
});

it('moves at most 128 rows a record, and touches no times', () => {
  const model = filled(1_000);
  const { store } = model.test;
  const before = store.totals(model.row);
  let last = new Map<number, number>();
  settle(store, () => {
    const rows = new Map<number, number>();
    for (const index of partitionIndexes(model.row.partitions))
      rows.set(index, store.partition(model.row, index).entries);
    const moved = [...rows].reduce((sum, [index, entries]) => sum + Math.max(0, entries - (last.get(index) ?? 0)), 0);
    if (last.size > 0) expect(moved).toBeLessThanOrEqual(128);
    last = rows;
    expect(store.totals(model.row)).toEqual(before);
  });
  model.test.reopen();
  expect(model.test.store.totals(model.row)).toEqual(before);
});

it('a dentry that cannot be read is not lost: what is behind it stays where it is', () => {
  const model = filled(500);
  const { test } = model;
  const [name, { position }] = [...model.names].sort(([, a], [, b]) => b.position - a.position)[30] ?? [
    '',
    { position: 0 },
  ];
  const { slot } = test.store.partitionOf(model.row, position);
  spoil(test, slot, {
    sql: 'UPDATE dentries SET crc = crc + 1 WHERE dir = ? AND position = ?',
    of: [model.dir, position],
  });
  test.store.crowded.add({ dir: model.dir, index: 0 });
  const splitter = new Splitter(test.store, silentLog);
  for (let i = 0; i < 100 && splitter.hasWork; i++) splitter.step();
  expect(splitter.hasWork).toBe(false);
  const [stuck] = test.store.moving;
  expect(stuck?.boundary).toBeLessThanOrEqual(position);
  for (const [other, { ino }] of model.names) {
    const found = test.store.findName(model.row, Buffer.from(other));
    if (other !== name) expect([other, found]).toMatchObject([other, { ino }]);
    else expect(found).toMatchObject({ name: 'EIO' });
  }
});

describe('a row that says how far a split has come', () => {
  for (const [what, sql] of [
    ['is damaged', 'UPDATE partitions SET entries = entries + 1 WHERE dir = ? AND part = 1'],
    ['is damaged in its boundary', 'UPDATE partitions SET boundary = boundary + 4096 WHERE dir = ? AND part = 1'],
    ['is gone', 'DELETE FROM partitions WHERE dir = ? AND part = 1'],
  ] as const)
    it(`${what}: the rows themselves tell`, () => {
      const model = filled(600);
      const { test } = model;
      const splitter = new Splitter(test.store, silentLog);
      for (let i = 0; i < 3; i++) splitter.step();
      const [before] = test.store.moving;
      const { entries, directories } = test.store.partition(model.row, 1);
      spoil(test, partitionSlot(model.dir, 1), { sql, of: [model.dir] });
      expect(test.store.partition(model.row, 1)).toMatchObject({ entries, directories });
      const [after] = test.store.moving;
      // No name stands between the two.
      expect(after).toMatchObject({ dir: before?.dir, index: 1 });
      const between = [...model.names.values()].filter(({ position }) => {
        return position < (before?.boundary ?? 0) !== position < (after?.boundary ?? 0);
      });
      expect(between).toEqual([]);
      for (const [name, { ino }] of model.names)
        expect([name, test.store.lookup(model.row, Buffer.from(name))]).toMatchObject([name, { ino }]);
    });
});
