/** Logs that are moved by others than who writes the database. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Log } from '../../base/log.ts';
import { checkpointDatabase, ShardFailure } from '../../shard/store.ts';
import { cycle, TestStore } from './fixture.ts';

it('a log stays under its limit, however long it is written', () => {
  const walLimit = 1 << 20;
  const test = new TestStore({ shardCount: 1, walLimit, shardTxnRows: 50 });
  const path = join(test.folder, 'shards', '000.db-wal');
  let longest = 0;
  for (let round = 0; round < 150; round++) {
    for (let i = 0; i < 20; i++) test.make(test.root(), `${round}-${i}`);
    cycle(test.store, true);
    longest = Math.max(longest, statSync(path).size);
  }
  expect(longest).toBeGreaterThan(walLimit / 2);
  expect(longest).toBeLessThan(walLimit);
});

it('what waits for its database is kept by the journal, and found there after a kill', () => {
  const test = new TestStore({ shardCount: 1, shardTxnRows: 50, bootId: 'boot', walLimit: 1 });
  test.store.raiseStart();
  // The other databases need nothing of the journal.
  test.store.barrier();
  test.store.checkpoint();
  for (let i = 0; i < 100; i++) test.make(test.root(), `before-${i}`);
  const { store } = test;
  const barrier = () => {
    const { lsn } = store;
    store.barrierBegins(0);
    expect(store.appendBarrier(lsn)).toBeUndefined();
    store.barrierFlushed(lsn, 0);
  };
  barrier();
  while (store.turn() === true);
  const [path = ''] = store.takeMoves();
  expect(path).toMatch(/000\.db$/);
  // Many segments of the journal, while the worker is at it.
  for (let i = 0; i < 6_000; i++) test.make(test.root(), `${i} ${'long '.repeat(30)}`);
  store.moved(path, { isComplete: true, failure: undefined });
  for (let i = 0; i < 1_500; i++) test.make(test.root(), `after-${i}`);
  barrier();
  expect(test.names(test.root())).toHaveLength(7_600);
  test.reopen();
  expect(test.names(test.root())).toHaveLength(7_600);
});

it('one that fails to be written or flushed breaks the store before the daemon ends, a full disk does not', () => {
  const test = new TestStore({ shardCount: 1, shardTxnRows: 5, walLimit: 1 });
  const move = (failure: string | undefined) => {
    for (let i = 0; i < 20; i++) test.make(test.root(), `${failure} ${i}`);
    const { lsn } = test.store;
    test.store.barrierBegins(0);
    test.store.appendBarrier(lsn);
    test.store.barrierFlushed(lsn, 0);
    while (test.store.turn() === true);
    const paths = test.store.takeMoves();
    expect(paths.length).toBeGreaterThan(0);
    for (const path of paths) test.store.moved(path, { isComplete: false, failure });
    while (test.store.turn() === true);
  };
  move(undefined);
  expect(() => move('SQLITE_IOERR_READ')).toThrow(ShardFailure);
  expect(test.store.broken).toBeUndefined();
  test.reopen();
  expect(() => move('SQLITE_IOERR_FSYNC')).toThrow(ShardFailure);
  expect(test.store.broken).toContain('SQLITE_IOERR_FSYNC');
  expect(existsSync(join(test.folder, 'BROKEN'))).toBe(true);
});

it('one whose worker cannot open the database is moved between requests, and nothing breaks', () => {
  const warned: string[] = [];
  const log: Log = { error() {}, warn: (_, message) => warned.push(message), info() {}, debug() {} };
  const moved: boolean[] = [];
  const watch = { committed() {}, checkpointed: (_: string, isComplete: boolean) => moved.push(isComplete) };
  const test = new TestStore({ shardCount: 1, shardTxnRows: 5, walLimit: 1, log, watch });
  for (let i = 0; i < 20; i++) test.make(test.root(), `${i}`);
  cycle(test.store, false);
  const { lsn } = test.store;
  test.store.appendBarrier(lsn);
  test.store.barrierFlushed(lsn, 0);
  while (test.store.turn() === true);
  const paths = test.store.takeMoves();
  expect(paths.length).toBeGreaterThan(0);
  // As SQLite says it where a process has no descriptor left.
  const outcome = checkpointDatabase(join(test.folder, 'shards', 'none.db'));
  expect(outcome).toEqual({ isComplete: false, failure: undefined, cannotOpen: true });
  // As the binding says it where the folder has been moved.
  expect(checkpointDatabase(join(test.folder, 'away', 'none.db'))).toEqual(outcome);
  for (const path of paths) test.store.moved(path, outcome);
  expect([moved, warned.length, test.store.broken]).toEqual([paths.map(() => true), paths.length, undefined]);
  test.make(test.root(), 'later');
  cycle(test.store, true);
  expect(test.names(test.root())).toHaveLength(21);
});
