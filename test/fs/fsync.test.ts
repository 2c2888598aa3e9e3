import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import { KIB } from '../../base/units.ts';
import { FsyncModes } from '../../fs/fsync_mode.ts';
import { Deferred } from '../../fs/types.ts';
import { FLAG_COPY, FLAG_FLUSHED } from '../../shard/rows.ts';
import { O_RDONLY, O_RDWR, O_WRONLY, type OpenFile } from '../support/loose_user.ts';
import { type Fixture, pattern, start } from './fixture.ts';

const O_DSYNC = 0o10000;

function flagsOf({ loose }: Fixture, { ino }: OpenFile): number {
  return (loose.namespace.inode(ino)?.flags ?? 0) & (FLAG_COPY | FLAG_FLUSHED);
}

/** A file of these contents, open for writing alone. */
function written({ user }: Fixture, name: string, contents: Uint8Array | string): OpenFile {
  const file = user.create(name, O_WRONLY);
  user.write(file, contents);
  return file;
}

function fsync({ loose, user }: Fixture, { ino }: OpenFile): void {
  const answer = user.fsync(ino);
  loose.tick();
  expect(answer.outcome()).toBeUndefined();
}

/** Power is lost: records since the last barrier are gone, and own files hold what the host pleases. */
function losePower({ loose }: Fixture, options: { readonly spoil?: OpenFile } = {}): void {
  const { spoil } = options;
  const own = spoil === undefined ? undefined : loose.namespace.inode(spoil.ino)?.own;
  if (own !== undefined) {
    const opened = loose.data.openOwn(own);
    if ('write' in opened) opened.write(new TextEncoder().encode('????????'), 0);
  }
  loose.kill();
  loose.bootId = `${loose.bootId}+`;
  loose.open();
}

function flushes({ loose }: Fixture): string[] {
  return loose.backing.history.filter((entry) => /^flush /.test(entry));
}

describe('fsync by copy', () => {
  test('the first one of small files packs them together: one segment, one flush, one barrier', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const files = Array.from({ length: 16 }, (_, i) => written(fixture, `file${i}`, `contents ${i}`));
    const before = loose.filesystem.status();
    loose.backing.clear();
    const answers = files.map(({ ino }) => user.fsync(ino));
    loose.tick();
    expect(answers.map(({ outcome }) => outcome())).toEqual(Array(16).fill(undefined));
    expect(flushes(fixture)).toEqual(['flush aggregates/0/1']);
    expect(loose.backing.history.filter((entry) => entry.startsWith('write'))).toHaveLength(1);
    const after = loose.filesystem.status();
    expect([after.barriers - before.barriers, after.copies - before.copies]).toEqual([1, 16]);
    for (const file of files) expect(flagsOf(fixture, file)).toBe(FLAG_COPY);
    expect(user.text('file3')).toBe('contents 3');
    for (const file of files) user.close(file);
    expect(loose.damageNow()).toEqual([]);
  });

  test('nothing written since: closing the file takes the copy, and writes nothing', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'contents');
    fsync(fixture, file);
    loose.backing.clear();
    user.close(file);
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'contents']);
    expect(loose.backing.history).toEqual([]);
    loose.barrier();
    expect(loose.backing.history).toContain('unlink own/1/1');
    expect(loose.damageNow()).toEqual([]);
  });

  test('written since, with the same size and times: the file is what was written last', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'as it was');
    const mtime = { sec: 1_000_000_000, nsec: 0 };
    user.filesystem.setAttributes(user.caller, file.ino, { mtime });
    fsync(fixture, file);
    user.write(file, 'AS IT IS ');
    user.filesystem.setAttributes(user.caller, file.ino, { mtime });
    user.close(file);
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'AS IT IS ']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('after power loss the copy is the file, whatever became of its own file', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'contents');
    fsync(fixture, file);
    user.write(file, 'CONTENTS');
    losePower(fixture, { spoil: file });
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'contents']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a second fsync flushes the own file, and from then on that is what holds', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'as it was');
    fsync(fixture, file);
    user.write(file, 'AS IT IS ');
    loose.backing.clear();
    fsync(fixture, file);
    expect(flushes(fixture)).toEqual(['flush own/1/1']);
    expect(flagsOf(fixture, file)).toBe(FLAG_FLUSHED);
    losePower(fixture);
    expect(user.text('file')).toBe('AS IT IS ');
    expect(loose.damageNow()).toEqual([]);
  });

  test('a file that changed while a worker copied it is flushed instead', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'as it was');
    const answer = user.fsync(file.ino);
    loose.look();
    expect(loose.jobs).toMatchObject([{ kind: 'pack', isUrgent: true }]);
    user.write(file, 'AS IT IS ');
    loose.tick();
    expect(answer.outcome()).toBeUndefined();
    expect(flagsOf(fixture, file)).toBe(FLAG_FLUSHED);
    user.close(file);
    loose.pack();
    expect(user.text('file')).toBe('AS IT IS ');
    expect(loose.damageNow()).toEqual([]);
  });

  test('removed, emptied or renamed while a worker copies it: answered, and no byte is lost', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const files = ['removed', 'emptied', 'renamed'].map((name) => written(fixture, name, name));
    const answers = files.map(({ ino }) => user.fsync(ino));
    loose.look();
    user.unlink('removed');
    user.truncate('emptied', 0);
    user.rename('renamed', 'other');
    loose.tick();
    expect(answers.map(({ outcome }) => outcome())).toEqual([undefined, undefined, undefined]);
    for (const file of files) user.close(file);
    user.forget(files[0]?.ino ?? (0 as OpenFile['ino']));
    expect([user.list(''), user.text('emptied'), user.text('other')]).toEqual([['emptied', 'other'], '', 'renamed']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a segment that cannot be written: the own files are flushed', () => {
    const fixture = start();
    const { loose } = fixture;
    const file = written(fixture, 'file', 'contents');
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: 'aggregates' });
    fsync(fixture, file);
    loose.backing.disarm();
    expect([flagsOf(fixture, file), loose.filesystem.status().broken]).toEqual([FLAG_FLUSHED, undefined]);
  });

  test('a segment that cannot be flushed: nobody is told that it is durable', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'contents');
    loose.backing.arm({ kind: 'flush', error: E.EIO, path: 'aggregates', times: 1 });
    loose.backing.clear();
    const answer = user.fsync(file.ino);
    loose.tick();
    expect([answer.outcome(), loose.filesystem.status().broken]).toEqual([E.EIO, expect.any(String)]);
    expect(flushes(fixture)).toEqual(['flush aggregates/0/1']);
  });

  const others: [string, (fixture: Fixture) => OpenFile, object][] = [
    ['opened with O_RDWR', ({ user }) => user.create('file', O_RDWR), {}],
    ['opened with O_DSYNC', ({ user }) => user.create('file', O_WRONLY | O_DSYNC), {}],
    [
      'opened with O_RDWR a second time',
      ({ user }) => {
        const file = user.create('file', O_WRONLY);
        user.close(user.open('file', O_RDWR));
        return file;
      },
      {},
    ],
    ['too large to be packed', ({ user }) => user.create('file', O_WRONLY), { packBelow: 4 }],
    ['where the store wants flushes', ({ user }) => user.create('file', O_WRONLY), { fsyncMode: 'flush' }],
  ];
  for (const [what, make, filesystem] of others)
    test(`is none for a file ${what}`, () => {
      const fixture = start({ filesystem });
      const { loose, user } = fixture;
      const file = make(fixture);
      user.write(file, 'contents');
      loose.backing.clear();
      fsync(fixture, file);
      // With O_DSYNC the write has flushed it already.
      expect(flagsOf(fixture, file)).toBe(FLAG_FLUSHED);
    });

  test('an open that could change the file unseen has the copy dropped before its reply', () => {
    for (const flags of [O_RDWR, O_WRONLY | O_DSYNC]) {
      const fixture = start();
      const { loose, user } = fixture;
      const file = written(fixture, 'file', 'contents');
      fsync(fixture, file);
      loose.backing.clear();
      const answer = user.filesystem.open(user.caller, file.ino, flags);
      let isOpen = false;
      if (answer instanceof Deferred) answer.whenSettled(() => (isOpen = true));
      expect([answer instanceof Deferred, isOpen]).toEqual([true, false]);
      loose.tick();
      expect([isOpen, flagsOf(fixture, file)]).toEqual([true, FLAG_FLUSHED]);
      expect(flushes(fixture)).toEqual(['flush own/1/1']);
    }
  });

  test('an open whose flush finds the disk full is refused, and nothing else happens', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = written(fixture, 'file', 'contents');
    fsync(fixture, file);
    user.close(file);
    const again = user.open('file', O_WRONLY);
    user.write(again, 'changed');
    user.close(again);
    loose.backing.arm({ kind: 'flush', error: E.ENOSPC, path: '/own/', times: 1 });
    const answer = user.filesystem.open(user.caller, file.ino, O_RDWR);
    let outcome: unknown = 'waiting';
    if (answer instanceof Deferred) answer.whenSettled((result) => (outcome = result));
    loose.tick();
    expect([outcome, loose.filesystem.status().broken]).toEqual([E.ENOSPC, undefined]);
  });

  test('the way that takes less time is taken, and the other is tried now and then', () => {
    const modes = new FsyncModes('auto');
    const volume = 1 as Parameters<FsyncModes['choose']>[0];
    const choose = (times: number) => Array.from({ length: times }, () => modes.choose(volume));
    expect(choose(127)).toEqual(Array(127).fill('copy'));
    expect(choose(1)).toEqual(['flush']);
    modes.note(volume, 'copy', { files: 10, ms: 100 });
    modes.note(volume, 'flush', { files: 10, ms: 50 });
    expect(choose(127)).toEqual(Array(127).fill('flush'));
    expect(choose(1)).toEqual(['copy']);
    for (let i = 0; i < 50; i++) modes.note(volume, 'copy', { files: 10, ms: 10 });
    expect(modes.choose(volume)).toBe('copy');
  });
});

describe('O_SYNC and O_DSYNC', () => {
  test('an open is answered behind a barrier that covers the name', () => {
    const { loose, user } = start();
    const place = user.place('file');
    const made = user.filesystem.create(
      user.caller,
      { ...place, flags: O_WRONLY | O_DSYNC },
      { mode: 0o644, umask: 0 },
    );
    expect(made).toBeInstanceOf(Deferred);
    let lsn = 0;
    if (made instanceof Deferred) made.whenSettled(() => (lsn = loose.namespace.durableLsn));
    const needed = loose.namespace.lsn;
    expect(lsn).toBe(0);
    loose.tick();
    expect(lsn).toBeGreaterThanOrEqual(needed);
  });

  test('a write is answered when its bytes are durable, and survives power loss', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.create('file', O_WRONLY | O_DSYNC);
    loose.backing.clear();
    const request = { ...file, offset: 0, killPrivileges: false, fromCache: false };
    const answer = user.filesystem.write(request, new TextEncoder().encode('contents'));
    expect(answer).toBeInstanceOf(Deferred);
    let count: unknown;
    if (answer instanceof Deferred) answer.whenSettled((result) => (count = result));
    expect([count, flushes(fixture)]).toEqual([undefined, []]);
    loose.tick();
    expect([count, flushes(fixture)]).toEqual([8, ['flush own/1/1']]);
    losePower(fixture);
    expect(user.text('file')).toBe('contents');
  });

  test('reading with O_SYNC makes nothing durable', () => {
    const { loose, user } = start();
    user.put('file', 'contents');
    loose.backing.clear();
    user.open('file', O_RDONLY | O_DSYNC);
    expect(loose.backing.history).toEqual([]);
  });
});

describe('a barrier under way', () => {
  /** One whose flush a worker has and has not done. */
  function underWay(): Fixture {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('early', 'early');
    loose.clock.advance(1_000);
    loose.look();
    expect(loose.jobs.some(({ kind }) => kind === 'flush')).toBe(true);
    return fixture;
  }

  test('covers what was recorded when it began; who comes later waits for the next', () => {
    const { loose, user } = underWay();
    const covered = loose.namespace.lsn;
    const late = user.mkdir('late');
    const answer = user.fsync(late);
    for (let round = 0; round < 3 && loose.namespace.durableLsn < covered; round++) loose.work();
    expect([loose.namespace.durableLsn, answer.outcome()]).toEqual([covered, 'waiting']);
    loose.tick();
    expect(answer.outcome()).toBeUndefined();
    expect(loose.namespace.durableLsn).toBeGreaterThan(covered);
  });

  test('lets nothing go that was dropped since it began', () => {
    const fixture = start({ filesystem: { packBelow: 4 } });
    const { loose, user } = fixture;
    for (const name of ['early', 'late']) user.put(name, 'an own file for good');
    loose.sync();
    user.remove('early');
    user.put('other', 'makes the folder of own files change');
    loose.clock.advance(1_000);
    loose.look();
    user.remove('late');
    loose.backing.clear();
    const covered = loose.namespace.durableLsn;
    for (let round = 0; round < 3 && loose.namespace.durableLsn === covered; round++) loose.work();
    // Behind the barrier it goes to a worker, that nobody waits for a large one.
    expect([loose.backing.history.filter((entry) => entry.startsWith('unlink')), loose.jobs.at(-1)?.kind]).toEqual([
      [],
      'unlink',
    ]);
    loose.work();
    expect(loose.backing.history.filter((entry) => entry.startsWith('unlink'))).toEqual(['unlink own/1/1']);
    loose.barrier();
    expect(loose.backing.history.filter((entry) => entry.startsWith('unlink'))).toHaveLength(2);
    expect(loose.damageNow()).toEqual([]);
  });

  test('outlives the loss of another folder of the journal, also when it is overtaken', () => {
    for (const isOvertaken of [false, true]) {
      const other = mkdtempSync(join(tmpdir(), 'pacsfs-journal-'));
      onTestFinished(() => rmSync(other, { recursive: true, force: true }));
      const { loose, user } = start({ namespace: { journal: { folders: [other] } } });
      user.mkdir('d');
      const answer = user.fsync(user.stat('d').ino);
      loose.look();
      expect(loose.jobs.map(({ kind }) => kind)).toContain('flush');
      loose.backing.arm({ kind: 'flush', error: E.EIO, path: other });
      if (isOvertaken) expect(loose.filesystem.shutDown()).toBeUndefined();
      else loose.tick();
      expect([answer.outcome(), loose.filesystem.status().broken]).toEqual([undefined, undefined]);
      if (isOvertaken) continue;
      expect(loose.namespace.journalFolders()[0]?.dropped).toBe('EIO');
      expect(loose.namespace.durableLsn).toBe(loose.namespace.lsn);
    }
  });

  test('ends before one that cannot wait, which believes the worker and no flush of its own', () => {
    for (const fails of [false, true]) {
      const fixture = start({ filesystem: { packBelow: 4 } });
      const { loose, user } = fixture;
      user.put('removed', 'an own file for good');
      loose.sync();
      user.remove('removed');
      const early = user.create('early');
      user.write(early, 'flushed, and so is its name');
      user.fsync(early.ino);
      loose.look();
      loose.work();
      loose.look();
      expect(loose.jobs.every(({ kind }) => kind === 'flush')).toBe(true);
      const answer = user.fsync(user.mkdir('directory'));
      // An operation that finds the disk full has the barrier made that removes what was deleted.
      loose.backing.arm({ kind: 'create', error: E.ENOSPC, path: '/own/', times: 1 });
      loose.backing.clear();
      // The host tells of a failure once: whoever flushed again would be told that all is well.
      if (fails) loose.backing.arm({ kind: 'flushFolder', error: E.EIO, times: 1 });
      loose.workUnheard();
      expect(loose.backing.history).toContain('flushFolder own/1');
      const { history } = loose.backing;
      const flushed = history.filter((entry) => entry === 'flushFolder own/1').length;
      const made = user.tryCreate('new');
      expect(history.filter((entry) => entry === 'flushFolder own/1')).toHaveLength(flushed);
      expect(history.includes('unlink own/1/1')).toBe(!fails);
      expect(loose.filesystem.status().broken !== undefined).toBe(fails);
      expect([isErrno(made), answer.outcome()]).toEqual(fails ? [true, E.EIO] : [false, undefined]);
    }
  });

  test('room that is wanted at once is not left to a worker', () => {
    const fixture = start({ filesystem: { packBelow: 4 } });
    const { loose, user } = fixture;
    user.put('removed', 'an own file for good');
    loose.sync();
    user.remove('removed');
    loose.clock.advance(1_000);
    for (let round = 0; round < 3 && !loose.jobs.some(({ kind }) => kind === 'unlink'); round++) {
      loose.look();
      if (!loose.jobs.some(({ kind }) => kind === 'unlink')) loose.work();
    }
    expect(loose.jobs.map(({ kind }) => kind)).toEqual(['unlink']);
    loose.backing.arm({ kind: 'create', error: E.ENOSPC, path: '/own/', times: 1 });
    user.create('new');
    expect([loose.backing.history.includes('unlink own/1/1'), loose.jobs]).toEqual([true, []]);
  });
});

describe('a flush that ends late', () => {
  /** A dedicated file whose flush, by `pacsfs sync`, is with a worker. */
  function beingFlushed(fixture: Fixture): OpenFile {
    const file = written(fixture, 'file', pattern(20 * KIB));
    fixture.loose.filesystem.sync();
    fixture.loose.look();
    expect(fixture.loose.jobs.map(({ kind }) => kind)).toEqual(['flush']);
    return file;
  }

  function fsyncFlushes(fixture: Fixture, file: OpenFile): string[] {
    fixture.loose.backing.clear();
    fsync(fixture, file);
    return flushes(fixture);
  }

  test('proves nothing of what was written before the file was closed', () => {
    const fixture = start({ filesystem: { packBelow: 4 * KIB } });
    const { loose, user } = fixture;
    const file = beingFlushed(fixture);
    user.write(file, pattern(20 * KIB, 2), 20 * KIB);
    user.close(file);
    loose.work();
    loose.tick();
    expect(fsyncFlushes(fixture, user.open('file', O_RDONLY))).toEqual(['flush own/1/1']);
  });

  test('nor of what was written since by another who opened it', () => {
    const fixture = start({ filesystem: { packBelow: 4 * KIB } });
    const { loose, user } = fixture;
    const file = beingFlushed(fixture);
    user.write(file, pattern(20 * KIB, 2), 20 * KIB);
    user.close(file);
    const again = user.open('file', O_WRONLY);
    user.write(again, 'as many changes as there were before');
    loose.work();
    loose.tick();
    expect(fsyncFlushes(fixture, again)).toEqual(['flush own/1/1']);
  });
});
