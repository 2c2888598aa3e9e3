/** Handlers of the opcodes on open files. */
import { unreachable } from '../../base/assert.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import { SEEK_DATA, SEEK_HOLE } from '../../base/libc.ts';
import type { Ino } from '../../base/units.ts';
import { type Entry, FOPEN_NOFLUSH, type OpenReply } from '../types.ts';
import { type Exchange, fail } from './exchange.ts';
import { entryName } from './names.ts';
import { invalidateAttributes } from './notifications.ts';
import { BODY, createInBytes, PAYLOAD, writeInBytes } from './protocol.ts';
import { encodeCopied, encodeEntry, encodeOffset, encodeOpen, encodeWritten } from './replies.ts';
import {
  decodeCopyFileRange,
  decodeCreate,
  decodeFallocate,
  decodeFirst64,
  decodeFsync,
  decodeLseek,
  decodeOpen,
  decodeRead,
  decodeWrite,
} from './requests.ts';

const O_ACCMODE = 0o3;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
/** What the 32-bit reply of COPY_FILE_RANGE can tell, in whole pages. */
const COPY_LENGTH_MAX_32 = 0xffff_f000;

/** Offsets past 2^53 are past the end of every file: nothing can be read there, and nothing written. */
const isOffset = (offset: number): boolean => !Number.isNaN(offset);
const isHandle = isOffset;

export function open(x: Exchange): number {
  const { flags, killPrivileges } = decodeOpen(x.requestView);
  const truncates = (flags & O_TRUNC) !== 0;
  if (x.options.readOnly === true && (truncates || (flags & O_ACCMODE) !== 0)) return fail(E.EROFS);
  const dropped = truncates && killPrivileges ? dropPrivileges(x) : undefined;
  if (isErrno(dropped)) return fail(dropped);
  const result = x.operations.open(x.caller, x.ino, flags & ~(O_CREAT | O_EXCL));
  return replyOpen(x, result, PAYLOAD);
}

/**
 * Takes setuid and setgid from a file before it is truncated: after a crash between the two it may lack them needlessly,
 * never keep them wrongly. The kernel does not notice by itself that this open changed the mode, so it is told.
 */
function dropPrivileges(x: Exchange): Result<void> {
  const before = x.operations.getAttributes(x.ino);
  if (isErrno(before)) return before;
  const after = x.operations.setAttributes(x.caller, x.ino, { killPrivileges: true });
  if (isErrno(after)) return after;
  if (after.attributes.mode !== before.attributes.mode) x.notify(invalidateAttributes(x.ino));
  return undefined;
}

/** ENOSYS would make the kernel stop sending opens, for all files. */
function replyOpen(x: Exchange, result: Result<OpenReply>, at: number): number {
  if (isErrno(result)) return result === E.ENOSYS ? fail(E.EIO) : fail(result);
  x.opened({ ino: x.ino, handle: result.handle, directory: false });
  return encodeOpen(x.replyView, at, { ...result, openFlags: result.openFlags | FOPEN_NOFLUSH });
}

type Created = { readonly entry: Entry; readonly open: OpenReply };

export function create(x: Exchange): number {
  const name = entryName(x.request, BODY + createInBytes, x.end);
  if (isErrno(name)) return fail(name);
  const { flags, node } = decodeCreate(x.requestView);
  return replyCreated(x, x.operations.create(x.caller, { parent: x.ino, name, flags }, node));
}

/** The message ends with a name that means nothing. */
export function createUnnamed(x: Exchange): number {
  const { flags, node } = decodeCreate(x.requestView);
  return replyCreated(x, x.operations.createUnnamed(x.caller, { parent: x.ino, flags }, node));
}

function replyCreated(x: Exchange, result: Result<Created>): number {
  if (isErrno(result)) return fail(result);
  const entryLength = encodeEntry(x.replyView, PAYLOAD, result.entry);
  const openFlags = result.open.openFlags | FOPEN_NOFLUSH;
  x.opened({ ino: result.entry.attributes.ino, handle: result.open.handle, directory: false });
  return entryLength + encodeOpen(x.replyView, PAYLOAD + entryLength, { handle: result.open.handle, openFlags });
}

export function release(x: Exchange): number {
  const handle = decodeFirst64(x.requestView);
  if (!isHandle(handle)) return fail(E.EBADF);
  x.operations.release(x.ino, handle);
  return 0;
}

/** The operation fills the reply's payload; header and data leave in one write. */
export function read(x: Exchange): number {
  const { handle, offset, size } = decodeRead(x.requestView);
  if (size > x.payload.length) return fail(E.EINVAL);
  if (!isHandle(handle)) return fail(E.EBADF);
  if (!isOffset(offset)) return 0;
  const count = x.operations.read({ ino: x.ino, handle, offset }, x.payload.subarray(0, size));
  if (count > size) unreachable(`read of inode ${x.ino} gave ${count} bytes, at most ${size} were asked for`);
  return count;
}

/** The operation gets the data where the kernel put it; the bytes are valid until it returns. */
export function write(x: Exchange): number {
  const { handle, offset, size, killPrivileges, fromCache } = decodeWrite(x.requestView);
  const start = BODY + writeInBytes;
  if (start + size !== x.end) return fail(E.EINVAL);
  if (!isHandle(handle)) return fail(E.EBADF);
  if (!isOffset(offset) || !Number.isSafeInteger(offset + size)) return fail(E.EFBIG);
  const count = x.operations.write(
    { ino: x.ino, handle, offset, killPrivileges, fromCache },
    x.request.subarray(start, x.end),
  );
  if (count > size) unreachable(`write to inode ${x.ino} took ${count} bytes of ${size}`);
  return count < 0 ? count : encodeWritten(x.replyView, PAYLOAD, count);
}

export function flushFile(x: Exchange): number {
  return x.settle(x.operations.flushFile(x.ino, decodeFsync(x.requestView)));
}

export function allocate(x: Exchange): number {
  const { handle, offset, length, mode } = decodeFallocate(x.requestView);
  if (!isHandle(handle)) return fail(E.EBADF);
  if (!isOffset(offset) || !isOffset(length) || !Number.isSafeInteger(offset + length)) return fail(E.EFBIG);
  const result = x.operations.allocate({ ino: x.ino, handle, offset }, { mode, length });
  return isErrno(result) ? fail(result) : 0;
}

export function seek(x: Exchange): number {
  const { handle, offset, whence } = decodeLseek(x.requestView);
  if (!isHandle(handle)) return fail(E.EBADF);
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return fail(E.EINVAL);
  if (!isOffset(offset)) return fail(E.ENXIO);
  const found = x.operations.seek({ ino: x.ino, handle, offset }, whence);
  return found < 0 ? found : encodeOffset(x.replyView, PAYLOAD, found);
}

export function copyFileRange(x: Exchange): number {
  const count = copy(x, COPY_LENGTH_MAX_32);
  return count < 0 ? count : encodeWritten(x.replyView, PAYLOAD, count);
}

export function copyFileRange64(x: Exchange): number {
  const count = copy(x, Number.MAX_SAFE_INTEGER);
  return count < 0 ? count : encodeCopied(x.replyView, PAYLOAD, count);
}

/** A length past 2^53 is as good as one: the source ends before. */
function copy(x: Exchange, lengthMax: number): number {
  const { from, to, length: wanted, flags } = decodeCopyFileRange(x.requestView);
  const length = Number.isNaN(wanted) ? lengthMax : Math.min(wanted, lengthMax);
  if (!isHandle(from.handle) || !isHandle(to.handle)) return fail(E.EBADF);
  if (!(to.node >= 1) || Number.isNaN(flags)) return fail(E.EINVAL);
  if (!isOffset(from.offset)) return 0;
  if (!isOffset(to.offset)) return fail(E.EFBIG);
  const count = x.operations.copyRange(
    { ino: x.ino, handle: from.handle, offset: from.offset },
    { ino: to.node as Ino, handle: to.handle, offset: to.offset },
    { length, flags },
  );
  if (count > length) unreachable(`copy from inode ${x.ino} gave ${count} bytes, at most ${length} were asked for`);
  return count;
}
