/** How names are made and taken away: the dentry, and the counts of the partition it lies in, in one record. */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Timespec } from '../base/time.ts';
import type { Ino } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import { type Dentry, DT_DIR, type Inode } from '../shard/rows.ts';
import { type Core, NAME_MAX } from './core.ts';

export interface Place {
  readonly parent: Ino;
  readonly name: Uint8Array;
}

/** A directory and a name in it that is free. */
export interface FreePlace {
  readonly dir: Inode;
  readonly name: Uint8Array;
  readonly position: Dentry['position'];
}

/** Finds the dentry of a name, or ENOENT. */
export function findName(core: Core, dir: Inode, name: Uint8Array): Result<Dentry> {
  if (name.length > NAME_MAX) return E.ENAMETOOLONG;
  return core.namespace.lookup(dir, name) ?? E.ENOENT;
}

/** Checks that a new name may be made here: the directory takes names and the name is not there. */
export function freePlace(core: Core, at: Place): Result<FreePlace> {
  const dir = core.writableDirectory(at.parent);
  if (isErrno(dir)) return dir;
  if (at.name.length > NAME_MAX) return E.ENAMETOOLONG;
  if (core.namespace.lookup(dir, at.name) !== undefined) return E.EEXIST;
  if (core.namespace.low()) return E.ENOSPC;
  const position = core.namespace.placeFor(dir, at.name);
  if (isErrno(position)) return position;
  return { dir, name: at.name, position };
}

/** Puts a dentry into a record, with the directory's counts and times. */
export function addName(record: Record, dir: Inode, dentry: Dentry, now: Timespec): void {
  record.putDentry(dir, dentry);
  const directories = dentry.type === DT_DIR ? 1 : 0;
  record.touchDirectory(dir, { entries: 1, directories, now, position: dentry.position });
}

export function removeName(record: Record, dir: Inode, dentry: Dentry, now: Timespec): void {
  record.deleteDentry(dir, dentry);
  const directories = dentry.type === DT_DIR ? -1 : 0;
  record.touchDirectory(dir, { entries: -1, directories, now, position: dentry.position });
}
