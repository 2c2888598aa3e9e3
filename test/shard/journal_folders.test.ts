/** Journal folders on other disks: one that fails is dropped and said to be stale, and the store goes on. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { E, type Errno, isErrno } from '../../base/errno.ts';
import type { Log } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SurvivingJournal } from '../../shard/store.ts';
import { FaultBacking } from '../support/fault_backing.ts';
import { scratchFolder, TestStore } from './fixture.ts';

const STORE = '5b0c2f4e-0000-4000-8000-000000000001';
const BOOT = 'boot 1';

function survivor(path: string): string | number {
  const found = SurvivingJournal.open({ backing: new PosixBacking(), path, storeId: STORE, bootId: BOOT });
  if (isErrno(found)) return found.name;
  found.close();
  return found.lastLsn;
}

/** By another connection: what has been committed. */
function readMeta(folder: string, key: string): string {
  const database = new Database(join(folder, 'system.db'), { readonly: true });
  const value = database.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key);
  database.close();
  return String(value);
}

describe('a journal folder that fails', () => {
  for (const [call, error] of [
    ['write', E.EIO],
    ['write', E.ENOSPC],
    ['flush', E.EIO],
  ] as const satisfies readonly (readonly [string, Errno])[])
    it(`with ${error.name} at a ${call} is dropped, marked, and refused until it is whole again`, () => {
      const alerts: string[] = [];
      const log: Log = { error: (_, message) => alerts.push(message), warn() {}, info() {}, debug() {} };
      const [bad, good] = [scratchFolder(), scratchFolder()];
      const backing = new FaultBacking(new PosixBacking());
      const test = new TestStore({ log, backing, bootId: BOOT, journal: { folders: [bad, good] } });
      test.store.raiseStart();
      test.make(test.root(), 'before');
      test.store.barrier();
      expect([survivor(bad), survivor(good)]).toEqual([test.store.lsn, test.store.lsn]);
      backing.arm({ kind: call, error, path: bad });
      test.make(test.root(), 'after');
      expect(isErrno(test.store.barrier())).toBe(false);
      backing.disarm();
      expect(test.store.broken).toBeUndefined();
      expect(alerts).toEqual([expect.stringContaining('not written any more')]);
      expect(test.store.journalFolders().map(({ path, dropped }) => [path, dropped])).toEqual([
        [good, undefined],
        [bad, error.name],
      ]);
      expect([survivor(bad), survivor(good)]).toEqual(['ESTALE', test.store.lsn]);
      const stale = () => JSON.parse(readMeta(test.folder, 'stale_journal_folders'));
      expect(stale()).toEqual({ [bad]: expect.any(Number) });
      // The next open makes it equal, and takes the mark away.
      test.reopen();
      expect([survivor(bad), survivor(good)]).toEqual([test.store.lsn, test.store.lsn]);
      expect(existsSync(join(bad, `pacsfs-journal-${STORE}`, 'STALE'))).toBe(false);
      test.store.barrier();
      expect(stale()).toEqual({});
    });
});

describe('a journal folder of which nothing is there any more', () => {
  it('is not the disk that was meant: nothing is made on it, until it is back or the operator has made the folder', () => {
    const disk = scratchFolder();
    const inside = join(disk, `pacsfs-journal-${STORE}`);
    const test = new TestStore({ bootId: BOOT, journal: { folders: [disk] } });
    test.store.raiseStart();
    test.make(test.root(), 'before');
    test.store.barrier();
    const dropped = () => test.store.journalFolders().map((folder) => folder.dropped);
    expect(dropped()).toEqual([undefined]);
    // As when it is not mounted: the bare folder below it is there.
    const aside = join(scratchFolder(), 'aside');
    test.store.close();
    renameSync(inside, aside);
    test.store = test.open();
    test.store.raiseStart();
    test.make(test.root(), 'meanwhile');
    test.store.barrier();
    expect([dropped(), readdirSync(disk)]).toEqual([['ENOENT'], []]);
    expect(JSON.parse(readMeta(test.folder, 'stale_journal_folders'))).toEqual({ [disk]: expect.any(Number) });
    // It is mounted again.
    test.store.close();
    renameSync(aside, inside);
    test.store = test.open();
    expect([dropped(), survivor(disk)]).toEqual([[undefined], test.store.lsn]);
    // Its disk was replaced, and the operator says so.
    test.store.close();
    rmSync(inside, { recursive: true });
    mkdirSync(inside);
    test.store = test.open();
    expect([dropped(), survivor(disk)]).toEqual([[undefined], test.store.lsn]);
  });
});
