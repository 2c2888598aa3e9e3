import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { E } from '../../base/errno.ts';
import type { Log } from '../../base/log.ts';
import { ROOT_INO, slotOf } from '../../base/units.ts';
import { rowIdOf } from '../../shard/row_id.ts';
import { SINGLE_PARTITION } from '../../shard/store.ts';
import { extentAt, scratchFolder, TestStore } from './fixture.ts';

/** By another process: closing a file of an open database here would drop SQLite's locks on it. */
function copyAll(from: string, to: string): void {
  execFileSync('cp', ['-r', from, to]);
}

describe('what a barrier promises', () => {
  it('close without one loses what came after the last, and nothing before', () => {
    const test = new TestStore();
    test.make(test.root(), 'before');
    test.store.barrier();
    test.make(test.root(), 'after');
    test.reopen();
    expect(test.names(test.root())).toEqual(['before']);
    expect(test.store.totals(test.root()).entries).toBe(1);
  });

  it('holds for a copy of the files taken at any time after it, as a killed process leaves them', () => {
    const test = new TestStore();
    const dir = test.makeDirectory(test.root(), 'd');
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 20; i++) test.make(dir, `${round}-${i}`);
      const lsn = test.store.barrier();
      for (let i = 0; i < 10; i++) test.make(dir, `late ${round}-${i}`);
      const copy = join(scratchFolder(), 'copy');
      copyAll(test.folder, copy);
      const crashed = test.open(copy);
      expect(crashed.lsn).toBe(lsn);
      expect(crashed.list(dir, 0, 1000)).toHaveLength(20 * (round + 1) + 10 * round);
      expect(crashed.totals(dir).entries).toBe(20 * (round + 1) + 10 * round);
      crashed.close();
      const again = join(scratchFolder(), 'copy');
      copyAll(test.folder, again);
      const read = test.open(again, { readOnly: true });
      expect(read.lsn).toBe(lsn);
      expect(read.totals(dir).entries).toBe(20 * (round + 1) + 10 * round);
      read.close();
    }
  });

  it('empties the logs above their limit', () => {
    const test = new TestStore({ shardCount: 1, walLimit: 1 << 16 });
    const wal = () => Number(execFileSync('stat', ['-c', '%s', join(test.folder, 'shards', '000.db-wal')]));
    const sizes: number[] = [];
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 50; i++) test.make(test.root(), `${round}-${i}`);
      test.store.barrier();
      sizes.push(wal());
    }
    // The log restarts where it began: without that it would have grown with each of the 40 rounds.
    expect(sizes.at(-1)).toBeLessThan(3 * (sizes[1] ?? 0));
  });
});

describe('damage', () => {
  /** Changes a row behind the store's back. */
  function spoil(test: TestStore, sql: string, parameters: readonly unknown[], shard: number): void {
    test.store.barrier();
    test.store.close();
    const database = new Database(join(test.folder, 'shards', `00${shard}.db`));
    expect(database.prepare(sql).run(...parameters).changes).toBe(1);
    database.close();
    test.store = test.open();
  }

  it('of an inode gives EIO to who asks for it, and nobody else', () => {
    const messages: string[] = [];
    const log: Log = { error: (_, message) => messages.push(message), warn() {}, info() {}, debug() {} };
    const test = new TestStore({ log });
    const file = test.make(test.root(), 'f');
    const other = test.make(test.root(), 'g');
    const shard = test.store.shardOf(slotOf(file.ino));
    spoil(test, 'UPDATE inodes SET row = zeroblob(100) WHERE id = ?', [rowIdOf(file.ino)], shard);
    expect(test.store.readInode(file.ino)).toBe(E.EIO);
    expect(test.store.inode(file.ino)).toBeUndefined();
    expect(messages.length).toBeGreaterThan(0);
    expect(test.store.inode(other.ino)).toEqual(other);
    // What hangs on it is not known, so its delete looks for all of it.
    test.unlink(test.root(), 'f');
    expect(test.store.readInode(file.ino)).toBe(E.ENOENT);
  });

  it('of a dentry, an xattr, a target, an extent gives EIO', () => {
    const test = new TestStore({ shardCount: 1 });
    const extents = Array.from({ length: 5 }, (_, i) => extentAt(i * 70_000));
    const file = test.make(test.root(), 'f', { layout: 'packed', extents });
    const record = test.store.begin();
    record.putXattr(file.ino, Buffer.from('user.a'), Buffer.from('b'));
    record.putSymlink(file.ino, Buffer.from('t'));
    test.store.commit(record);
    spoil(test, "UPDATE xattrs SET value = x'00' WHERE id = ?", [rowIdOf(file.ino)], 0);
    expect(test.store.readXattr(file.ino, Buffer.from('user.a'))).toBe(E.EIO);
    spoil(test, "UPDATE symlinks SET target = x'01' WHERE id = ?", [rowIdOf(file.ino)], 0);
    expect(test.store.readSymlink(file.ino)).toBe(E.EIO);
    spoil(test, 'UPDATE dentries SET ino = ino + 1 WHERE dir = ?', [ROOT_INO], 0);
    expect(test.store.findName(test.root(), Buffer.from('f'))).toBe(E.EIO);
    expect(test.store.placeFor(test.root(), Buffer.from('f'))).toBe(E.EIO);
    expect(test.store.list(test.root(), 0, 10)).toEqual([]);
    spoil(test, 'DELETE FROM extents WHERE offset = 70000', [], 0);
    expect(test.store.readInode(file.ino)).toBe(E.EIO);
    const found = [...test.store.scan(0).inodes(), ...test.store.scan(0).dentries(), ...test.store.scan(0).xattrs()];
    const tables = found.map((row) => ('table' in row ? row.table : 'whole'));
    expect(tables).toEqual(['whole', 'inodes', 'dentries', 'xattrs']);
  });

  it('of a partition is counted anew: a directory never looks empty by mistake', () => {
    const test = new TestStore({ shardCount: 1 });
    for (let i = 0; i < 5; i++) test.make(test.root(), `f${i}`);
    test.makeDirectory(test.root(), 'd');
    spoil(test, 'UPDATE partitions SET entries = 0 WHERE dir = 1', [], 0);
    expect(test.store.totals(test.root())).toMatchObject({ entries: 6, directories: 1 });
    spoil(test, 'DELETE FROM partitions WHERE dir = 1', [], 0);
    expect(test.store.totals(test.root())).toMatchObject({ entries: 6, directories: 1 });
  });
});

const canMount = process.getuid?.() === 0;

describe.runIf(canMount)('a full disk', () => {
  /** A filesystem of so many MiB in memory. */
  function smallDisk(sizeMib: number): string {
    const folder = scratchFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m`, 'pacsfs-test', folder]);
    onTestFinished(() => void execFileSync('umount', ['-l', folder]));
    return folder;
  }

  it('releases the ballast, then says ENOSPC, and loses nothing', () => {
    const disk = smallDisk(24);
    const folder = join(disk, 'meta');
    const test = new TestStore({ shardCount: 2, ballastBytes: 2 << 20 }, folder);
    expect(existsSync(join(folder, 'ballast'))).toBe(true);
    const dir = test.makeDirectory(test.root(), 'd');
    expect(test.store.barrier()).toBe(test.store.lsn);
    let made = 0;
    let durable = 0;
    for (;;) {
      for (let i = 0; i < 1000; i++, made++) test.make(dir, `f${made}`);
      if (test.store.barrier() === E.ENOSPC) break;
      durable = made;
      expect(made).toBeLessThan(200_000);
    }
    expect(existsSync(join(folder, 'ballast'))).toBe(false);
    expect(test.store.totals(dir).entries).toBe(made);
    expect(test.store.list(dir, 0, 1_000_000)).toHaveLength(made);
    expect(test.store.inode(ROOT_INO)?.partitions).toEqual(SINGLE_PARTITION);
    expect(test.store.barrier()).toBe(E.ENOSPC);
    // The operator makes room: what was refused is made durable after all.
    execFileSync('mount', ['-o', 'remount,size=200m', disk]);
    expect(test.store.barrier()).toBe(test.store.lsn);
    test.reopen();
    expect(test.store.totals(test.get(dir.ino)).entries).toBe(made);
    expect(test.store.list(dir, 0, 1_000_000)).toHaveLength(made);
    expect(made).toBeGreaterThan(durable);
  });

  it('is told before it is full', () => {
    const folder = join(smallDisk(64), 'meta');
    const test = new TestStore({ shardCount: 1, reserveBytes: 16 << 20 }, folder);
    expect(test.store.low()).toBe(false);
    execFileSync('dd', ['if=/dev/zero', `of=${folder}/filler`, 'bs=1M', 'count=58'], { stdio: 'ignore' });
    test.clock.sec += 1;
    expect(test.store.low()).toBe(true);
  });
});
