/** Journals that miss records: never made anew in silence, and never mistaken for one that a power cut has left. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Inode } from '../../shard/rows.ts';
import { TestStore } from './fixture.ts';

const BOOT = { bootId: 'boot 1' };

/** With enough records for `segments` segments, half of them behind the last commit. */
function written(records: number): { test: TestStore; folder: string; dir: Inode } {
  const test = new TestStore({ shardCount: 2, ...BOOT });
  test.store.raiseStart();
  const dir = test.makeDirectory(test.root(), 'd');
  for (let i = 0; i < records; i++) test.make(dir, `first ${i}`);
  test.store.barrier();
  return { test, folder: join(test.folder, 'journal'), dir };
}

function spoil(path: string, at: number, bytes = Buffer.from('spoilt')): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

/** Reads, refuses changes, and is mended by a repair alone. */
function expectBroken(test: TestStore, reason: RegExp): void {
  test.store.close();
  const before = new Map(list(test).map((name) => [name, readFileSync(join(test.folder, 'journal', name))]));
  // One that is asked for reading only leaves no mark.
  const read = test.open(test.folder, { readOnly: true });
  expect(read.broken).toMatch(reason);
  read.close();
  expect(existsSync(join(test.folder, 'BROKEN'))).toBe(false);
  for (let i = 0; i < 2; i++) {
    test.store = test.open();
    expect([test.store.readOnly, test.store.broken]).toEqual([true, expect.stringMatching(reason)]);
    expect(test.store.broken).toContain('fsck --repair');
    expect(test.names(test.root())).toEqual(['d']);
    test.store.close();
    expect(readFileSync(join(test.folder, 'BROKEN'), 'utf8')).toContain('lost records');
  }
  expect(list(test)).toEqual([...before.keys()]);
  for (const [name, bytes] of before) expect(readFileSync(join(test.folder, 'journal', name)).equals(bytes)).toBe(true);
  test.store = test.open(test.folder, { isRepair: true });
  expect(test.store.readOnly).toBe(false);
  const { lsn } = test.store;
  test.store.clearBroken();
  test.reopen();
  expect([test.store.broken, test.store.readOnly, test.store.lsn]).toEqual([undefined, false, lsn]);
  test.store.raiseStart();
  test.make(test.root(), 'after');
  test.store.barrier();
  expect(test.reopen().broken).toBeUndefined();
  expect(test.names(test.root()).sort()).toEqual(['after', 'd']);
}

function list(test: TestStore): string[] {
  const folder = join(test.folder, 'journal');
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

describe('a journal that is', () => {
  it('gone', () => {
    const { test, folder } = written(20);
    test.store.close();
    rmSync(folder, { recursive: true });
    expectBroken(test, /not there/);
  });

  it('without a header', () => {
    const { test, folder } = written(20);
    test.store.close();
    for (const name of readdirSync(folder)) spoil(join(folder, name), 0);
    expectBroken(test, /not there/);
  });

  it('older than the databases', () => {
    const { test, folder, dir } = written(20);
    copyFileSync(join(folder, '0000'), join(test.folder, 'kept'));
    for (let i = 0; i < 20; i++) test.make(dir, `second ${i}`);
    test.store.barrier();
    test.store.close();
    copyFileSync(join(test.folder, 'kept'), join(folder, '0000'));
    expectBroken(test, /ends with record/);
  });

  it('damaged below what the databases have committed', () => {
    const { test, folder } = written(20);
    test.store.close();
    spoil(join(folder, '0000'), 2000);
    expectBroken(test, /ends with record|one behind it/);
  });

  it('damaged before later segments, of which no database knows', () => {
    const { test, folder, dir } = written(20);
    // Not committed by any.
    for (let i = 0; i < 3500; i++) test.make(dir, `second ${i}`);
    test.store.close();
    spoil(join(folder, '0000'), 200_000);
    expectBroken(test, /does not follow|one behind it/);
  });

  it('damaged in its last segment, without a power cut', () => {
    const { test, folder, dir } = written(20);
    for (let i = 0; i < 20; i++) test.make(dir, `second ${i}`);
    const before = readFileSync(join(folder, '0000'));
    test.store.close();
    const end = before.findLastIndex((byte) => byte !== 0);
    spoil(join(folder, '0000'), end - 1500);
    // After a power cut it would be what it looks like: a torn end.
    const rebooted = test.open(test.folder, { readOnly: true, bootId: 'boot 2' });
    expect(rebooted.broken).toBeUndefined();
    rebooted.close();
    expectBroken(test, /one behind it/);
  });

  it('without one of its segments', () => {
    const { test, folder, dir } = written(20);
    for (let i = 0; i < 3500; i++) test.make(dir, `second ${i}`);
    test.store.close();
    expect(readdirSync(folder).length).toBeGreaterThan(2);
    rmSync(join(folder, '0001'));
    expectBroken(test, /0001 is missing/);
  });

  it('cut short', () => {
    const { test, folder, dir } = written(20);
    for (let i = 0; i < 3500; i++) test.make(dir, `second ${i}`);
    test.store.close();
    truncateSync(join(folder, '0001'), 100_000);
    expectBroken(test, /does not follow/);
  });
});

describe('what is no loss', () => {
  it('the torn end that a power cut leaves, at any byte', () => {
    const { test, folder, dir } = written(20);
    const endOf = (bytes: Buffer) => bytes.findLastIndex((byte) => byte !== 0) + 1;
    const durable = endOf(readFileSync(join(folder, '0000')));
    for (let i = 0; i < 3; i++) test.make(dir, `second ${i}`);
    const whole = readFileSync(join(folder, '0000'));
    test.store.close();
    // A frame's payload may end in zeros.
    for (let cut = durable + 8; cut < endOf(whole); cut += 17) {
      writeFileSync(join(folder, '0000'), Buffer.concat([whole.subarray(0, cut), Buffer.alloc(whole.length - cut)]));
      const store = test.open(test.folder, { bootId: 'boot 2' });
      expect(store.broken).toBeUndefined();
      expect(store.list(dir, 0, 100)).toHaveLength(20);
      store.close();
    }
  });

  it('a store of before there were journals', () => {
    const { test, folder } = written(5);
    const record = test.store.begin();
    record.putMeta('has_journal', 0);
    test.store.commit(record);
    test.store.barrier();
    test.store.close();
    rmSync(folder, { recursive: true });
    test.store = test.open();
    expect([test.store.broken, list(test).length]).toEqual([undefined, 2]);
    test.store.barrier();
    test.store.close();
    rmSync(folder, { recursive: true });
    test.store = test.open();
    expect(test.store.broken).toMatch(/not there/);
  });
});
