/** UNLINK, RMDIR, and what happens when the kernel forgets an inode that has no name. */
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import { hasManyPartitions, removeSomePartitions } from '../../shard/partition_removal.ts';
import type { Record } from '../../shard/record.ts';
import type { Dentry, Inode } from '../../shard/rows.ts';
import { releaseContents } from '../contents.ts';
import { type Core, S_IFDIR, S_IFMT } from '../core.ts';
import type { LiveFile } from '../live_files.ts';
import { findName, removeName } from '../names.ts';
import { endMode } from '../open_mode.ts';
import { settle } from '../settle.ts';
import type { Caller } from '../types.ts';

export function unlink(core: Core, _caller: Caller, parent: Ino, name: Uint8Array): Result<void> {
  const dir = core.writableDirectory(parent);
  if (isErrno(dir)) return dir;
  const dentry = findName(core, dir, name);
  if (isErrno(dentry)) return dentry;
  const inode = core.namespace.readInode(dentry.ino);
  if (isErrno(inode)) return E.EIO;
  if ((inode.mode & S_IFMT) === S_IFDIR) return E.EISDIR;
  const record = core.namespace.begin();
  core.completes(record, inode.ino);
  removeName(record, dir, dentry, core.now());
  dropLink(core, record, inode, dentry);
  core.commit(record);
}

export function removeDirectory(core: Core, _caller: Caller, parent: Ino, name: Uint8Array): Result<void> {
  const dir = core.writableDirectory(parent);
  if (isErrno(dir)) return dir;
  const dentry = findName(core, dir, name);
  if (isErrno(dentry)) return dentry;
  const inode = core.namespace.readInode(dentry.ino);
  if (isErrno(inode)) return E.EIO;
  if ((inode.mode & S_IFMT) !== S_IFDIR) return E.ENOTDIR;
  if (core.namespace.totals(inode).entries > 0) return E.ENOTEMPTY;
  const record = core.namespace.begin();
  core.completes(record, inode.ino);
  removeName(record, dir, dentry, core.now());
  dropDirectory(core, record, inode);
  core.commit(record);
}

/**
 * Takes one name from a file within a record; without names it becomes an orphan, until the kernel forgets it. Was it the
 * one that the row records, the row says 0 from here on: none of the others is looked for.
 */
export function dropLink(core: Core, record: Record, inode: Inode, name: Dentry): void {
  const now = core.now();
  if (inode.nlink <= 1) core.packer.cancel(inode.ino);
  const isRecorded = inode.nlink > 1 && inode.parent === name.dir && inode.position === name.position;
  const place = isRecorded ? { parent: 0 as Ino, position: 0 } : {};
  // Where shards disagree a name may lead to an inode that counts none.
  core.put(record, { ...inode, ...place, nlink: Math.max(0, inode.nlink - 1), ctime: now });
}

/** An empty directory loses its name. */
export function dropDirectory(core: Core, record: Record, inode: Inode): void {
  core.put(record, { ...core.withTotals(inode), nlink: 0, ctime: core.now() });
}

/** The kernel has dropped the inode from its memory: nothing can reach an orphan any more. */
export function forget(core: Core, ino: Ino): void {
  const live = core.live.find(ino);
  if (live !== undefined && live.handles > 0) {
    if (!live.isInDoubt) {
      live.forgotten = true;
      return;
    }
    closeAll(core, live);
  }
  if (live?.mayBeMapped === true) {
    // Nothing holds the inode, so no mapping of it is left.
    live.mayBeMapped = false;
    settle(core, live);
    core.live.dropIfIdle(live);
  }
  const inode = core.namespace.inode(ino);
  if (inode !== undefined && inode.nlink === 0 && hasManyPartitions(inode)) core.largeOrphans.add(ino);
  else reclaimOrphan(core, ino);
}

/** A count that was too high after a restart is settled: nobody has the file open, nobody has it mapped. */
function closeAll(core: Core, live: LiveFile): void {
  live.handles = 0;
  live.writers = 0;
  live.isInDoubt = false;
  endMode(core, live);
  core.openTable.forget(live.ino);
  settle(core, live);
  core.live.dropIfIdle(live);
}

/** Removes an inode that has no name left, a large directory in several records; any other stays as it is. */
export function reclaimOrphan(core: Core, ino: Ino): void {
  let inode = core.namespace.inode(ino);
  if (inode === undefined || inode.nlink > 0 || core.refusal() !== undefined) return;
  while (hasManyPartitions(inode)) {
    removeSomePartitions(core.namespace, inode);
    inode = core.namespace.inode(ino) ?? inode;
  }
  const record = core.namespace.begin();
  releaseContents(core, record, inode);
  record.deleteInode(inode.ino);
  core.forgetAccess(inode.ino);
  core.packer.cancel(inode.ino);
  core.live.delete(inode.ino);
  core.commit(record);
}
