/**
 * The bytes of regular files: how a change begins (every change lands in an own file), and how a file settles when its
 * last handle is closed. Reading is in operations/files.ts.
 */
import type { BackingFile } from '../base/backing.ts';
import { E, type Errno, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { Extent } from '../base/layout.ts';
import { compareTimes, type Timespec } from '../base/time.ts';
import type { Ino } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, FLAG_XATTRS, type Inode } from '../shard/rows.ts';
import { type Core, isUnsettled, later, type NewOwn, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP } from './core.ts';
import { type LiveFile, startLive } from './live_files.ts';

const CAPABILITY = new TextEncoder().encode('security.capability');

export interface Change {
  readonly inode: Inode;
  readonly live: LiveFile;
  readonly file: BackingFile;
}

/** Size of a regular file now. */
export function currentSize(core: Core, inode: Inode): number {
  return core.unsettled(inode)?.size ?? inode.size;
}

/**
 * Makes a file ready for a change of its bytes: a packed one is copied out into an own file, a settled own file is
 * marked unsettled. The record that says so is written before the first byte changes.
 */
export function beginChange(core: Core, inode: Inode): Result<Change> {
  const refused = core.refusal();
  if (refused !== undefined) return refused;
  if ((inode.mode & S_IFMT) !== S_IFREG) return E.EINVAL;
  let row = inode;
  if (row.layout === 'packed') {
    const copied = copyOut(core, row);
    if (isErrno(copied)) return copied;
    row = copied;
  } else if (!isUnsettled(row)) {
    const marked = markUnsettled(core, row);
    if (isErrno(marked)) return marked;
    row = marked;
  }
  if (row.own === undefined) return E.EINVAL;
  const file = core.data.openOwn(row.own);
  if (isErrno(file)) return lost(core, row, file);
  const live = core.unsettled(row);
  return live === undefined ? E.EIO : { inode: row, live, file };
}

/** Notes that bytes changed; `end` is where the change ended, for changes that may lengthen the file. */
export function noteChange(live: LiveFile, end: number): void {
  live.size = Math.max(live.size ?? 0, end);
  live.isStale = true;
  live.version += 1;
  live.changes += 1;
  live.unflushed = true;
  live.copied = undefined;
}

/**
 * Whoever changes a file takes setuid, setgid and file capabilities from it: the bits when the kernel says so (the writer
 * has no CAP_FSETID), capabilities always. Source: FUSE_HANDLE_KILLPRIV_V2 in the kernel's uapi header.
 */
export function dropPrivileges(core: Core, inode: Inode, options: { readonly bits: boolean }): Inode {
  const mode = options.bits ? withoutPrivileges(inode.mode) : inode.mode;
  const capability = (inode.flags & FLAG_XATTRS) !== 0 && core.namespace.xattr(inode.ino, CAPABILITY) !== undefined;
  if (mode === inode.mode && !capability) return inode;
  const record = core.namespace.begin();
  const isLast = capability && core.namespace.xattrNames(inode.ino).length === 1;
  const flags = isLast ? inode.flags & ~FLAG_XATTRS : inode.flags;
  const row = { ...inode, mode, flags, ctime: core.now() };
  if (capability) record.deleteXattr(inode.ino, CAPABILITY);
  core.put(record, row);
  core.commit(record);
  return row;
}

/** The mode without setuid, and without setgid where it means "run as this group". */
export function withoutPrivileges(mode: number): number {
  const kept = mode & ~S_ISUID;
  return (kept & S_IXGRP) !== 0 ? kept & ~S_ISGID : kept;
}

/** Gives an inode a new, empty own file; whatever it had before is let go. */
export function replaceByEmpty(core: Core, inode: Inode): Result<Inode> {
  const made = core.newOwn();
  if (isErrno(made)) return made;
  const time = timeAfter(core, inode, made);
  const record = core.namespace.begin();
  releaseContents(core, record, inode);
  const row: Inode = {
    ...inode,
    layout: 'own',
    own: made.name,
    extents: [],
    second: [],
    size: 0,
    mtime: time,
    ctime: later(time, inode.ctime),
    flags: (inode.flags & ~(FLAG_FLUSHED | FLAG_COPY)) | FLAG_UNSETTLED,
  };
  const live = core.live.of(row);
  startLive(live, row, { isNew: true });
  live.copied = [];
  core.completes(record, row.ino);
  core.put(record, row);
  core.commit(record);
  return row;
}

/** The host gives new files the time of its last clock tick, which may lie before what the inode shows by now. */
function timeAfter(core: Core, inode: Inode, made: NewOwn): Timespec {
  const shown = core.attributes(inode);
  if (compareTimes(made.time, shown.mtime) > 0 && compareTimes(made.time, shown.ctime) > 0) return made.time;
  const now = core.now();
  const file = core.data.openOwn(made.name);
  return isErrno(file) || file.setModified(now) < 0 ? made.time : now;
}

/**
 * Lets go of all bytes of an inode within a record: extents lose a name, an own file is unlinked once the record is
 * behind a barrier.
 */
export function releaseContents(core: Core, record: Record, inode: Inode): void {
  releaseExtents(core, record, inode.ino, { dropped: [...inode.extents, ...inode.second], kept: [] });
  if (inode.own !== undefined) core.data.unlinkOwnLater(inode.own);
}

/** An inode names the dropped extents no longer. Ranges that it keeps, or that others share, stay alive. */
export function releaseExtents(
  core: Core,
  record: Record,
  ino: Ino,
  extents: { readonly dropped: readonly Extent[]; readonly kept: readonly Extent[] },
): void {
  const { dropped, kept } = extents;
  if (dropped.length === 0) return;
  core.data.ledger.release(dropped, {
    kept,
    stillShared: ({ aggregate, rangeStart }) => {
      record.deleteSharer(aggregate, rangeStart, ino);
      // One record may let go of the same range for several inodes.
      const sharers = core.namespace.sharers(aggregate, rangeStart);
      return sharers.some((other) => !record.dropsSharer(aggregate, rangeStart, other));
    },
  });
}

/**
 * Order of durability: the own file's bytes and time are with the host before the row names it. Until it is flushed
 * the extents stay as the copy that holds after power loss, so bytes that were once durable are never let go too early.
 */
function copyOut(core: Core, inode: Inode): Result<Inode> {
  const made = core.newOwn();
  if (isErrno(made)) return made;
  const file = core.data.openOwn(made.name);
  let copied = isErrno(file) ? -file.number : core.data.copyOut(inode.extents, inode.size, file);
  if (copied >= 0 && !isErrno(file)) copied = file.setModified(inode.mtime);
  if (copied < 0) {
    // No row has ever named it, and its space is wanted now.
    core.data.removeOwn(made.name);
    return errnoOf(-copied);
  }
  const record = core.namespace.begin();
  // One that is nothing but holes has a size to keep.
  const hasCopy = inode.size > 0;
  const row: Inode = {
    ...inode,
    layout: 'own',
    own: made.name,
    extents: [],
    second: inode.extents,
    flags: (inode.flags & ~FLAG_FLUSHED) | FLAG_UNSETTLED | (hasCopy ? FLAG_COPY : 0),
  };
  releaseExtents(core, record, inode.ino, { dropped: inode.second, kept: inode.extents });
  core.put(record, row);
  core.commit(record);
  return row;
}

/** From the record on the own file tells the time of the last write: it is told first. */
export function markUnsettled(core: Core, inode: Inode): Result<Inode> {
  const file = inode.own === undefined ? E.EINVAL : core.data.openOwn(inode.own);
  if (isErrno(file)) return lost(core, inode, file);
  const told = file.setModified(inode.mtime);
  if (told < 0) return errnoOf(-told);
  const record = core.namespace.begin();
  const row = { ...inode, flags: inode.flags | FLAG_UNSETTLED };
  core.put(record, row);
  core.commit(record);
  core.packer.cancel(inode.ino);
  return row;
}

function lost(core: Core, inode: Inode, why: Errno): Errno {
  const { ino, own } = inode;
  core.log.error({ ino, own, errno: why.name }, 'Cannot open the own file of an inode');
  return why === E.ENOENT ? E.EIO : why;
}
