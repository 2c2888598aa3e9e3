/** Open, read, write and what else works on the bytes of a file. */
import type { BackingFile } from '../../base/backing.ts';
import { E, type Errno, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE } from '../../base/libc.ts';
import type { Ino } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';
import { beginChange, type Change, currentSize, dropPrivileges, noteChange, replaceByEmpty } from '../contents.ts';
import { type Core, MAX_FILE_SIZE, S_IFDIR, S_IFMT, S_IFREG } from '../core.ts';
import type { LiveFile } from '../live_files.ts';
import { chooseMode, endMode } from '../open_mode.ts';
import { settle } from '../settle.ts';
import { extentsOfRange, noteCopied } from '../sharing.ts';
import {
  type Caller,
  FOPEN_KEEP_CACHE,
  FOPEN_NOFLUSH,
  FOPEN_PASSTHROUGH,
  type OpenReply,
  type ReadRequest,
  type WriteRequest,
} from '../types.ts';
import { truncate } from './attributes.ts';
import { reclaimOrphan } from './remove.ts';

const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_RDWR = 2;
export const O_TRUNC = 0o1000;
const O_DSYNC = 0o10000;
const O_NOATIME = 0o1000000;
/** Flags that an open file has: those that only the open itself was about are none of them. */
const HANDLE_FLAGS = 0x7fffffff & ~(0o100 | 0o200 | O_TRUNC);
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Bytes that one COPY_FILE_RANGE copies at most, so that others are not kept waiting; callers ask again. */
const COPY_AT_MOST = 8 * 1024 * 1024;
const COPY_BUFFER = 1024 * 1024;
/** A file of this size takes the host long to empty. */
const LARGE_BYTES = 16 * 1024 * 1024;

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
  return countOpen(core, core.namespace.inode(ino) ?? inode, flags);
}

/**
 * Counts a handle and makes the answer to OPEN or CREATE. The handle is the open flags: nothing to lose in a restart.
 * ENFILE, ENOSPC: the open table is full.
 */
export function countOpen(core: Core, inode: Inode, flags: number): Result<OpenReply> {
  const handle = handleOf(flags);
  const live = core.live.of(inode);
  const row = chooseMode(core, inode, { live, writes: handle.writes });
  if (isErrno(row)) return notOpened(core, live, row);
  const refused = core.openTable.opening(inode.ino, handle);
  if (refused !== undefined) return notOpened(core, live, refused);
  live.handles += 1;
  live.forgotten = false;
  if (isUnseen(flags)) live.isMappable = true;
  if (handle.writes) {
    live.writers += 1;
    live.version += 1;
    core.packer.cancel(inode.ino);
  }
  const reply = { handle: flags & HANDLE_FLAGS, openFlags: FOPEN_NOFLUSH };
  if (live.mode !== 'passthrough' || row.own === undefined) {
    core.openTable.setMode(inode.ino, 'cached');
    return { ...reply, openFlags: reply.openFlags | keepCache(core, row) };
  }
  core.passthrough?.note(live, row.own);
  core.forgetCachedOpen(row);
  if (handle.writes) {
    live.isWrittenUnseen = true;
    live.unflushed = true;
    // What msync flushes there is found again after a power cut if the own file has a name by then.
    if (handle.maps) core.data.ownFlushed(row.own);
  }
  // No read will come; who opens a file to change it may never read.
  if ((flags & O_ACCMODE) === O_RDONLY && (flags & O_NOATIME) === 0) core.noteAccess(row, core.unsettled(row) ?? row);
  return { ...reply, openFlags: reply.openFlags | FOPEN_PASSTHROUGH, backingId: live.backingId };
}

function notOpened(core: Core, live: LiveFile, why: Errno): Errno {
  if (live.handles === 0) endMode(core, live);
  core.live.dropIfIdle(live);
  return why;
}

/** What an open file may do; of the open flags that a handle is. */
export function handleOf(flags: number): { readonly writes: boolean; readonly maps: boolean } {
  const access = flags & O_ACCMODE;
  return { writes: access !== O_RDONLY, maps: access === O_RDWR };
}

/**
 * Whether the kernel may keep the pages that it has: once this daemon has answered an open of the same layout without it,
 * so that none are from a layout that was served otherwise. And a read from the page cache tells nobody: where relatime
 * would note an access, the next read has to come here.
 */
function keepCache(core: Core, inode: Inode): number {
  const isKnown = core.noteCachedOpen(inode);
  return isKnown && !core.wantsAccess(inode, core.unsettled(inode) ?? inode) ? FOPEN_KEEP_CACHE : 0;
}

/** Whether a handle with these flags may change a file by a mapping, or must have what it writes on the disk at once. */
export function isUnseen(flags: number): boolean {
  return (flags & O_ACCMODE) === O_RDWR || isSynchronous(flags);
}

/** O_SYNC and O_DSYNC: the former has the latter's bit. */
export function isSynchronous(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY && (flags & O_DSYNC) !== 0;
}

/** A handle that nobody has counted is closed too, where a FORGET seemed to say that there was none. */
export function release(core: Core, ino: Ino, handle: number): void {
  core.openTable.releasing(ino);
  const live = core.live.find(ino);
  if (live === undefined) return;
  if (live.handles > 0) {
    live.handles -= 1;
    if (handleOf(handle).writes && live.writers > 0) live.writers -= 1;
  }
  if (live.handles > 0) return;
  live.isInDoubt = false;
  endMode(core, live);
  settle(core, live);
  core.live.dropIfIdle(live);
  if (live.forgotten) reclaimOrphan(core, ino);
}

export function read(core: Core, request: ReadRequest, into: Uint8Array): number {
  const inode = core.inode(request.ino);
  if (isErrno(inode)) return -inode.number;
  const live = core.unsettled(inode);
  const size = live?.size ?? inode.size;
  const length = Math.min(into.length, size - request.offset);
  if (length <= 0) return 0;
  const target = length === into.length ? into : into.subarray(0, length);
  if ((request.handle & O_NOATIME) === 0) core.noteAccess(inode, live ?? inode);
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
    if (request.offset < before) noteChange(live, 0);
    return count;
  }
  noteChange(live, end);
  dropPrivileges(core, change.inode, { bits: request.killPrivileges });
  return count;
}

/** The last room is for the rows: neither copies out of aggregates nor longer files may take it. */
export function mayGrow(core: Core, inode: Inode, end: number): boolean {
  return (inode.layout === 'own' && end <= currentSize(core, inode)) || !core.namespace.critical();
}

/** What failed may have lengthened the own file; that must not show when the file grows later. */
export function undoGrowth(core: Core, { inode, file }: Change, size: number): void {
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
    if ((mode & ~FALLOC_KEEP_SIZE) !== 0) noteChange(change.live, 0);
    return errnoOf(-done);
  }
  noteChange(change.live, keepSize ? 0 : end);
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
    if (to.offset < before) noteChange(change.live, 0);
    return count;
  }
  noteChange(change.live, to.offset + count);
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

/** Privileges go first: a record that says that the file was emptied is the last of what this open changes. */
function truncateAtOpen(core: Core, caller: Caller, inode: Inode): Errno | undefined {
  const clean = dropPrivileges(core, inode, { bits: caller.uid !== 0 });
  const live = core.live.find(inode.ino);
  const unused = live === undefined || live.handles === 0;
  // The bytes of a large one go behind a barrier, where nobody waits for it.
  // Nor may it change its own file under handles that the kernel has tied to that.
  const mayReplace = unused || (live.mode !== 'passthrough' && currentSize(core, inode) >= LARGE_BYTES);
  const isReplaced = inode.nlink > 0 && mayReplace;
  let done = isReplaced ? replaceByEmpty(core, clean) : E.ENOSPC;
  // On a full disk it is emptied in place, which needs no room.
  if (done === E.ENOSPC) done = emptyInPlace(core, clean);
  if (isErrno(done)) return done;
  core.packer.cancel(inode.ino);
  return undefined;
}

/** The record tells nothing but that it was done: doing it again could take bytes that others wrote since. */
function emptyInPlace(core: Core, inode: Inode): Result<Inode> {
  const done = truncate(core, inode, 0);
  if (isErrno(done) || core.request === undefined) return done;
  const record = core.namespace.begin();
  core.completes(record, done.ino);
  core.put(record, done);
  core.commit(record);
  return core.namespace.inode(done.ino) ?? done;
}

function lostBytes(core: Core, inode: Inode, why: string): number {
  core.log.error({ ino: inode.ino, own: inode.own, why }, 'Cannot read the own file of an inode');
  return -E.EIO.number;
}
