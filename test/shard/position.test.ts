import { describe, expect, it } from 'vitest';
import { E } from '../../base/errno.ts';
import { FIRST_POSITION } from '../../base/units.ts';
import { Placement } from '../../shard/position.ts';
import { TestStore } from './fixture.ts';

/** All names collide but those that begin with a digit, which say their hash themselves. */
function crafted(name: Uint8Array): number {
  const text = Buffer.from(name).toString();
  return /^\d/.test(text) ? Number.parseInt(text, 10) : 77;
}

describe('positions', () => {
  it('are 49 bits of the hash, never below 16, and the same for ever', () => {
    const placement = new Placement(new Uint8Array(16).fill(1));
    for (let i = 0; i < 1000; i++) {
      const base = placement.base(Buffer.from(`name ${i}`));
      expect(base % 16).toBe(0);
      expect(base).toBeGreaterThanOrEqual(FIRST_POSITION);
      expect(base).toBeLessThan(2 ** 53);
    }
    // Stored in every dentry: a change of this number is a change of format.
    expect(placement.base(Buffer.from('1.dcm'))).toBe(1444242459641552);
    expect(new Placement(new Uint8Array(16), () => 0).base(Buffer.from('x'))).toBe(16);
    expect(new Placement(new Uint8Array(16), () => 2 ** 49 - 1).base(Buffer.from('x'))).toBe(2 ** 53 - 16);
  });

  it('refuse names that are no names', () => {
    const placement = new Placement(new Uint8Array(16));
    expect(() => placement.base(new Uint8Array(0))).toThrow(/0 bytes/);
    expect(() => placement.base(new Uint8Array(256))).toThrow(/256 bytes/);
  });
});

describe('names with equal hashes', () => {
  it('get places of their own, up to 16', () => {
    const test = new TestStore({ nameHash: crafted });
    const names = Array.from({ length: 16 }, (_, i) => `same-${i}`);
    const inodes = names.map((name) => test.make(test.root(), name));
    expect(inodes.map((inode) => inode.position)).toEqual(names.map((_, i) => 77 * 16 + i));
    expect(test.store.placeFor(test.root(), Buffer.from('one more'))).toBe(E.ENOSPC);
    for (const [i, name] of names.entries()) {
      expect(test.store.lookup(test.root(), Buffer.from(name))?.ino).toBe(inodes[i]?.ino);
    }
    expect(test.store.findName(test.root(), Buffer.from('one more'))).toBe(E.ENOENT);
  });

  it('reuse the place of one that went, and leave the others where they are', () => {
    const test = new TestStore({ nameHash: crafted });
    for (const name of ['a', 'b', 'c']) test.make(test.root(), name);
    test.unlink(test.root(), 'b');
    expect(test.store.lookup(test.root(), Buffer.from('b'))).toBeUndefined();
    expect(test.make(test.root(), 'd').position).toBe(77 * 16 + 1);
    expect(test.names(test.root())).toEqual(['a', 'd', 'c']);
  });
});

describe('list', () => {
  it('goes in order of positions, from any cookie, in any step', () => {
    const test = new TestStore();
    const root = test.root();
    for (let i = 0; i < 300; i++) test.make(root, `file-${i}`);
    const all = test.store.list(root, 0, 10_000);
    expect(all).toHaveLength(300);
    for (let i = 1; i < all.length; i++) expect(all[i]?.position).toBeGreaterThan(all[i - 1]?.position ?? 0);
    for (const step of [1, 7, 63, 64, 65, 299, 300]) {
      const found = [];
      for (let after = 0; ; ) {
        const part = test.store.list(root, after, step);
        expect(part.length).toBeLessThanOrEqual(step);
        if (part.length === 0) break;
        found.push(...part);
        after = part.at(-1)?.position ?? 0;
      }
      expect(found).toEqual(all);
    }
  });

  it('goes on from the cookie of a name that is gone', () => {
    const test = new TestStore({ nameHash: crafted });
    for (const name of ['10', '20', '30', '40']) test.make(test.root(), name);
    const [first] = test.store.list(test.root(), 0, 1);
    test.unlink(test.root(), '10');
    test.make(test.root(), '05');
    test.make(test.root(), '25');
    const rest = test.store.list(test.root(), first?.position ?? 0, 100);
    expect(rest.map((dentry) => Buffer.from(dentry.name).toString())).toEqual(['20', '25', '30', '40']);
  });

  it('ends at the last position there is', () => {
    const test = new TestStore({ nameHash: () => 2 ** 49 - 1 });
    for (let i = 0; i < 16; i++) test.make(test.root(), `n${i}`);
    expect(test.names(test.root())).toHaveLength(16);
    expect(test.store.list(test.root(), 2 ** 53 - 1, 10)).toEqual([]);
    expect(test.store.list(test.root(), 2 ** 53 - 2, 10)).toHaveLength(1);
  });
});
