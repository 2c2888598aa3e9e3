/**
 * What a mount does before it answers: orphans of the last mount go, own files that were open or waiting settle, own
 * files that no row names are removed.
 */
import { readHeader } from '../aggregate/scan.ts';
import { isSpareOwn } from '../aggregate/store.ts';
import type { BackingStat } from '../base/backing.ts';
import { E, isErrno } from '../base/errno.ts';
import type { OwnName } from '../base/layout.ts';
import { compareTimes, type Timespec } from '../base/time.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import { type Core, isUnsettled } from './core.ts';
import { reclaimOrphan } from './operations/remove.ts';
import { settleAgain } from './settle.ts';

export function recover(core: Core): void {
  for (const ino of [...core.namespace.orphans()]) reclaimOrphan(core, ino);
  const named = new OwnNames();
  // Rows that cannot be read may name what looks like nobody's.
  let isSure = true;
  for (const ino of [...core.namespace.ownFileInodes()]) {
    const inode = core.namespace.readInode(ino);
    if (isErrno(inode)) isSure = false;
    if (isErrno(inode) || inode.own === undefined) continue;
    named.add(inode.own);
    recoverOwn(core, inode);
  }
  for (const volume of core.volumes.keys()) {
    removeUnnamed(core, volume, { named, isSure });
    removeUnknown(core, volume, isSure);
  }
}

/** Names of own files, a number each: there may be as many as there are dedicated files. */
export class OwnNames {
  readonly #numbers = new Map<string, Set<number>>();

  add({ volume, start, number }: OwnName): void {
    const key = `${volume}/${start}`;
    const numbers = this.#numbers.get(key) ?? new Set();
    this.#numbers.set(key, numbers.add(number));
  }

  has({ volume, start, number }: OwnName): boolean {
    return this.#numbers.get(`${volume}/${start}`)?.has(number) === true;
  }
}

/** Brings a file that nobody has open to where closing it would have brought it. */
export function recoverOwn(core: Core, inode: Inode): void {
  if (inode.own === undefined) return;
  const stat = core.data.statOwn(inode.own);
  if (isErrno(stat)) {
    // Of a volume that is missing nothing is concluded.
    if (stat === E.ENOENT) recoverMissing(core, inode);
    return;
  }
  // After a reboot nobody knows what the host kept of an own file that was not flushed; the fsynced copy is whole.
  if (core.namespace.rebooted && (inode.flags & FLAG_COPY) !== 0) {
    recoverCopy(core, inode);
    return;
  }
  if (!isUnsettled(inode)) {
    recoverSettled(core, inode, stat);
    return;
  }
  const row = { ...inode, size: stat.size, flags: inode.flags & ~FLAG_FLUSHED };
  settleAgain(core, inode, row);
}

/** Changes that no durable record tells of show in the own file; of one never flushed the host may have lost the end. */
function recoverSettled(core: Core, inode: Inode, stat: BackingStat): void {
  const { ino, own } = inode;
  let row = inode;
  if (stat.size !== inode.size) {
    const fields = { ino, own, found: stat.size, expected: inode.size };
    core.log.error(fields, 'An own file does not have the size of its inode');
    // Flushed, and not changed since: the inode is damaged, and reads past the end fail. Its row has the own file's time,
    // and whatever changes one changes that, be it by a clock that was set back.
    if ((inode.flags & FLAG_FLUSHED) !== 0 && compareTimes(stat.mtime, inode.mtime) === 0) return;
    row = { ...inode, size: stat.size, mtime: writtenTime(inode, stat) };
    const record = core.namespace.begin();
    core.put(record, row);
    core.commit(record);
  }
  if (row.size <= core.options.packBelow) settleAgain(core, row, row);
}

/**
 * When it was last written. A settled file's row tells, unless the own file was changed after it: of unsettled ones the own
 * file always does.
 */
function writtenTime(inode: Inode, stat: { readonly mtime: Timespec }): Timespec {
  return compareTimes(stat.mtime, inode.ctime) > 0 ? stat.mtime : inode.mtime;
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
  recoverCopy(core, inode);
}

/** The inode names its fsynced copy again, or without one becomes empty; its own file goes behind the next barrier. */
function recoverCopy(core: Core, inode: Inode): void {
  const isCopy = (inode.flags & FLAG_COPY) !== 0;
  if (inode.own !== undefined) core.data.unlinkOwnLater(inode.own);
  const record = core.namespace.begin();
  core.put(record, {
    ...inode,
    layout: 'packed',
    own: undefined,
    extents: isCopy ? inode.second : [],
    second: [],
    size: isCopy ? inode.size : 0,
    flags: inode.flags & ~(FLAG_COPY | FLAG_UNSETTLED | FLAG_FLUSHED),
  });
  core.commit(record);
}

/**
 * Own files that no inode names: removed, or set aside when some row may name them. The record that dropped the name may
 * not be durable yet, so they go behind the next barrier.
 */
function removeUnnamed(
  core: Core,
  volume: VolumeId,
  known: { readonly named: OwnNames; readonly isSure: boolean },
): void {
  const names = core.data.ownFiles(volume);
  if (isErrno(names)) return;
  let count = 0;
  for (const own of names) {
    if (known.named.has(own)) continue;
    dropUnnamed(core, own, known.isSure);
    count += 1;
  }
  logUnnamed(core, volume, { count, isSure: known.isSure });
  const starts = core.data.ownStarts(volume);
  // Those in which something is left stay: the host sees to that.
  for (const start of isErrno(starts) ? [] : starts)
    if (start < core.data.start) core.data.removeOwnStart(volume, start);
}

/** One that was made ahead holds nothing, whatever a row that cannot be read may say. */
export function dropUnnamed(core: Core, own: OwnName, isSure: boolean): void {
  const stat = isSure ? undefined : core.data.statOwn(own);
  const isSpare = stat !== undefined && !isErrno(stat) && isSpareOwn(stat);
  if (isSure || isSpare) core.data.unlinkOwnLater(own);
  else core.data.setAsideOwn(own);
}

export function logUnnamed(
  core: Core,
  volume: VolumeId,
  found: { readonly count: number; readonly isSure: boolean },
): void {
  const { count, isSure } = found;
  if (count === 0) return;
  if (isSure) core.log.info({ volume, count }, 'Removed own files that no inode names');
  else core.log.warn({ volume, count }, 'Set aside in lost/ own files that no inode names');
}

/**
 * Aggregates that an earlier start made after its last barrier: no durable record names them. A file that does not say so
 * of itself is somebody's: it is set aside, never removed.
 */
function removeUnknown(core: Core, volume: VolumeId, isSure: boolean): void {
  const ids = core.data.aggregateFiles(volume);
  if (isErrno(ids)) return;
  for (const id of ids) removeUnknownAggregate(core, { volume, id, isSure });
}

export function removeUnknownAggregate(
  core: Core,
  found: { readonly volume: VolumeId; readonly id: AggregateId; readonly isSure: boolean },
): void {
  const { volume, id, isSure } = found;
  if (core.data.ledger.row(id) !== undefined || id >= core.data.firstAggregate) return;
  const file = core.data.openAggregate(volume, id);
  const header = isErrno(file) ? undefined : readHeader(file, { storeId: core.namespace.storeId, aggregate: id });
  const isOurs = isSure && header !== undefined && header.start < core.data.start;
  if (isOurs) core.data.removeAggregate(volume, id);
  else core.data.setAsideAggregate(volume, id);
  core.log.warn(
    { volume, aggregate: id, removed: isOurs },
    'An aggregate without a row: removed, or set aside in lost/',
  );
}
