/** The row of a directory that fsck makes. */
import type { Timespec } from '../../base/time.ts';
import type { Ino, Lsn } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';
import { SINGLE_PARTITION } from '../../shard/store.ts';

/** The row of an empty directory of root's. */
export function newDirectory(
  of: { readonly ino: Ino; readonly mode: number; readonly parent: Ino; readonly position?: number },
  at: { readonly now: Timespec; readonly generation: number },
): Inode {
  const { now, generation } = at;
  return {
    ino: of.ino,
    mode: of.mode,
    uid: 0,
    gid: 0,
    nlink: 1,
    size: 0,
    atime: now,
    mtime: now,
    ctime: now,
    btime: now,
    rdev: 0,
    flags: 0,
    generation,
    layout: 'none',
    own: undefined,
    extents: [],
    second: [],
    parent: of.parent,
    position: of.position ?? 0,
    project: 0,
    retainUntilSec: 0,
    holds: 0,
    lsn: 0 as Lsn,
    partitions: SINGLE_PARTITION,
  };
}
