/** Handlers of the opcodes that look up, make, move and remove names. */
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import type { CompletedRequest } from '../requests.ts';
import { type Entry, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from '../types.ts';
import { type Exchange, fail } from './exchange.ts';
import { entryName, entryNames, lookupName, nameAndTarget } from './names.ts';
import { BODY, linkInBytes, mkdirInBytes, mknodInBytes, PAYLOAD, rename2InBytes, renameInBytes } from './protocol.ts';
import { encodeEntry, encodeNoEntry } from './replies.ts';
import { decodeFirst64, decodeMkdir, decodeMknod, decodeRenameFlags } from './requests.ts';

export const DOT = Uint8Array.of(0x2e);
const RENAME_FLAGS = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;

export function replyEntry(x: Exchange, result: Result<Entry>): number {
  return isErrno(result) ? fail(result) : encodeEntry(x.replyView, PAYLOAD, result);
}

/** The name was made by an earlier daemon: what is there now is its entry. */
export function entryAgain(x: Exchange, { ino }: CompletedRequest): number {
  return replyEntry(x, x.operations.lookup(x.caller, ino, DOT));
}

export function replyNothing(result: Result<void>): number {
  return isErrno(result) ? fail(result) : 0;
}

export function lookup(x: Exchange): number {
  const name = lookupName(x.request, BODY, x.end);
  if (isErrno(name)) return fail(name);
  const result = x.operations.lookup(x.caller, x.ino, name);
  const negativeSec = x.options.negativeEntrySec ?? 0;
  if (result === E.ENOENT && negativeSec > 0) return encodeNoEntry(x.replyView, PAYLOAD, negativeSec);
  return replyEntry(x, result);
}

export function makeNode(x: Exchange): number {
  const name = entryName(x.request, BODY + mknodInBytes, x.end);
  if (isErrno(name)) return fail(name);
  const node = decodeMknod(x.requestView);
  if (isErrno(node)) return fail(node);
  return replyEntry(x, x.operations.makeNode(x.caller, { parent: x.ino, name }, node));
}

export function makeDirectory(x: Exchange): number {
  const name = entryName(x.request, BODY + mkdirInBytes, x.end);
  if (isErrno(name)) return fail(name);
  return replyEntry(x, x.operations.makeDirectory(x.caller, { parent: x.ino, name }, decodeMkdir(x.requestView)));
}

export function makeSymlink(x: Exchange): number {
  const link = nameAndTarget(x.request, BODY, x.end);
  if (isErrno(link)) return fail(link);
  return replyEntry(x, x.operations.makeSymlink(x.caller, { parent: x.ino, name: link.name }, link.target));
}

export function makeLink(x: Exchange): number {
  const name = entryName(x.request, BODY + linkInBytes, x.end);
  if (isErrno(name)) return fail(name);
  const source = decodeFirst64(x.requestView);
  if (!(source >= 1)) return fail(E.EINVAL);
  return replyEntry(x, x.operations.makeLink(x.caller, source as Ino, { parent: x.ino, name }));
}

export function unlink(x: Exchange): number {
  const name = entryName(x.request, BODY, x.end);
  return isErrno(name) ? fail(name) : replyNothing(x.operations.unlink(x.caller, x.ino, name));
}

export function removeDirectory(x: Exchange): number {
  const name = entryName(x.request, BODY, x.end);
  return isErrno(name) ? fail(name) : replyNothing(x.operations.removeDirectory(x.caller, x.ino, name));
}

export function rename(x: Exchange): number {
  return renameWith(x, renameInBytes, 0);
}

export function rename2(x: Exchange): number {
  return renameWith(x, rename2InBytes, decodeRenameFlags(x.requestView));
}

function renameWith(x: Exchange, fixedBytes: number, flags: number): number {
  const names = entryNames(x.request, BODY + fixedBytes, x.end);
  if (isErrno(names)) return fail(names);
  const target = decodeFirst64(x.requestView);
  if (!(target >= 1) || (flags & ~RENAME_FLAGS) !== 0) return fail(E.EINVAL);
  const to = { parent: target as Ino, name: names.second, flags };
  return x.answer(x.operations.rename(x.caller, { parent: x.ino, name: names.first }, to), () => 0);
}
