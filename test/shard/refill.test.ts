/** Shards made anew from journals and backups: row by row what they were, or known not to be. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { BackupError } from '../../shard/backup/reader.ts';
import { BackupSource } from '../../shard/backup/source.ts';
import { BackupWriter } from '../../shard/backup/writer.ts';
import { StoreDatabases } from '../../shard/databases.ts';
import { JournalTail } from '../../shard/journal/tail.ts';
import { type Refilled, refillShards } from '../../shard/refill.ts';
import { FLAG_XATTRS } from '../../shard/rows.ts';
import { type NamespaceStore, SurvivingJournal } from '../../shard/store.ts';
import { extentAt, scratchFolder, TestStore } from './fixture.ts';

const backing = new PosixBacking();
const STORE_ID = '5b0c2f4e-0000-4000-8000-000000000001';
const BOOT = 'boot 1';

const pathOf = (test: TestStore, shard: number) => join(test.folder, 'shards', `00${shard}.db`);

/** Changes of all kinds; each call other ones. */
function change(test: TestStore, round: string, count: number): void {
  const { store } = test;
  for (let i = 0; i < count; i++) {
    const dir = test.makeDirectory(test.root(), `${round}-${i}`);
    const [first, second] = [test.make(dir, 'first'), test.make(dir, 'second')];
    test.make(dir, 'third');
    const record = store.begin();
    record.putInode({
      ...first,
      flags: FLAG_XATTRS,
      layout: 'packed',
      extents: [0, 1, 2, 3, 4, 5].map((at) => extentAt(at * 70_000)),
    });
    record.putXattr(first.ino, Buffer.from('user.x'), Buffer.from(round));
    store.commit(record);
    // Of long lists that do not change a journal knows only the lengths.
    const again = store.begin();
    again.putInode({ ...test.get(first.ino), uid: i });
    store.commit(again);
    test.unlink(test.get(dir.ino), 'third');
    const moved = store.begin();
    moved.putInode({ ...second, mode: 0o120777 });
    moved.putSymlink(second.ino, Buffer.from(`to ${i}`));
    store.commit(moved);
  }
}

/** Every row of every shard. */
function rows(store: NamespaceStore): string[][] {
  return Array.from({ length: store.shardCount }, (_, shard) => {
    const scan = store.scan(shard);
    const all = [scan.dentries(), scan.inodes(), scan.partitions(), scan.xattrs(), scan.symlinks(), scan.extentKeys()];
    const lines = all.flatMap((each) => [...each].map((row) => JSON.stringify(row)));
    return [...lines, ...[...scan.ownFiles(), ...scan.orphans()].map(String), JSON.stringify(scan.sequences())];
  });
}

function refill(test: TestStore, more: Partial<Parameters<typeof refillShards>[0]> = {}): Refilled {
  const now = test.clock.now();
  const databases = StoreDatabases.open(test.folder, { now, readOnly: true, allowMissing: true });
  const { missing } = databases;
  databases.close();
  return refillShards({
    backing,
    folder: test.folder,
    bootId: BOOT,
    now,
    missing,
    journals: [],
    suffix: 'then',
    ...more,
  });
}

/** What fsck does when nothing is missing any more. */
function finish(test: TestStore): void {
  expect(() => test.open()).toThrow(/interrupted/);
  const repair = test.open(test.folder, { isRepair: true });
  repair.finishShards();
  expect(isErrno(repair.barrier())).toBe(false);
  repair.close();
  test.store = test.open();
}

function backUp(test: TestStore): string {
  const path = join(scratchFolder(), 'backup');
  const tail = JournalTail.open(backing, { path: join(test.folder, 'journal'), storeId: STORE_ID });
  const source = BackupSource.open(test.folder, test.clock.now());
  const { slots, hashKey, starts, generation } = source.facts();
  const parts: Uint8Array[] = [];
  const writer = new BackupWriter((bytes) => parts.push(Buffer.from(bytes)), {
    storeId: STORE_ID,
    created: '',
    folder: '',
    config: '',
    shards: 4,
    slots: Buffer.from(slots).toString('base64'),
    hashKey: Buffer.from(hashKey).toString('base64'),
    volumes: [],
    firstLsn: tail.firstLsn,
  });
  for (const row of source.rows()) writer.row(row);
  writer.flushRows();
  for (const record of tail.poll()) writer.record(record);
  writer.end({ damaged: 0, starts, generation });
  source.close();
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

function open(path: string) {
  const file = backing.open(path);
  if (isErrno(file)) throw new Error(file.name);
  return file;
}

describe('a shard that is lost', () => {
  it.each([[[2]], [[0, 3]], [[0, 2, 3]]])('is what it was by the journal alone: %j', (lost) => {
    const test = new TestStore({ shardCount: 4, bootId: BOOT });
    test.store.raiseStart();
    change(test, 'durable', 20);
    test.store.barrier();
    change(test, 'in the journal only', 5);
    const before = rows(test.store);
    test.store.close();
    for (const shard of lost)
      for (const end of ['', '-wal', '-shm']) rmSync(`${pathOf(test, shard)}${end}`, { force: true });
    expect(refill(test)).toMatchObject({ isComplete: true });
    finish(test);
    expect(rows(test.store)).toEqual(before);
    test.make(test.root(), 'goes on');
    test.store.barrier();
    expect(test.reopen().missingShards).toEqual([]);
  });

  it('is as of the last barrier after a power cut, as the others are', () => {
    const test = new TestStore({ shardCount: 4, bootId: BOOT });
    test.store.raiseStart();
    change(test, 'durable', 20);
    test.store.barrier();
    const before = rows(test.store);
    change(test, 'dropped', 5);
    test.store.close();
    rmSync(pathOf(test, 2));
    expect(refill(test, { bootId: 'boot 2' })).toMatchObject({ isComplete: true });
    const repair = test.open(test.folder, { isRepair: true, bootId: 'boot 2' });
    repair.finishShards();
    repair.barrier();
    expect(rows(repair)).toEqual(before);
    repair.close();
    test.store = test.open();
  });

  it('comes from a backup, the folders of the journal, and the journal', () => {
    const mirror = scratchFolder();
    const journal = { segments: 2, folders: [mirror] };
    const test = new TestStore({ shardCount: 4, bootId: BOOT, journal, walLimit: 0 });
    test.store.raiseStart();
    change(test, 'before', 10);
    test.store.barrier();
    const backup = backUp(test);
    // The ring goes round: what it held first it has no more.
    for (let round = 0; round < 8; round++) {
      change(test, `r${round}`, 60);
      test.store.barrier();
      test.store.checkpoint();
    }
    change(test, 'last', 3);
    const before = rows(test.store);
    test.store.close();
    const kept = join(test.folder, 'kept');
    copyFileSync(pathOf(test, 2), kept);
    const lose = () => {
      for (const name of readdirSync(join(test.folder, 'shards')))
        if (name.startsWith('002')) rmSync(join(test.folder, 'shards', name));
    };
    // Neither alone goes far enough.
    lose();
    expect(refill(test)).toMatchObject({ isComplete: false });
    lose();
    const file = open(backup);
    expect(refill(test, { backup: file })).toMatchObject({ isComplete: false });
    lose();
    expect(refill(test, { backup: file, journals: [mirror] })).toMatchObject({ isComplete: true });
    finish(test);
    expect(rows(test.store)).toEqual(before);
    test.store.close();
    lose();
    // The folder goes back to the format.
    expect(refill(test, { journals: [mirror] })).toMatchObject({ isComplete: true });
    finish(test);
    expect(rows(test.store)).toEqual(before);
    file.close();
  });

  it("is not made of another store's backup, nor of half of one, and nothing has changed then", () => {
    const test = new TestStore({ shardCount: 4, bootId: BOOT });
    change(test, 'a', 10);
    test.store.barrier();
    const backup = backUp(test);
    test.store.close();
    writeFileSync(pathOf(test, 2), 'a file that is in the way');
    // Without what SQLite leaves beside a database that it has read.
    const names = () =>
      readdirSync(join(test.folder, 'shards'))
        .filter((name) => !/-(wal|shm)$/.test(name))
        .sort();
    const before = names();
    const bytes = readFileSync(backup);
    for (const spoilt of [
      bytes.subarray(0, bytes.length - 9),
      Buffer.from(bytes.toString('latin1').replace('5b0c2f4e', '5b0c2f4f'), 'latin1'),
    ]) {
      writeFileSync(backup, spoilt);
      const file = open(backup);
      expect(() => refill(test, { backup: file })).toThrow(BackupError);
      file.close();
      expect(names()).toEqual(before);
      expect(readFileSync(pathOf(test, 2), 'utf8')).toBe('a file that is in the way');
    }
    // What was in the way is kept.
    expect(refill(test).isComplete).toBe(true);
    expect(readFileSync(`${pathOf(test, 2)}.lost-then`, 'utf8')).toBe('a file that is in the way');
    finish(test);
  });

  it('of the root is not complete without a backup: what a format makes is in no journal', () => {
    const test = new TestStore({ shardCount: 4, bootId: BOOT });
    change(test, 'a', 10);
    test.store.barrier();
    const [backup, before] = [backUp(test), rows(test.store)];
    test.store.close();
    rmSync(pathOf(test, 1));
    expect(refill(test).isComplete).toBe(false);
    rmSync(pathOf(test, 1));
    const file = open(backup);
    expect(refill(test, { backup: file }).isComplete).toBe(true);
    file.close();
    finish(test);
    expect(rows(test.store)).toEqual(before);
  });
});

it('a journal that the metadata folder had is read as one that survived', () => {
  const test = new TestStore({ shardCount: 4, bootId: BOOT });
  change(test, 'a', 3);
  test.store.barrier();
  const { lsn } = test.store;
  const copy = join(scratchFolder(), 'meta.lost', 'journal');
  mkdirSync(copy, { recursive: true });
  for (const name of readdirSync(join(test.folder, 'journal')))
    copyFileSync(join(test.folder, 'journal', name), join(copy, name));
  const found = SurvivingJournal.open({ backing, path: copy, storeId: STORE_ID, bootId: BOOT });
  expect(found).toMatchObject({ firstLsn: 2, lastLsn: lsn });
  if (!isErrno(found)) found.close();
});
