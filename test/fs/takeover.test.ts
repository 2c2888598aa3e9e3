/** A daemon ends at once and another goes on with the live mount: whoever uses it notices nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import { ino, KIB, MIB } from '../../base/units.ts';
import { OpenTable } from '../../fs/open_table.ts';
import { type Attributes, Deferred, FOPEN_KEEP_CACHE } from '../../fs/types.ts';
import { value } from '../support/loose_filesystem.ts';
import { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, type OpenFile } from '../support/loose_user.ts';
import { Random } from '../support/random.ts';
import { type Fixture, start } from './fixture.ts';

/** What stat(2) shows, but for atime (the last accesses are noted in memory only) and blocks (the host allocates late). */
function shown({ user }: Fixture, ino: Attributes['ino']): Omit<Attributes, 'atime' | 'blocks'> {
  const { atime: _, blocks: __, ...rest } = value(user.filesystem.getAttributes(ino)).attributes;
  return rest;
}

/** Everything that can be seen of the root directory's files. */
function all(fixture: Fixture): unknown {
  const { user } = fixture;
  return user.list('').map((name) => [name, shown(fixture, user.stat(name).ino), user.text(name)]);
}

function ownFiles({ loose }: Fixture): string[] {
  const folder = join(loose.folder, 'volumes', 'hot', 'own');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}

/** Time passes, workers work: what a predecessor left is cleared away. */
function settleDown({ loose }: Fixture): void {
  for (let round = 0; round < 50; round++) {
    loose.clock.advance(500);
    loose.tick();
    loose.work();
  }
}

const MOMENTS: [string, (fixture: Fixture) => void][] = [
  ['made and empty', ({ user }) => void user.create('f')],
  ['written', ({ user }) => user.write(user.create('f'), 'bytes')],
  [
    'written, its times set, its mode changed',
    ({ user }) => {
      const file = user.create('f');
      user.write(file, 'bytes');
      const mtime = { sec: 1_000_000_000, nsec: 123_456_789 };
      value(user.filesystem.setAttributes(user.caller, file.ino, { mtime }));
      value(user.filesystem.setAttributes(user.caller, file.ino, { mode: 0o600 }));
      expect(user.stat('f').mtime).toEqual(mtime);
    },
  ],
  [
    'written after its times were set',
    ({ user }) => {
      const file = user.create('f');
      value(user.filesystem.setAttributes(user.caller, file.ino, { mtime: { sec: 9, nsec: 1 } }));
      user.write(file, 'bytes');
    },
  ],
  [
    'packed, then changed',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.write(user.open('f', O_RDWR), 'BY');
    },
  ],
  [
    'packed, then emptied at open',
    ({ loose, user }) => {
      user.put('f', 'bytes');
      loose.pack();
      user.open('f', O_WRONLY | O_TRUNC);
    },
  ],
  [
    'dedicated, then changed by truncate',
    ({ user }) => {
      user.put('f', 'x'.repeat(100 * KIB));
      user.truncate('f', 99 * KIB);
    },
  ],
  [
    'dedicated, opened and written',
    ({ user }) => {
      user.put('f', 'x'.repeat(100 * KIB));
      user.write(user.open('f', O_RDWR), 'y');
    },
  ],
  ['closed and waiting', ({ user }) => void user.put('f', 'bytes')],
  [
    'allocated and punched',
    ({ user }) => {
      const file = user.create('f');
      user.write(file, 'x'.repeat(64 * KIB));
      value(user.filesystem.allocate({ ...file, offset: 0 }, { mode: 3, length: 8 * KIB }));
    },
  ],
];

describe('after a takeover everything shows as it did', () => {
  test.each(MOMENTS)('a file %s', (_, act) => {
    const fixture = start({ filesystem: { packBelow: 64 * KIB } });
    act(fixture);
    fixture.loose.namespace.barrier();
    const before = all(fixture);
    fixture.loose.replace();
    expect(all(fixture)).toEqual(before);
    fixture.loose.replace();
    settleDown(fixture);
    const [[name, , text]] = before as [[string, object, string]];
    expect(fixture.user.text(name)).toBe(text);
    expect(fixture.loose.damageNow()).toEqual([]);
  });

  test('bytes that no record tells of', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.create('f');
    user.write(file, 'bytes');
    loose.namespace.barrier();
    loose.clock.advance(60_000);
    user.write(file, ' and more', 5);
    const before = all(fixture);
    loose.replace();
    expect(all(fixture)).toEqual(before);
    user.write(file, '!', 14);
    user.close(file);
    settleDown(fixture);
    expect([user.layout('f'), user.text('f')]).toEqual(['packed', 'bytes and more!']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a file copied out whose first write failed has the time of the write before', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('f', 'bytes');
    value(user.filesystem.setAttributes(user.caller, user.stat('f').ino, { mtime: { sec: 5, nsec: 7 } }));
    loose.pack();
    const file = user.open('f', O_RDWR);
    // The copy is the first write, the caller's is the second.
    loose.backing.arm({ kind: 'write', error: E.EIO, path: 'own', after: 1, times: 1 });
    expect(user.tryWrite(file, 'BY')).toBe(-E.EIO.number);
    expect([user.layout('f'), user.stat('f').mtime]).toEqual(['own', { sec: 5, nsec: 7 }]);
    loose.namespace.barrier();
    loose.replace();
    expect([user.text('f'), user.stat('f').mtime]).toEqual(['bytes', { sec: 5, nsec: 7 }]);
  });

  test('whatever is done, whenever it happens', () => {
    const seed = 20_261_121;
    const random = new Random(seed);
    const fixture = start({ filesystem: { packBelow: 64 * KIB } });
    const { loose, user } = fixture;
    let open: OpenFile[] = [];
    for (let round = 0; round < 8; round++) {
      for (let i = random.below(12); i >= 0; i--) open = oneChange(fixture, open, random);
      loose.namespace.barrier();
      const before = all(fixture);
      const held = open.map(({ ino }) => [shown(fixture, ino), user.readInode(ino)]);
      loose.replace();
      expect(all(fixture), `seed ${seed}, round ${round}`).toEqual(before);
      const found = open.map(({ ino }) => [shown(fixture, ino), user.readInode(ino)]);
      expect(found, `seed ${seed}, round ${round}`).toEqual(held);
      loose.clock.advance(random.below(1_500));
      loose.tick();
      if (random.below(2) === 0) loose.work();
    }
    for (const file of open) user.close(file);
    for (const orphan of [...loose.namespace.orphans()]) user.forget(orphan);
    const expected = user.list('').map((name) => [name, user.text(name)]);
    settleDown(fixture);
    expect(user.list('').map((name) => [name, user.text(name)])).toEqual(expected);
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
    expect(loose.damageNow()).toEqual([]);
  });
});

function oneChange({ loose, user }: Fixture, open: OpenFile[], random: Random): OpenFile[] {
  const name = `f${random.below(6)}`;
  const exists = user.exists(name);
  const handle = open[random.below(Math.max(1, open.length))];
  switch (random.below(11)) {
    case 0:
    case 1:
      if (open.length > 8) return open;
      return [...open, exists ? user.open(name, O_RDWR) : user.create(name)];
    case 2:
    case 3:
      if (handle !== undefined) user.write(handle, random.bytes(1 + random.below(9_000)), random.below(60_000));
      return open;
    case 4:
      if (exists) user.truncate(name, random.below(100_000));
      return open;
    case 5:
      if (handle !== undefined) user.close(handle);
      return open.filter((other) => other !== handle);
    case 6:
      if (exists) user.unlink(name);
      return open;
    case 7:
      if (exists) user.rename(name, `f${random.below(6)}`);
      return open;
    case 8:
      if (exists) {
        const mtime = { sec: random.below(2 ** 31), nsec: random.below(1e9) };
        value(user.filesystem.setAttributes(user.caller, user.stat(name).ino, { mtime }));
      }
      return open;
    case 9:
      if (exists && open.length < 8) return [...open, user.open(name, O_WRONLY | O_TRUNC)];
      return open;
    default:
      if (random.below(3) === 0) loose.pack();
      return open;
  }
}

describe('handles', () => {
  test('keep their file unsettled, until the last of them is closed', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const first = user.create('f');
    const second = user.open('f', O_WRONLY);
    loose.namespace.barrier();
    loose.replace();
    settleDown(fixture);
    expect(user.layout('f')).toBe('own');
    user.close(first);
    settleDown(fixture);
    expect(user.layout('f')).toBe('own');
    user.write(second, 'bytes');
    user.close(second);
    settleDown(fixture);
    expect([user.layout('f'), user.text('f')]).toEqual(['packed', 'bytes']);
  });

  test('closed before anybody has asked for their file: it settles and is packed', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.create('f');
    user.write(file, 'bytes');
    loose.replace();
    settleDown(fixture);
    user.close(file);
    settleDown(fixture);
    expect(loose.namespace.inode(file.ino)?.layout).toBe('packed');
    expect(user.text('f')).toBe('bytes');
  });

  test('keep what has no name, and a file without any goes when the kernel forgets it', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const open = user.create('open');
    user.write(open, 'open');
    user.unlink('open');
    const unnamed = user.createUnnamed();
    user.write(unnamed, 'unnamed');
    const directory = user.mkdir('d');
    value(user.filesystem.removeDirectory(user.caller, 1 as never, Buffer.from('d')));
    loose.namespace.barrier();
    loose.replace();
    settleDown(fixture);
    for (const ino of [open.ino, unnamed.ino, directory]) expect(shown(fixture, ino).nlink).toBe(0);
    expect(Buffer.from(user.readInode(open.ino) as Uint8Array).toString()).toBe('open');
    expect(Buffer.from(user.readInode(unnamed.ino) as Uint8Array).toString()).toBe('unnamed');
    user.close(open);
    for (const ino of [open.ino, directory]) user.forget(ino);
    expect([open.ino, directory].map((ino) => user.filesystem.getAttributes(ino))).toEqual([E.ESTALE, E.ESTALE]);
    loose.namespace.barrier();
    loose.crash();
    expect(user.filesystem.getAttributes(unnamed.ino)).toBe(E.ESTALE);
    expect(loose.damageNow()).toEqual([]);
  });

  test('whose open was never answered leave a count in doubt: FORGET settles it', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('f', 'bytes');
    user.put('g', 'bytes');
    loose.pack();
    const { ino } = user.stat('f');
    user.write(user.open('g', O_WRONLY), 'BYTES');
    const file = { ino, handle: O_RDWR };
    value(user.filesystem.open(user.caller, ino, O_RDWR));
    user.write(file, 'BY');
    loose.namespace.barrier();
    loose.replace();
    // The kernel sends the open again; its handle is written, closed, forgotten.
    value(user.filesystem.open(user.caller, ino, O_RDWR));
    user.filesystem.openAnswered(ino);
    user.write(file, 'T', 2);
    user.close(file);
    settleDown(fixture);
    expect(user.layout('f')).toBe('own');
    user.forget(ino);
    user.forget(user.stat('g').ino);
    settleDown(fixture);
    expect([user.layout('f'), user.text('f')]).toEqual(['packed', 'BYTes']);
    // What is not in doubt is not settled by a FORGET that some other look-up of the kernel led to.
    expect(user.layout('g')).toBe('own');
  });

  test('whose RELEASE was served and not answered are closed by its resend', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.create('f');
    user.write(file, 'bytes');
    user.filesystem.release(file.ino, file.handle);
    loose.namespace.barrier();
    loose.replace();
    settleDown(fixture);
    expect(user.layout('f')).toBe('own');
    user.close(file);
    settleDown(fixture);
    expect([user.layout('f'), user.text('f')]).toEqual(['packed', 'bytes']);
    expect(loose.filesystem.status().openFiles).toBe(0);
  });

  test('of an inode that was never recorded are dropped', () => {
    const { loose } = start();
    loose.kill();
    const table = value(OpenTable.over(loose.tableMemory, { isFresh: false }));
    table.opening(ino(4096 * 77), { writes: true, maps: true });
    loose.open({ takeover: true });
    expect(loose.filesystem.status().openFiles).toBe(0);
  });
});

describe('what a predecessor left', () => {
  test('own files and aggregates that nothing names go, a little at a time, behind a barrier', () => {
    const fixture = start({ filesystem: { packBelow: MIB } });
    const { loose, user } = fixture;
    user.put('kept', 'k'.repeat(2 * MIB));
    const open = user.create('open');
    for (let i = 0; i < 600; i++) user.put(`f${i}`, '');
    for (let i = 0; i < 600; i++) user.remove(`f${i}`);
    loose.namespace.barrier();
    for (let i = 0; i < 20; i++) user.put(`lost${i}`, 'never recorded');
    const count = ownFiles(fixture).length;
    expect(count).toBeGreaterThan(600);
    loose.replace();
    user.put('new', 'n'.repeat(2 * MIB));
    expect(ownFiles(fixture).length).toBe(count + 1);
    for (let round = 0; round < 20; round++) {
      loose.tick();
      loose.work();
    }
    expect(ownFiles(fixture).length).toBe(count + 1);
    loose.barrier();
    settleDown(fixture);
    expect(ownFiles(fixture).length).toBe(3);
    user.write(open, 'bytes');
    expect([user.text('open'), user.text('new').length]).toEqual(['bytes', 2 * MIB]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('is left in peace by the takeover itself, whatever there is of it', () => {
    const calls = [20, 200].map((files) => {
      const fixture = start({ filesystem: { packBelow: 1 } });
      const { loose, user } = fixture;
      user.create('open');
      for (let i = 0; i < files; i++) user.put(`dedicated${i}`, 'two');
      loose.namespace.barrier();
      loose.kill();
      loose.backing.calls.clear();
      loose.open({ takeover: true });
      user.stat('open');
      return Object.fromEntries(loose.backing.calls);
    });
    expect(calls[1]).toEqual(calls[0]);
  });
});

describe('pages that the kernel has', () => {
  function keeps({ user }: Fixture, path: string): boolean {
    const { ino } = user.stat(path);
    const opened = user.filesystem.open(user.caller, ino, O_RDONLY);
    if (isErrno(opened) || opened instanceof Deferred) throw new Error('An open that fails or waits');
    user.filesystem.openAnswered(ino);
    user.close({ ino, handle: opened.handle });
    return (opened.openFlags & FOPEN_KEEP_CACHE) !== 0;
  }

  test('are kept from the second open of a layout on, by the same daemon', () => {
    const fixture = start({ filesystem: { noAtime: true } });
    const { loose, user } = fixture;
    user.put('f', 'bytes');
    expect([keeps(fixture, 'f'), keeps(fixture, 'f')]).toEqual([true, true]);
    loose.pack();
    expect([keeps(fixture, 'f'), keeps(fixture, 'f')]).toEqual([false, true]);
    loose.namespace.barrier();
    loose.replace();
    expect([keeps(fixture, 'f'), keeps(fixture, 'f')]).toEqual([false, true]);
    user.truncate('f', 3);
    expect(keeps(fixture, 'f')).toBe(false);
  });
});
