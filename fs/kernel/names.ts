/**
 * Names at the end of requests, each ended by NUL, the last one by the end of the message. What is returned is a copy:
 * names may be kept in caches, the request's buffer is filled anew by the next message.
 */
import { E, type Result } from '../../base/errno.ts';
import { NAME_MAX, TARGET_MAX } from './protocol.ts';

const SLASH = 0x2f;
const DOT = 0x2e;

/** The bytes from `at` up to the NUL that must end the message at `end`; EINVAL when they hold another NUL or none. */
export function lastText(request: Uint8Array, at: number, end: number): Result<Uint8Array> {
  const terminator = request.indexOf(0, at);
  if (terminator !== end - 1) return E.EINVAL;
  return request.slice(at, terminator);
}

/** The name of a directory entry that ends the message; `.` and `..` are allowed (LOOKUP). */
export function lookupName(request: Uint8Array, at: number, end: number): Result<Uint8Array> {
  const name = lastText(request, at, end);
  return name instanceof Uint8Array ? checkName(name) : name;
}

/** The name of a directory entry that ends the message, other than `.` and `..`. */
export function entryName(request: Uint8Array, at: number, end: number): Result<Uint8Array> {
  const name = lastText(request, at, end);
  return name instanceof Uint8Array ? checkNewName(name) : name;
}

/** Two names, one behind the other (RENAME). */
export function entryNames(
  request: Uint8Array,
  at: number,
  end: number,
): Result<{ first: Uint8Array; second: Uint8Array }> {
  const terminator = request.indexOf(0, at);
  if (terminator < 0 || terminator >= end) return E.EINVAL;
  const first = checkNewName(request.slice(at, terminator));
  if (!(first instanceof Uint8Array)) return first;
  const second = entryName(request, terminator + 1, end);
  return second instanceof Uint8Array ? { first, second } : second;
}

/** A name and the target of the symbolic link that it will be. */
export function nameAndTarget(
  request: Uint8Array,
  at: number,
  end: number,
): Result<{ name: Uint8Array; target: Uint8Array }> {
  const terminator = request.indexOf(0, at);
  if (terminator < 0 || terminator >= end) return E.EINVAL;
  const name = checkNewName(request.slice(at, terminator));
  if (!(name instanceof Uint8Array)) return name;
  const target = lastText(request, terminator + 1, end);
  if (!(target instanceof Uint8Array)) return target;
  if (target.length === 0) return E.ENOENT;
  return target.length > TARGET_MAX ? E.ENAMETOOLONG : { name, target };
}

/** The name of an extended attribute: any bytes but NUL, a slash too. `next` is where the message goes on. */
export function xattrName(request: Uint8Array, at: number, end: number): Result<{ name: Uint8Array; next: number }> {
  const terminator = request.indexOf(0, at);
  if (terminator < 0 || terminator >= end || terminator === at) return E.EINVAL;
  if (terminator - at > NAME_MAX) return E.ERANGE;
  return { name: request.slice(at, terminator), next: terminator + 1 };
}

function checkName(name: Uint8Array): Result<Uint8Array> {
  if (name.length === 0 || name.includes(SLASH)) return E.EINVAL;
  return name.length > NAME_MAX ? E.ENAMETOOLONG : name;
}

function checkNewName(name: Uint8Array): Result<Uint8Array> {
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) return E.EINVAL;
  return checkName(name);
}
