/** GETATTR and SETATTR. */

import { E, type Errno, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import type { Extent } from '../../base/layout.ts';
import type { Ino } from '../../base/units.ts';
import type { Record } from '../../shard/record.ts';
import { FLAG_ACL_ACCESS, type Inode } from '../../shard/rows.ts';
import { chmodAcl, parseAcl, serialiseAcl } from '../acl.ts';
import { beginChange, dropPrivileges, noteChange, releaseExtents, withoutPrivileges } from '../contents.ts';
import { type Core, MAX_FILE_SIZE, PERMISSION_BITS, S_IFDIR, S_IFMT, S_IFREG } from '../core.ts';
import { mentionAgain } from '../mention_again.ts';
import { settle } from '../settle.ts';
import type { AttributeChanges, AttributesReply, Caller } from '../types.ts';
import { ACL_ACCESS } from './xattrs.ts';

export function getAttributes(core: Core, ino: Ino): Result<AttributesReply> {
  const inode = core.inode(ino);
  return isErrno(inode) ? inode : core.attributesReply(inode);
}

export function setAttributes(
  core: Core,
  _caller: Caller,
  ino: Ino,
  changes: AttributeChanges,
): Result<AttributesReply> {
  const refused = core.refusal();
  if (refused !== undefined) return refused;
  let inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  if (changes.size !== undefined) {
    const done = truncate(core, inode, changes.size);
    if (isErrno(done)) return done;
    inode = dropPrivileges(core, done, { bits: changes.killPrivileges === true });
  }
  const row = changeRow(core, inode, changes);
  return isErrno(row) ? row : core.attributesReply(row);
}

/** Sets the size of a regular file; a packed one is only cut, no byte is copied. */
export function truncate(core: Core, inode: Inode, size: number): Result<Inode> {
  if ((inode.mode & S_IFMT) === S_IFDIR) return E.EISDIR;
  if ((inode.mode & S_IFMT) !== S_IFREG) return E.EINVAL;
  if (size > MAX_FILE_SIZE) return E.EFBIG;
  if (inode.layout === 'packed') return cutPacked(core, inode, size);
  const change = beginChange(core, inode);
  if (isErrno(change)) return change;
  const { live } = change;
  // No handle for writing need be open: a packing of the old contents may be under way.
  core.packer.cancel(inode.ino);
  const done = change.file.truncate(size);
  if (done >= 0) {
    noteChange(live, 0);
    live.size = size;
    if (size === 0) live.copied = [];
  }
  // Without a handle no RELEASE will come: the file settles here, changed or not.
  if (live.handles === 0) settle(core, live);
  return done < 0 ? errnoOf(-done) : (core.namespace.inode(inode.ino) ?? change.inode);
}

/** Everything but the size, in one record; of an unsettled file the own file is told its time too, for it is believed. */
function changeRow(core: Core, inode: Inode, changes: AttributeChanges): Result<Inode> {
  const now = core.now();
  const time = (value: AttributeChanges['atime']) => (value === 'now' ? now : value);
  const mode = newMode(inode, changes);
  const isOwnerChange = changes.uid !== undefined || changes.gid !== undefined;
  const touched =
    isOwnerChange || mode !== undefined || changes.atime !== undefined || changes.mtime !== undefined || changes.ctime;
  if (!touched) return core.namespace.inode(inode.ino) ?? inode;
  const clean = isOwnerChange ? dropPrivileges(core, inode, { bits: false }) : inode;
  const base = (clean.mode & S_IFMT) === S_IFDIR ? core.withTotals(clean) : clean;
  if (changes.atime !== undefined) core.overruleAccess(inode.ino);
  const row: Inode = {
    ...base,
    mode: mode ?? base.mode,
    uid: changes.uid ?? base.uid,
    gid: changes.gid ?? base.gid,
    atime: time(changes.atime) ?? base.atime,
    mtime: time(changes.mtime) ?? base.mtime,
    ctime: changes.ctime ?? now,
  };
  if (changes.mtime !== undefined) {
    const told = tellModified(core, row);
    if (told !== undefined) return told;
  }
  const record = core.namespace.begin();
  if (changes.mode !== undefined) followMode(core, record, row);
  core.put(record, row);
  core.commit(record);
  if (isOwnerChange || mode !== undefined || changes.mtime !== undefined) mentionAgain(core, row);
  // The stored row has its record's LSN, by which the times of directories are chosen.
  return core.namespace.inode(row.ino) ?? row;
}

function tellModified(core: Core, row: Inode): Errno | undefined {
  const live = core.unsettled(row);
  if (live === undefined || row.own === undefined) return undefined;
  const file = core.data.openOwn(row.own);
  if (isErrno(file)) return file;
  const told = file.setModified(row.mtime);
  live.isStale = true;
  return told < 0 ? errnoOf(-told) : undefined;
}

/** chown(2) drops setuid and setgid of everything but directories, whoever calls it. */
function newMode(inode: Inode, changes: AttributeChanges): number | undefined {
  const type = inode.mode & S_IFMT;
  if (changes.mode !== undefined) return type | (changes.mode & PERMISSION_BITS);
  const isOwnerChange = changes.uid !== undefined || changes.gid !== undefined;
  if (type === S_IFDIR || (!isOwnerChange && changes.killPrivileges !== true)) return undefined;
  const kept = withoutPrivileges(inode.mode);
  return kept === inode.mode ? undefined : kept;
}

/** An access ACL says the same as the mode: chmod changes both. Source: posix_acl_chmod in the kernel. */
function followMode(core: Core, record: Record, row: Inode): void {
  if ((row.flags & FLAG_ACL_ACCESS) === 0) return;
  const stored = core.namespace.xattr(row.ino, ACL_ACCESS);
  const acl = stored === undefined ? undefined : parseAcl(stored);
  if (acl === undefined || isErrno(acl)) return;
  record.putXattr(row.ino, ACL_ACCESS, serialiseAcl(chmodAcl(acl, row.mode)));
}

function cutPacked(core: Core, inode: Inode, size: number): Result<Inode> {
  const kept: Extent[] = [];
  const dropped: Extent[] = [];
  for (const extent of inode.extents) {
    if (extent.fileOffset >= size) dropped.push(extent);
    else if (extent.fileOffset + extent.length <= size) kept.push(extent);
    else kept.push({ ...extent, length: size - extent.fileOffset });
  }
  const now = core.now();
  const record = core.namespace.begin();
  releaseExtents(core, record, inode.ino, { dropped, kept });
  const row = { ...inode, extents: kept, size, mtime: now, ctime: now };
  core.put(record, row);
  core.commit(record);
  return row;
}
