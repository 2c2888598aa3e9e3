/** Handlers of the opcodes about attributes, extended attributes, link targets and the filesystem as a whole. */
import { unreachable } from '../../base/assert.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import { type Exchange, fail } from './exchange.ts';
import { replyNothing } from './name_handlers.ts';
import { lastText, xattrName } from './names.ts';
import {
  BODY,
  compatSetxattrInBytes,
  getxattrInBytes,
  NAME_MAX,
  PAYLOAD,
  setxattrInBytes,
  TARGET_MAX,
  XATTR_SIZE_MAX,
} from './protocol.ts';
import { encodeAttributesReply, encodeStatistics, encodeStatx, encodeXattrSize } from './replies.ts';
import { decodeGetxattr, decodeSetattr, decodeSetxattr } from './requests.ts';

export function getAttributes(x: Exchange): number {
  const result = x.operations.getAttributes(x.ino);
  return isErrno(result) ? fail(result) : encodeAttributesReply(x.replyView, PAYLOAD, result);
}

export function setAttributes(x: Exchange): number {
  const changes = decodeSetattr(x.requestView);
  if (isErrno(changes)) return fail(changes);
  const result = x.operations.setAttributes(x.caller, x.ino, changes);
  return isErrno(result) ? fail(result) : encodeAttributesReply(x.replyView, PAYLOAD, result);
}

export function statx(x: Exchange): number {
  const result = x.operations.getAttributes(x.ino);
  return isErrno(result) ? fail(result) : encodeStatx(x.replyView, PAYLOAD, result);
}

export function readLink(x: Exchange): number {
  const target = x.operations.readLink(x.ino);
  if (isErrno(target)) return fail(target);
  if (target.length > TARGET_MAX) unreachable(`link target of inode ${x.ino} has ${target.length} bytes`);
  return replyBytes(x, target);
}

export function statistics(x: Exchange): number {
  const result = x.operations.statistics();
  return isErrno(result) ? fail(result) : encodeStatistics(x.replyView, PAYLOAD, result);
}

export function setXattr(x: Exchange): number {
  const extended = x.hasExtendedSetxattr;
  const fixedBytes = extended ? setxattrInBytes : compatSetxattrInBytes;
  if (x.end < BODY + fixedBytes) return fail(E.EINVAL);
  const { size, flags, killSetgid } = decodeSetxattr(x.requestView, extended);
  const found = xattrName(x.request, BODY + fixedBytes, x.end);
  if (isErrno(found)) return fail(found);
  if (size > XATTR_SIZE_MAX) return fail(E.E2BIG);
  if (found.next + size !== x.end) return fail(E.EINVAL);
  const value = x.request.slice(found.next, x.end);
  return replyNothing(x.operations.setXattr(x.caller, x.ino, { name: found.name, value, flags, killSetgid }));
}

export function getXattr(x: Exchange): number {
  const name = checkedXattrName(x, BODY + getxattrInBytes);
  if (isErrno(name)) return fail(name);
  return replyXattr(x, x.operations.getXattr(x.caller, x.ino, name));
}

export function listXattrs(x: Exchange): number {
  return replyXattr(x, x.operations.listXattrs(x.caller, x.ino));
}

export function removeXattr(x: Exchange): number {
  const name = checkedXattrName(x, BODY);
  return isErrno(name) ? fail(name) : replyNothing(x.operations.removeXattr(x.caller, x.ino, name));
}

function checkedXattrName(x: Exchange, at: number): Result<Uint8Array> {
  const name = lastText(x.request, at, x.end);
  if (isErrno(name)) return name;
  if (name.length === 0) return E.EINVAL;
  return name.length > NAME_MAX ? E.ERANGE : name;
}

/** With size 0 the caller asks how large the value is, else it has to fit. */
function replyXattr(x: Exchange, value: Result<Uint8Array>): number {
  if (isErrno(value)) return fail(value);
  if (value.length > XATTR_SIZE_MAX) return fail(E.E2BIG);
  const { size } = decodeGetxattr(x.requestView);
  if (size === 0) return encodeXattrSize(x.replyView, PAYLOAD, value.length);
  return value.length > size ? fail(E.ERANGE) : replyBytes(x, value);
}

function replyBytes(x: Exchange, bytes: Uint8Array): number {
  x.payload.set(bytes);
  return bytes.length;
}
