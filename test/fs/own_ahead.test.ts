import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { compareTimes } from '../../base/time.ts';
import { slotOf } from '../../base/units.ts';
import { rowIdOf } from '../../shard/row_id.ts';
import { O_RDWR, O_TRUNC, O_WRONLY } from '../support/loose_user.ts';
import { type Fixture, start } from './fixture.ts';

const AHEAD = 8;

/** A filesystem that has made its first own files ahead, and the names that are open in it. */
function startAhead(): Fixture {
  const fixture = start({ data: { ownAhead: AHEAD } });
  fixture.user.put('first', 'bytes');
  fixture.loose.tick();
  fixture.loose.backing.clear();
  return fixture;
}

function ownFolder({ loose }: Fixture): string {
  return join(loose.folder, 'volumes', 'hot', 'own');
}

/** Sizes of all own files. */
function ownFiles(fixture: Fixture): number[] {
  const folder = ownFolder(fixture);
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).size);
}

function ahead({ loose }: Fixture): number {
  return loose.filesystem.status().ownAhead;
}

function created({ loose }: Fixture): string[] {
  return loose.backing.history.filter((entry) => entry.startsWith('create own'));
}

describe('own files made ahead', () => {
  test('are what creates take, in the order in which they were made', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    expect(ahead(fixture)).toBe(AHEAD);
    for (let i = 0; i < 3; i++) user.put(`f${i}`, `bytes of ${i}`);
    expect([created(fixture), ahead(fixture)]).toEqual([[], AHEAD - 3]);
    const owns = [0, 1, 2].map((i) => loose.namespace.inode(user.stat(`f${i}`).ino)?.own?.number);
    expect(owns).toEqual([2, 3, 4]);
    expect([0, 1, 2].map((i) => user.text(`f${i}`))).toEqual(['bytes of 0', 'bytes of 1', 'bytes of 2']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('are made again once half of them are used up, and nobody waits for one', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    for (let i = 0; i < AHEAD / 2; i++) user.put(`f${i}`, '');
    loose.look();
    expect(loose.jobs.filter(({ kind }) => kind === 'own')).toEqual([]);
    for (let i = 0; i < AHEAD; i++) user.put(`g${i}`, '');
    expect([ahead(fixture), created(fixture).length]).toEqual([0, AHEAD / 2]);
    loose.look();
    expect(loose.jobs.filter(({ kind }) => kind === 'own')).toHaveLength(1);
    // The worker has not begun.
    user.put('h', 'bytes');
    loose.tick();
    expect(ahead(fixture)).toBe(AHEAD);
    expect(loose.damageNow()).toEqual([]);
  });

  test('show the time at which they were taken, and after a kill too', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    loose.clock.advance(3_600_000);
    const before = loose.clock.now();
    const files = ['empty', 'written'].map((name) => user.create(name, O_WRONLY));
    const made = user.stat('written');
    for (const time of [made.mtime, made.ctime, made.btime, made.atime])
      expect(compareTimes(time, before)).toBeGreaterThan(0);
    for (const file of files.slice(1)) user.write(file, 'bytes');
    const [empty, written] = [user.stat('empty'), user.stat('written')];
    expect(compareTimes(written.mtime, made.mtime)).toBeGreaterThan(0);
    loose.replace();
    expect([user.stat('empty'), user.stat('written')]).toMatchObject([
      { mtime: empty.mtime, ctime: empty.ctime, size: 0 },
      { mtime: written.mtime, ctime: written.ctime, size: 5 },
    ]);
    for (const file of files) user.close(file);
    loose.pack();
    expect(user.stat('empty')).toMatchObject({ mtime: empty.mtime, ctime: empty.ctime });
    loose.crash();
    expect(user.stat('written')).toMatchObject({ mtime: written.mtime, ctime: written.ctime });
  });

  test('serve whoever empties a file or changes a packed one', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    user.put('packed', 'packed bytes');
    loose.pack();
    loose.backing.clear();
    const { mtime } = user.stat('packed');
    user.write(user.open('packed', O_RDWR), 'PACKED');
    const emptied = user.open('first', O_WRONLY | O_TRUNC);
    expect(created(fixture)).toEqual([]);
    expect(compareTimes(user.stat('first').mtime, mtime)).toBeGreaterThan(0);
    user.write(emptied, 'new');
    expect([user.text('packed'), user.text('first')]).toEqual(['PACKED bytes', 'new']);
  });

  test('have names that are durable before a row calls their bytes so', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    // The names of all that there are by now are flushed.
    user.fsync(user.create('before', O_RDWR).ino);
    loose.tick();
    for (let i = 0; i < AHEAD / 2; i++) user.put(`f${i}`, '');
    loose.tick();
    for (let i = 0; i < AHEAD / 2 - 1; i++) user.put(`g${i}`, '');
    expect(created(fixture)).toHaveLength(AHEAD / 2 + 1);
    loose.backing.clear();
    const file = user.create('flushed', O_RDWR);
    user.write(file, 'bytes');
    user.fsync(file.ino);
    loose.tick();
    const { history } = loose.backing;
    expect(history).toContain('flushFolder own/1');
    expect(history.indexOf('flush own/1/10')).toBeLessThan(history.indexOf('flushFolder own/1'));
  });
});

describe('own files made ahead, at the end', () => {
  test('none is left by a clean stop, though a worker is at it', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    for (let i = 0; i < AHEAD; i++) user.put(`f${i}`, 'bytes');
    loose.look();
    expect(loose.jobs.some(({ kind }) => kind === 'own')).toBe(true);
    let isDone = false;
    loose.filesystem.beginStop().whenSettled(() => {
      isDone = true;
    });
    for (let round = 0; round < 100 && !isDone; round++) {
      loose.look();
      loose.work(({ kind }) => kind !== 'own');
    }
    expect([isDone, loose.filesystem.shutDown(), loose.jobs]).toEqual([true, undefined, []]);
    expect([ownFiles(fixture), loose.damage()]).toEqual([[], []]);
    loose.open();
    expect(user.text('f3')).toBe('bytes');
  });

  for (const how of ['crash', 'replace'] as const) {
    test(`those of a daemon that was killed go: ${how}`, () => {
      const fixture = startAhead();
      const { loose, user } = fixture;
      const open = user.create('open', O_RDWR);
      loose.kill();
      expect(ownFiles(fixture)).toHaveLength(AHEAD + 1);
      loose.open({ takeover: how === 'replace' });
      for (let round = 0; round < 5; round++) {
        loose.clock.advance(1_000);
        loose.tick();
        loose.work();
      }
      expect(ownFiles(fixture).length).toBeLessThanOrEqual(2);
      if (how === 'replace') user.write(open, 'goes on');
      expect(user.text('open')).toBe(how === 'replace' ? 'goes on' : '');
      expect([loose.log.lines, loose.damageNow()]).toEqual([[], []]);
    });
  }

  test('fsck does not take them for lost', () => {
    const fixture = startAhead();
    const { loose } = fixture;
    loose.barrier();
    loose.kill();
    expect([loose.damage({ wasClean: false }), loose.damage({ wasClean: true })]).toEqual([[], []]);
    // One that somebody has written to is nobody's, too, but it holds something.
    utimesSync(join(ownFolder(fixture), '1', String(AHEAD + 1)), 1, 1);
    expect(loose.damage({ wasClean: true })).toHaveLength(1);
    loose.open();
  });

  test('nothing of them is set aside where a row cannot be read', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    const damaged = user.put('damaged', 'bytes');
    loose.namespace.barrier();
    const shard = loose.namespace.shardOf(slotOf(damaged));
    loose.kill();
    const database = new Database(join(loose.metaFolder, 'shards', `00${shard}.db`));
    const { changes } = database
      .prepare('UPDATE inodes SET row = zeroblob(length(row)) WHERE id = ?')
      .run(rowIdOf(damaged));
    database.close();
    expect(changes).toBe(1);
    loose.open();
    loose.pack();
    loose.barrier();
    const lost = join(loose.folder, 'volumes', 'hot', 'lost');
    expect(readdirSync(lost)).toHaveLength(1);
    expect(existsSync(join(ownFolder(fixture), '1')) ? ownFiles(fixture) : []).toEqual([]);
  });
});

describe('own files made ahead, when something fails', () => {
  test('a full disk gets theirs back, and a create does without', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: '/own/' });
    const file = user.create('file', O_WRONLY);
    expect([user.tryWrite(file, 'bytes'), ahead(fixture)]).toEqual([-E.ENOSPC.number, 0]);
    expect(ownFiles(fixture).sort()).toEqual([0, 5]);
    loose.backing.disarm();
    loose.tick();
    // Not at once: who needs the room comes first.
    expect(loose.jobs).toEqual([]);
    user.put('by itself', 'bytes');
    loose.clock.advance(5_001);
    loose.tick();
    expect(ahead(fixture)).toBe(AHEAD);
    expect(loose.damageNow()).toEqual([]);
  });

  test('one that cannot be made ends its batch; creates make their own, and it is tried again', () => {
    const fixture = start({ data: { ownAhead: AHEAD } });
    const { loose, user } = fixture;
    user.put('first', 'bytes');
    loose.backing.arm({ kind: 'create', error: E.EMFILE, after: 2, times: 1 });
    loose.tick();
    expect([ahead(fixture), loose.log.has('Cannot make own files ahead')]).toEqual([2, true]);
    for (let i = 0; i < 4; i++) user.put(`f${i}`, 'bytes');
    loose.tick();
    expect(ahead(fixture)).toBe(0);
    loose.clock.advance(5_001);
    loose.tick();
    expect(ahead(fixture)).toBe(AHEAD);
    expect(loose.damageNow()).toEqual([]);
  });

  test('one whose mark cannot be set is removed', () => {
    const fixture = start({ data: { ownAhead: AHEAD } });
    const { loose, user } = fixture;
    user.put('first', 'bytes');
    loose.backing.arm({ kind: 'setModified', error: E.EIO, after: 3, times: 1 });
    loose.tick();
    expect([ahead(fixture), ownFiles(fixture).length]).toEqual([3, 4]);
  });

  test('a broken store is left as it is', () => {
    const fixture = startAhead();
    const { loose, user } = fixture;
    const file = user.create('file', O_RDWR);
    user.write(file, 'bytes');
    loose.backing.arm({ kind: 'flush', error: E.EIO });
    const answer = user.fsync(file.ino);
    loose.tick();
    expect(answer.outcome()).toBe(E.EIO);
    expect(loose.filesystem.status().broken).toBeDefined();
    loose.backing.disarm();
    const before = ownFiles(fixture).length;
    for (let i = 0; i < AHEAD; i++) expect(user.tryCreate(`f${i}`)).toBe(E.EIO);
    loose.tick();
    expect([loose.jobs, ownFiles(fixture).length]).toEqual([[], before]);
    loose.filesystem.beginStop();
    loose.filesystem.shutDown();
    expect(ownFiles(fixture).length).toBe(before);
  });
});
