/** Open, read, write and what else works on the bytes of a file. */
import type { BackingFile } from '../../base/backing.ts';
import { E, type Errno, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE } from '../../base/libc.ts';
import type { Ino } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';
import { beginChange, type Change, currentSize, dropPrivileges, noteChange, replaceByEmpty } from '../contents.ts';
import { type Core, MAX_FILE_SIZE, S_IFDIR, S_IFMT, S_IFREG } from '../core.ts';
import { settle } from '../settle.ts';
import { extentsOfRange, noteCopied } from '../sharing.ts';
import {
  type Caller,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  type OpenReply,
  type ReadRequest,
  type WriteRequest,
} from '../types.ts';
import { truncate } from './attributes.ts';
import { reclaimOrphan } from './remove.ts';

const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_TRUNC = 0o1000;
const O_NOATIME = 0o1000000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Bytes that one COPY_FILE_RANGE copies at most, so that others are not kept waiting; callers ask again. */
const COPY_AT_MOST = 8 * 1024 * 1024;
const COPY_BUFFER = 1024 * 1024;

export function open(core: Core, caller: Caller, ino: Ino, flags: number): Result<OpenReply> {
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  const type = inode.mode & S_IFMT;
  if (type === S_IFDIR) return E.EISDIR;
  if (type !== S_IFREG) return E.ENXIO;
  // O_TRUNC counts with O_RDONLY too: the kernel has checked the permission to write, and leaves the rest to OPEN.
  const truncates = (flags & O_TRUNC) !== 0;
  const refused = truncates || (flags & O_ACCMODE) !== O_RDONLY ? core.refusal() : undefined;
  if (refused !== undefined) return refused;
  if (truncates) {
    const failed = truncateAtOpen(core, caller, inode);
    if (failed !== undefined) return failed;
  }
  if (!core.options.readOnly) core.data.noteRead(inode.extents);
  return countOpen(core, inode, flags);
}

/** Counts a handle and makes the answer to OPEN or CREATE. The handle is the open flags: nothing to lose in a restart. */
export function countOpen(core: Core, inode: Inode, flags: number): OpenReply {
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  const live = core.live.of(inode);
  live.handles += 1;
  live.forgotten = false;
  if (writes) {
    live.writers += 1;
    live.version += 1;
    core.packer.cancel(inode.ino);
  }
  // A read from the page cache tells nobody: where relatime would note an access, the next read has to come here.
  const keep = core.wantsAccess(inode, live.size === undefined ? inode : live) ? 0 : FOPEN_KEEP_CACHE;
  return { handle: flags & 0x7fffffff, openFlags: keep | FOPEN_NOFLUSH };
}

export function release(core: Core, ino: Ino, handle: number): void {
  const live = core.live.find(ino);
  if (live === undefined || live.handles === 0) return;
  live.handles -= 1;
  if ((handle & O_ACCMODE) !== O_RDONLY) live.writers -= 1;
  if (live.handles > 0) return;
  settle(core, live);
  core.live.dropIfIdle(live);
  if (live.forgotten) reclaimOrphan(core, ino);
}

export function read(core: Core, request: ReadRequest, into: Uint8Array): number {
  const inode = core.inode(request.ino);
  if (isErrno(inode)) return -inode.number;
  const live = core.live.find(inode.ino);
  const size = live?.size ?? inode.size;
  const length = Math.min(into.length, size - request.offset);
  if (length <= 0) return 0;
  const target = length === into.length ? into : into.subarray(0, length);
  if ((request.handle & O_NOATIME) === 0) core.noteAccess(inode, live?.size === undefined ? inode : live);
  if (inode.own === undefined) return core.data.read(inode.extents, { offset: request.offset, length, size }, target);
  const file = core.data.openOwn(inode.own);
  if (isErrno(file)) return lostBytes(core, inode, file.name);
  const count = file.read(target, request.offset);
  // A file shorter than its row says has lost bytes: say so, rather than show an end that is not there.
  return count >= 0 && count < length ? lostBytes(core, inode, 'short') : count;
}

export function write(core: Core, request: WriteRequest, from: Uint8Array): number {
  const inode = core.inode(request.ino);
  if (isErrno(inode)) return -inode.number;
  const end = request.offset + from.length;
  if (end > MAX_FILE_SIZE) return -E.EFBIG.number;
  if (from.length === 0) return 0;
  if (!mayGrow(core, inode, end)) return -E.ENOSPC.number;
  const change = beginChange(core, inode);
  if (isErrno(change)) return -change.number;
  const { live, file } = change;
  const before = live.size ?? 0;
  const count = file.write(from, request.offset);
  if (count < 0) {
    undoGrowth(core, change, before);
    // Bytes that were there before may have been overwritten.
    if (request.offset < before) noteChange(core, live, 0);
    return count;
  }
  noteChange(core, live, end);
  dropPrivileges(core, change.inode, { bits: request.killPrivileges });
  return count;
}

/** The last room is for the rows: neither copies out of aggregates nor longer files may take it. */
function mayGrow(core: Core, inode: Inode, end: number): boolean {
  return (inode.layout === 'own' && end <= currentSize(core, inode)) || !core.namespace.critical();
}

/** What failed may have lengthened the own file; that must not show when the file grows later. */
function undoGrowth(core: Core, { inode, file }: Change, size: number): void {
  const stat = file.stat();
  if (!isErrno(stat) && stat.size === size) return;
  if (file.truncate(size) < 0) core.markBroken(`Cannot cut the own file of inode ${inode.ino} back to its size`);
}

export function allocate(core: Core, request: ReadRequest, range: { mode: number; length: number }): Result<void> {
  const { mode, length } = range;
  const punch = (mode & FALLOC_PUNCH_HOLE) !== 0;
  const keepSize = (mode & FALLOC_KEEP_SIZE) !== 0;
  if ((mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) !== 0) return E.EOPNOTSUPP;
  if (punch && !keepSize) return E.EOPNOTSUPP;
  if (length <= 0) return E.EINVAL;
  const inode = core.inode(request.ino);
  if (isErrno(inode)) return inode;
  const end = request.offset + length;
  if (end > MAX_FILE_SIZE) return E.EFBIG;
  if (!punch && core.namespace.critical()) return E.ENOSPC;
  const change = beginChange(core, inode);
  if (isErrno(change)) return change;
  const before = change.live.size ?? 0;
  const done = change.file.allocate(mode, { offset: request.offset, length });
  if (done < 0) {
    undoGrowth(core, change, before);
    if ((mode & ~FALLOC_KEEP_SIZE) !== 0) noteChange(core, change.live, 0);
    return errnoOf(-done);
  }
  noteChange(core, change.live, keepSize ? 0 : end);
  dropPrivileges(core, change.inode, { bits: false });
}

export function seek(core: Core, request: ReadRequest, whence: number): number {
  const inode = core.inode(request.ino);
  if (isErrno(inode)) return -inode.number;
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -E.EINVAL.number;
  const size = currentSize(core, inode);
  if (request.offset < 0 || request.offset >= size) return -E.ENXIO.number;
  if (inode.own !== undefined) {
    const file = core.data.openOwn(inode.own);
    if (isErrno(file)) return -E.EIO.number;
    const found = file.seek(request.offset, whence === SEEK_DATA ? 'data' : 'hole');
    return found > size ? (whence === SEEK_DATA ? -E.ENXIO.number : size) : found;
  }
  return seekExtents(inode, request.offset, whence);
}

function seekExtents(inode: Inode, offset: number, whence: number): number {
  let at = offset;
  for (const extent of inode.extents) {
    const end = extent.fileOffset + extent.length;
    if (end <= at) continue;
    if (whence === SEEK_DATA) return Math.max(at, extent.fileOffset);
    if (extent.fileOffset > at) return at;
    at = end;
  }
  return whence === SEEK_DATA ? -E.ENXIO.number : Math.min(at, inode.size);
}

/** Copies up to 8 MiB; between own files inside the host's kernel, from packed ones through verified reads. */
export function copyRange(
  core: Core,
  from: ReadRequest,
  to: ReadRequest,
  options: { length: number; flags: number },
): number {
  if (options.flags !== 0) return -E.EINVAL.number;
  const source = core.inode(from.ino);
  if (isErrno(source)) return -source.number;
  const target = core.inode(to.ino);
  if (isErrno(target)) return -target.number;
  const available = currentSize(core, source) - from.offset;
  const length = Math.min(options.length, available, COPY_AT_MOST);
  if (length <= 0) return 0;
  if (to.offset + length > MAX_FILE_SIZE) return -E.EFBIG.number;
  if (from.ino === to.ino && from.offset < to.offset + length && to.offset < from.offset + length)
    return -E.EINVAL.number;
  if (!mayGrow(core, target, to.offset + length)) return -E.ENOSPC.number;
  const change = beginChange(core, target);
  if (isErrno(change)) return -change.number;
  const fresh = core.inode(from.ino);
  if (isErrno(fresh)) return -fresh.number;
  const before = change.live.size ?? 0;
  const { copied: remembered } = change.live;
  const count = copyBytes(core, { inode: fresh, offset: from.offset }, { ...change, offset: to.offset }, length);
  if (count < length) undoGrowth(core, change, count > 0 ? Math.max(before, to.offset + count) : before);
  if (count <= 0) {
    if (to.offset < before) noteChange(core, change.live, 0);
    return count;
  }
  noteChange(core, change.live, to.offset + count);
  change.live.copied = remembered;
  const range = { offset: from.offset, length: count, to: to.offset };
  noteCopied(change.live, fresh.layout === 'packed' ? extentsOfRange(fresh.extents, range) : undefined, from.ino);
  dropPrivileges(core, change.inode, { bits: false });
  return count;
}

function copyBytes(
  core: Core,
  from: { readonly inode: Inode; readonly offset: number },
  to: { readonly file: BackingFile; readonly offset: number },
  length: number,
): number {
  if (from.inode.own !== undefined) {
    const file = core.data.openOwn(from.inode.own);
    if (isErrno(file)) return -E.EIO.number;
    const count = core.backing.copyRange({ file, offset: from.offset }, { file: to.file, offset: to.offset }, length);
    if (count > 0) return count;
    // An end before the one that the row tells: what is missing must not pass for the end of the copy.
    if (count === 0) return lostBytes(core, from.inode, 'short');
  }
  const buffer = Buffer.allocUnsafe(Math.min(length, COPY_BUFFER));
  let done = 0;
  while (done < length) {
    const part = buffer.subarray(0, Math.min(buffer.length, length - done));
    const count = read(core, { ino: from.inode.ino, handle: 0, offset: from.offset + done }, part);
    if (count <= 0) return done > 0 ? done : count;
    const written = to.file.write(part.subarray(0, count), to.offset + done);
    if (written < 0) return done > 0 ? done : written;
    done += count;
  }
  return done;
}

function truncateAtOpen(core: Core, caller: Caller, inode: Inode): Errno | undefined {
  const live = core.live.find(inode.ino);
  const unused = (live === undefined || live.handles === 0) && inode.nlink > 0;
  let done = unused ? replaceByEmpty(core, inode) : E.ENOSPC;
  // On a full disk it is emptied in place, which needs no room.
  if (done === E.ENOSPC) done = truncate(core, inode, 0);
  if (isErrno(done)) return done;
  core.packer.cancel(inode.ino);
  dropPrivileges(core, done, { bits: caller.uid !== 0 });
  return undefined;
}

function lostBytes(core: Core, inode: Inode, why: string): number {
  core.log.error({ ino: inode.ino, own: inode.own, why }, 'Cannot read the own file of an inode');
  return -E.EIO.number;
}
