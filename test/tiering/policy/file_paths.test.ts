import { describe, expect, it } from 'vitest';
import type { Ino } from '../../../base/units.ts';
import type { Inode } from '../../../shard/rows.ts';
import { FilePaths } from '../../../tiering/policy/file_paths.ts';

/** ino: parent and name; the position of a name is the number of its inode. */
function pathsOf(rows: Readonly<Record<number, [parent: number, name: string]>>) {
  const inode = (ino: number) => ({ ino, parent: rows[ino]?.[0] ?? 0, position: ino }) as Inode;
  let reads = 0;
  const paths = new FilePaths({
    inode: (ino: Ino) => (ino === 1 || rows[ino] !== undefined ? inode(ino) : undefined),
    nameAt: (dir, position) => {
      reads += 1;
      const row = rows[position];
      return row?.[0] === dir.ino ? new TextEncoder().encode(row[1]) : undefined;
    },
  });
  const of = (ino: number) => {
    const path = paths.of(inode(ino));
    return path && Buffer.from(path).toString();
  };
  return { of, reads: () => reads };
}

describe('paths from rows', () => {
  it('begin at the root, and read each folder once', () => {
    const { of, reads } = pathsOf({ 20: [1, 'a'], 21: [20, 'b'], 30: [21, 'x.dcm'], 31: [21, 'y'], 32: [1, 'z'] });
    expect([of(30), of(31), of(32)]).toEqual(['a/b/x.dcm', 'a/b/y', 'z']);
    expect(reads()).toBe(5);
  });

  it('are none for what has no name, or lies in what cannot be read', () => {
    const { of } = pathsOf({ 30: [0, 'gone'], 31: [99, 'x'], 40: [41, 'a'], 41: [40, 'b'], 42: [40, 'c'] });
    expect([of(30), of(31), of(42)]).toEqual([undefined, undefined, undefined]);
  });
});
