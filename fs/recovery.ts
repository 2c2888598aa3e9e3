/**
 * What a mount does before it answers: orphans of the last mount go, own files that were open or waiting settle, own
 * files that no row names are removed. After an unclean end the aggregates' counts are taken anew from the inodes.
 */
import { readHeader } from '../aggregate/scan.ts';
import { E, isErrno } from '../base/errno.ts';
import { type Extent, type OwnName, occupied } from '../base/layout.ts';
import { compareTimes, type Timespec } from '../base/time.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import { startLive } from './contents.ts';
import { type Core, isUnsettled } from './core.ts';
import { reclaimOrphan } from './operations/remove.ts';
import { settle } from './settle.ts';

export function recover(core: Core): void {
  if (core.options.readOnly) {
    showUnsettled(core);
    return;
  }
  if (core.namespace.torn) recount(core);
  for (const ino of [...core.namespace.orphans()]) reclaimOrphan(core, ino);
  const named = new Set<string>();
  for (const ino of [...core.namespace.ownFileInodes()]) {
    const inode = core.namespace.inode(ino);
    if (inode?.own === undefined) continue;
    named.add(ownKey(inode.own));
    recoverOwn(core, inode);
  }
  // A row that is missing because shards disagree proves nothing: fsck tells which files are nobody's.
  if (core.namespace.torn) return;
  for (const volume of core.volumes.keys()) {
    removeUnnamed(core, volume, named);
    removeUnknown(core, volume);
  }
}

/** A read-only mount changes nothing, but shows the sizes that unsettled own files have. */
function showUnsettled(core: Core): void {
  for (const ino of core.namespace.ownFileInodes()) {
    const inode = core.namespace.inode(ino);
    if (inode?.own === undefined || !isUnsettled(inode)) continue;
    const stat = core.data.statOwn(inode.own);
    if (!isErrno(stat)) startLive(core.live.of(inode), { ...inode, size: stat.size, mtime: laterTime(inode, stat) });
  }
}

function ownKey(own: OwnName): string {
  return `${own.volume}/${own.start}/${own.number}`;
}

function recoverOwn(core: Core, inode: Inode): void {
  if (inode.own === undefined) return;
  const stat = core.data.statOwn(inode.own);
  if (isErrno(stat)) {
    // Of a volume that is missing nothing is concluded.
    if (stat === E.ENOENT) recoverMissing(core, inode);
    return;
  }
  if (!isUnsettled(inode)) {
    if (inode.size <= core.options.packBelow) pack(core, inode, inode);
    return;
  }
  const row = { ...inode, size: stat.size, mtime: laterTime(inode, stat), flags: inode.flags & ~FLAG_FLUSHED };
  pack(core, inode, row);
}

/** The row's time unless the own file was written after it; the host keeps times less exactly than the row. */
function laterTime(inode: Inode, stat: { readonly mtime: Timespec }): Timespec {
  const gap = stat.mtime.sec - inode.mtime.sec + (stat.mtime.nsec - inode.mtime.nsec) / 1e9;
  return compareTimes(stat.mtime, inode.mtime) > 0 && gap > 1e-5 ? stat.mtime : inode.mtime;
}

/** Brings the file to where closing it would have brought it. */
function pack(core: Core, inode: Inode, row: Inode): void {
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

/** The own file is gone: an fsynced copy takes its place, a flushed one is damage, any other was never made durable. */
function recoverMissing(core: Core, inode: Inode): void {
  const { ino, own } = inode;
  if ((inode.flags & FLAG_COPY) === 0 && (inode.flags & FLAG_FLUSHED) !== 0) {
    core.log.error({ ino, own }, 'An own file that was flushed is missing: its inode is damaged');
    return;
  }
  const isCopy = (inode.flags & FLAG_COPY) !== 0;
  core.log.warn({ ino, own, restored: isCopy }, 'An own file that was not durable is missing');
  const extents = isCopy ? inode.second : [];
  const record = core.namespace.begin();
  core.put(record, {
    ...inode,
    layout: 'packed',
    own: undefined,
    extents,
    second: [],
    size: isCopy ? inode.size : 0,
    flags: inode.flags & ~(FLAG_COPY | FLAG_UNSETTLED | FLAG_FLUSHED),
  });
  core.commit(record);
}

function removeUnnamed(core: Core, volume: VolumeId, named: ReadonlySet<string>): void {
  const names = core.data.ownFiles(volume);
  if (isErrno(names)) return;
  let removed = 0;
  for (const own of names) {
    if (named.has(ownKey(own))) continue;
    core.data.removeOwn(own);
    removed += 1;
  }
  if (removed > 0) core.log.info({ volume, removed }, 'Removed own files that no inode names');
}

/**
 * Aggregates that an earlier start made after its last barrier: no durable record names them. A file that does not say so
 * of itself is somebody's: it is set aside, never removed.
 */
function removeUnknown(core: Core, volume: VolumeId): void {
  const ids = core.data.aggregateFiles(volume);
  if (isErrno(ids)) return;
  for (const id of ids) {
    if (core.data.ledger.row(id) !== undefined) continue;
    const file = core.data.openAggregate(volume, id);
    const header = isErrno(file) ? undefined : readHeader(file, { storeId: core.namespace.storeId, aggregate: id });
    const isOurs = header !== undefined && header.start < core.namespace.generation;
    if (isOurs) core.data.removeAggregate(volume, id);
    else core.data.setAsideAggregate(volume, id);
    core.log.warn(
      { volume, aggregate: id, removed: isOurs },
      'An aggregate without a row: removed, or set aside in lost/',
    );
  }
}

/** Shards commit one after another, so a crash may leave the counts of aggregates behind the inodes that name them. */
function recount(core: Core): void {
  const live = new Map<AggregateId, Map<number, number>>();
  const seen = new Map<AggregateId, Extent>();
  for (const extent of allExtents(core)) {
    seen.set(extent.aggregate, extent);
    const ranges = live.get(extent.aggregate) ?? new Map<number, number>();
    live.set(extent.aggregate, ranges);
    ranges.set(extent.rangeStart, occupied(extent.rangeLength));
  }
  core.data.ledger.recount(
    [...live].map(([id, ranges]) => ({
      id,
      volume: seen.get(id)?.volume ?? (0 as VolumeId),
      live: [...ranges.values()].reduce((sum, bytes) => sum + bytes, 0),
      end: [...ranges].reduce((end, [start, bytes]) => Math.max(end, start + bytes), 0),
    })),
  );
  const record = core.namespace.begin();
  core.commit(record);
}

function* allExtents(core: Core): Generator<Extent> {
  for (let shard = 0; shard < core.namespace.shardCount; shard++) {
    for (const inode of core.namespace.scan(shard).inodes()) {
      if ('table' in inode) continue;
      yield* inode.extents;
      yield* inode.second;
    }
  }
}
