/** What becomes of an own file when nobody can write it any more, and what fsync does to one that is still written. */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Extent } from '../base/layout.ts';
import type { Record } from '../shard/record.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import { releaseExtents, startLive } from './contents.ts';
import { type Core, isUnsettled } from './core.ts';
import type { LiveFile } from './live_files.ts';
import { sharedExtents } from './sharing.ts';

const SETTLED_CLEARS = FLAG_UNSETTLED | FLAG_FLUSHED | FLAG_COPY;

/** Called when the last handle of an inode is closed. */
export function settle(core: Core, live: LiveFile): void {
  // On a read-only mount the sizes of unsettled files are only shown; in a broken store they stay as they are.
  if (core.refusal() !== undefined) return;
  const inode = core.namespace.inode(live.ino);
  if (inode === undefined || inode.nlink === 0 || live.size === undefined || !isUnsettled(inode)) return;
  if (live.size === 0) switchToPacked(core, inode, live, []);
  else if (shareContents(core, inode, live)) return;
  else if (live.size <= core.options.packBelow) core.packer.add(inode, live);
  else settleDedicated(core, inode, live);
}

/** The record's part that makes a file packed; the caller commits, and then calls `core.data.unlinkOwnLater`. */
export function packedRow(inode: Inode, live: LiveFile, extents: readonly Extent[]): Inode {
  return {
    ...inode,
    layout: 'packed',
    own: undefined,
    extents,
    second: [],
    size: live.size ?? inode.size,
    mtime: live.mtime,
    ctime: live.ctime,
    flags: inode.flags & ~SETTLED_CLEARS,
  };
}

/** Puts the switch of one inode into a record. The own file goes behind the barrier that makes the record durable. */
export function putSwitch(
  core: Core,
  record: Record,
  at: { inode: Inode; live: LiveFile },
  extents: readonly Extent[],
) {
  const { inode, live } = at;
  core.put(record, packedRow(inode, live, extents));
  // The copy may lie in ranges that the file names again: then those stay.
  releaseExtents(core, record, inode.ino, { dropped: inode.second, kept: extents });
  if (inode.own !== undefined) core.data.unlinkOwnLater(inode.own);
  live.size = undefined;
  live.copied = undefined;
  core.live.dropIfIdle(live);
}

/**
 * Makes the bytes of an own file durable and puts the row that says so into a record; the caller's barrier then covers
 * both. Order of durability: bytes, then the row.
 */
export function flushOwn(core: Core, inode: Inode, live: LiveFile | undefined): Result<void> {
  if (inode.own === undefined) return;
  const flushed = core.data.flushOwn(inode.own);
  if (isErrno(flushed)) {
    core.log.error({ ino: inode.ino, own: inode.own }, 'Cannot flush an own file: its bytes may be lost');
    core.markBroken('Cannot flush an own file');
    return E.EIO;
  }
  const record = core.namespace.begin();
  releaseExtents(core, record, inode.ino, { dropped: inode.second, kept: inode.extents });
  core.put(record, {
    ...inode,
    second: [],
    size: live?.size ?? inode.size,
    mtime: live?.size === undefined ? inode.mtime : live.mtime,
    ctime: live?.size === undefined ? inode.ctime : live.ctime,
    flags: (inode.flags & ~FLAG_COPY) | FLAG_FLUSHED,
  });
  core.commit(record);
  if (live !== undefined) live.unflushed = false;
}

function switchToPacked(core: Core, inode: Inode, live: LiveFile, extents: readonly Extent[]): void {
  const record = core.namespace.begin();
  putSwitch(core, record, { inode, live }, extents);
  core.commit(record);
}

/**
 * A dedicated file keeps its own file for good. Where the row still has the copy of an earlier packed state the own file
 * is flushed before the row lets that go.
 */
export function settleDedicated(core: Core, inode: Inode, live: LiveFile): void {
  if ((inode.flags & FLAG_COPY) !== 0) {
    const flushed = flushOwn(core, inode, live);
    if (isErrno(flushed)) return;
  }
  const fresh = core.namespace.inode(inode.ino) ?? inode;
  const record = core.namespace.begin();
  // What was flushed before the last write is not flushed now.
  const cleared = live.unflushed ? FLAG_UNSETTLED | FLAG_FLUSHED : FLAG_UNSETTLED;
  core.put(record, {
    ...fresh,
    size: live.size ?? fresh.size,
    mtime: live.mtime,
    ctime: live.ctime,
    flags: fresh.flags & ~cleared,
  });
  core.commit(record);
  live.size = undefined;
  live.copied = undefined;
  core.live.dropIfIdle(live);
}

/** Brings a file without handles to where closing it would have brought it; `row` is what it is, `inode` what is recorded. */
export function settleAgain(core: Core, inode: Inode, row: Inode): void {
  if (row.flags !== inode.flags || !isUnsettled(inode)) {
    const record = core.namespace.begin();
    core.put(record, { ...inode, flags: (inode.flags & ~FLAG_FLUSHED) | FLAG_UNSETTLED });
    core.commit(record);
  }
  const live = core.live.of(row);
  startLive(live, row);
  live.unflushed = true;
  settle(core, live);
  core.live.dropIfIdle(live);
}

/** A file that is nothing but a copy of packed bytes names those instead of its own. */
function shareContents(core: Core, inode: Inode, live: LiveFile): boolean {
  const record = core.namespace.begin();
  const extents = sharedExtents(record, inode.ino, live);
  if (extents === undefined) return false;
  putSwitch(core, record, { inode, live }, extents);
  core.commit(record);
  return true;
}
