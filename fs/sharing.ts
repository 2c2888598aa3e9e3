/**
 * Shared extents: `copy_file_range` from packed files copies the bytes, as any copy does, and remembers where they came
 * from. If the copy settles with nothing else done to it, it names the same extents, and its own file goes.
 */
import type { Extent } from '../base/layout.ts';
import type { Ino } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import type { CopiedExtent, LiveFile } from './live_files.ts';

/**
 * Extents of a packed file that serve [offset, offset + length), as a copy of them at `to` would name them; undefined
 * when a part of the range is a hole.
 */
export function extentsOfRange(
  extents: readonly Extent[],
  range: { readonly offset: number; readonly length: number; readonly to: number },
): Extent[] | undefined {
  const found: Extent[] = [];
  const end = range.offset + range.length;
  let at = range.offset;
  for (const extent of extents) {
    if (at >= end) break;
    if (extent.fileOffset + extent.length <= at) continue;
    if (extent.fileOffset > at) return undefined;
    const skip = at - extent.fileOffset;
    const length = Math.min(extent.length - skip, end - at);
    found.push({ ...extent, fileOffset: range.to + (at - range.offset), offset: extent.offset + skip, length });
    at += length;
  }
  return at >= end ? found : undefined;
}

/** Extents that one copy takes over at most: a copy of many small pieces keeps its own bytes. */
const COPIED_EXTENTS = 64;

/** Remembers a copied range, or forgets all when it does not go on where the last one ended. */
export function noteCopied(live: LiveFile, copied: readonly Extent[] | undefined, source: Ino): void {
  if (live.copied === undefined) return;
  const [first] = copied ?? [];
  const last = live.copied.at(-1)?.extent;
  const end = last === undefined ? 0 : last.fileOffset + last.length;
  if (copied === undefined || first === undefined || first.fileOffset !== end) {
    live.copied = undefined;
    return;
  }
  for (const extent of copied) {
    const before = live.copied.at(-1);
    if (before !== undefined && before.source === source && continues(before.extent, extent)) {
      const joined = { ...before.extent, length: before.extent.length + extent.length };
      live.copied[live.copied.length - 1] = { extent: joined, source };
    } else {
      live.copied.push({ extent, source });
    }
  }
  if (live.copied.length > COPIED_EXTENTS) live.copied = undefined;
}

/**
 * The extents that a settling copy takes over, each marked shared in every inode that names it, within the record; or
 * undefined when it is not wholly such a copy any more.
 */
export function sharedExtents(record: Record, ino: Ino, live: LiveFile): readonly Extent[] | undefined {
  const copied = live.copied;
  if (copied === undefined || !isWhollyCopied(live)) return undefined;
  for (const { extent, source } of copied) {
    const row = record.inode(source);
    if (source === ino || row === undefined || !row.extents.some((other) => sameRange(other, extent))) return undefined;
  }
  for (const { extent, source } of copied) {
    const row = record.inode(source);
    if (row === undefined) return undefined;
    record.putInode({
      ...row,
      extents: row.extents.map((other) => (sameRange(other, extent) ? asShared(other) : other)),
    });
    record.putSharer(extent.aggregate, extent.rangeStart, source);
    record.putSharer(extent.aggregate, extent.rangeStart, ino);
  }
  return copied.map(({ extent }) => asShared(extent));
}

/** Whether the file consists of copied ranges and nothing else, as far as it was seen. */
export function isWhollyCopied({ copied, size = 0 }: LiveFile): boolean {
  return copied !== undefined && copied.length > 0 && coversWholly(copied, size);
}

/** Whether the ranges follow each other from 0 to `size`, none of them named twice. */
function coversWholly(copied: readonly CopiedExtent[], size: number): boolean {
  let end = 0;
  const seen = new Set<string>();
  for (const { extent } of copied) {
    const range = `${extent.aggregate}:${extent.rangeStart}`;
    if (extent.fileOffset !== end || seen.has(range)) return false;
    seen.add(range);
    end += extent.length;
  }
  return end === size;
}

function continues(a: Extent, b: Extent): boolean {
  return sameRange(a, b) && a.fileOffset + a.length === b.fileOffset && a.offset + a.length === b.offset;
}

function sameRange(a: Extent, b: Extent): boolean {
  return a.aggregate === b.aggregate && a.rangeStart === b.rangeStart;
}

function asShared(extent: Extent): Extent {
  return extent.shared ? extent : { ...extent, shared: true };
}
