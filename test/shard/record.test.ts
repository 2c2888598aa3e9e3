import { describe, expect, it } from 'vitest';
import { assert } from '../../base/assert.ts';
import { E } from '../../base/errno.ts';
import { EPOCH } from '../../base/time.ts';
import { type Ino, type Lsn, ROOT_INO, type Slot } from '../../base/units.ts';
import { applyMutations } from '../../shard/apply.ts';
import { StoreDatabases } from '../../shard/databases.ts';
import type { Mutation } from '../../shard/mutation.ts';
import { MutationSet } from '../../shard/mutation_set.ts';
import { FLAG_XATTRS } from '../../shard/rows.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { extentAt, plainInode, TestStore } from './fixture.ts';

describe('a record', () => {
  it('writes nothing before it is committed, and sees its own puts', () => {
    const test = new TestStore();
    const root = test.root();
    const record = test.store.begin();
    const ino = record.newIno(5 as Slot);
    record.putInode(plainInode(ino, test.clock.now()));
    record.putInode({ ...root, mode: 0o040700 });
    record.touchDirectory(root, { entries: 3, directories: 1, now: test.clock.now() });
    expect(record.inode(ino)?.lsn).toBe(record.lsn);
    expect(record.inode(ROOT_INO)?.mode).toBe(0o040700);
    expect(record.partition(root, 0).entries).toBe(3);
    expect(test.store.readInode(ino)).toBe(E.ENOENT);
    expect(test.root()).toEqual(root);
    expect(test.store.partition(root, 0).entries).toBe(0);
    record.deleteInode(ino);
    expect(record.inode(ino)).toBeUndefined();
    expect(test.store.commit(record)).toBe(record.lsn);
    expect(test.store.readInode(ino)).toBe(E.ENOENT);
    expect(test.root()).toMatchObject({ mode: 0o040700, lsn: record.lsn });
  });

  it('counts several changes of one directory together', () => {
    const test = new TestStore();
    const root = test.root();
    const record = test.store.begin();
    for (let i = 0; i < 5; i++) record.touchDirectory(root, { entries: 2, directories: 1, now: test.clock.now() });
    record.touchDirectory(root, { entries: -1, directories: 0, now: test.clock.now() });
    test.store.commit(record);
    expect(test.store.totals(root)).toMatchObject({ entries: 9, directories: 5 });
  });

  it('is dropped by the next, and committed once', () => {
    const { store } = new TestStore();
    const first = store.begin();
    const second = store.begin();
    expect(() => store.commit(first)).toThrow(/begun last/);
    expect(store.commit(second)).toBe(store.lsn);
    expect(() => store.commit(second)).toThrow(/begun last/);
  });

  it('with nothing in it takes no LSN', () => {
    const { store } = new TestStore();
    const before = store.lsn;
    store.commit(store.begin());
    expect(store.lsn).toBe(before);
  });

  it('deletes all xattrs that were, and keeps those that it puts afterwards', () => {
    const test = new TestStore();
    const file = test.make(test.root(), 'f', { flags: FLAG_XATTRS });
    const value = Buffer.from('v');
    const commit = (build: (record: ReturnType<NamespaceStore['begin']>) => void) => {
      const record = test.store.begin();
      build(record);
      test.store.commit(record);
      return test.store.xattrNames(file.ino).map(String);
    };
    expect(commit((r) => ['a', 'b'].map((name) => r.putXattr(file.ino, Buffer.from(name), value)))).toEqual(['a', 'b']);
    const names = commit((record) => {
      record.putXattr(file.ino, Buffer.from('c'), value);
      record.deleteXattrs(file.ino);
      record.putXattr(file.ino, Buffer.from('d'), value);
      record.putXattr(file.ino, Buffer.from('e'), value);
      record.deleteXattr(file.ino, Buffer.from('e'));
    });
    expect(names).toEqual(['d']);
    test.unlink(test.root(), 'f');
    expect(test.store.xattrNames(file.ino)).toEqual([]);
  });

  it('removes a directory with its partition', () => {
    const test = new TestStore();
    const dir = test.makeDirectory(test.root(), 'd');
    test.store.barrier();
    test.unlink(test.root(), 'd');
    test.store.barrier();
    const partitions = [0, 1, 2, 3].flatMap((shard) => [...test.store.scan(shard).partitions()]);
    expect(partitions).toMatchObject([{ dir: ROOT_INO, entries: 0, directories: 0 }]);
    expect(test.store.readInode(dir.ino)).toBe(E.ENOENT);
  });

  it('of a hundred thousand rows is no slower a row', () => {
    const set = new MutationSet();
    for (let i = 0; i < 100_000; i++) {
      const mutation: Mutation = { kind: 'no-aggregate', id: i as never };
      set.put({ table: 'a', first: i % 50_000, second: 0, third: 0 }, mutation);
    }
    expect(set.size).toBe(50_000);
  });
});

describe('totals', () => {
  it('take the times of whatever was written last, never comparing them', () => {
    const test = new TestStore();
    const dir = test.makeDirectory(test.root(), 'd');
    const long = { sec: 5, nsec: 6 };
    const touch = (sec: number) => {
      const record = test.store.begin();
      record.touchDirectory(test.get(dir.ino), { entries: 0, directories: 0, now: { sec, nsec: 0 } });
      test.store.commit(record);
    };
    touch(9_000_000_000);
    expect(test.store.totals(test.get(dir.ino)).mtime.sec).toBe(9_000_000_000);
    // utimensat to the past: the row is written last.
    const record = test.store.begin();
    record.putInode({ ...test.get(dir.ino), mtime: long, ctime: { sec: 77, nsec: 0 } });
    test.store.commit(record);
    expect(test.store.totals(test.get(dir.ino))).toMatchObject({ mtime: long, ctime: { sec: 77 } });
    // A clock that went back: the partition is written last.
    touch(3);
    expect(test.store.totals(test.get(dir.ino))).toMatchObject({ mtime: { sec: 3 }, ctime: { sec: 3 } });
    test.store.barrier();
    test.reopen();
    expect(test.store.totals(test.get(dir.ino))).toMatchObject({ mtime: { sec: 3 }, ctime: { sec: 3 } });
  });

  it('take the partition when one record wrote both', () => {
    const test = new TestStore();
    const dir = test.makeDirectory(test.root(), 'd');
    const record = test.store.begin();
    record.touchDirectory(dir, { entries: 0, directories: 0, now: { sec: 8, nsec: 0 } });
    record.putInode({ ...dir, mode: 0o040700 });
    test.store.commit(record);
    expect(test.store.totals(test.get(dir.ino)).mtime.sec).toBe(8);
  });
});

/** Every row of every table, without the LSN that a commit writes. */
function dump(store: NamespaceStore): unknown {
  const shards = Array.from({ length: store.shardCount }, (_, shard) => {
    const scan = store.scan(shard);
    return [
      [...scan.dentries()],
      [...scan.inodes()],
      [...scan.partitions()],
      [...scan.xattrs()],
      [...scan.symlinks()],
      [...scan.extentKeys()],
      [...scan.orphans()],
      [...scan.ownFiles()],
      scan.sequences(),
    ];
  });
  return [shards, store.aggregates(), [...store.allSharers()]];
}

/** One of each kind of mutation, put and deleted. */
function everything(test: TestStore): Mutation[][] {
  const records: Mutation[][] = [];
  const commit = (build: (record: ReturnType<NamespaceStore['begin']>) => void) => {
    const record = test.store.begin();
    build(record);
    records.push([...record.mutations]);
    test.store.commit(record);
  };
  const root = test.root();
  const many = Array.from({ length: 6 }, (_, i) => extentAt(i * 70_000));
  let ino = 0 as Ino;
  const name = Buffer.from('victim');
  const place = test.store.placeFor(root, name);
  assert(typeof place === 'number', 'No place');
  const dentry = { dir: ROOT_INO, position: place, name, type: 8 };
  const aggregate = { id: 3 as never, volume: 1 as never, state: 'open' as const, written: 1, live: 1 };
  commit((record) => {
    ino = record.newIno(7 as Slot);
    const own = { volume: 1 as never, start: 1, number: 1 };
    record.putInode({ ...plainInode(ino, EPOCH), nlink: 0, layout: 'own', own, second: many });
    record.putDentry(root, { ...dentry, ino });
    record.touchDirectory(root, { entries: 1, directories: 0, now: EPOCH });
    record.putXattr(ino, Buffer.from('user.x'), Buffer.from('y'));
    record.putSymlink(ino, Buffer.from('z'));
    record.putAggregate({ ...aggregate, newestMtimeSec: 0, lastReadDay: 0 });
    record.putSharer(3 as never, 0, ino);
  });
  commit((record) => {
    const row = record.inode(ino);
    assert(row !== undefined, 'Gone');
    record.putInode({ ...row, nlink: 1, layout: 'packed', own: undefined, extents: many, second: [] });
    record.deleteXattr(ino, Buffer.from('user.x'));
    record.putAggregate({ ...aggregate, live: 5, newestMtimeSec: 0, lastReadDay: 0 });
  });
  commit((record) => {
    record.deleteDentry(root, dentry);
    record.touchDirectory(root, { entries: -1, directories: 0, now: { sec: 9, nsec: 0 } });
    record.deleteInode(ino);
    record.deleteAggregate(3 as never);
    record.deleteSharer(3 as never, 0, ino);
  });
  return records;
}

describe('apply', () => {
  it('changes nothing when records are applied again, from any of them on', () => {
    const test = new TestStore({ shardCount: 2 });
    test.make(test.root(), 'bystander');
    const records = everything(test);
    test.store.barrier();
    const expected = dump(test.store);
    test.store.close();
    for (let from = 0; from <= records.length; from++) {
      const databases = StoreDatabases.open(test.folder, { now: EPOCH, readOnly: false });
      for (const mutations of records.slice(from)) applyMutations(databases, mutations);
      for (const database of [...databases.shards, databases.system]) database.commit(5 as Lsn);
      databases.close();
      test.store = test.open();
      expect(dump(test.store)).toEqual(expected);
      test.store.close();
    }
    test.store = test.open();
  });
});
