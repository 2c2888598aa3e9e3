/** What becomes of an own file when nobody can write it any more, and what fsync does to one that is still written. */
import { E, isErrno, type Result } from '../base/errno.ts';
import { type Extent, type OwnName, ownText } from '../base/layout.ts';
import type { Ino } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import { releaseExtents } from './contents.ts';
import { type Core, isUnsettled } from './core.ts';
import { type LiveFile, noteFlushed, startLive } from './live_files.ts';
import { isWhollyCopied, sharedExtents } from './sharing.ts';

const SETTLED_CLEARS = FLAG_UNSETTLED | FLAG_FLUSHED | FLAG_COPY;

/** Called when the last handle of an inode is closed. */
export function settle(core: Core, live: LiveFile): void {
  // On a read-only mount the sizes of unsettled files are only shown; in a broken store they stay as they are.
  if (core.refusal() !== undefined) return;
  const inode = core.namespace.inode(live.ino);
  if (inode === undefined || inode.nlink === 0 || !isUnsettled(inode)) return;
  // Nobody may have asked for its size since a predecessor opened it. One whose own file is lost stays what it is.
  core.unsettled(inode);
  if (live.size === undefined || mayStillBeWritten(core, inode, live)) return;
  const copy = live.isWrittenUnseen ? supposedCopy(inode, live) : undefined;
  if (live.size === 0) switchToEmpty(core, inode, live);
  else if (copy !== undefined) core.comparisons.begin(inode, live, copy);
  else if (shareContents(core, inode, live)) return;
  else if (hasWholeCopy(inode, live)) keepCopy(core, inode, live);
  else if (live.size <= core.options.packBelow) core.packer.add(inode, live);
  else settleDedicated(core, inode, live);
}

/** Extents that hold what the file holds, unless it was written since. */
function supposedCopy(inode: Inode, live: LiveFile): readonly Extent[] | undefined {
  if (isWhollyCopied(live)) return live.copied?.map(({ extent }) => extent);
  return isCopyOfAll(inode, live) && inode.size === live.size ? inode.second : undefined;
}

/** Whoever has a file mapped writes on after its last handle is closed; a lease proves that nobody has. */
function mayStillBeWritten(core: Core, inode: Inode, live: LiveFile): boolean {
  if (!live.mayBeMapped || inode.own === undefined || core.passthrough === undefined) return false;
  if (!core.passthrough.isAbandoned(live, inode.own)) return true;
  live.mayBeMapped = false;
  live.isStale = true;
  core.refresh(inode, live);
  return false;
}

/** Tries again with files that may have been mapped when their last handle was closed; milliseconds until the next try. */
export function settleMapped(core: Core, nowMs: number): number {
  const { passthrough } = core;
  if (passthrough === undefined) return Number.POSITIVE_INFINITY;
  for (const ino of passthrough.takeDue(nowMs)) {
    const live = core.live.find(ino);
    if (live === undefined || live.handles > 0) continue;
    settle(core, live);
    core.live.dropIfIdle(live);
  }
  return passthrough.dueIn(nowMs);
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
  core.refresh(inode, live);
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
    core.markBroken(`Cannot flush the own file of inode ${inode.ino}, ${ownText(inode.own)}`);
    return E.EIO;
  }
  if (live !== undefined) core.refresh(inode, live);
  const record = core.namespace.begin();
  putFlushed(core, record, inode, live);
  core.commit(record);
  if (live !== undefined) noteFlushed(live);
}

/** The row of an inode whose own file has been flushed: it takes the place of a copy that an earlier fsync made. */
export function putFlushed(core: Core, record: Record, inode: Inode, live: LiveFile | undefined): void {
  releaseExtents(core, record, inode.ino, { dropped: inode.second, kept: inode.extents });
  core.put(record, {
    ...inode,
    second: [],
    size: live?.size ?? inode.size,
    mtime: live?.size === undefined ? inode.mtime : live.mtime,
    ctime: live?.size === undefined ? inode.ctime : live.ctime,
    flags: (inode.flags & ~FLAG_COPY) | FLAG_FLUSHED,
  });
  if (live !== undefined) live.copyAt = undefined;
}

export function isSameOwn(inode: Inode, own: OwnName): boolean {
  const mine = inode.own;
  return mine !== undefined && mine.volume === own.volume && mine.start === own.start && mine.number === own.number;
}

/** Size and times prove nothing: only that nothing was written since the copy was made. */
function hasWholeCopy(inode: Inode, live: LiveFile): boolean {
  return !live.isWrittenUnseen && isCopyOfAll(inode, live);
}

/** Whether the copy that the row names was made after the last change that was counted. */
function isCopyOfAll(inode: Inode, live: LiveFile): boolean {
  return (inode.flags & FLAG_COPY) !== 0 && live.copyAt !== undefined && live.copyAt === live.changes;
}

/** What fsync has copied is the file from now on. */
function keepCopy(core: Core, inode: Inode, live: LiveFile): void {
  const record = core.namespace.begin();
  putSwitch(core, record, { inode, live }, inode.second);
  core.commit(record);
}

function switchToEmpty(core: Core, inode: Inode, live: LiveFile): void {
  const record = core.namespace.begin();
  putSwitch(core, record, { inode, live }, []);
  core.commit(record);
  core.packer.mention(inode.ino);
}

/**
 * A dedicated file keeps its own file for good. Where the row still has the copy of an earlier packed state the own file
 * is flushed before the row lets that go.
 */
export function settleDedicated(core: Core, inode: Inode, live: LiveFile): void {
  if ((inode.flags & FLAG_COPY) !== 0) {
    flushFirst(core, inode.ino);
    return;
  }
  core.refresh(inode, live);
  const record = core.namespace.begin();
  // What was flushed before the last write is not flushed now.
  const cleared = live.unflushed ? FLAG_UNSETTLED | FLAG_FLUSHED : FLAG_UNSETTLED;
  core.put(record, {
    ...inode,
    size: live.size ?? inode.size,
    mtime: live.mtime,
    ctime: live.ctime,
    flags: inode.flags & ~cleared,
  });
  core.commit(record);
  core.packer.mention(inode.ino);
  live.size = undefined;
  live.copied = undefined;
  core.live.dropIfIdle(live);
}

/** What is opened or removed meanwhile settles another time. A failed flush leaves the copy, which is whole. */
function flushFirst(core: Core, ino: Ino): void {
  core.durability.flush(ino).whenSettled((flushed) => {
    const inode = core.namespace.inode(ino);
    const live = core.live.find(ino);
    if (isErrno(flushed) || inode?.own === undefined || live?.size === undefined || live.handles > 0) return;
    if ((inode.flags & FLAG_COPY) === 0) settleDedicated(core, inode, live);
  });
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
  // Whoever had a mount open that is gone can still write what the kernel passes through.
  live.mayBeMapped = core.passthrough !== undefined;
  settle(core, live);
  core.live.dropIfIdle(live);
}

/** A file that is nothing but a copy of packed bytes names those instead of its own. */
function shareContents(core: Core, inode: Inode, live: LiveFile): boolean {
  if (live.isWrittenUnseen) return false;
  const record = core.namespace.begin();
  const extents = sharedExtents(record, inode.ino, live);
  if (extents === undefined) return false;
  putSwitch(core, record, { inode, live }, extents);
  core.commit(record);
  core.packer.mention(inode.ino);
  return true;
}
