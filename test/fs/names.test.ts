import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { compareTimes } from '../../base/time.ts';
import { ROOT_INO } from '../../base/units.ts';
import { Deferred, RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../fs/types.ts';
import { O_RDONLY, O_RDWR, O_WRONLY } from '../support/loose_user.ts';
import { type Fixture, start } from './fixture.ts';

type Kind = 'nothing' | 'file' | 'open file' | 'link' | 'empty directory' | 'full directory';
const KINDS: readonly Kind[] = ['nothing', 'file', 'open file', 'link', 'empty directory', 'full directory'];

function make({ user }: Fixture, path: string, kind: Kind): void {
  if (kind === 'nothing') return;
  if (kind.endsWith('directory')) user.mkdir(path);
  if (kind === 'full directory') user.put(`${path}/inside`, `inside ${path}`);
  if (kind === 'file' || kind === 'link') user.put(path, `contents of ${path}`);
  if (kind === 'open file') user.write(user.create(path), `contents of ${path}`);
  if (kind === 'link') user.link(path, `${path}-other-name`);
}

/** What stands at a path: its inode, or 'nothing'. */
function at({ user }: Fixture, path: string): number | 'nothing' {
  return user.exists(path) ? user.stat(path).ino : 'nothing';
}

function isDirectory(kind: Kind): boolean {
  return kind.endsWith('directory');
}

describe('rename', () => {
  for (const [name, flags] of [
    ['plain', 0],
    ['NOREPLACE', RENAME_NOREPLACE],
    ['EXCHANGE', RENAME_EXCHANGE],
  ] as const)
    test(`${name}: each kind of source onto each kind of target, in one directory and between two`, () => {
      const fixture = start();
      const { loose, user } = fixture;
      let round = 0;
      for (const source of KINDS.filter((kind) => kind !== 'nothing'))
        for (const target of KINDS)
          for (const isAcross of [false, true]) {
            const [from, to] = [`from${round}`, isAcross ? `to${round}` : `from${round}`];
            round += 1;
            user.mkdir(from);
            if (isAcross) user.mkdir(to);
            make(fixture, `${from}/a`, source);
            make(fixture, `${to}/b`, target);
            const [a, b] = [at(fixture, `${from}/a`), at(fixture, `${to}/b`)];
            const expected = renameOutcome(source, target, flags);
            expect([source, target, user.rename(`${from}/a`, `${to}/b`, flags)]).toEqual([source, target, expected]);
            const isDone = expected === undefined;
            const left = isDone ? (flags === RENAME_EXCHANGE ? b : 'nothing') : a;
            expect([at(fixture, `${from}/a`), at(fixture, `${to}/b`)]).toEqual([left, isDone ? a : b]);
            if (isDone && source === 'full directory') expect(user.text(`${to}/b/inside`)).toBe(`inside ${from}/a`);
            if (isDone && b !== 'nothing' && flags === 0 && target !== 'link' && target !== 'open file')
              user.forget(user.stat(`${to}/b`).ino);
          }
      expect(loose.damageNow()).toEqual([]);
    });

  test('onto another name of the same file does nothing', () => {
    const { loose, user } = start();
    user.put('a', 'contents');
    user.link('a', 'b');
    expect([user.rename('a', 'b'), user.rename('a', 'b', RENAME_EXCHANGE)]).toEqual([undefined, undefined]);
    expect([user.exists('a'), user.exists('b'), user.stat('a').nlink]).toEqual([true, true, 2]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('refuses flags that it does not know, names too long, and sources that are not there', () => {
    const { user } = start();
    user.put('a', 'contents');
    expect(user.rename('a', 'b', 4)).toBe(E.EINVAL);
    expect(user.rename('a', 'b', RENAME_NOREPLACE | RENAME_EXCHANGE)).toBe(E.EINVAL);
    expect(user.rename('a', 'b'.repeat(256))).toBe(E.ENAMETOOLONG);
    expect(user.rename('nothing', 'b')).toBe(E.ENOENT);
    expect(user.rename('a', 'b', RENAME_EXCHANGE)).toBe(E.ENOENT);
  });

  test('that replaces has the bytes of its source durable before the record', () => {
    const { loose, user } = start({ filesystem: { packBelow: 4 } });
    user.put('new', 'large enough to keep its own file');
    user.put('old', 'the old one');
    loose.backing.clear();
    user.rename('new', 'old');
    expect(loose.backing.history).toEqual(['flush own/1/1']);
    user.put('other', 'x');
    loose.backing.clear();
    user.rename('other', 'free');
    expect(loose.backing.history).toEqual([]);
  });

  test('that replaces packs a source that nobody has open, and flushes nothing', () => {
    const { loose, user } = start();
    user.put('new', 'the new one');
    user.put('old', 'the old one');
    loose.backing.clear();
    user.rename('new', 'old');
    expect([user.layout('old'), user.text('old')]).toEqual(['packed', 'the new one']);
    expect(loose.backing.history).toEqual(['create aggregates/0/1', 'create aggregates/0/1', 'write aggregates/0/1']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('that replaces waits for a worker that packs its source already', () => {
    const { loose, user } = start();
    user.put('new', 'the new one');
    user.put('old', 'the old one');
    loose.clock.advance(2_000);
    loose.look();
    const { filesystem, caller } = user;
    let isDone = false;
    const answer = filesystem.rename(caller, user.place('new'), { ...user.place('old'), flags: 0 });
    if (answer instanceof Deferred) answer.whenSettled(() => (isDone = true));
    loose.look();
    expect([isDone, user.text('old')]).toEqual([false, 'the old one']);
    loose.work();
    loose.tick();
    expect([isDone, user.text('old'), user.exists('new')]).toEqual([true, 'the new one', false]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('that cannot make its source durable replaces nothing', () => {
    const { loose, user } = start();
    user.write(user.create('new'), 'new');
    user.put('old', 'old');
    loose.backing.arm({ kind: 'flush', error: E.EIO });
    expect(user.rename('new', 'old')).toBe(E.EIO);
    expect([user.text('new'), user.text('old')]).toEqual(['new', 'old']);
  });
});

function renameOutcome(source: Kind, target: Kind, flags: number) {
  if (flags === RENAME_EXCHANGE) return target === 'nothing' ? E.ENOENT : undefined;
  if (target === 'nothing') return undefined;
  if (flags === RENAME_NOREPLACE) return E.EEXIST;
  if (isDirectory(source) !== isDirectory(target)) return isDirectory(target) ? E.EISDIR : E.ENOTDIR;
  return target === 'full directory' ? E.ENOTEMPTY : undefined;
}

describe('directories', () => {
  test('count their entries and subdirectories through everything that changes them', () => {
    const { loose, user } = start();
    user.mkdir('x');
    user.mkdir('y');
    const counts = () => [user.stat('x').nlink, user.stat('x').size, user.stat('y').nlink, user.stat('y').size];
    const sizes = (x: number, y: number) => [4096 + x * 32, 4096 + y * 32];
    const expectCounts = (x: [number, number], y: [number, number]) => {
      const [sizeX, sizeY] = sizes(x[0], y[0]);
      expect(counts()).toEqual([2 + x[1], sizeX, 2 + y[1], sizeY]);
    };
    user.mkdir('x/d');
    user.put('x/f', 'f');
    user.link('x/f', 'y/f');
    expectCounts([2, 1], [1, 0]);
    user.rename('x/d', 'y/d');
    expectCounts([1, 0], [2, 1]);
    user.rename('x/f', 'y/d', RENAME_EXCHANGE);
    expectCounts([1, 1], [2, 0]);
    user.mkdir('y/e');
    user.rename('x/f', 'y/e');
    expectCounts([0, 0], [3, 1]);
    user.remove('y/d');
    user.remove('y/f');
    expectCounts([0, 0], [1, 1]);
    expect(loose.damageNow()).toEqual([]);
    expectCounts([0, 0], [1, 1]);
  });

  test('tell of changes in mtime and ctime, and keep a time that was set until the next', () => {
    const { loose, user } = start();
    const ino = user.mkdir('x');
    const set = { sec: 1_000_000_000, nsec: 5 };
    user.filesystem.setAttributes(user.caller, ino, { mtime: set, atime: set });
    expect(user.stat('x').mtime).toEqual(set);
    user.filesystem.setAttributes(user.caller, ino, { mode: 0o700 });
    user.rename('x', 'z');
    expect(user.stat('z').mtime).toEqual(set);
    const before = user.stat('z').ctime;
    user.put('z/file', 'x');
    const { mtime, ctime } = user.stat('z');
    expect([compareTimes(mtime, before), compareTimes(ctime, before)]).toEqual([1, 1]);
    loose.stop();
    loose.open();
    expect(user.stat('z')).toMatchObject({ mtime, ctime, atime: set });
    const middle = user.stat('z').mtime;
    user.remove('z/file');
    expect(compareTimes(user.stat('z').mtime, middle)).toBe(1);
    expect(loose.damageNow()).toEqual([]);
  });

  test('list every name once, from any cookie, while others come and go', () => {
    const { user } = start();
    for (let i = 0; i < 200; i++) user.put(`name${i}`, '');
    const seen: string[] = [];
    for (let cookie = 0, isMore = true; isMore; ) {
      isMore = false;
      let taken = 0;
      user.filesystem.listDirectory({ ino: ROOT_INO, cookie, plus: false }, (entry) => {
        isMore = true;
        if (taken === 7) return false;
        taken += 1;
        cookie = entry.cookie;
        seen.push(new TextDecoder().decode(entry.name));
        return true;
      });
      if (isMore) user.put(`late${seen.length}`, '');
    }
    const names = seen.filter((name) => name.startsWith('name'));
    expect([names.length, new Set(names).size]).toEqual([200, 200]);
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('list with inodes for two milliseconds at most, and go on where that ended', () => {
    const { loose, user } = start();
    for (let i = 0; i < 100; i++) user.put(`name${i}`, '');
    const listed = (cookie: number, plus: boolean): number[] => {
      const cookies: number[] = [];
      user.filesystem.listDirectory({ ino: ROOT_INO, cookie, plus }, (entry) => {
        loose.clock.advance(1);
        return cookies.push(entry.cookie) > 0;
      });
      return cookies;
    };
    const all = listed(0, false);
    expect(all.length).toBe(102);
    const found: number[] = [];
    for (let part = listed(0, true); part.length > 0; part = listed(found.at(-1) ?? 0, true)) {
      expect(part.length).toBeLessThanOrEqual(2 + 16);
      found.push(...part);
    }
    expect(found).toEqual(all);
  });
});

describe('times of files', () => {
  test('write moves mtime and ctime, chmod and link only ctime, read neither', () => {
    const { loose, user } = start();
    for (const state of ['open', 'packed']) {
      const file = user.create(state);
      user.write(file, 'contents');
      if (state === 'packed') {
        user.close(file);
        loose.pack();
      }
      const moved = (act: () => void) => {
        const before = user.stat(state);
        act();
        const after = user.stat(state);
        return [compareTimes(after.mtime, before.mtime), compareTimes(after.ctime, before.ctime)];
      };
      expect(moved(() => user.filesystem.setAttributes(user.caller, file.ino, { mode: 0o600 }))).toEqual([0, 1]);
      expect(moved(() => user.link(state, `${state}2`))).toEqual([0, 1]);
      expect(moved(() => user.rename(`${state}2`, `${state}3`))).toEqual([0, 1]);
      expect(moved(() => user.unlink(`${state}3`))).toEqual([0, 1]);
      expect(moved(() => void user.setXattr(state, 'user.a', 'b'))).toEqual([0, 1]);
      expect(moved(() => void user.read(state))).toEqual([0, 0]);
      expect(moved(() => void user.truncate(state, 4))).toEqual([1, 1]);
      if (state === 'open') expect(moved(() => user.write(file, 'x'))).toEqual([1, 1]);
      if (state === 'open') user.close(file);
    }
    expect(loose.damageNow()).toEqual([]);
  });

  test('relatime: a read is noted once after each change, and once a day; O_NOATIME and noatime note none', () => {
    const { loose, user } = start();
    user.put('file', 'contents');
    loose.pack();
    const atimes = () => user.stat('file').atime;
    const isNoted = (handle = O_RDONLY) => {
      const before = atimes();
      user.filesystem.read({ ino: user.stat('file').ino, handle, offset: 0 }, new Uint8Array(1));
      return compareTimes(atimes(), before) !== 0;
    };
    expect([isNoted(0o1000000), isNoted(), isNoted()]).toEqual([false, true, false]);
    user.filesystem.setAttributes(user.caller, user.stat('file').ino, { mtime: 'now' });
    expect([isNoted(), isNoted()]).toEqual([true, false]);
    loose.clock.advance(86_400_000);
    expect([isNoted(), isNoted()]).toEqual([true, false]);
    const last = atimes();
    loose.stop();
    loose.open({ noAtime: true });
    expect(atimes()).toEqual(last);
    loose.clock.advance(2 * 86_400_000);
    expect(isNoted()).toBe(false);
  });

  test('an access time that was noted yields to one that is set', () => {
    const { loose, user } = start();
    user.put('file', 'contents');
    user.read('file');
    const atime = { sec: 7, nsec: 8 };
    user.filesystem.setAttributes(user.caller, user.stat('file').ino, { atime });
    expect(user.stat('file').atime).toEqual(atime);
    loose.stop();
    loose.open();
    expect(user.stat('file').atime).toEqual(atime);
  });

  test('a time that is set on an open file survives its packing', () => {
    const { loose, user } = start();
    const file = user.create('file', O_RDWR);
    user.write(file, 'contents');
    const mtime = { sec: 1_000_000_000, nsec: 999_999_999 };
    user.filesystem.setAttributes(user.caller, file.ino, { mtime });
    user.close(file);
    loose.pack();
    expect([user.layout('file'), user.stat('file').mtime]).toEqual(['packed', mtime]);
  });
});

describe('extended attributes and access control lists', () => {
  test('come and go, and the flags of the inode with them', () => {
    const { loose, user } = start();
    user.put('file', 'contents');
    expect(user.getXattr('file', 'user.a')).toBe('ENODATA');
    expect(user.setXattr('file', 'user.a', '1', 2)).toBe(E.ENODATA);
    expect(user.setXattr('file', 'user.a', '1', 1)).toBeUndefined();
    expect(user.setXattr('file', 'user.a', '2', 1)).toBe(E.EEXIST);
    user.setXattr('file', 'user.b', 'x'.repeat(65_536));
    expect(user.setXattr('file', 'user.c', 'x'.repeat(65_537))).toBe(E.E2BIG);
    expect(user.setXattr('file', 'other.c', 'x')).toBe(E.EOPNOTSUPP);
    expect(user.removeXattr('file', 'user.a')).toBeUndefined();
    expect(user.removeXattr('file', 'user.a')).toBe(E.ENODATA);
    expect(loose.damageNow()).toEqual([]);
    user.removeXattr('file', 'user.b');
    user.setXattr('file', 'user.pacsfs.pin', '1');
    expect(user.getXattr('file', 'user.pacsfs.pin')).toBe('1');
    expect(user.setXattr('file', 'user.pacsfs.layout', 'own')).toBe(E.EPERM);
    user.removeXattr('file', 'user.pacsfs.pin');
    expect(loose.damageNow()).toEqual([]);
  });

  test('a file capability goes with the next write, and its flag with it', () => {
    const { loose, user } = start();
    for (const others of [[], ['user.other']]) {
      const file = user.create(`file${others.length}`, O_WRONLY);
      user.setXattr(`file${others.length}`, 'security.capability', 'x');
      for (const name of others) user.setXattr(`file${others.length}`, name, 'kept');
      user.write(file, 'x');
      expect(user.getXattr(`file${others.length}`, 'security.capability')).toBe('ENODATA');
      user.close(file);
      expect(loose.damageNow()).toEqual([]);
    }
    expect(user.getXattr('file1', 'user.other')).toBe('kept');
  });

  test('an access list that the mode says is not kept, any other moves the mode', () => {
    const { loose, user } = start();
    user.put('file', 'contents');
    user.setXattr('file', ACCESS, acl([1, 6], [4, 4], [32, 0]));
    expect([user.stat('file').mode & 0o777, user.getXattr('file', ACCESS)]).toEqual([0o640, 'ENODATA']);
    user.setXattr('file', ACCESS, acl([1, 6], [2, 7, 1000], [4, 4], [16, 5], [32, 0]));
    expect(user.stat('file').mode & 0o777).toBe(0o650);
    expect(loose.damageNow()).toEqual([]);
    user.filesystem.setAttributes(user.caller, user.stat('file').ino, { mode: 0o604 });
    expect(user.getXattr('file', ACCESS)).toBe(latin(acl([1, 6], [2, 7, 1000], [4, 4], [16, 0], [32, 4])));
    user.removeXattr('file', ACCESS);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a default list is inherited by what is made in the directory', () => {
    const { loose, user } = start();
    user.mkdir('dir');
    const list = acl([1, 7], [2, 6, 1000], [4, 5], [16, 7], [32, 0]);
    expect(user.setXattr('dir', DEFAULT, list)).toBeUndefined();
    user.mkdir('dir/sub');
    user.put('dir/file', 'x');
    expect(user.getXattr('dir/sub', DEFAULT)).toBe(latin(list));
    expect(user.getXattr('dir/file', DEFAULT)).toBe('ENODATA');
    expect(user.getXattr('dir/file', ACCESS)).toBe(latin(acl([1, 6], [2, 6, 1000], [4, 5], [16, 4], [32, 0])));
    user.put('plain', 'x');
    expect(user.setXattr('plain', DEFAULT, list)).toBe(E.EACCES);
    expect(loose.damageNow()).toEqual([]);
  });
});

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/** Entries of tag, permissions and id, as setxattr(2) takes them. */
function acl(...entries: [tag: number, permissions: number, id?: number][]): Uint8Array {
  const bytes = new Uint8Array(4 + entries.length * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 2, true);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    view.setUint16(4 + index * 8, tag, true);
    view.setUint16(6 + index * 8, permissions, true);
    view.setUint32(8 + index * 8, id ?? 0xffff_ffff, true);
  }
  return bytes;
}

function latin(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes);
}
