/** Stores of which a shard's file is gone, cut, foreign or mixed up: what is elsewhere is read, the rest is EIO. */
import {
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, it } from 'vitest';
import { E } from '../../base/errno.ts';
import { type Ino, ROOT_INO, slotOf } from '../../base/units.ts';
import type { MissingState } from '../../shard/missing_shard.ts';
import { formatNamespace, NamespaceStore } from '../../shard/store.ts';
import { scratchFolder, TestClock, TestStore, VOLUME } from './fixture.ts';

/** Directories over all shards, each with files. */
function filled(): { readonly test: TestStore; readonly directories: readonly Ino[] } {
  const test = new TestStore({ shardCount: 4 });
  const directories: Ino[] = [];
  for (let i = 0; i < 24; i++) {
    const dir = test.makeDirectory(test.root(), `d${i}`);
    directories.push(dir.ino);
    for (let j = 0; j < 3; j++) test.make(dir, `f${j}`);
  }
  test.store.barrier();
  return { test, directories };
}

const pathOf = (test: TestStore, shard: number) => join(test.folder, 'shards', `00${shard}.db`);
const LOST = 2;

/** Opens it without shard `LOST`, and looks at everything. */
function expectDegraded(test: TestStore, directories: readonly Ino[], state: MissingState): void {
  expect(() => test.open()).toThrow(/Shard 2 of the store is missing/);
  const store = test.open(test.folder, { allowMissing: true });
  expect(store.readOnly).toBe(true);
  expect(store.broken).toBeUndefined();
  expect(store.missingShards).toMatchObject([{ shard: LOST, path: pathOf(test, LOST), state }]);
  const root = store.inode(ROOT_INO);
  if (root === undefined) throw new Error('No root');
  expect(store.list(root, 0, 100)).toHaveLength(directories.length);
  let lost = 0;
  for (const ino of directories) {
    const dir = store.readInode(ino);
    if (store.shardOf(slotOf(ino)) === LOST) {
      expect(dir).toBe(E.EIO);
      lost += 1;
      continue;
    }
    if (dir === E.EIO || dir === E.ENOENT || !('ino' in dir)) throw new Error(`Directory ${ino} cannot be read`);
    expect(store.totals(dir).entries).toBe(3);
    expect(store.list(dir, 0, 10).map(({ ino: file }) => store.inode(file)?.nlink)).toEqual([1, 1, 1]);
  }
  expect(lost).toBeGreaterThan(2);
  expect(lost).toBeLessThan(directories.length);
  expect(() => store.begin()).toThrow(/reading/);
  store.close();
}

it.each<[string, MissingState, (path: string) => void]>([
  ['gone', 'absent', (path) => rmSync(path)],
  ['empty', 'foreign', (path) => truncateSync(path, 0)],
  ['cut to less than a page', 'damaged', (path) => truncateSync(path, 3000)],
  ['cut to a page', 'damaged', (path) => truncateSync(path, 8192)],
  ['cut in half', 'damaged', (path) => truncateSync(path, statSync(path).size >> 1)],
  ['something else', 'damaged', (path) => writeFileSync(path, Buffer.alloc(100_000, 'no database '))],
])('reads on when a shard is %s', (_, state, spoil) => {
  const { test, directories } = filled();
  test.store.close();
  const path = pathOf(test, LOST);
  copyFileSync(path, join(test.folder, 'kept'));
  spoil(path);
  const spoilt = existsSync(path) ? readFileSync(path) : undefined;
  expectDegraded(test, directories, state);
  expect(existsSync(path) ? readFileSync(path) : undefined).toEqual(spoilt);
  copyFileSync(join(test.folder, 'kept'), path);
  test.store = test.open(test.folder, { allowMissing: true });
  expect([test.store.readOnly, test.store.missingShards]).toEqual([false, []]);
  for (const ino of directories) expect(test.names(test.get(ino))).toHaveLength(3);
});

it('does not touch a shard of another store that has the number', () => {
  const { test, directories } = filled();
  test.store.close();
  const other = new TestStore({ shardCount: 4 }, scratchFolder());
  other.store.close();
  const folder = scratchFolder();
  const made = { storeId: 'another', shardCount: 4, now: new TestClock().now(), volumes: [VOLUME], ballastBytes: 0 };
  expect(formatNamespace(folder, made)).toBeUndefined();
  // With a log that is not in the database yet, as after a crash.
  const options = { log: console as never, clock: new TestClock(), ballastBytes: 0, reserveBytes: 0 };
  const store = NamespaceStore.open(folder, options);
  const record = store.begin();
  for (let slot = 0; slot < 64; slot++) record.newIno(slot as never);
  store.commit(record);
  store.barrier();
  for (const end of ['', '-wal']) copyFileSync(join(folder, 'shards', `002.db${end}`), `${pathOf(test, LOST)}${end}`);
  store.close();
  const before = ['', '-wal'].map((end) => readFileSync(`${pathOf(test, LOST)}${end}`));
  expect(before[1]?.length).toBeGreaterThan(0);
  expectDegraded(test, directories, 'foreign');
  expect(['', '-wal'].map((end) => readFileSync(`${pathOf(test, LOST)}${end}`))).toEqual(before);
});

it('knows a shard in the place of another', () => {
  const { test, directories } = filled();
  test.store.close();
  copyFileSync(pathOf(test, 3), pathOf(test, LOST));
  expectDegraded(test, directories, 'foreign');
});

it('is of no use without the shard of the root', () => {
  const { test } = filled();
  const shard = test.store.shardOf(slotOf(ROOT_INO));
  test.store.close();
  rmSync(pathOf(test, shard));
  expect(() => test.open(test.folder, { allowMissing: true })).toThrow(/Shard 1 of the store is missing/);
  expect(existsSync(pathOf(test, shard))).toBe(false);
});

it('lets shards of before they noted their store do so', () => {
  const { test } = filled();
  test.store.close();
  const storeId = () => {
    const database = new Database(pathOf(test, LOST));
    const found = database.prepare("SELECT value FROM meta WHERE key = 'store_id'").pluck().get();
    database.prepare("DELETE FROM meta WHERE key = 'store_id'").run();
    database.close();
    return found;
  };
  expect([storeId(), storeId()]).toEqual([test.store.storeId, undefined]);
  test.open(test.folder, { readOnly: true }).close();
  expect(storeId()).toBeUndefined();
  test.store = test.open();
  test.store.barrier();
  test.store.close();
  expect(storeId()).toBe(test.store.storeId);
});

it('notices that a database lost its name while it is open', () => {
  const { test } = filled();
  expect(test.store.lostFile()).toBeUndefined();
  const path = pathOf(test, LOST);
  renameSync(path, `${path}.away`);
  expect(test.store.lostFile()).toBe(`${path} was deleted`);
  copyFileSync(`${path}.away`, path);
  expect(test.store.lostFile()).toBe(`${path} was replaced by another file`);
  renameSync(`${path}.away`, path);
  expect(test.store.lostFile()).toBeUndefined();
  rmSync(`${path}-wal`);
  expect(test.store.lostFile()).toBe(`${path}-wal was deleted`);
});
