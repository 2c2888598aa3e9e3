/**
 * What can be moved out of an aggregate, as the rows tell: units of ranges and of all files that name them, and the record's
 * part that switches one. The switch is a compare-and-swap over the whole unit: files that share a range go in one record or
 * stay, and where any of them has changed since nothing of the unit is switched.
 */
import {
  blocksOf,
  type MovedPiece,
  type MoveRange,
  type MoveUnit,
  movedExtents,
  unitBytes,
} from '../aggregate/moves.ts';
import { MENTION_EXTENTS_MAX } from '../aggregate/pack.ts';
import { type Extent, occupied } from '../base/layout.ts';
import { compareTimes } from '../base/time.ts';
import { type AggregateId, type Ino, MIB, type VolumeId } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import type { Inode } from '../shard/rows.ts';
import { type Core, isUnsettled } from './core.ts';
import type { Describer } from './describer.ts';

/** Larger units stay where they are; one file may have more bytes where its caller has room for it. */
const UNIT_FILES = 64;
const UNIT_BYTES = 16 * MIB;

export interface PlannedUnit {
  readonly unit: MoveUnit;
  readonly members: readonly Inode[];
  /** Of each range that is shared: every inode that `sharers` has. */
  readonly sharers: ReadonlyMap<number, readonly Ino[]>;
  readonly bytes: number;
}

export interface PlanAt {
  readonly source: AggregateId;
  readonly describer: Describer;
  /** Bytes of a unit of one file at most; default as of any unit. */
  readonly fileBytes?: number;
}

/** The unit that an inode belongs to; undefined when it has nothing in the source, or must stay for now. */
export function planUnit(core: Core, from: Ino, at: PlanAt): PlannedUnit | undefined {
  const { source, describer, fileBytes = UNIT_BYTES } = at;
  const members = new Map<Ino, Inode>();
  const sharers = new Map<number, readonly Ino[]>();
  const ranges = new Map<number, Extent[]>();
  const todo = [from];
  for (let ino = todo.pop(); ino !== undefined; ino = todo.pop()) {
    if (members.has(ino)) continue;
    const inode = core.namespace.inode(ino);
    const extents = inode === undefined ? [] : extentsIn(inode, source);
    if (inode === undefined || extents.length === 0 || mustStay(core, inode)) return undefined;
    members.set(ino, inode);
    if (members.size > UNIT_FILES) return undefined;
    for (const extent of extents) {
      const { rangeStart, shared } = extent;
      ranges.set(rangeStart, [...(ranges.get(rangeStart) ?? []), extent]);
      if (!shared || sharers.has(rangeStart)) continue;
      const all = core.namespace.sharers(source, rangeStart);
      if (all.length > UNIT_FILES || !all.includes(ino)) return undefined;
      sharers.set(rangeStart, all);
      todo.push(...all);
    }
  }
  const moves: MoveRange[] = [];
  for (const extents of ranges.values()) {
    const blocks = blocksOf(extents);
    if (blocks === undefined) return undefined;
    moves.push(blocks);
  }
  moves.sort((a, b) => a.rangeStart - b.rangeStart);
  const files = [...members.values()].map((inode) => describer.described(inode, describedExtents(inode)));
  const unit = { source, ranges: moves, files };
  const bytes = unitBytes(unit);
  return bytes > (members.size === 1 ? fileBytes : UNIT_BYTES)
    ? undefined
    : { unit, members: [...members.values()], sharers, bytes };
}

/** Bytes that the source gives back when the unit has left it. */
export function sourceBytes({ unit }: PlannedUnit): number {
  return unit.ranges.reduce((sum, { rangeLength }) => sum + occupied(rangeLength), 0);
}

export interface MovedTo {
  readonly source: AggregateId;
  readonly target: AggregateId;
  readonly volume: VolumeId;
  readonly pieces: readonly MovedPiece[];
}

/** What the members will be; undefined when one of them is not what was planned any more. */
export function switchedRows(core: Core, planned: PlannedUnit, to: MovedTo): readonly Inode[] | undefined {
  const rows: Inode[] = [];
  for (const [rangeStart, before] of planned.sharers) {
    const now = core.namespace.sharers(to.source, rangeStart);
    if (now.length !== before.length || now.some((ino) => !before.includes(ino))) return undefined;
  }
  for (const member of planned.members) {
    const inode = core.namespace.inode(member.ino);
    if (inode === undefined || mustStay(core, inode)) return undefined;
    if (!isSame(extentsIn(inode, to.source), extentsIn(member, to.source))) return undefined;
    const extents = movedList(inode.extents, to);
    const second = movedList(inode.second, to);
    if (extents === undefined || second === undefined) return undefined;
    rows.push({ ...inode, extents, second });
  }
  return rows;
}

/** Puts the switch of a unit into a record; what it was called before is let go, for the punch behind the next barrier. */
export function putMoved(
  core: Core,
  record: Record,
  planned: PlannedUnit,
  to: MovedTo & { readonly rows: readonly Inode[] },
) {
  const { source, target, rows } = to;
  for (const [rangeStart, inos] of planned.sharers)
    for (const ino of inos) record.deleteSharer(source, rangeStart, ino);
  for (const row of rows) {
    core.put(record, row);
    for (const { aggregate, rangeStart, shared } of [...row.extents, ...row.second])
      if (shared && aggregate === target) record.putSharer(target, rangeStart, row.ino);
  }
  const dropped = planned.members.flatMap((member) => extentsIn(member, source));
  core.data.ledger.release(dropped, { stillShared: () => false });
  for (const [i, row] of rows.entries()) {
    const before = planned.members[i];
    // The index beside the copies tells what it was when the job began.
    if (before !== undefined && isOtherwise(before, row)) core.packer.mention(row.ino);
  }
}

/** The files still name what was to be moved. */
export function isUnchanged(core: Core, planned: PlannedUnit): boolean {
  const { source, ranges } = planned.unit;
  const pieces = ranges.map(({ rangeStart, from, length, checksums }) => {
    return { sourceStart: rangeStart, from, length, rangeStart, checksums };
  });
  // Wherever they would go.
  return switchedRows(core, planned, { source, target: source, volume: 0 as VolumeId, pieces }) !== undefined;
}

/** All that a file names there, fsynced copies too. */
export function extentsIn(inode: Inode, source: AggregateId): Extent[] {
  return [...inode.extents, ...inode.second].filter(({ aggregate }) => aggregate === source);
}

/**
 * Orphans go soon. While a worker compares a file with extents these must be what they are, and one that is about to be
 * packed is told of by that.
 */
function mustStay(core: Core, inode: Inode): boolean {
  if (inode.nlink === 0 || core.comparisons.has(inode.ino) || core.packer.has(inode.ino)) return true;
  const longest = Math.max(inode.extents.length, inode.second.length);
  return longest > MENTION_EXTENTS_MAX || (inode.own !== undefined && !isUnsettled(inode));
}

/** What holds after power loss. */
function describedExtents(inode: Inode): readonly Extent[] {
  return inode.own === undefined ? inode.extents : inode.second;
}

/** The same list where nothing of it has moved. */
function movedList(
  extents: readonly Extent[],
  { source, target, volume, pieces }: MovedTo,
): readonly Extent[] | undefined {
  if (!extents.some(({ aggregate }) => aggregate === source)) return extents;
  return movedExtents(extents, pieces, { source, target, volume });
}

function isSame(a: readonly Extent[], b: readonly Extent[]): boolean {
  return a.length === b.length && a.every((extent, i) => isSameExtent(extent, b[i]));
}

function isSameExtent(a: Extent, b: Extent | undefined): boolean {
  return (
    b !== undefined &&
    a.fileOffset === b.fileOffset &&
    a.length === b.length &&
    a.offset === b.offset &&
    a.rangeStart === b.rangeStart &&
    a.rangeLength === b.rangeLength &&
    a.shared === b.shared
  );
}

function isOtherwise(a: Inode, b: Inode): boolean {
  const isPlace = a.parent === b.parent && a.position === b.position && a.mode === b.mode;
  return !isPlace || a.uid !== b.uid || a.gid !== b.gid || a.size !== b.size || compareTimes(a.mtime, b.mtime) !== 0;
}
