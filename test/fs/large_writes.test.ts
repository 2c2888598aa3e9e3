/** Large writes go to a worker: what happens to the same file meanwhile, and when they fail. */
import { describe, expect, test } from 'vitest';
import { E, type Result } from '../../base/errno.ts';
import { KIB, MIB } from '../../base/units.ts';
import { LARGE_WRITE_BYTES } from '../../fs/large_writes.ts';
import { Deferred, type Loan } from '../../fs/types.ts';
import { O_TRUNC, O_WRONLY, type OpenFile } from '../support/loose_user.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

const OFFSET = 8 * MIB;
const CHUNK = pattern(MIB);

interface Asked {
  /** What the writer got; undefined so far. */
  answer: Result<number> | undefined;
  isKept: boolean;
}

/** A WRITE as the kernel's binding hands it on: its bytes may be kept, and are somebody else's once they are not. */
function ask(
  { user }: Fixture,
  file: OpenFile,
  options: { offset?: number; bytes?: Uint8Array; isFree?: boolean; killPrivileges?: boolean } = {},
): Asked {
  const { offset = OFFSET, bytes = CHUNK, isFree = true, killPrivileges = false } = options;
  const asked: Asked = { answer: undefined, isKept: false };
  const from = new Uint8Array(new SharedArrayBuffer(bytes.length));
  from.set(bytes);
  const loan: Loan = {
    keep: () => {
      if (!isFree) return undefined;
      asked.isKept = true;
      return () => {
        asked.isKept = false;
        from.fill(0xee);
      };
    },
  };
  const answer = user.filesystem.write({ ...file, offset, killPrivileges, fromCache: false }, from, loan);
  if (answer instanceof Deferred) {
    answer.whenSettled((settled) => {
      asked.answer = settled;
    });
  } else asked.answer = answer;
  if (!asked.isKept) from.fill(0xee);
  return asked;
}

function kinds({ loose }: Fixture): string[] {
  return loose.jobs.map(({ kind }) => kind);
}

function started(path = 'file'): Fixture & { readonly file: OpenFile } {
  const fixture = start();
  return { ...fixture, file: fixture.user.create(path, O_WRONLY) };
}

function bytesFrom({ user }: Fixture, offset: number): Uint8Array | number {
  const bytes = user.read('file');
  return typeof bytes === 'number' ? bytes : bytes.subarray(offset);
}

describe('a large write to a large file', () => {
  test('is a worker’s, while others are served; its answer comes when all of it is written', () => {
    const fixture = started();
    const { loose, user, file } = fixture;
    loose.backing.clear();
    const asked = ask(fixture, file);
    expect([asked, kinds(fixture), loose.backing.history]).toEqual([
      { answer: undefined, isKept: true },
      ['write'],
      [],
    ]);
    user.put('other', 'served meanwhile');
    loose.work();
    expect(asked).toEqual({ answer: MIB, isKept: false });
    expect([user.stat('file').size, same(bytesFrom(fixture, OFFSET), CHUNK)]).toEqual([OFFSET + MIB, true]);
    user.close(file);
    expect(loose.damageNow()).toEqual([]);
    expect(same(bytesFrom(fixture, OFFSET), CHUNK)).toBe(true);
  });

  test('is carried out here when it is small, early in the file, or no buffer is free', () => {
    const fixture = started();
    const { user, file } = fixture;
    for (const options of [
      { bytes: CHUNK.subarray(0, LARGE_WRITE_BYTES - 1) },
      { offset: OFFSET - MIB },
      { isFree: false },
    ]) {
      expect(ask(fixture, file, options).answer).toBe(options.bytes?.length ?? MIB);
      expect(kinds(fixture)).toEqual([]);
    }
    expect(same(bytesFrom(fixture, OFFSET), CHUNK)).toBe(true);
    expect(user.stat('file').size).toBe(OFFSET + MIB);
  });

  test('that fails leaves the size as it was', () => {
    for (const error of [E.EIO, E.ENOSPC]) {
      const fixture = started();
      const { loose, user, file } = fixture;
      loose.backing.arm({ kind: 'write', error, path: '/own/', partial: 64 * KIB });
      const asked = ask(fixture, file);
      loose.work();
      loose.backing.disarm();
      expect([asked, user.stat('file').size]).toEqual([{ answer: error, isKept: false }, 0]);
      expect(loose.filesystem.status().broken).toBeUndefined();
      expect(user.truncate('file', OFFSET + MIB)).toBeDefined();
      expect(same(bytesFrom(fixture, OFFSET), new Uint8Array(MIB))).toBe(true);
    }
  });

  test('finds room in what was deleted', () => {
    const fixture = started();
    const { loose, user, file } = fixture;
    user.put('removed', 'contents');
    user.remove('removed');
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: '/own/', partial: 64 * KIB, times: 1 });
    const asked = ask(fixture, file);
    loose.work();
    expect(asked).toEqual({ answer: MIB, isKept: false });
    expect(same(bytesFrom(fixture, OFFSET), CHUNK)).toBe(true);
  });

  test('takes privileges from the file once it is written', () => {
    const fixture = started();
    const { loose, user, file } = fixture;
    user.filesystem.setAttributes(user.caller, file.ino, { mode: 0o6755 });
    ask(fixture, file, { killPrivileges: true });
    expect(user.stat('file').mode & 0o7777).toBe(0o6755);
    loose.work();
    expect(user.stat('file').mode & 0o7777).toBe(0o755);
  });

  test('is not durable by an fsync that came before its end', () => {
    const fixture = started();
    const { loose, user, file } = fixture;
    const asked = ask(fixture, file);
    user.fsync(file.ino);
    loose.look();
    // Whoever changes the host's order of both: the flush first, then the write.
    const write = loose.jobs.find(({ kind }) => kind === 'write');
    for (let round = 0; round < 5; round++) {
      loose.work((job) => job !== write);
      loose.look();
    }
    expect(asked.answer).toBeUndefined();
    loose.work();
    expect(asked.answer).toBe(MIB);
    loose.backing.clear();
    const answer = user.fsync(file.ino);
    loose.tick();
    expect([answer.outcome(), loose.backing.history[0]]).toEqual([undefined, 'flush own/1/1']);
  });
});

describe('what changes the same file waits for it', () => {
  const cases: [string, (fixture: Fixture, file: OpenFile) => void, Uint8Array][] = [
    ['a truncation', ({ user }) => user.truncate('file', OFFSET + 5), CHUNK.subarray(0, 5)],
    ['an open that truncates', ({ user }) => user.close(user.open('file', O_WRONLY | O_TRUNC)), new Uint8Array(0)],
    ['a write', ({ user }, file) => user.write(file, new Uint8Array(MIB), OFFSET), new Uint8Array(MIB)],
    [
      'a copy',
      (fixture, file) => {
        fixture.user.put('source', pattern(MIB, 7));
        fixture.user.copyRange(fixture.user.open('source'), file, { to: OFFSET, length: MIB });
      },
      pattern(MIB, 7),
    ],
    ['the last close', ({ user }, file) => user.close(file), CHUNK],
  ];
  for (const [what, act, expected] of cases)
    test(what, () => {
      const fixture = started();
      const { loose, file } = fixture;
      const asked = ask(fixture, file);
      act(fixture, file);
      expect([asked, kinds(fixture).includes('write')]).toEqual([{ answer: MIB, isKept: false }, false]);
      loose.work();
      expect(same(bytesFrom(fixture, OFFSET), expected)).toBe(true);
      expect(loose.damageNow()).toEqual([]);
      expect(same(bytesFrom(fixture, OFFSET), expected)).toBe(true);
    });

  test('a stop', () => {
    const fixture = started();
    const { loose, file } = fixture;
    ask(fixture, file);
    loose.stop();
    expect(loose.damage()).toEqual([]);
    loose.open();
    expect(same(bytesFrom(fixture, OFFSET), CHUNK)).toBe(true);
  });

  test('a daemon that dies leaves it to the next one, which gets it again', () => {
    for (const isDone of [false, true]) {
      const fixture = started();
      const { loose, user, file } = fixture;
      ask(fixture, file);
      if (isDone) loose.workUnheard();
      loose.replace();
      const again = ask(fixture, file);
      loose.work();
      expect(again.answer).toBe(MIB);
      expect([user.stat('file').size, same(bytesFrom(fixture, OFFSET), CHUNK)]).toEqual([OFFSET + MIB, true]);
      user.close(file);
      expect(loose.damageNow()).toEqual([]);
    }
  });
});
