/**
 * What a mount does where the last barrier was cut off between two databases, until the journal makes that impossible:
 * what is derived is taken anew from the inodes, so that nothing that an inode still names is ever let go. Names that lead
 * nowhere, and inodes without a name, are left to fsck.
 */
import type { FoundAggregate } from '../aggregate/ledger.ts';
import { type Extent, occupied } from '../base/layout.ts';
import type { AggregateId, Ino, VolumeId } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import { DamagedRow } from '../shard/store.ts';
import { type Core, S_IFDIR, S_IFMT } from './core.ts';

/** Inodes changed by one record. */
const INODES_A_RECORD = 256;

/** A checksummed range that inodes name. */
interface Range {
  readonly volume: VolumeId;
  readonly bytes: number;
  names: number;
  isShared: boolean;
}

type Ranges = ReadonlyMap<AggregateId, ReadonlyMap<number, Range>>;

export function mendTorn(core: Core): void {
  const ranges = namedRanges(core);
  const unreadable = unreadableInodes(core);
  core.data.ledger.recount(countLive(ranges), { partial: unreadable.size > 0 });
  core.commit(core.namespace.begin());
  mendSharing(core, ranges, unreadable);
  renameOrphans(core);
}

/** By aggregate and start. In memory for as long as this takes: a few hundred bytes for each packed file. */
function namedRanges(core: Core): Ranges {
  const ranges = new Map<AggregateId, Map<number, Range>>();
  for (const inode of allInodes(core)) {
    for (const extent of distinct(inode)) {
      const { aggregate, rangeStart, rangeLength, volume } = extent;
      const ofAggregate = ranges.get(aggregate) ?? new Map<number, Range>();
      ranges.set(aggregate, ofAggregate);
      const range = ofAggregate.get(rangeStart) ?? { volume, bytes: occupied(rangeLength), names: 0, isShared: false };
      ofAggregate.set(rangeStart, range);
      range.names += 1;
      range.isShared ||= extent.shared;
    }
  }
  return ranges;
}

/** Inodes whose rows are damaged: what they name is not known, and must not be taken from them. */
function unreadableInodes(core: Core): ReadonlySet<Ino> {
  const found = new Set<Ino>();
  for (let shard = 0; shard < core.namespace.shardCount; shard++) {
    for (const inode of core.namespace.scan(shard).inodes()) if (inode instanceof DamagedRow) found.add(inode.ino);
  }
  return found;
}

/** Counts of live bytes may be behind the inodes that name them, and aggregates may lack their rows. */
function countLive(ranges: Ranges): FoundAggregate[] {
  return [...ranges].map(([id, ofAggregate]) => {
    let live = 0;
    let end = 0;
    let volume = 0 as VolumeId;
    for (const [start, range] of ofAggregate) {
      live += range.bytes;
      end = Math.max(end, start + range.bytes);
      volume = range.volume;
    }
    return { id, volume, live, end };
  });
}

/**
 * A range that two inodes name is shared in both, with a row each, or the first that lets go of it would take it from the
 * other. Rows that no inode bears out would keep bytes for ever.
 */
function mendSharing(core: Core, ranges: Ranges, unreadable: ReadonlySet<Ino>): void {
  const sharers = new Set<string>();
  const isShared = ({ aggregate, rangeStart }: Extent): boolean => {
    const range = ranges.get(aggregate)?.get(rangeStart);
    return range !== undefined && (range.isShared || range.names > 1);
  };
  let changed: Inode[] = [];
  const flush = () => {
    const record = core.namespace.begin();
    for (const inode of changed) {
      const mark = (extent: Extent) => (isShared(extent) && !extent.shared ? { ...extent, shared: true } : extent);
      record.putInode({ ...inode, extents: inode.extents.map(mark), second: inode.second.map(mark) });
      for (const { aggregate, rangeStart } of distinct(inode).filter(isShared))
        record.putSharer(aggregate, rangeStart, inode.ino);
    }
    core.commit(record);
    changed = [];
  };
  for (const inode of allInodes(core)) {
    const shared = distinct(inode).filter(isShared);
    if (shared.length === 0) continue;
    for (const { aggregate, rangeStart } of shared) sharers.add(sharerKey(aggregate, rangeStart, inode.ino));
    changed.push(inode);
    if (changed.length >= INODES_A_RECORD) flush();
  }
  flush();
  const stale = [...core.namespace.allSharers()].filter(
    ({ aggregate, rangeStart, ino }) => !unreadable.has(ino) && !sharers.has(sharerKey(aggregate, rangeStart, ino)),
  );
  const record = core.namespace.begin();
  for (const { aggregate, rangeStart, ino } of stale) record.deleteSharer(aggregate, rangeStart, ino);
  core.commit(record);
}

/** An inode that counts no names may have some: the record that took them away reached its shard, and not theirs. */
function renameOrphans(core: Core): void {
  const names = new Map<Ino, number>();
  for (const ino of core.namespace.orphans()) names.set(ino, 0);
  if (names.size === 0) return;
  for (let shard = 0; shard < core.namespace.shardCount; shard++) {
    for (const row of core.namespace.scan(shard).dentries()) {
      if (row instanceof DamagedRow) continue;
      const count = names.get(row.dentry.ino);
      if (count !== undefined) names.set(row.dentry.ino, count + 1);
    }
  }
  const record = core.namespace.begin();
  for (const [ino, count] of names) {
    const inode = core.namespace.inode(ino);
    if (inode === undefined || count === 0) continue;
    core.put(record, { ...inode, nlink: (inode.mode & S_IFMT) === S_IFDIR ? 1 : count });
    core.log.warn({ ino, names: count }, 'An inode without names has some: it is kept');
  }
  core.commit(record);
}

/** One extent of each range that the inode names. */
function distinct(inode: Inode): Extent[] {
  const found = new Map<string, Extent>();
  for (const extent of [...inode.extents, ...inode.second])
    found.set(`${extent.aggregate}/${extent.rangeStart}`, extent);
  return [...found.values()];
}

function sharerKey(aggregate: AggregateId, rangeStart: number, ino: Ino): string {
  return `${aggregate}/${rangeStart}/${ino}`;
}

function* allInodes(core: Core): Generator<Inode> {
  for (let shard = 0; shard < core.namespace.shardCount; shard++) {
    for (const inode of core.namespace.scan(shard).inodes()) if (!(inode instanceof DamagedRow)) yield inode;
  }
}
