/**
 * The bytes of regular files: how a change begins (every change lands in an own file), and how a file settles when its
 * last handle is closed. Reading is in operations/files.ts.
 */
import type { BackingFile } from '../base/backing.ts';
import { E, type Errno, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { Extent } from '../base/layout.ts';
import type { Ino } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, FLAG_XATTRS, type Inode } from '../shard/rows.ts';
import { type Core, isUnsettled, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP } from './core.ts';
import type { LiveFile } from './live_files.ts';

const CAPABILITY = new TextEncoder().encode('security.capability');

export interface Change {
  readonly inode: Inode;
  readonly live: LiveFile;
  readonly file: BackingFile;
}

/** Size of a regular file now. */
export function currentSize(core: Core, inode: Inode): number {
  return core.live.find(inode.ino)?.size ?? inode.size;
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
    row = markUnsettled(core, row);
  }
  if (row.own === undefined) return E.EINVAL;
  const file = core.data.openOwn(row.own);
  if (isErrno(file)) return lost(core, row, file);
  const live = core.live.of(row);
  if (live.size === undefined) startLive(live, row);
  return { inode: row, live, file };
}

/** Notes that bytes changed; `end` is where the change ended, for changes that may lengthen the file. */
export function noteChange(core: Core, live: LiveFile, end: number): void {
  const now = core.now();
  live.size = Math.max(live.size ?? 0, end);
  live.mtime = now;
  live.ctime = now;
  live.version += 1;
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
  const now = core.now();
  const record = core.namespace.begin();
  releaseContents(core, record, inode);
  const row: Inode = {
    ...inode,
    layout: 'own',
    own: made.name,
    extents: [],
    second: [],
    size: 0,
    mtime: now,
    ctime: now,
    flags: (inode.flags & ~(FLAG_FLUSHED | FLAG_COPY)) | FLAG_UNSETTLED,
  };
  const live = core.live.of(row);
  startLive(live, row);
  live.copied = [];
  core.put(record, row);
  core.commit(record);
  return row;
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

export function startLive(live: LiveFile, row: Inode): void {
  live.size = row.size;
  live.mtime = row.mtime;
  live.ctime = row.ctime;
  live.version += 1;
  live.unflushed = false;
  live.copied = undefined;
}

/**
 * Order of durability: the own file's bytes are in the host's page cache before the row names it. Until it is flushed
 * the extents stay as the copy that holds after power loss, so bytes that were once durable are never let go too early.
 */
function copyOut(core: Core, inode: Inode): Result<Inode> {
  const made = core.newOwn();
  if (isErrno(made)) return made;
  const copied = core.data.copyOut(inode.extents, inode.size, made.file);
  if (copied < 0) {
    // No row has ever named it, and its space is wanted now.
    core.data.removeOwn(made.name);
    return errnoOf(-copied);
  }
  const record = core.namespace.begin();
  const hasCopy = inode.extents.length > 0;
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

function markUnsettled(core: Core, inode: Inode): Inode {
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
