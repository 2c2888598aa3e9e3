/**
 * Writes that SQLite cannot make, for another reason than a full disk: here the limit of the size of files (EFBIG), which
 * meets what lies beyond it, wherever SQLite writes. The store is marked BROKEN before the daemon ends, and has everything.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkpointDatabase, ShardFailure } from '../../shard/store.ts';
import { cycle, TestStore } from './fixture.ts';

/** Above the segments of the journal, which are made beforehand. */
const LIMIT_BYTES = 320 << 10;

function limitFiles(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', `${process.pid}`, `--fsize=${bytes}:`]);
}

/** So many files, in transactions of `each`; returns how many there are. */
function fill(test: TestStore, files: number, each: number): void {
  for (let i = 0; i < files; i++) {
    test.make(test.root(), `${i}-${'n'.repeat(100)}`);
    if (i % each === each - 1) test.store.barrier();
  }
}

function sizeOf(test: TestStore, name: string): number {
  return statSync(join(test.folder, 'shards', name)).size;
}

describe('a write that SQLite cannot make', () => {
  beforeAll(() => {
    // Without a handler the signal that comes with EFBIG ends the process.
    process.on('SIGXFSZ', () => {});
  });
  afterEach(() => limitFiles('unlimited'));

  function expectWhole(test: TestStore, files: number): void {
    expect(test.store.broken).toContain('SQLITE_IOERR_WRITE');
    expect(existsSync(join(test.folder, 'BROKEN'))).toBe(true);
    limitFiles('unlimited');
    // The journal has all of it; the mark outlives the daemon, and the store is only read.
    test.reopen();
    expect(test.names(test.root())).toHaveLength(files);
    expect(test.store.broken).toContain('SQLITE_IOERR_WRITE');
    expect(test.store.readOnly).toBe(true);
  }

  it('in a commit: all is in the journal', () => {
    const test = new TestStore({ shardCount: 1, bootId: 'boot' });
    test.store.raiseStart();
    test.store.barrier();
    for (let i = 0; i < 1_500; i++) test.make(test.root(), `${i}-${'n'.repeat(100)}`);
    limitFiles(LIMIT_BYTES);
    expect(() => test.store.barrier()).toThrow(ShardFailure);
    expect(sizeOf(test, '000.db-wal')).toBeLessThanOrEqual(LIMIT_BYTES);
    expectWhole(test, 1_500);
  });

  it('in a checkpoint on the thread that serves', () => {
    const test = new TestStore({ shardCount: 1, bootId: 'boot' });
    test.store.raiseStart();
    fill(test, 1_500, 1_500);
    test.store.checkpoint();
    limitFiles(sizeOf(test, '000.db') - 8_192);
    fill(test, 100, 1_000);
    expect(() => {
      test.store.barrier();
      test.store.checkpoint();
    }).toThrow(ShardFailure);
    expectWhole(test, 1_600);
  });

  it('in a worker that moves a log', () => {
    const test = new TestStore({ shardCount: 1, bootId: 'boot', walLimit: 1 });
    test.store.raiseStart();
    fill(test, 1_500, 1_500);
    test.store.checkpoint();
    for (let i = 0; i < 100; i++) test.make(test.root(), `later ${i}`);
    cycle(test.store, false);
    const { lsn } = test.store;
    test.store.appendBarrier(lsn);
    test.store.barrierFlushed(lsn, 0);
    while (test.store.turn() === true);
    const path = test.store.takeMoves().find((each) => each.endsWith('000.db')) ?? '';
    limitFiles(sizeOf(test, '000.db') - 8_192);
    const outcome = checkpointDatabase(path);
    expect(outcome).toEqual({ isComplete: false, failure: 'SQLITE_IOERR_WRITE' });
    expect(() => test.store.moved(path, outcome)).toThrow(ShardFailure);
    expectWhole(test, 1_600);
  });
});
