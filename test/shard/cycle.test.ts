/** The cycle of the databases: reads that come while a transaction waits for its barrier, full disks, late workers. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, it, onTestFinished } from 'vitest';
import type { AggregateId, Ino } from '../../base/units.ts';
import { checkpointDatabase, type NamespaceStore, type Record } from '../../shard/store.ts';
import { scratchFolder, TestClock, TestStore } from './fixture.ts';

const ANY_AGE = Number.MAX_SAFE_INTEGER;

/** Transactions are closed, whatever their age, with `meanwhile` before the barrier is complete; then they are committed. */
function barrierAround(store: NamespaceStore, meanwhile: () => void): void {
  const { lsn } = store;
  for (const nowMs of [0, ANY_AGE]) store.barrierBegins(nowMs);
  meanwhile();
  expect(store.appendBarrier(lsn)).toBeUndefined();
  store.barrierFlushed(lsn, 0);
}

function change(store: NamespaceStore, make: (record: Record) => void): void {
  const record = store.begin();
  make(record);
  store.commit(record);
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString();
}

it('attributes that are written and read while a barrier is made do not keep a transaction from its commit', () => {
  const test = new TestStore({ shardCount: 1 });
  const { store } = test;
  const file = test.make(test.root(), 'with attributes').ino;
  const [old, young] = [Buffer.from('user.old'), Buffer.from('user.young')];
  change(store, (record) => record.putXattr(file, old, Buffer.from('1')));
  for (let i = 0; i < 200; i++) test.make(test.root(), `${i}`);
  barrierAround(store, () => {
    change(store, (record) => record.putXattr(file, young, Buffer.from('2')));
    expect(textOf(store.xattr(file, young))).toBe('2');
    expect(textOf(store.xattr(file, old))).toBe('1');
    expect(store.xattrNames(file).map(textOf)).toEqual(['user.old', 'user.young']);
    change(store, (record) => record.deleteXattr(file, old));
    expect(store.xattr(file, old)).toBeUndefined();
    expect(store.xattrNames(file).map(textOf)).toEqual(['user.young']);
    change(store, (record) => record.putSymlink(file, Buffer.from('there')));
    expect(textOf(store.symlinkTarget(file))).toBe('there');
  });
  store.turn();
  expect(store.pendingRows).toBeLessThan(20);
});

it('nor do shared ranges that are let go', () => {
  const { store } = new TestStore({ shardCount: 1 });
  const sharers = (count: number) => Array.from({ length: count }, (_, i) => (100 + i) as Ino);
  const aggregate = 3 as AggregateId;
  change(store, (record) => {
    for (const ino of sharers(300)) record.putSharer(aggregate, 4096, ino);
  });
  barrierAround(store, () => {
    change(store, (record) => record.deleteSharer(aggregate, 4096, 399 as Ino));
    expect(store.sharers(aggregate, 4096)).toEqual(sharers(299));
    change(store, (record) => record.putSharer(aggregate, 4096, 50 as Ino));
    change(store, (record) => record.putSharer(aggregate, 8192, 51 as Ino));
    expect(store.sharers(aggregate, 4096)).toEqual([50, ...sharers(299)]);
    expect(store.sharers(aggregate, 8192)).toEqual([51]);
  });
  store.turn();
  expect(store.pendingRows).toBeLessThan(20);
});

it('a worker whose move was overtaken by a commit is heard before another one is asked: its answer is of the first', () => {
  const test = new TestStore({ shardCount: 1, walLimit: 1 });
  const { store } = test;
  const commit = (name: string) => {
    for (let i = 0; i < 100; i++) test.make(test.root(), `${name} ${i}`);
    barrierAround(store, () => {});
    while (store.turn() === true);
    return store.takeMoves();
  };
  const paths = commit('before');
  const outcomes = paths.map((path) => checkpointDatabase(path));
  // Somebody looks at all of it, so that it is written on before the worker is heard.
  expect([...store.orphans()]).toEqual([]);
  expect(commit('meanwhile')).toEqual([]);
  for (const [i, path] of paths.entries()) store.moved(path, outcomes[i] ?? { isComplete: false, failure: undefined });
  expect(commit('after')).toEqual(paths);
});

it.runIf(process.getuid?.() === 0)(
  'what waits while the disk is full, for the journal too, ends in ENOSPC alone',
  () => {
    const disk = scratchFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'pacsfs-test', disk]);
    onTestFinished(() => void execFileSync('umount', ['-l', disk]));
    const folder = join(disk, 'meta');
    const test = new TestStore({ shardCount: 2 }, folder);
    const { store } = test;
    const dirs = Array.from({ length: 8 }, (_, i) => test.makeDirectory(test.root(), `d${i}`));
    let made = 0;
    const make = (count: number) => {
      for (let i = 0; i < count; i++, made++) test.make(dirs[made % 8] ?? test.root(), `${made}`.padStart(200, 'x'));
    };
    make(2_000);
    barrierAround(store, () => make(100));
    try {
      execFileSync('dd', ['if=/dev/zero', `of=${disk}/filler`, 'bs=64k'], { stdio: 'ignore' });
    } catch {
      // As far as there was room.
    }
    expect(() => make(100_000)).toThrow(/Cannot append to the journal .*ENOSPC/);
  },
);

it('a row that must be written while a worker writes waits for the worker, however long that takes', () => {
  const test = new TestStore({ shardCount: 1, walLimit: 1 });
  const { store } = test;
  for (let i = 0; i < 100; i++) test.make(test.root(), `${i}`);
  barrierAround(store, () => test.make(test.root(), 'meanwhile'));
  while (store.turn() === true);
  const waited: string[] = [];
  const workers = new Map<string, Database.Database>();
  const paths = store.takeMoves((path) => {
    waited.push(path);
    // It ends only now, long after any time that a connection waits by itself.
    workers.get(path)?.exec('COMMIT');
    store.moved(path, { isComplete: true, failure: undefined });
  });
  for (const path of paths) {
    const db = new Database(path);
    workers.set(path, db);
    onTestFinished(() => void db.close());
    db.exec('BEGIN IMMEDIATE');
  }
  const beganMs = performance.now();
  for (let i = 0; i < 10; i++) test.make(test.root(), `after ${i}`);
  expect(waited).toEqual([]);
  // The end of a mount: everything is written, whoever is at it.
  store.barrier();
  expect(performance.now() - beganMs).toBeLessThan(4_000);
  expect(waited).toEqual(paths);
  expect(store.pendingRows).toBe(0);
  expect(test.names(test.root())).toHaveLength(111);
});

it('the longer the backlog the more of it is applied at a time', () => {
  /** 16 rows take half a millisecond: one look at the clock. */
  class SlowClock extends TestClock {
    ms = 0;

    override monotonicMs(): number {
      this.ms += 0.5;
      return this.ms;
    }
  }
  const turnMs = (files: number): number => {
    const clock = new SlowClock();
    const test = new TestStore({ shardCount: 1, clock });
    const { store } = test;
    for (let i = 0; i < 100; i++) test.make(test.root(), `${i}`);
    barrierAround(store, () => {
      for (let i = 0; i < files; i++) test.make(test.root(), `meanwhile ${i}`);
    });
    // The first one commits; nobody moves its log.
    store.turn();
    for (const path of store.takeMoves()) store.moved(path, { isComplete: false, failure: undefined });
    const { ms } = clock;
    expect(store.turn()).toBe(true);
    return clock.ms - ms;
  };
  expect(turnMs(200)).toBeLessThan(4);
  const long = turnMs(8_000);
  expect(long).toBeGreaterThan(6);
  expect(long).toBeLessThan(12);
});
