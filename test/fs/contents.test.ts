import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { KIB, MIB } from '../../base/units.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED } from '../../shard/rows.ts';
import { O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from '../support/loose_user.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

const FLAGS = FLAG_UNSETTLED | FLAG_FLUSHED | FLAG_COPY;

function row({ loose, user }: Fixture, path: string) {
  const inode = loose.namespace.inode(user.stat(path).ino);
  if (inode === undefined) throw new Error(`No row for ${path}`);
  return inode;
}

function flags(fixture: Fixture, path: string): number {
  return row(fixture, path).flags & FLAGS;
}

/** A packed file of these bytes. */
function packed(bytes: Uint8Array | string, options = {}): Fixture {
  const fixture = start(options);
  fixture.user.put('file', bytes);
  fixture.loose.pack();
  expect(fixture.user.layout('file')).toBe('packed');
  return fixture;
}

describe('the first change of a packed file', () => {
  test('an open for writing alone copies nothing', () => {
    const { user, loose } = packed('contents');
    const file = user.open('file', O_RDWR);
    expect(user.layout('file')).toBe('packed');
    user.close(file);
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
  });

  test('copies its bytes out, and keeps the packed ones as a copy until they are durable', () => {
    const bytes = pattern(5 * MIB);
    const fixture = packed(bytes);
    const { user, loose } = fixture;
    const file = user.open('file', O_RDWR);
    user.write(file, 'XY', MIB + 5);
    bytes.set([88, 89], MIB + 5);
    expect([user.layout('file'), same(user.read('file'), bytes)]).toEqual(['own', true]);
    expect(flags(fixture, 'file')).toBe(FLAG_UNSETTLED | FLAG_COPY);
    expect(row(fixture, 'file').second.length).toBeGreaterThan(0);
    const answer = user.fsync(file.ino);
    loose.barrier();
    expect(answer.outcome()).toBeUndefined();
    expect(flags(fixture, 'file')).toBe(FLAG_UNSETTLED | FLAG_FLUSHED);
    expect(row(fixture, 'file').second).toEqual([]);
    user.close(file);
    loose.pack();
    expect([user.layout('file'), same(user.read('file'), bytes), flags(fixture, 'file')]).toEqual(['packed', true, 0]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('is packed anew without an fsync, and the copy goes', () => {
    const fixture = packed('contents');
    const { user, loose } = fixture;
    const file = user.open('file', O_WRONLY);
    user.write(file, '!', 8);
    user.close(file);
    loose.pack();
    expect([user.layout('file'), user.text('file'), row(fixture, 'file').second]).toEqual(['packed', 'contents!', []]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('by a write that finds no room changes nothing, and leaves no own file behind', () => {
    const { user, loose } = packed(pattern(2 * MIB));
    const file = user.open('file', O_RDWR);
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: '/own/', after: 1 });
    expect(user.tryWrite(file, 'x')).toBe(-E.ENOSPC.number);
    loose.backing.disarm();
    expect([user.layout('file'), same(user.read('file'), pattern(2 * MIB))]).toEqual(['packed', true]);
    user.close(file);
    expect(loose.filesystem.status().openFiles).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of a file too large to be packed keeps the copy until it is flushed', () => {
    const fixture = packed(pattern(MIB));
    const { user, loose } = fixture;
    const file = user.open('file', O_RDWR);
    user.write(file, 'x', 9 * MIB);
    loose.backing.clear();
    user.close(file);
    expect(loose.backing.history).toEqual([]);
    expect(row(fixture, 'file').second).toHaveLength(1);
    loose.tick();
    // It settles for good, so the copy goes, so its bytes are flushed first.
    expect(loose.backing.history.filter((entry) => entry.startsWith('flush '))).toHaveLength(1);
    expect(flags(fixture, 'file')).toBe(FLAG_FLUSHED);
    expect(row(fixture, 'file').second).toEqual([]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('nothing but a regular file takes a write', () => {
    const { user, loose } = start();
    const ino = user.mkdir('directory');
    expect(user.tryWrite({ ino, handle: O_RDWR }, 'x')).toBe(-E.EINVAL.number);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('truncate', () => {
  const cases: [string, number][] = [
    ['to nothing', 0],
    ['within the first block', 100],
    ['to a border of blocks', 64 * KIB],
    ['within a later block', 3 * MIB + 17],
    ['to its own size', 5 * MIB],
    ['to more', 6 * MIB + 1],
  ];
  for (const [what, size] of cases) {
    const expected = new Uint8Array(size);
    expected.set(pattern(5 * MIB).subarray(0, size));

    test(`a packed file, by path, ${what}: its extents are cut, no byte is copied`, () => {
      const { user, loose } = packed(pattern(5 * MIB));
      loose.backing.clear();
      user.truncate('file', size);
      expect(loose.backing.history).toEqual([]);
      expect([user.layout('file'), user.stat('file').size, same(user.read('file'), expected)]).toEqual([
        'packed',
        size,
        true,
      ]);
      expect(loose.damageNow()).toEqual([]);
    });

    test(`an own file with a handle and one without, ${what}`, () => {
      const { user, loose } = start();
      const open = user.create('open');
      user.write(open, pattern(MIB));
      user.put('closed', pattern(MIB));
      const wanted = new Uint8Array(size >> 2);
      wanted.set(pattern(MIB).subarray(0, size >> 2));
      for (const name of ['open', 'closed']) {
        user.truncate(name, size >> 2);
        expect([user.stat(name).size, same(user.read(name), wanted)]).toEqual([size >> 2, true]);
      }
      user.close(open);
      loose.pack();
      for (const name of ['open', 'closed'])
        expect([user.layout(name), same(user.read(name), wanted)]).toEqual(['packed', true]);
      expect(loose.filesystem.status().openFiles).toBe(0);
      expect(loose.damageNow()).toEqual([]);
    });
  }

  test('a packed file cut and lengthened again reads zeros where it was cut', () => {
    const { user, loose } = packed('0123456789');
    user.truncate('file', 4);
    user.truncate('file', 8);
    expect(user.text('file')).toBe('0123\0\0\0\0');
    const file = user.open('file', O_RDWR);
    user.write(file, 'x', 6);
    expect(user.text('file')).toBe('0123\0\0x\0');
    user.close(file);
    loose.pack();
    expect(user.text('file')).toBe('0123\0\0x\0');
    expect(loose.damageNow()).toEqual([]);
  });

  test('that the disk refuses changes nothing, and the file is packed as it was', () => {
    const { user, loose } = start();
    user.put('file', 'contents');
    user.put('suid', 'x');
    user.filesystem.setAttributes(user.caller, user.stat('suid').ino, { mode: 0o6755 });
    loose.clock.advance(2_000);
    loose.tick();
    loose.backing.arm({ kind: 'truncate', error: E.EIO });
    expect(user.truncate('file', 3)).toBe(E.EIO);
    const kill = { size: 0, killPrivileges: true };
    expect(user.filesystem.setAttributes(user.caller, user.stat('suid').ino, kill)).toBe(E.EIO);
    loose.backing.disarm();
    expect([user.stat('file').size, user.stat('suid').mode]).toEqual([8, 0o106755]);
    loose.work();
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'contents']);
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
    expect(loose.damageNow()).toEqual([]);
  });

  test('O_TRUNC gives a new own file, with open handles it empties the old one', () => {
    const fixture = start();
    const { user, loose } = fixture;
    user.put('file', 'first');
    const before = row(fixture, 'file').own;
    const writer = user.open('file', O_WRONLY | O_TRUNC);
    const after = row(fixture, 'file').own;
    expect(after).not.toEqual(before);
    user.write(writer, 'second');
    const second = user.open('file', O_RDONLY | O_TRUNC);
    expect([row(fixture, 'file').own, user.stat('file').size]).toEqual([after, 0]);
    user.write(writer, 'third');
    user.close(second);
    user.close(writer);
    loose.pack();
    expect(user.text('file')).toBe('third');
    expect(loose.damageNow()).toEqual([]);
  });

  test('O_TRUNC on a full disk empties the file in place, own or packed', () => {
    const { user, loose } = start();
    user.put('packed', 'contents');
    loose.pack();
    user.put('own', 'contents');
    loose.backing.arm({ kind: 'create', error: E.ENOSPC });
    for (const name of ['own', 'packed']) {
      user.close(user.open(name, O_WRONLY | O_TRUNC));
      expect(user.stat(name).size).toBe(0);
    }
    loose.backing.disarm();
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
    expect(loose.damageNow()).toEqual([]);
  });

  test('O_TRUNC that fails leaves the file, and it is still packed', () => {
    const { user, loose } = start();
    user.put('file', 'contents');
    loose.backing.arm({ kind: 'create', error: E.EIO });
    expect(user.tryOpen('file', O_WRONLY | O_TRUNC)).toBe(E.EIO);
    loose.backing.disarm();
    loose.pack();
    expect([user.layout('file'), user.text('file')]).toEqual(['packed', 'contents']);
    expect(loose.filesystem.status().openFiles).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of an unsettled file that other handles keep open, and a dedicated one', () => {
    const fixture = start({ filesystem: { packBelow: 4 * KIB } });
    const { user, loose } = fixture;
    user.put('large', pattern(64 * KIB));
    expect(flags(fixture, 'large')).toBe(0);
    user.truncate('large', 32 * KIB);
    expect(flags(fixture, 'large')).toBe(0);
    user.truncate('large', KIB);
    loose.pack();
    expect([user.layout('large'), same(user.read('large'), pattern(64 * KIB).subarray(0, KIB))]).toEqual([
      'packed',
      true,
    ]);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('holes', () => {
  test('are found in own and packed files alike', () => {
    const { user, loose } = start();
    const file = user.create('file');
    user.write(file, pattern(64 * KIB), 128 * KIB);
    user.filesystem.setAttributes(user.caller, file.ino, { size: 256 * KIB });
    const seek = (offset: number, whence: number) => user.filesystem.seek({ ...file, offset }, whence);
    const found = () => [
      seek(0, 3),
      seek(0, 4),
      seek(130 * KIB, 3),
      seek(130 * KIB, 4),
      seek(200 * KIB, 3),
      seek(200 * KIB, 4),
      seek(256 * KIB, 3),
      seek(256 * KIB, 4),
    ];
    const expected = [128 * KIB, 0, 130 * KIB, 192 * KIB, -E.ENXIO.number, 200 * KIB, -E.ENXIO.number, -E.ENXIO.number];
    expect(found()).toEqual(expected);
    user.close(file);
    loose.pack();
    expect(user.layout('file')).toBe('packed');
    expect(found()).toEqual(expected);
  });

  test('are punched, and come back as zeros', () => {
    const { user, loose } = packed(pattern(256 * KIB));
    const file = user.open('file', O_RDWR);
    const expected = pattern(256 * KIB).fill(0, 64 * KIB, 128 * KIB);
    const range = { mode: 3, length: 64 * KIB };
    expect(user.filesystem.allocate({ ...file, offset: 64 * KIB }, range)).toBeUndefined();
    expect(same(user.read('file'), expected)).toBe(true);
    user.close(file);
    loose.pack();
    expect([user.layout('file'), same(user.read('file'), expected)]).toEqual(['packed', true]);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('a change that fails half way', () => {
  test('a write past the end leaves no longer file behind', () => {
    const { user, loose } = start();
    const file = user.create('file');
    user.write(file, 'contents');
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: '/own/', partial: 4 });
    expect(user.tryWrite(file, 'abcdefgh', 100)).toBe(-E.ENOSPC.number);
    loose.backing.disarm();
    expect(user.text('file')).toBe('contents');
    user.filesystem.setAttributes(user.caller, file.ino, { size: 106 });
    expect(user.text('file')).toBe(`contents${'\0'.repeat(98)}`);
    user.close(file);
    loose.pack();
    expect(user.layout('file')).toBe('packed');
    expect(loose.damageNow()).toEqual([]);
  });

  test('a write over what is there is a change: the file no longer passes for a copy of another', () => {
    const { user, loose } = start();
    user.put('source', 'source bytes');
    loose.pack();
    const source = user.open('source');
    const target = user.create('target');
    expect(user.copyRange(source, target, { length: 12 })).toBe(12);
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: '/own/', partial: 3 });
    expect(user.tryWrite(target, 'XXXXXX')).toBe(-E.ENOSPC.number);
    loose.backing.disarm();
    expect(user.text('target')).toBe('XXXrce bytes');
    user.close(target);
    user.close(source);
    loose.pack();
    expect([user.text('target'), user.text('source')]).toEqual(['XXXrce bytes', 'source bytes']);
    expect(loose.damageNow()).toEqual([]);
  });

  test('an allocation leaves the size', () => {
    const { user, loose } = start();
    const file = user.create('file');
    user.write(file, 'contents');
    loose.backing.arm({ kind: 'allocate', error: E.ENOSPC });
    expect(user.filesystem.allocate({ ...file, offset: 0 }, { mode: 0, length: MIB })).toBe(E.ENOSPC);
    loose.backing.disarm();
    expect(user.text('file')).toBe('contents');
    user.close(file);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a copy from a file that has lost bytes is an error, not an end', () => {
    const { user, loose } = start({ filesystem: { packBelow: 0 } });
    const ino = user.put('source', pattern(100_000));
    const own = loose.namespace.inode(ino)?.own;
    if (own === undefined) throw new Error('No own file');
    const file = loose.data.openOwn(own);
    if (!('truncate' in file)) throw new Error('No own file');
    file.truncate(50_000);
    const source = user.open('source');
    const target = user.create('target');
    expect(user.copyRange(source, target, { from: 60_000, length: 40_000 })).toBe(-E.EIO.number);
    expect(user.readInode(ino)).toBe(-E.EIO.number);
    user.close(target);
    user.close(source);
  });
});

test('a dedicated file that is written after its fsync is flushed again by a sync', () => {
  const fixture = start({ filesystem: { packBelow: 0 } });
  const { user, loose } = fixture;
  const file = user.create('file');
  user.write(file, 'first');
  user.fsync(file.ino);
  loose.tick();
  user.write(file, 'second', 5);
  user.close(file);
  expect(flags(fixture, 'file')).toBe(0);
  loose.backing.clear();
  loose.sync();
  expect(loose.backing.history.filter((entry) => entry.startsWith('flush own/'))).toHaveLength(1);
  expect(flags(fixture, 'file')).toBe(FLAG_FLUSHED);
});
