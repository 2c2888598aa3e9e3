/** A record that is longer than a segment goes there in pieces: a disk that fills up between two of them. */
import { describe, expect, it } from 'vitest';
import { E } from '../../../base/errno.ts';
import { PosixBacking } from '../../../base/posix_backing.ts';
import { ShardFailure } from '../../../shard/store.ts';
import { FaultBacking, type FaultKind } from '../../support/fault_backing.ts';
import { TestStore } from '../fixture.ts';

/** Of 60,000 bytes each: over two segments of 256 KiB. */
const ATTRIBUTES = 12;

function values(test: TestStore): string[] {
  const file = test.store.lookup(test.root(), Buffer.from('before'));
  return file === undefined ? [] : test.store.xattrNames(file.ino).map((name) => Buffer.from(name).toString());
}

/** Gives the file all its attributes in one record; whether that was acknowledged. */
function change(test: TestStore): boolean {
  const file = test.store.lookup(test.root(), Buffer.from('before'))?.ino;
  if (file === undefined) throw new Error('No file');
  const record = test.store.begin();
  for (let i = 0; i < ATTRIBUTES; i++) record.putXattr(file, Buffer.from(`user.${i}`), Buffer.alloc(60_000, i + 1));
  try {
    test.store.commit(record);
    return true;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ShardFailure);
    return false;
  }
}

describe('a record of several pieces', () => {
  for (const { kind, times, partial } of [
    { kind: 'write', times: 1, partial: 0 },
    { kind: 'write', times: 1, partial: 0.5 },
    { kind: 'create', times: 1, partial: 0 },
    { kind: 'write', times: 1_000, partial: 0 },
    { kind: 'create', times: 1_000, partial: 0 },
  ] as const satisfies { kind: FaultKind; times: number; partial: number }[])
    it(`that finds no room at any ${kind}, ${times} times (${partial}), is there wholly or not at all`, () => {
      const outcomes = new Set<boolean>();
      for (let after = 0, hasMet = true; hasMet; after++) {
        const backing = new FaultBacking(new PosixBacking());
        const test = new TestStore({ shardCount: 1, backing, bootId: 'boot' });
        test.store.raiseStart();
        test.make(test.root(), 'before');
        const calls = () => backing.calls.get(kind) ?? 0;
        const begin = calls();
        backing.arm({ kind, error: E.ENOSPC, path: 'journal', after, times, partial });
        const isDone = change(test);
        hasMet = calls() - begin > after;
        backing.disarm();
        outcomes.add(isDone);
        // Room that comes back while it is looked for is used.
        expect([after, isDone]).toEqual([after, times === 1 || !hasMet]);
        expect(test.store.broken).toBeUndefined();
        if (isDone) test.make(test.root(), 'behind');
        test.reopen();
        expect([after, test.store.broken]).toEqual([after, undefined]);
        const names = ['before', ...(isDone ? ['behind'] : [])];
        expect(test.names(test.root()).sort()).toEqual(names);
        expect([after, values(test).length]).toEqual([after, isDone ? ATTRIBUTES : 0]);
        // The journal goes on.
        test.store.raiseStart();
        expect(change(test)).toBe(true);
        test.reopen();
        expect(values(test)).toHaveLength(ATTRIBUTES);
      }
      expect(outcomes.has(true)).toBe(true);
      expect(outcomes.has(false)).toBe(times > 1);
    });
});
