/** Handlers of the opcodes on open directories, and of FORGET. */
import { getU53 } from '../../base/bytes.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import { DirectoryListing } from './directory_listing.ts';
import { type Exchange, fail, NO_REPLY } from './exchange.ts';
import { BODY, batchForgetInBytes, forgetOneBytes, PAYLOAD } from './protocol.ts';
import { encodeOpen } from './replies.ts';
import { decodeBatchForget, decodeFirst64, decodeRead } from './requests.ts';

/** ENOSYS would make the kernel stop sending opens, for all directories. */
export function openDirectory(x: Exchange): number {
  const result = x.operations.openDirectory(x.caller, x.ino);
  if (isErrno(result)) return result === E.ENOSYS ? fail(E.EIO) : fail(result);
  const { ino } = x;
  x.whenSent((wasTaken) => {
    if (!wasTaken) x.operations.releaseDirectory(ino, result.handle);
  });
  return encodeOpen(x.replyView, PAYLOAD, result);
}

export function releaseDirectory(x: Exchange): number {
  const handle = decodeFirst64(x.requestView);
  if (Number.isNaN(handle)) return fail(E.EBADF);
  x.operations.releaseDirectory(x.ino, handle);
  return 0;
}

export function readDirectory(x: Exchange): number {
  return list(x, false);
}

export function readDirectoryPlus(x: Exchange): number {
  return list(x, true);
}

function list(x: Exchange, plus: boolean): number {
  const { offset: cookie, size } = decodeRead(x.requestView);
  if (Number.isNaN(cookie)) return fail(E.EINVAL);
  const listing = new DirectoryListing(x.payload.subarray(0, size), { plus });
  const result = x.operations.listDirectory({ ino: x.ino, cookie, plus }, listing.take);
  if (isErrno(result)) return fail(result);
  return listing.isTooSmall ? fail(E.EINVAL) : listing.length;
}

export function flushDirectory(x: Exchange): number {
  return x.answer(x.operations.flushDirectory(x.ino), () => 0);
}

export function forget(x: Exchange): number {
  if (x.node >= 1) x.operations.forget(x.ino);
  return NO_REPLY;
}

/** Pairs of nodeid 0 and nlookup 8 behind the count; as many as are there. */
export function forgetBatch(x: Exchange): number {
  const first = BODY + batchForgetInBytes;
  const fitting = Math.floor((x.end - first) / forgetOneBytes);
  const count = Math.min(decodeBatchForget(x.requestView).count, fitting);
  for (let index = 0; index < count; index += 1) {
    const node = getU53(x.requestView, first + index * forgetOneBytes);
    if (node >= 1) x.operations.forget(node as Ino);
  }
  return NO_REPLY;
}
