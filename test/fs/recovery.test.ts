import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { bootId } from '../../base/boot.ts';
import { E } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { compareTimes } from '../../base/time.ts';
import { KIB, MIB, slotOf } from '../../base/units.ts';
import { rowIdOf } from '../../shard/row_id.ts';
import { FLAG_COPY } from '../../shard/rows.ts';
import { value } from '../support/loose_filesystem.ts';
import { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../support/loose_user.ts';
import { RecordingBacking } from '../support/recording_backing.ts';
import { type Fixture, start } from './fixture.ts';

/** Contents of all files in the root directory, by name. */
function tree({ user }: Fixture): Record<string, string> {
  return Object.fromEntries(user.list('').map((name) => [name, user.text(name)]));
}

function ownPath({ loose, user }: Fixture, path: string): string {
  const own = loose.namespace.inode(user.stat(path).ino)?.own;
  if (own === undefined) throw new Error(`${path} has no own file`);
  return join(loose.folder, 'volumes', 'hot', 'own', String(own.start), String(own.number));
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** What is under way at the moment of the kill, and what must be there afterwards. */
const MOMENTS: [string, (fixture: Fixture) => void, Record<string, string>][] = [
  ['a file made and open, nothing in it', ({ user }) => void user.create('f'), { f: '' }],
  ['a file written and open', ({ user }) => user.write(user.create('f'), 'bytes'), { f: 'bytes' }],
  ['a file closed and waiting', ({ user }) => void user.put('f', 'bytes'), { f: 'bytes' }],
  [
    'a file cut while open',
    ({ user }) => {
      user.write(user.create('f'), 'bytes');
      user.truncate('f', 2);
    },
    { f: 'by' },
  ],
  [
    'a file with a worker that has not begun',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.clock.advance(2_000);
      loose.tick();
    },
    { f: 'bytes' },
  ],
  [
    'a file packed, its row not yet durable',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.clock.advance(999);
      loose.filesystem.tick();
      loose.clock.advance(1);
      loose.filesystem.tick();
      loose.work();
    },
    { f: 'bytes' },
  ],
  [
    'a packed file, opened for writing',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.open('f', O_RDWR);
    },
    { f: 'bytes' },
  ],
  [
    'a packed file, copied out and changed',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.write(user.open('f', O_RDWR), 'BY');
    },
    { f: 'BYtes' },
  ],
  [
    'a packed file, copied out, changed and fsynced, then changed again',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      const file = user.open('f', O_RDWR);
      user.write(file, 'BY');
      user.fsync(file.ino);
      loose.tick();
      user.write(file, 'S', 4);
    },
    { f: 'BYteS' },
  ],
  [
    'a packed file, emptied by O_TRUNC and written',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.write(user.open('f', O_WRONLY | O_TRUNC), 'new');
    },
    { f: 'new' },
  ],
  [
    'a packed file, cut by path',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.truncate('f', 3);
    },
    { f: 'byt' },
  ],
  [
    'a file replaced by rename while a handle has it open',
    ({ user }) => {
      user.put('f', 'old');
      user.open('f', O_RDONLY);
      user.put('g', 'new');
      user.rename('g', 'f');
    },
    { f: 'new' },
  ],
  [
    'a copy that shares, and one under way',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.copy('f', 'g');
      user.copyRange(user.open('f'), user.create('h'), { length: 4 });
    },
    { f: 'bytes', g: 'bytes', h: 'byte' },
  ],
  [
    'orphans, open and O_TMPFILE',
    ({ user }) => {
      user.write(user.create('f'), 'bytes');
      user.unlink('f');
      user.write(user.createUnnamed(), 'bytes');
    },
    {},
  ],
  [
    'dedicated files, closed and open',
    ({ user }) => {
      user.put('f', 'x'.repeat(100 * KIB));
      user.write(user.create('g'), 'y'.repeat(100 * KIB));
    },
    { f: 'x'.repeat(100 * KIB), g: 'y'.repeat(100 * KIB) },
  ],
];

describe('a kill', () => {
  for (const [what, act, expected] of MOMENTS) {
    test(`${what}: all is there, behind a barrier or before it`, () => {
      for (const hasBarrier of [true, false]) {
        const fixture = start({ filesystem: { packBelow: 64 * KIB } });
        const { loose } = fixture;
        loose.sync();
        act(fixture);
        if (hasBarrier) loose.namespace.barrier();
        loose.crash();
        expect(tree(fixture)).toEqual(expected);
        const before = tree(fixture);
        loose.pack();
        loose.sync();
        expect(tree(fixture)).toEqual(before);
        expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
        expect(loose.damageNow()).toEqual([]);
        expect(tree(fixture)).toEqual(before);
        const named = Object.values(before).filter((text) => text.length > 64 * KIB).length;
        expect(filesBelow(join(loose.folder, 'volumes', 'hot', 'own')).length).toBe(named);
        expect(filesBelow(join(loose.folder, 'volumes', 'hot', 'lost'))).toEqual([]);
      }
    });
  }

  test('during the recovery from a kill, again and again', () => {
    const fixture = start();
    const { loose, user } = fixture;
    for (let i = 0; i < 5; i++) user.put(`f${i}`, `bytes ${i}`);
    user.write(user.create('open'), 'open');
    loose.namespace.barrier();
    const expected = tree(fixture);
    loose.crash();
    loose.namespace.barrier();
    loose.crash();
    loose.clock.advance(2_000);
    loose.tick();
    loose.work();
    loose.crash();
    expect(tree(fixture)).toEqual(expected);
    loose.pack();
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('an own file that is missing', () => {
  test('and was never flushed: its file is empty, and the log says so', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('f', 'bytes');
    loose.namespace.barrier();
    const path = ownPath(fixture, 'f');
    loose.kill();
    rmSync(path);
    loose.open();
    expect([user.stat('f').size, loose.log.has('was not durable is missing')]).toEqual([0, true]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('and was flushed: the damage stays visible', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.create('f');
    user.write(file, 'bytes');
    user.fsync(file.ino);
    loose.tick();
    const path = ownPath(fixture, 'f');
    loose.kill();
    rmSync(path);
    loose.open();
    expect([user.stat('f').size, user.read('f'), loose.log.has('was flushed is missing')]).toEqual([
      5,
      -E.EIO.number,
      true,
    ]);
    loose.stop();
    expect(loose.damage()).toEqual([expect.stringContaining('missing-own-file')]);
    loose.open();
  });

  test('and has an fsynced copy: the copy takes its place', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('f', 'bytes');
    loose.pack();
    const file = user.open('f', O_RDWR);
    user.write(file, 'changed and longer');
    loose.namespace.barrier();
    const path = ownPath(fixture, 'f');
    loose.kill();
    rmSync(path);
    loose.open();
    expect([user.layout('f'), user.text('f')]).toEqual(['packed', 'bytes']);
    expect((loose.namespace.inode(file.ino)?.flags ?? 0) & FLAG_COPY).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('with its whole volume: nothing is concluded', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('f', 'bytes');
    user.put('g', 'x');
    loose.namespace.barrier();
    loose.kill();
    const identity = join(loose.folder, 'volumes', 'hot', 'pacsfs-volume.json');
    const contents = readFileSync(identity);
    rmSync(identity);
    loose.open();
    expect([user.stat('f').nlink, user.stat('g').nlink]).toEqual([1, 1]);
    loose.namespace.barrier();
    loose.kill();
    writeFileSync(identity, contents);
    loose.open();
    loose.pack();
    expect([user.text('f'), user.text('g')]).toEqual(['bytes', 'x']);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('a dedicated file whose own file has another size than its row', () => {
  function cut(isFlushed: boolean, options: { readonly isNoticed: boolean } = { isNoticed: true }) {
    const fixture = start({ filesystem: { packBelow: 4 } });
    const { loose, user } = fixture;
    const file = user.create('f');
    user.write(file, 'x'.repeat(1_000));
    if (isFlushed) user.fsync(file.ino);
    user.close(file);
    loose.barrier();
    const own = value(loose.backing.open(ownPath(fixture, 'f'), { write: true }));
    own.truncate(100);
    // The time that its row has: nobody changed it, the disk has lost its end.
    if (!options.isNoticed) own.setModified(user.stat('f').mtime);
    own.close();
    loose.crash();
    return fixture;
  }

  test('never flushed: has the size that is left', () => {
    const { loose, user } = cut(false);
    expect(user.text('f')).toBe('x'.repeat(100));
    expect(loose.damageNow()).toEqual([]);
  });

  test('flushed, and changed after the last barrier: has the size that it was given', () => {
    const { loose, user } = cut(true);
    expect(user.text('f')).toBe('x'.repeat(100));
    expect(loose.damageNow()).toEqual([]);
  });

  test('flushed, and not changed since: is damaged', () => {
    const { user } = cut(true, { isNoticed: false });
    expect([user.stat('f').size, user.read('f')]).toEqual([1_000, -E.EIO.number]);
  });
});

describe('times after a kill', () => {
  test('one that was set after the last write is kept', () => {
    const { loose, user } = start();
    const file = user.create('f');
    user.write(file, 'bytes');
    loose.clock.advance(60_000);
    const mtime = { sec: 1_000_000_000, nsec: 1_000 };
    user.filesystem.setAttributes(user.caller, file.ino, { mtime });
    user.filesystem.setAttributes(user.caller, file.ino, { mode: 0o600 });
    user.fsync(file.ino);
    loose.tick();
    loose.crash();
    expect(user.stat('f')).toMatchObject({ mtime, size: 5 });
    loose.pack();
    expect(user.stat('f').mtime).toEqual(mtime);
  });

  test('a write that no record tells of shows in the own file, one before a chmod in the row', () => {
    const { loose, user } = start();
    const file = user.create('f');
    const made = user.stat('f').mtime;
    loose.clock.advance(30_000);
    user.write(file, 'bytes');
    const written = user.stat('f').mtime;
    expect(compareTimes(written, made)).toBe(1);
    loose.clock.advance(30_000);
    user.filesystem.setAttributes(user.caller, file.ino, { mode: 0o600 });
    loose.namespace.barrier();
    loose.crash();
    expect(user.stat('f').mtime).toEqual(written);
  });
});

describe('a read-only mount', () => {
  test('changes nothing on disk, whatever state it finds, and serves everything', () => {
    const fixture = start({ filesystem: { packBelow: 64 * KIB } });
    const { loose, user } = fixture;
    user.put('packed', 'packed');
    loose.pack();
    user.write(user.open('packed', O_RDWR), 'PACK');
    user.write(user.create('open'), 'open');
    user.create('empty');
    user.put('dedicated', 'd'.repeat(100 * KIB));
    user.put('waiting', 'waiting');
    user.write(user.create('orphan'), 'orphan');
    user.unlink('orphan');
    loose.namespace.barrier();
    const expected = tree(fixture);
    loose.kill();
    const before = hashes(loose.folder);
    loose.open({ readOnly: true });
    expect(tree(fixture)).toEqual(expected);
    for (const name of Object.keys(expected)) {
      const file = user.open(name);
      user.close(file);
      user.forget(file.ino);
      expect(user.fsync(file.ino).outcome()).toBeUndefined();
    }
    loose.clock.advance(100_000);
    loose.tick();
    expect([user.tryCreate('new'), user.unlink('open'), user.tryOpen('open', O_RDWR)]).toEqual([
      E.EROFS,
      E.EROFS,
      E.EROFS,
    ]);
    loose.stop();
    expect(hashes(loose.folder)).toEqual(before);
    loose.open();
    loose.pack();
    expect(tree(fixture)).toEqual(expected);
    expect(loose.damageNow()).toEqual([]);
  });
});

/** SHA-256 of every file but those that SQLite keeps for its readers, sizes of those of 0 bytes. */
function hashes(folder: string): Record<string, string> {
  const files = filesBelow(folder).filter(
    (path) => !path.endsWith('-shm') && !(path.endsWith('-wal') && statSync(path).size === 0),
  );
  return Object.fromEntries(
    files.map((path) => [path.slice(folder.length), createHash('sha256').update(readFileSync(path)).digest('hex')]),
  );
}

test('own files and aggregates that no row names go, those of others stay', () => {
  const fixture = start({ filesystem: { packBelow: MIB } });
  const { loose, user } = fixture;
  user.put('kept', 'k'.repeat(2 * MIB));
  loose.sync();
  user.put('lost', 'bytes');
  user.put('packed', 'bytes');
  loose.clock.advance(500);
  loose.bootId = 'boot-2';
  loose.crash();
  expect(user.list('')).toEqual(['kept']);
  // What has dropped their names is not durable before the barrier.
  expect(filesBelow(join(loose.folder, 'volumes', 'hot', 'own'))).toHaveLength(3);
  loose.barrier();
  expect(filesBelow(join(loose.folder, 'volumes', 'hot', 'own'))).toHaveLength(1);
  expect(loose.damageNow()).toEqual([]);
});

test("where a row cannot be read, what looks like nobody's own file is set aside, not removed", () => {
  const { loose, user } = start();
  const damaged = user.put('damaged', 'bytes of the damaged one');
  user.put('whole', 'bytes');
  loose.namespace.barrier();
  const shard = loose.namespace.shardOf(slotOf(damaged));
  loose.kill();
  const database = new Database(join(loose.metaFolder, 'shards', `00${shard}.db`));
  database.prepare('UPDATE inodes SET row = zeroblob(length(row)) WHERE id = ?').run(rowIdOf(damaged));
  database.close();
  loose.open();
  expect(user.lookup('damaged')).toBe(E.EIO);
  const lost = filesBelow(join(loose.folder, 'volumes', 'hot', 'lost'));
  expect(lost.map((path) => readFileSync(path, 'utf8'))).toEqual(['bytes of the damaged one']);
  loose.pack();
  expect(user.text('whole')).toBe('bytes');
});

test('a repair makes no record durable before the bytes that it names', () => {
  const disk = new RecordingBacking(new PosixBacking());
  const { loose, user } = start({ disk, bootId: bootId() });
  const file = user.put('f', 'bytes');
  loose.clock.advance(2_000);
  loose.look();
  expect(loose.jobs.map(({ kind }) => kind)).toContain('pack');
  loose.work();
  const inode = loose.namespace.inode(file);
  expect([inode?.layout, loose.namespace.lsn > loose.namespace.durableLsn]).toEqual(['packed', true]);
  const record = loose.namespace.begin();
  if (inode !== undefined) record.putInode({ ...inode, nlink: 7 });
  loose.namespace.commit(record);
  loose.kill();
  disk.clear();
  expect(loose.damage({ wasClean: false, repair: true })).toEqual([]);
  expect(disk.history.filter((entry) => entry.startsWith('flush'))).toContain('flush aggregates/0/1');
  loose.open();
  expect([user.stat('f').nlink, user.text('f')]).toEqual([1, 'bytes']);
});

test('folders of earlier starts go once they are empty', () => {
  const { loose, user } = start();
  const starts = () => readdirSync(join(loose.folder, 'volumes', 'hot', 'own')).length;
  user.put('dedicated', new Uint8Array(9 * MIB));
  for (let round = 0; round < 4; round++) {
    user.put(`f${round}`, 'bytes');
    loose.stop();
    loose.open();
  }
  // That of the dedicated file, and that of the last start but one, which is empty by now.
  expect(starts()).toBeLessThanOrEqual(2);
  expect(user.text('f3')).toBe('bytes');
  expect(loose.damageNow()).toEqual([]);
});
