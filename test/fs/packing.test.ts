import { describe, expect, test } from 'vitest';
import type { PackFile } from '../../aggregate/pack.ts';
import { E } from '../../base/errno.ts';
import { KIB, MIB } from '../../base/units.ts';
import { RENAME_EXCHANGE } from '../../fs/types.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../support/loose_user.ts';
import { pattern, same, start } from './fixture.ts';

/** The files of each posted job, by name. */
function postedNames(loose: LooseFilesystem): string[][] {
  return loose.jobs.map((job) =>
    job.kind === 'pack' ? job.job.files.map((file: PackFile) => new TextDecoder().decode(file.name)) : [],
  );
}

/** Names by which jobs since the last call describe files besides those that they pack. */
function mentionedNames(loose: LooseFilesystem): string[] {
  loose.clock.advance(2_000);
  loose.tick();
  const names = loose.jobs.flatMap((job) => (job.kind === 'pack' ? job.job.mentions.map(({ name }) => name) : []));
  loose.work();
  return names.map((name) => new TextDecoder().decode(name)).sort();
}

describe('what indexes are told of a renamed file', () => {
  test('that was packed before: its new name, with the next segment', () => {
    const { loose, user } = start();
    for (const name of ['a', 'b', 'c', 'd', 'e']) user.put(name, name);
    loose.pack();
    user.rename('a', 'a2');
    user.rename('b', 'c');
    user.rename('d', 'e', RENAME_EXCHANGE);
    user.put('next', 'next');
    expect(mentionedNames(loose)).toEqual(['a2', 'c', 'd', 'e']);
    user.put('other', 'other');
    expect(mentionedNames(loose)).toEqual([]);
  });

  test('that waits: nothing besides, the segment has its new name', () => {
    const { loose, user } = start();
    user.put('a', 'a');
    user.rename('a', 'a2');
    loose.clock.advance(2_000);
    loose.tick();
    expect(postedNames(loose)).toEqual([['a2']]);
    expect(mentionedNames(loose)).toEqual([]);
    user.put('next', 'next');
    expect(mentionedNames(loose)).toEqual([]);
  });

  test('that a worker has at the time: its new name, once it is packed', () => {
    const { loose, user } = start();
    user.put('a', 'a');
    loose.clock.advance(2_000);
    loose.tick();
    expect(postedNames(loose)).toEqual([['a']]);
    user.rename('a', 'a2');
    // Another job while that one is not done: the file is not yet what it will be.
    user.put('next', 'next');
    expect(mentionedNames(loose)).toEqual([]);
    user.put('another', 'another');
    expect(mentionedNames(loose)).toEqual(['a2']);
  });

  test('that replaces one and is packed for that: its new name', () => {
    const { loose, user } = start();
    user.put('a', 'a');
    user.put('b', 'b');
    user.rename('a', 'b');
    user.put('next', 'next');
    expect(mentionedNames(loose)).toEqual(['b']);
  });
});

describe('when files are packed', () => {
  test('a directory with a whole segment is packed at once, in name order, however it was written', () => {
    const { loose, user } = start();
    user.mkdir('series');
    for (const name of ['d', 'b', 'e', 'a', 'c']) user.put(`series/${name}`, pattern(900 * KIB));
    loose.tick();
    expect(postedNames(loose)).toEqual([['a', 'b', 'c', 'd']]);
    loose.work();
    expect(['a', 'b', 'c', 'd', 'e'].map((name) => user.layout(`series/${name}`))).toEqual([
      ...Array(4).fill('packed'),
      'own',
    ]);
  });

  test('a directory with little waits for its time, and shares a segment with others', () => {
    const { loose, user } = start();
    user.mkdir('x');
    user.mkdir('y');
    user.put('x/2', 'two');
    user.put('y/1', 'one');
    user.put('x/1', 'three');
    expect(loose.tick()).toBeGreaterThan(900);
    expect(loose.jobs).toEqual([]);
    loose.clock.advance(999);
    loose.tick();
    expect(loose.jobs).toEqual([]);
    loose.clock.advance(1);
    loose.tick();
    expect(postedNames(loose)).toEqual([['1', '2', '1']]);
    loose.work();
    expect([user.text('x/1'), user.text('x/2'), user.text('y/1')]).toEqual(['three', 'two', 'one']);
  });

  test('beyond the landing limit files are packed at once, and creates wait', () => {
    const { loose, user } = start({ filesystem: { landingFiles: 3 } });
    for (const name of ['a', 'b', 'c']) user.put(name, name);
    loose.tick();
    expect([loose.filesystem.isFull, loose.jobs.length]).toEqual([false, 0]);
    user.put('d', 'd');
    expect(loose.filesystem.isFull).toBe(true);
    loose.tick();
    expect(loose.filesystem.isFull).toBe(false);
    expect(postedNames(loose)).toEqual([['a', 'b', 'c', 'd']]);
  });

  test('empty files, large ones and those of other types are never handed to a worker', () => {
    const { loose, user } = start({ filesystem: { packBelow: 64 * KIB } });
    user.put('empty', '');
    user.put('large', pattern(64 * KIB + 1));
    user.put('small', pattern(64 * KIB));
    user.mkdir('directory');
    loose.clock.advance(5_000);
    loose.tick();
    expect(postedNames(loose)).toEqual([['small']]);
    loose.work();
    expect(['empty', 'large', 'small'].map((name) => user.layout(name))).toEqual(['packed', 'own', 'packed']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('packBelow 0 packs nothing', () => {
    const { loose, user } = start({ filesystem: { packBelow: 0 } });
    user.put('a', 'a');
    loose.pack();
    expect(user.layout('a')).toBe('own');
    expect(loose.damageNow()).toEqual([]);
  });

  test('no more jobs than lanes are out; the rest follows when one is done', () => {
    const { loose, user } = start();
    for (const name of ['a', 'b', 'c']) {
      user.mkdir(name);
      for (let i = 0; i < 5; i++) user.put(`${name}/${i}`, pattern(900 * KIB, i));
    }
    loose.tick();
    loose.tick();
    expect(loose.jobs.length).toBe(2);
    loose.pack();
    for (const name of ['a', 'b', 'c'])
      for (let i = 0; i < 5; i++) expect(same(user.read(`${name}/${i}`), pattern(900 * KIB, i))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('files of two volumes go into jobs of their own volume', () => {
    const { loose, user } = start({ volumes: 2 });
    user.put('hot1', 'hot one');
    loose.backing.arm({ kind: 'space', error: E.EIO, path: 'volumes/hot' });
    loose.clock.advance(500);
    user.put('warm1', 'warm one');
    loose.backing.disarm();
    loose.clock.advance(500);
    user.put('hot2', 'hot two');
    loose.clock.advance(2_000);
    loose.tick();
    expect(loose.jobs.map((job) => (job.kind === 'pack' ? job.job.volume.name : ''))).toEqual(['hot', 'warm2']);
    expect(postedNames(loose)).toEqual([['hot1', 'hot2'], ['warm1']]);
    loose.work();
    expect([user.text('hot1'), user.text('warm1'), user.text('hot2')]).toEqual(['hot one', 'warm one', 'hot two']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a sync does not wait for files that came after it', () => {
    const { loose, user } = start();
    user.put('before', 'before');
    let isDone = false;
    loose.filesystem.sync().whenSettled(() => {
      isDone = true;
    });
    for (let round = 0; round < 5 && !isDone; round++) {
      loose.clock.advance(1);
      user.put(`after${round}`, 'after');
      loose.tick();
      loose.work();
    }
    expect(isDone).toBe(true);
    expect(user.layout('before')).toBe('packed');
  });
});

describe('what happens to a file while a worker packs it', () => {
  /** A file handed to a worker that has not begun. */
  function packing(options = {}) {
    const fixture = start(options);
    fixture.user.put('file', 'as it was');
    fixture.loose.clock.advance(2_000);
    fixture.loose.tick();
    expect(fixture.loose.jobs.length).toBe(1);
    return fixture;
  }

  test('opened for writing and closed unchanged: packed again, its first bytes dead', () => {
    const { loose, user } = packing();
    user.close(user.open('file', O_RDWR));
    loose.work();
    expect(user.layout('file')).toBe('own');
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'as it was']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('written: keeps what was written', () => {
    const { loose, user } = packing();
    const file = user.open('file', O_WRONLY);
    user.write(file, 'AS', 0);
    loose.work();
    expect(user.text('file')).toBe('AS it was');
    user.close(file);
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'AS it was']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('written before the worker reads and closed again: the worker packs the new bytes in vain', () => {
    const { loose, user } = packing();
    const file = user.open('file', O_WRONLY);
    user.write(file, 'AS', 0);
    user.close(file);
    loose.work();
    expect(user.layout('file')).toBe('own');
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'AS it was']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('open for reading: packed all the same, and the reader goes on', () => {
    const { loose, user } = packing();
    const reader = user.open('file', O_RDONLY);
    loose.work();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'as it was']);
    user.close(reader);
    expect(loose.filesystem.status().openFiles).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('truncated by path, shorter and longer, then to its old size: packs what it is', () => {
    const cases: [number[], string][] = [
      [[4], 'as i'],
      [[4, 9], 'as i.....'],
      [[12], 'as it was...'],
    ];
    for (const [sizes, expected] of cases) {
      const { loose, user } = packing();
      for (const size of sizes) user.truncate('file', size);
      loose.work();
      expect(user.layout('file')).toBe('own');
      loose.pack();
      expect([user.layout('file'), user.text('file').replaceAll('\0', '.')]).toEqual(['packed', expected]);
      expect(loose.filesystem.status().openFiles).toBe(0);
      expect(loose.damageNow()).toEqual([]);
    }
  });

  test('truncated by path while its segment has no room for it: the newer size is packed', () => {
    const { loose, user } = start();
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']) user.put(name, pattern(900 * KIB));
    loose.tick();
    user.truncate('d', 100 * KIB);
    loose.pack();
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']) expect(user.layout(name)).toBe('packed');
    expect(same(user.read('d'), pattern(900 * KIB).subarray(0, 100 * KIB))).toBe(true);
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
    expect(loose.damageNow()).toEqual([]);
  });

  test('unlinked: its bytes are dead at birth', () => {
    const { loose, user } = packing();
    user.remove('file');
    loose.work();
    loose.barrier();
    expect(user.exists('file')).toBe(false);
    expect(loose.damageNow()).toEqual([]);
  });

  test('renamed and linked: packed under its new names', () => {
    const { loose, user } = packing();
    user.rename('file', 'other');
    user.link('other', 'third');
    loose.work();
    expect([user.layout('other'), user.text('third'), user.stat('third').nlink]).toEqual(['packed', 'as it was', 2]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('replaced by rename: the other file is there, its own bytes are dead', () => {
    const { loose, user } = packing();
    user.put('new', 'the new one');
    const { ino } = user.stat('file');
    user.rename('new', 'file');
    user.forget(ino);
    loose.work();
    expect(user.text('file')).toBe('the new one');
    expect(loose.damageNow()).toEqual([]);
  });

  test('opened with O_TRUNC: empty, then what is written', () => {
    const { loose, user } = packing();
    const file = user.open('file', O_WRONLY | O_TRUNC);
    loose.work();
    expect(user.stat('file').size).toBe(0);
    user.write(file, 'new');
    user.close(file);
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'new']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('changed mode, owner, times and xattrs: all kept', () => {
    const { loose, user } = packing();
    const { ino } = user.stat('file');
    const mtime = { sec: 1_000_000_000, nsec: 123_456_789 };
    user.filesystem.setAttributes(user.caller, ino, { mode: 0o600, uid: 5, gid: 6, mtime });
    user.setXattr('file', 'user.note', 'value');
    loose.work();
    expect(user.layout('file')).toBe('packed');
    expect(user.stat('file')).toMatchObject({ mode: 0o100600, uid: 5, gid: 6, mtime });
    expect(user.getXattr('file', 'user.note')).toBe('value');
    expect(loose.damageNow()).toEqual([]);
  });

  test('synced by fsync: flushed, then packed', () => {
    const { loose, user } = packing();
    const { ino } = user.stat('file');
    const answer = user.fsync(ino);
    loose.tick();
    expect(answer.outcome()).toBeUndefined();
    loose.work();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'as it was']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a stop waits for the worker even when no file of its job is wanted any more', () => {
    const { loose, user } = packing();
    user.remove('file');
    loose.stop();
    expect(loose.jobs).toEqual([]);
    expect(loose.damage()).toEqual([]);
    loose.open();
  });
});

describe('what cannot be packed', () => {
  test('stays an own file that is read, written and packed at the next mount', () => {
    const { loose, user } = start();
    user.put('file', 'contents');
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: 'aggregates' });
    loose.pack();
    loose.backing.disarm();
    expect([user.layout('file'), user.text('file')]).toEqual(['own', 'contents']);
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0, broken: undefined });
    expect(loose.damageNow()).toEqual([]);
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'contents']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a file that no aggregate takes', () => {
    const { loose, user } = start({ filesystem: { packBelow: 20 * MIB } });
    user.put('large', pattern(12 * MIB));
    loose.pack();
    expect(user.layout('large')).toBe('own');
    expect(same(user.read('large'), pattern(12 * MIB))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a file with holes is packed without them', () => {
    const { loose, user } = start();
    const file = user.create('sparse');
    user.write(file, 'end', 3 * MIB);
    user.close(file);
    loose.pack();
    expect(user.layout('sparse')).toBe('packed');
    expect(user.stat('sparse').blocks).toBeLessThan(200);
    const read = user.read('sparse');
    expect(
      typeof read !== 'number' && read.length === 3 * MIB + 3 && read.subarray(0, 3 * MIB).every((b) => b === 0),
    ).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });
});
