import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { KIB, MIB } from '../../base/units.ts';
import { Deferred } from '../../fs/types.ts';
import { O_RDWR, O_TRUNC, O_WRONLY, type OpenFile } from '../support/loose_user.ts';
import { type Fixture, pattern, start } from './fixture.ts';

describe('a file into which much is written', () => {
  const CHUNK = pattern(MIB);

  /** Writes so many MiB as the kernel would, and tells how many answers have come. */
  function stream({ user }: Fixture, file: OpenFile, mib: number): () => number {
    let answered = 0;
    for (let i = 0; i < mib; i++) {
      const request = { ...file, offset: i * MIB, killPrivileges: false, fromCache: false };
      const answer = user.filesystem.write(request, CHUNK);
      if (answer instanceof Deferred) answer.whenSettled((result) => (answered += typeof result === 'number' ? 1 : 0));
      else answered += answer > 0 ? 1 : 0;
    }
    return () => answered;
  }

  const written = ({ loose }: Fixture) => loose.backing.history.filter((entry) => entry.startsWith('writeBack'));

  test('stays with the host up to the limit, then goes to the disk piece by piece, and its writer waits for that', () => {
    const fixture = start({ filesystem: { dirtyLimit: 8 * MIB } });
    const { loose, user } = fixture;
    const file = user.create('file', O_WRONLY);
    const answered = stream(fixture, file, 15);
    expect([answered(), loose.jobs]).toEqual([15, []]);
    const more = stream(fixture, file, 25);
    expect([more(), loose.jobs.map(({ kind }) => kind)]).toEqual([9, ['writeBack']]);
    for (let piece = 0; piece < 3; piece++) loose.work();
    expect(more()).toBe(25);
    expect(written(fixture)[0]).toBe('writeBack own/1/1');
    expect(loose.filesystem.status().heldWrites).toBe(16);
    user.close(file);
    expect(loose.damageNow()).toEqual([]);
  });

  test('is written from its oldest piece on, where it was written to; what is gone or flushed is left out', () => {
    const fixture = start({ filesystem: { dirtyLimit: 32 * MIB, packBelow: 64 * KIB } });
    const { loose, user } = fixture;
    const [gone, flushed, last] = ['gone', 'flushed', 'last'].map((name) => user.create(name, O_WRONLY));
    if (gone === undefined || flushed === undefined || last === undefined) throw new Error('no files');
    stream(fixture, gone, 8);
    stream(fixture, flushed, 16);
    user.close(gone);
    user.remove('gone');
    const answer = user.fsync(flushed.ino);
    loose.tick();
    expect(answer.outcome()).toBe(undefined);
    stream(fixture, last, 40);
    const ranges = loose.jobs.flatMap((job) => (job.kind === 'writeBack' ? [job.range] : []));
    expect(ranges).toEqual([{ offset: 0, length: 8 * MIB }]);
    loose.work();
    expect(written(fixture)).toEqual(['writeBack own/1/3']);
    user.close(last);
  });

  test('that was closed before counts as what it was: its flush is a long one', () => {
    const fixture = start({ filesystem: { dirtyLimit: 1024 * MIB, packBelow: 64 * KIB } });
    const { loose, user } = fixture;
    const large = user.create('large', O_WRONLY);
    stream(fixture, large, 20);
    user.close(large);
    const again = user.open('large', O_WRONLY);
    user.fsync(again.ino);
    loose.look();
    expect(loose.jobs.flatMap((job) => (job.kind === 'flush' ? [job.isLong] : []))).toEqual([true]);
    loose.tick();
  });

  test('a failed write-back breaks the store; a full disk fails the writer and its fsync alone', () => {
    for (const error of [E.EIO, E.ENOSPC]) {
      const fixture = start({ filesystem: { dirtyLimit: 8 * MIB } });
      const { loose, user } = fixture;
      const file = user.create('file', O_WRONLY);
      const answered = stream(fixture, file, 25);
      loose.backing.arm({ kind: 'writeBack', error });
      loose.work();
      loose.backing.disarm();
      expect(answered()).toBe(24);
      expect(loose.filesystem.status().broken !== undefined).toBe(error === E.EIO);
      const answer = user.fsync(file.ino);
      loose.tick();
      expect(answer.outcome()).toBe(error);
    }
  });

  test('one that fails when nobody names the own file any more harms nobody, unless its bytes were packed meanwhile', () => {
    for (const error of [E.EIO, E.ENOSPC])
      for (const became of ['removed', 'emptied', 'packed'] as const) {
        const fixture = start({ filesystem: { dirtyLimit: 1 * MIB, packBelow: 64 * MIB } });
        const { loose, user } = fixture;
        const file = user.create('file', O_WRONLY);
        // Over and over, so that it still fits an aggregate.
        for (let round = 0; round < 8; round++) stream(fixture, file, 1);
        expect(loose.jobs.map(({ kind }) => kind)).toEqual(['writeBack']);
        user.close(file);
        if (became === 'removed') user.remove('file');
        if (became === 'emptied') user.close(user.open('file', O_WRONLY | O_TRUNC));
        if (became === 'packed') {
          loose.clock.advance(2_000);
          for (let round = 0; round < 8 && user.layout('file') !== 'packed'; round++) {
            loose.look();
            loose.work(({ kind }) => kind === 'pack' || kind === 'flush');
          }
          expect(user.layout('file')).toBe('packed');
        }
        loose.backing.arm({ kind: 'writeBack', error });
        loose.work(({ kind }) => kind === 'writeBack');
        loose.backing.disarm();
        const { broken } = loose.filesystem.status();
        expect([error.name, became, broken !== undefined]).toEqual([
          error.name,
          became,
          became === 'packed' && error === E.EIO,
        ]);
        // Another file is none of its business.
        if (broken !== undefined) continue;
        user.put('other', 'contents');
        const answer = user.fsync(user.open('other', O_WRONLY).ino);
        loose.tick();
        expect(answer.outcome()).toBeUndefined();
      }
  });

  test('its flush goes where no small one waits behind it', () => {
    const fixture = start({ filesystem: { dirtyLimit: 1024 * MIB, packBelow: 64 * KIB } });
    const { loose, user } = fixture;
    const [large, small] = [user.create('large', O_WRONLY), user.create('small', O_RDWR)];
    stream(fixture, large, 20);
    user.write(small, 'small');
    user.fsync(large.ino);
    user.fsync(small.ino);
    loose.look();
    const jobs = loose.jobs.flatMap((job) => (job.kind === 'flush' ? [[job.targets.length, job.isLong]] : []));
    expect(jobs).toEqual([
      [1, true],
      [1, false],
    ]);
    loose.tick();
  });
});
