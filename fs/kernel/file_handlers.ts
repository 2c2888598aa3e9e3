/** Handlers of the opcodes on open files. */
import { unreachable } from '../../base/assert.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import { SEEK_DATA, SEEK_HOLE } from '../../base/libc.ts';
import type { Ino } from '../../base/units.ts';
import type { CompletedRequest } from '../requests.ts';
import {
  ANSWERED_ELSEWHERE,
  type CreateReply,
  type Deferred,
  FOPEN_NOFLUSH,
  FOPEN_PASSTHROUGH,
  type OpenReply,
} from '../types.ts';
import { type Exchange, fail, NO_REPLY, type ReplyPlace } from './exchange.ts';
import { DOT } from './name_handlers.ts';
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
const O_RDWR = 2;
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
  return openNow(x, flags);
}

/** The file was emptied by an earlier daemon: only the handle is missing. */
export function openAgain(x: Exchange): number {
  return openNow(x, decodeOpen(x.requestView).flags & ~O_TRUNC);
}

function openNow(x: Exchange, flags: number): number {
  const { ino } = x;
  const result = x.operations.open(x.caller, ino, flags & ~(O_CREAT | O_EXCL));
  // ENOSYS would make the kernel stop sending opens, for all files.
  if (result === E.ENOSYS) return fail(E.EIO);
  return x.answer(result, (place, opened) => {
    // From here on the file may change by a mapping, of which the kernel does not know that it changes the times.
    const isPassed = (opened.openFlags & FOPEN_PASSTHROUGH) !== 0;
    if (isPassed && (flags & O_ACCMODE) === O_RDWR) x.notify(invalidateAttributes(ino));
    return putOpen(x, place, { at: PAYLOAD, ino, opened });
  });
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

/** An open that its reply does not bring to the kernel is released here: nobody else will. */
function putOpen(
  x: Exchange,
  place: ReplyPlace,
  reply: { readonly at: number; readonly ino: Ino; readonly opened: OpenReply },
): number {
  const { at, ino, opened } = reply;
  place.whenSent((wasTaken) => {
    x.operations.openAnswered?.(ino);
    if (wasTaken) return;
    x.operations.release(ino, opened.handle);
    x.operations.releaseAnswered?.(ino, opened.handle);
  });
  return encodeOpen(place.view, at, { ...opened, openFlags: opened.openFlags | FOPEN_NOFLUSH });
}

export function create(x: Exchange): number {
  const name = entryName(x.request, BODY + createInBytes, x.end);
  if (isErrno(name)) return fail(name);
  const { flags, node } = decodeCreate(x.requestView);
  return replyCreated(x, x.operations.create(x.caller, { parent: x.ino, name, flags }, node));
}

/** The file was made by an earlier daemon: only its handle is missing. */
export function createAgain(x: Exchange, { ino }: CompletedRequest): number {
  const { flags } = decodeCreate(x.requestView);
  const found = x.operations.lookup(x.caller, ino, DOT);
  if (isErrno(found)) return fail(found);
  const opened = x.operations.open(x.caller, ino, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
  return x.answer(opened, (place, open) => putCreated(x, place, { entry: found, open }));
}

/** The message ends with a name that means nothing. */
export function createUnnamed(x: Exchange): number {
  const { flags, node } = decodeCreate(x.requestView);
  return replyCreated(x, x.operations.createUnnamed(x.caller, { parent: x.ino, flags }, node));
}

function replyCreated(x: Exchange, result: Result<CreateReply> | Deferred<CreateReply>): number {
  return x.answer(result, (place, created) => putCreated(x, place, created));
}

function putCreated(x: Exchange, place: ReplyPlace, { entry, open: opened }: CreateReply): number {
  const entryLength = encodeEntry(place.view, PAYLOAD, entry);
  return entryLength + putOpen(x, place, { at: PAYLOAD + entryLength, ino: entry.attributes.ino, opened });
}

export function release(x: Exchange): number {
  const handle = decodeFirst64(x.requestView);
  if (!isHandle(handle)) return fail(E.EBADF);
  const { ino } = x;
  x.operations.release(ino, handle);
  x.whenSent(() => x.operations.releaseAnswered?.(ino, handle));
  return 0;
}

/** The operation fills the reply's payload, and header and data leave in one write, or has it answered by another thread. */
export function read(x: Exchange): number {
  const { handle, offset, size } = decodeRead(x.requestView);
  if (size > x.payload.length) return fail(E.EINVAL);
  if (!isHandle(handle)) return fail(E.EBADF);
  if (!isOffset(offset)) return 0;
  const request = { ino: x.ino, handle, offset };
  const count = x.operations.read(request, x.payload.subarray(0, size), x.readTicket(request, size));
  if (count === ANSWERED_ELSEWHERE) return NO_REPLY;
  if (count > size) unreachable(`read of inode ${x.ino} gave ${count} bytes, at most ${size} were asked for`);
  return count;
}

/** The operation gets the data where the kernel put it; the bytes are valid until it returns, or for as long as it keeps them. */
export function write(x: Exchange): number {
  const { handle, offset, size, killPrivileges, fromCache } = decodeWrite(x.requestView);
  const start = BODY + writeInBytes;
  if (start + size !== x.end) return fail(E.EINVAL);
  if (!isHandle(handle)) return fail(E.EBADF);
  if (!isOffset(offset) || !Number.isSafeInteger(offset + size)) return fail(E.EFBIG);
  const { ino } = x;
  const result = x.operations.write(
    { ino, handle, offset, killPrivileges, fromCache },
    x.request.subarray(start, x.end),
    x.loan,
  );
  return x.answer(result, ({ view }, count) => {
    if (count > size) unreachable(`write to inode ${ino} took ${count} bytes of ${size}`);
    return count < 0 ? count : encodeWritten(view, PAYLOAD, count);
  });
}

export function flushFile(x: Exchange): number {
  return x.answer(x.operations.flushFile(x.ino, decodeFsync(x.requestView)), () => 0);
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
