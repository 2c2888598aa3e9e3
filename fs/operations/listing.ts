/** READDIR and READDIRPLUS: no state but the cookie, which is the position of the last entry that was taken. */
import { isErrno, type Result } from '../../base/errno.ts';
import { FIRST_POSITION, ROOT_INO } from '../../base/units.ts';
import { DT_DIR, type Inode } from '../../shard/rows.ts';
import type { Core } from '../core.ts';
import type { DirectoryRequest, ListedEntry } from '../types.ts';

/** Entries fetched at a time: a few more than fit the kernel's usual 4 KiB. */
const SLICE = 64;
/** So long inodes are fetched for one READDIRPLUS: the rest is asked for again. */
const PLUS_MS = 2;
const DOT = new TextEncoder().encode('.');
const DOT_DOT = new TextEncoder().encode('..');
/** Cookies of `.` and `..`; names begin at FIRST_POSITION. */
const AFTER_DOT = 1;
const AFTER_DOT_DOT = 2;

export function listDirectory(
  core: Core,
  request: DirectoryRequest & { readonly plus: boolean },
  take: (entry: ListedEntry) => boolean,
): Result<void> {
  const dir = core.directory(request.ino);
  if (isErrno(dir)) return dir;
  if (request.cookie === 0) core.noteAccess(dir, core.namespace.totals(dir));
  if (dir.nlink === 0) return;
  if (!takeDots(dir, request.cookie, take)) return;
  let after = Math.max(request.cookie, FIRST_POSITION - 1);
  const plusEndMs = request.plus ? core.clock.monotonicMs() + PLUS_MS : Number.POSITIVE_INFINITY;
  for (;;) {
    const slice = core.namespace.readList(dir, after, SLICE);
    if (isErrno(slice)) return slice;
    for (const dentry of slice) {
      const { name, ino, type, position } = dentry;
      const inode = request.plus ? core.namespace.inode(ino) : undefined;
      const entry = inode === undefined ? undefined : core.entry(inode);
      if (!take({ name, ino, type, cookie: position, entry })) return;
      after = position;
      // Each inode may be a page from the disk: nobody else is to wait for a hundred of them, the first entry least.
      if (request.plus && core.clock.monotonicMs() > plusEndMs) return;
    }
    if (slice.length < SLICE) return;
  }
}

function takeDots(dir: Inode, cookie: number, take: (entry: ListedEntry) => boolean): boolean {
  if (cookie < AFTER_DOT) {
    if (!take({ name: DOT, ino: dir.ino, type: DT_DIR, cookie: AFTER_DOT, entry: undefined })) return false;
  }
  if (cookie < AFTER_DOT_DOT) {
    const parent = dir.ino === ROOT_INO ? ROOT_INO : dir.parent;
    if (!take({ name: DOT_DOT, ino: parent, type: DT_DIR, cookie: AFTER_DOT_DOT, entry: undefined })) return false;
  }
  return true;
}
