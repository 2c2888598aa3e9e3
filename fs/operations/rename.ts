/** RENAME2: plain, NOREPLACE and EXCHANGE. The kernel has checked permissions, types and loops already. */
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import type { Record } from '../../shard/record.ts';
import type { Dentry, Inode } from '../../shard/rows.ts';
import { type Core, dentryType, NAME_MAX, S_IFDIR, S_IFMT } from '../core.ts';
import { mentionAgain } from '../mention_again.ts';
import { addName, findName, type Place, removeName } from '../names.ts';
import { type Caller, Deferred, RENAME_EXCHANGE, RENAME_NOREPLACE } from '../types.ts';
import { dropDirectory, dropLink } from './remove.ts';

type Target = Place & { readonly flags: number };

/**
 * A source that replaces a file and is not durable becomes so before anything is recorded, so that a replace is all or
 * nothing without fsync; the answer then comes later.
 */
export function rename(core: Core, caller: Caller, from: Place, to: Target): Result<void> | Deferred<void> {
  const outcome = renameSecured(core, from, to, undefined);
  if (!(outcome instanceof Unsecured)) return outcome;
  const { ino } = outcome;
  const { request } = core;
  // The request's bytes are gone by then.
  const kept = { from: { ...from, name: Uint8Array.from(from.name) }, to: { ...to, name: Uint8Array.from(to.name) } };
  const answer = new Deferred<void>();
  core.durability.secure(ino).whenSettled((secured) => {
    if (isErrno(secured)) {
      answer.settle(secured);
      return;
    }
    // Decided anew: other requests were served meanwhile. What was written meanwhile is no part of what is replaced by.
    const present = core.request;
    core.request = request;
    const again = renameSecured(core, kept.from, kept.to, ino);
    const next = again instanceof Unsecured ? rename(core, caller, kept.from, kept.to) : again;
    core.request = present;
    if (next instanceof Deferred) next.whenSettled((result) => answer.settle(result));
    else answer.settle(next);
  });
  return answer;
}

/** An inode that must be durable first. */
class Unsecured {
  readonly ino: Ino;

  constructor(ino: Ino) {
    this.ino = ino;
  }
}

function renameSecured(core: Core, from: Place, to: Target, secured: Ino | undefined): Result<void> | Unsecured {
  if ((to.flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return E.EINVAL;
  if (to.flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) return E.EINVAL;
  if (to.name.length > NAME_MAX) return E.ENAMETOOLONG;
  const fromDir = core.writableDirectory(from.parent);
  if (isErrno(fromDir)) return fromDir;
  const toDir = core.writableDirectory(to.parent);
  if (isErrno(toDir)) return toDir;
  const source = findName(core, fromDir, from.name);
  if (isErrno(source)) return source;
  const target = core.namespace.lookup(toDir, to.name);
  if (target !== undefined && (to.flags & RENAME_NOREPLACE) !== 0) return E.EEXIST;
  if (target !== undefined && target.ino === source.ino) return;
  const moved = core.namespace.readInode(source.ino);
  if (isErrno(moved)) return E.EIO;
  if ((to.flags & RENAME_EXCHANGE) !== 0) {
    return target === undefined ? E.ENOENT : exchange(core, { fromDir, source, moved }, { toDir, target });
  }
  if (target === undefined) return move(core, { fromDir, source, moved }, { toDir, name: to.name });
  return replace(core, { fromDir, source, moved }, { toDir, target, secured });
}

interface Source {
  readonly fromDir: Inode;
  readonly source: Dentry;
  readonly moved: Inode;
}

function move(core: Core, { fromDir, source, moved }: Source, to: { toDir: Inode; name: Uint8Array }): Result<void> {
  const position = core.namespace.placeFor(to.toDir, to.name);
  if (isErrno(position)) return position;
  const now = core.now();
  const record = core.namespace.begin();
  removeName(record, fromDir, source, now);
  addName(record, to.toDir, { ...source, dir: to.toDir.ino, position, name: to.name }, now);
  core.completes(record, moved.ino);
  putMoved(core, record, moved, { parent: to.toDir.ino, position });
  core.commit(record);
  mentionAgain(core, moved);
}

/** The target's name goes over to the source. Order of durability: the source's bytes, then the record. */
function replace(
  core: Core,
  { fromDir, source, moved }: Source,
  to: { readonly toDir: Inode; readonly target: Dentry; readonly secured: Ino | undefined },
): Result<void> | Unsecured {
  const replaced = core.namespace.readInode(to.target.ino);
  if (isErrno(replaced)) return E.EIO;
  const isDirectory = (replaced.mode & S_IFMT) === S_IFDIR;
  if (isDirectory && (moved.mode & S_IFMT) !== S_IFDIR) return E.EISDIR;
  if (!isDirectory && (moved.mode & S_IFMT) === S_IFDIR) return E.ENOTDIR;
  if (isDirectory && core.namespace.totals(replaced).entries > 0) return E.ENOTEMPTY;
  if (moved.own !== undefined && moved.ino !== to.secured && core.needsFlush(moved)) return new Unsecured(moved.ino);
  const now = core.now();
  const record = core.namespace.begin();
  removeName(record, fromDir, source, now);
  removeName(record, to.toDir, to.target, now);
  addName(record, to.toDir, { ...to.target, ino: source.ino, type: source.type }, now);
  if (isDirectory) dropDirectory(core, record, replaced);
  else dropLink(core, record, replaced, to.target);
  core.completes(record, moved.ino);
  putMoved(core, record, moved, { parent: to.toDir.ino, position: to.target.position });
  core.commit(record);
  mentionAgain(core, moved);
}

function exchange(core: Core, { fromDir, source, moved }: Source, to: { toDir: Inode; target: Dentry }): Result<void> {
  const other = core.namespace.readInode(to.target.ino);
  if (isErrno(other)) return E.EIO;
  const now = core.now();
  const record = core.namespace.begin();
  removeName(record, fromDir, source, now);
  removeName(record, to.toDir, to.target, now);
  addName(record, to.toDir, { ...to.target, ino: source.ino, type: dentryType(moved.mode) }, now);
  addName(record, fromDir, { ...source, ino: other.ino, type: dentryType(other.mode) }, now);
  core.completes(record, moved.ino);
  putMoved(core, record, moved, { parent: to.toDir.ino, position: to.target.position });
  putMoved(core, record, other, { parent: fromDir.ino, position: source.position });
  core.commit(record);
  mentionAgain(core, moved);
  mentionAgain(core, other);
}

function putMoved(core: Core, record: Record, moved: Inode, place: { parent: Ino; position: number }): void {
  const row = (moved.mode & S_IFMT) === S_IFDIR ? core.withTotals(moved) : moved;
  const ctime = core.now();
  const live = core.live.find(moved.ino);
  if (live !== undefined) live.ctime = ctime;
  core.put(record, { ...row, ...place, ctime });
}
