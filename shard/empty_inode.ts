/** What a row starts from where no request makes it. */
import type { Timespec } from '../base/time.ts';
import { type Ino, type Lsn, ROOT_INO } from '../base/units.ts';
import type { Inode } from './rows.ts';

/** A row of root's without bytes, xattrs and partitions, named once; `mode` with its file type. */
export function emptyInode(ino: Ino, mode: number, now: Timespec): Inode {
  return {
    ino,
    mode,
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
    generation: 0,
    layout: 'none',
    own: undefined,
    extents: [],
    second: [],
    parent: ROOT_INO,
    position: 0,
    project: 0,
    retainUntilSec: 0,
    holds: 0,
    lsn: 0 as Lsn,
    partitions: new Uint8Array(0),
  };
}
