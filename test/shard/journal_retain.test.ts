/** What a journal folder keeps for want of a backup, what a backup under way keeps, and what a journal gives a backup back. */
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import type { Lsn } from '../../base/units.ts';
import { SurvivingJournal } from '../../shard/store.ts';
import { scratchFolder, TestStore } from './fixture.ts';

const STORE = '5b0c2f4e-0000-4000-8000-000000000001';
const BOOT = 'boot 1';
const SEGMENT_BYTES = 256 << 10;
const LONG_NAME = 'n'.repeat(200);

/** So many segments of the journal, all of them in the databases for good, so that the journal itself needs none. */
function fill(test: TestStore, segments: number): void {
  const before = test.store.lsn;
  // A create with a name of 200 bytes takes some 500 bytes: rather a few more.
  const wanted = (segments * SEGMENT_BYTES) / 400;
  for (let i = 0; i < wanted; i++) {
    test.make(test.root(), `${before}-${i}-${LONG_NAME}`);
    if (i % 500 > 0) continue;
    test.store.barrier();
    test.store.checkpoint();
  }
  test.store.barrier();
  test.store.checkpoint();
}

function segmentsIn(folder: string): number {
  return readdirSync(folder).filter((name) => /^\d{4}$/.test(name)).length;
}

function mirrorOf(path: string): string {
  return join(path, `pacsfs-journal-${STORE}`);
}

function survivorOf(path: string, bootId = BOOT): SurvivingJournal {
  const found = SurvivingJournal.open({ backing: new PosixBacking(), path, storeId: STORE, bootId });
  if (isErrno(found)) throw new Error(`No journal in ${path}: ${found.name}`);
  return found;
}

describe('a journal folder', () => {
  it('keeps everything since the newest backup, and lets go of what that has', () => {
    const other = scratchFolder();
    const test = new TestStore({ shardCount: 1, bootId: BOOT, journal: { folders: [other] } });
    test.store.raiseStart();
    const first = test.store.lsn + 1;
    fill(test, 12);
    expect(test.store.journalFolders()).toEqual([{ path: other, dropped: undefined, coversFrom: first }]);
    const kept = segmentsIn(mirrorOf(other));
    expect(kept).toBeGreaterThan(segmentsIn(join(test.folder, 'journal')));
    test.store.noteBackup((test.store.lsn + 1) as Lsn);
    const backedUp = test.store.lsn;
    expect(test.store.backupLsn).toBe(backedUp);
    fill(test, 6);
    // What the backup has was written over: no file more, and the journal still goes back to the backup.
    expect(segmentsIn(mirrorOf(other))).toBe(kept);
    const [folder] = test.store.journalFolders();
    expect(folder?.coversFrom).toBeGreaterThan(first);
    expect(folder?.coversFrom).toBeLessThanOrEqual(backedUp);
    // The next daemon knows of the backup, too.
    test.reopen();
    expect(test.store.backupLsn).toBe(backedUp);
    fill(test, 4);
    expect(segmentsIn(mirrorOf(other))).toBe(kept);
  });

  it('keeps no more than `journalRetain` without a backup, and says from where on it goes', () => {
    const other = scratchFolder();
    const retainBytes = 10 * SEGMENT_BYTES;
    const test = new TestStore({ shardCount: 1, bootId: BOOT, journal: { folders: [other], retainBytes } });
    test.store.raiseStart();
    const first = test.store.lsn + 1;
    fill(test, 20);
    expect(segmentsIn(mirrorOf(other))).toBe(10);
    const [folder] = test.store.journalFolders();
    expect(folder?.dropped).toBeUndefined();
    expect(folder?.coversFrom).toBeGreaterThan(first);
    const survivor = survivorOf(other);
    expect([survivor.firstLsn, survivor.lastLsn]).toEqual([folder?.coversFrom, test.store.lsn]);
    survivor.close();
  });
});

it('a backup under way keeps every record from its beginning, and only until it has ended', () => {
  const test = new TestStore({ shardCount: 1, bootId: BOOT });
  test.store.raiseStart();
  fill(test, 4);
  const { lsn, release } = test.store.holdJournal();
  expect(lsn).toBe(test.store.lsn + 1);
  fill(test, 12);
  const found = [...test.store.journalFrom(lsn)].map((record) => record.lsn);
  expect([found[0], found.at(-1), found.length]).toEqual([lsn, test.store.lsn, test.store.lsn - lsn + 1]);
  const held = segmentsIn(join(test.folder, 'journal'));
  release();
  fill(test, 6);
  expect(segmentsIn(join(test.folder, 'journal'))).toBe(held);
  // Written over meanwhile.
  const [next] = test.store.journalFrom(lsn);
  expect(next === undefined || next.lsn > lsn).toBe(true);
});

describe('a journal that survived', () => {
  /** A store as a backup has it, and the journal of what came after. */
  function lost(retainBytes?: number): { copy: string; other: string; test: TestStore } {
    const other = scratchFolder();
    const retain = retainBytes === undefined ? {} : { retainBytes };
    const test = new TestStore({ shardCount: 2, bootId: BOOT, journal: { folders: [other], ...retain } });
    test.store.raiseStart();
    test.make(test.root(), 'in the backup');
    test.store.barrier();
    test.store.checkpoint();
    const copy = join(scratchFolder(), 'meta');
    test.store.close();
    cpSync(test.folder, copy, { recursive: true });
    test.store = test.open();
    test.store.raiseStart();
    return { copy, other, test };
  }

  it('brings a store back to its last record, and that is durable with the next barrier', () => {
    const { copy, other, test } = lost();
    for (let i = 0; i < 300; i++) test.make(test.root(), `after ${i}`);
    test.unlink(test.root(), 'in the backup');
    const names = test.names(test.root());
    const { lsn, start, generation } = test.store;
    test.store.close();
    const survivor = survivorOf(other);
    test.moveTo(copy);
    test.store = test.open(copy, { journal: {} });
    const before = test.store.lsn;
    expect(test.store.replaySurvivor(survivor)).toBe(lsn - before);
    expect(isErrno(test.store.barrier())).toBe(false);
    expect([test.store.lsn, test.store.start, test.store.generation]).toEqual([lsn, start, generation]);
    // Once more changes nothing.
    expect(test.store.replaySurvivor(survivor)).toBe(0);
    survivor.close();
    test.store.close();
    test.store = test.open(copy, { journal: {}, bootId: 'boot 2' });
    expect(test.names(test.root())).toEqual(names);
  });

  it('that begins too late is refused, and nothing of it is applied', () => {
    const { copy, other, test } = lost(8 * SEGMENT_BYTES);
    fill(test, 20);
    test.store.close();
    const survivor = survivorOf(other);
    test.moveTo(copy);
    test.store = test.open(copy, { journal: {} });
    expect(survivor.firstLsn).toBeGreaterThan(test.store.lsn + 1);
    const before = test.store.lsn;
    expect(test.store.replaySurvivor(survivor)).toBe(E.ERANGE);
    expect(test.store.lsn).toBe(before);
    expect(test.names(test.root())).toEqual(['in the backup']);
    survivor.close();
  });

  it('that has a record missing in the middle is applied up to there, and says so', () => {
    const { copy, other, test } = lost();
    for (let i = 0; i < 10; i++) test.make(test.root(), `${i}`);
    test.store.close();
    const survivor = survivorOf(other);
    test.moveTo(copy);
    test.store = test.open(copy, { journal: {} });
    const before = test.store.lsn;
    const gap = before + 5;
    const whole = survivor.records.bind(survivor);
    survivor.records = (from) => [...whole(from)].filter((record) => record?.lsn !== gap);
    expect(test.store.replaySurvivor(survivor)).toBe(E.EUCLEAN);
    expect(test.store.lsn).toBe(gap - 1);
    survivor.close();
  });
});
