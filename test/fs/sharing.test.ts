import { describe, expect, test } from 'vitest';
import { KIB, MIB } from '../../base/units.ts';
import { O_RDWR } from '../support/loose_user.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

const SIZE = 200 * KIB;

/** `a` is packed, `b` a copy of it that names the same extents. */
function shared(bytes = pattern(SIZE)): Fixture {
  const fixture = start();
  fixture.user.put('a', bytes);
  fixture.loose.pack();
  fixture.user.copy('a', 'b');
  expect(fixture.user.layout('b')).toBe('packed');
  expect(placesOf(fixture, 'b')).toEqual(placesOf(fixture, 'a'));
  return fixture;
}

function placesOf({ user }: Fixture, path: string): string {
  return user.getXattr(path, 'user.pacsfs.extents');
}

/** Bytes that the ledger holds to be live, and what a barrier has the workers punch. */
function live({ loose }: Fixture): number {
  return [...loose.data.ledger.rows()].reduce((sum, row) => sum + row.live, 0);
}

function settle({ loose }: Fixture): void {
  loose.barrier();
  loose.work();
  loose.barrier();
}

describe('a copy of a packed file by copy_file_range', () => {
  test('names the same extents; no byte of it is written again', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('a', pattern(SIZE));
    loose.pack();
    const before = live(fixture);
    user.copy('a', 'b');
    expect([live(fixture), placesOf(fixture, 'b')]).toEqual([before, placesOf(fixture, 'a')]);
    expect(loose.jobs).toEqual([]);
    expect(same(user.read('b'), pattern(SIZE))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of a copy of a copy, and of many at once', () => {
    const fixture = shared();
    const { loose, user } = fixture;
    user.copy('b', 'c');
    user.copy('c', 'd');
    expect(loose.damageNow()).toEqual([]);
    for (const name of ['b', 'a', 'd']) {
      user.remove(name);
      settle(fixture);
      expect(same(user.read('c'), pattern(SIZE))).toBe(true);
    }
    expect(live(fixture)).toBe(SIZE);
    user.remove('c');
    settle(fixture);
    expect(live(fixture)).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of two files one behind the other', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('a', pattern(SIZE, 1));
    user.put('b', pattern(SIZE, 2));
    loose.pack();
    const [a, b, both] = [user.open('a'), user.open('b'), user.create('both')];
    user.copyRange(a, both, { length: SIZE });
    user.copyRange(b, both, { to: SIZE, length: SIZE });
    for (const file of [a, b, both]) user.close(file);
    expect([user.layout('both'), live(fixture)]).toEqual(['packed', 2 * SIZE]);
    user.remove('a');
    user.remove('b');
    settle(fixture);
    const expected = Buffer.concat([pattern(SIZE, 1), pattern(SIZE, 2)]);
    expect(same(user.read('both'), expected)).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of part of a file: the whole range stays alive', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('a', pattern(SIZE));
    loose.pack();
    const [a, part] = [user.open('a'), user.create('part')];
    user.copyRange(a, part, { from: 70_001, length: 1_000 });
    user.close(part);
    user.close(a);
    user.remove('a');
    settle(fixture);
    expect([user.layout('part'), live(fixture)]).toEqual(['packed', SIZE]);
    expect(same(user.read('part'), pattern(SIZE).subarray(70_001, 71_001))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of a file of more than one segment', () => {
    const fixture = start();
    const { loose, user } = fixture;
    user.put('first', pattern(3 * MIB));
    user.put('large', pattern(5 * MIB, 2));
    loose.pack();
    user.copy('large', 'copy');
    expect(placesOf(fixture, 'copy')).toBe(placesOf(fixture, 'large'));
    user.remove('large');
    settle(fixture);
    expect(same(user.read('copy'), pattern(5 * MIB, 2))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('keeps bytes of its own', () => {
  const cases: [string, (fixture: Fixture, copy: { a: OpenPair; b: OpenPair }) => void][] = [
    ['when it is written afterwards', ({ user }, { b }) => user.write(b, 'X', 5)],
    ['when it is written before', ({ user }, { b }) => user.write(b, 'X', SIZE)],
    ['when it has a gap', ({ user }, { a, b }) => void user.copyRange(a, b, { from: 0, to: 2 * SIZE, length: 1_000 })],
    [
      'when it names one range twice',
      ({ user }, { a, b }) => void user.copyRange(a, b, { from: 1_000, to: SIZE, length: 1_000 }),
    ],
    [
      'when it copies over itself',
      ({ user }, { a, b }) => void user.copyRange(a, b, { from: 0, to: 10, length: 1_000 }),
    ],
    ['when it is cut', ({ user }) => void user.truncate('b', 1_000)],
    ['when the source is written meanwhile', ({ user }, { a }) => user.write(a, 'X', 7)],
    ['when the source is emptied meanwhile', ({ user }) => void user.truncate('a', 0)],
    [
      'when the source is deleted meanwhile',
      ({ user, loose }, { a }) => {
        user.close(a);
        user.remove('a');
        loose.barrier();
        loose.work();
      },
    ],
  ];
  for (const [what, act] of cases) {
    test(what, () => {
      const fixture = start();
      const { loose, user } = fixture;
      user.put('a', pattern(SIZE));
      loose.pack();
      const a = user.open('a', O_RDWR);
      const b = user.create('b');
      user.copyRange(a, b, { length: SIZE });
      act(fixture, { a, b });
      const expected = user.read('b');
      if (typeof expected === 'number') throw new Error(`errno ${-expected}`);
      const bytes = Uint8Array.from(expected);
      user.close(b);
      expect(user.layout('b')).toBe('own');
      if (user.exists('a')) user.close(a);
      loose.pack();
      settle(fixture);
      expect(same(user.read('b'), bytes)).toBe(true);
      expect(loose.damageNow()).toEqual([]);
    });
  }

  test('a copy of many small pieces', () => {
    const { loose, user } = start();
    for (let i = 0; i < 70; i++) user.put(`${i}`, pattern(100, i));
    loose.pack();
    const all = user.create('all');
    for (let i = 0; i < 70; i++) {
      const piece = user.open(`${i}`);
      user.copyRange(piece, all, { to: i * 100, length: 100 });
      user.close(piece);
    }
    user.close(all);
    expect(user.layout('all')).toBe('own');
    loose.pack();
    for (let i = 0; i < 70; i++) user.remove(`${i}`);
    loose.pack();
    const bytes = user.read('all');
    for (let i = 0; i < 70; i++)
      expect(typeof bytes !== 'number' && same(bytes.subarray(i * 100, i * 100 + 100), pattern(100, i))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });
});

type OpenPair = { readonly ino: Parameters<Fixture['user']['forget']>[0]; readonly handle: number };

describe('files that share', () => {
  for (const order of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const)
    test(`deleted in the order ${order.join(', ')}`, () => {
      const fixture = shared();
      const { loose, user } = fixture;
      user.remove(order[0]);
      settle(fixture);
      expect(same(user.read(order[1]), pattern(SIZE))).toBe(true);
      expect(live(fixture)).toBe(SIZE);
      user.remove(order[1]);
      settle(fixture);
      expect(live(fixture)).toBe(0);
      expect(loose.damageNow()).toEqual([]);
    });

  test('both deleted within one barrier', () => {
    const fixture = shared();
    fixture.user.remove('a');
    fixture.user.remove('b');
    settle(fixture);
    expect(live(fixture)).toBe(0);
    expect(fixture.loose.damageNow()).toEqual([]);
  });

  test('one cut, then emptied', () => {
    const fixture = shared();
    const { loose, user } = fixture;
    user.truncate('a', 1_000);
    expect(live(fixture)).toBe(SIZE);
    user.remove('b');
    settle(fixture);
    expect(same(user.read('a'), pattern(SIZE).subarray(0, 1_000))).toBe(true);
    expect(live(fixture)).toBe(SIZE);
    user.truncate('a', 0);
    settle(fixture);
    expect(live(fixture)).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });

  test('both written and packed again in one job: what they shared is dead, once', () => {
    const fixture = shared();
    const { loose, user } = fixture;
    for (const name of ['a', 'b']) {
      const file = user.open(name, O_RDWR);
      user.write(file, name, 3);
      user.close(file);
    }
    loose.pack();
    settle(fixture);
    expect(live(fixture)).toBe(2 * SIZE);
    for (const name of ['a', 'b']) {
      const expected = pattern(SIZE);
      expected[3] = name.charCodeAt(0);
      expect([user.layout(name), same(user.read(name), expected)]).toEqual(['packed', true]);
    }
    expect(loose.damageNow()).toEqual([]);
  });

  test('one written, and made a copy of the other again: its range outlives the other', () => {
    const fixture = shared();
    const { loose, user } = fixture;
    const [a, b] = [user.open('a'), user.open('b', O_RDWR)];
    user.write(b, 'X');
    user.filesystem.setAttributes(user.caller, b.ino, { size: 0 });
    user.copyRange(a, b, { length: SIZE });
    user.close(b);
    user.close(a);
    expect(placesOf(fixture, 'b')).toBe(placesOf(fixture, 'a'));
    expect(loose.damageNow()).toEqual([]);
    user.remove('a');
    settle(fixture);
    expect(same(user.read('b'), pattern(SIZE))).toBe(true);
    expect(live(fixture)).toBe(SIZE);
    expect(loose.damageNow()).toEqual([]);
  });

  test('one replaced by the other', () => {
    const fixture = shared();
    const { loose, user } = fixture;
    const { ino } = user.stat('a');
    user.rename('b', 'a');
    user.forget(ino);
    settle(fixture);
    expect(same(user.read('a'), pattern(SIZE))).toBe(true);
    expect(live(fixture)).toBe(SIZE);
    expect(loose.damageNow()).toEqual([]);
  });

  test('after a restart', () => {
    const fixture = shared();
    const { loose, user } = fixture;
    loose.sync();
    loose.crash();
    user.remove('a');
    settle(fixture);
    loose.crash();
    expect(same(user.read('b'), pattern(SIZE))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });
});
