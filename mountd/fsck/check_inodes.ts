/**
 * Rows of inodes: readable, in their shard, sound in themselves. Fills the tables that the other checks look things up in.
 */
import type { Extent } from '../../base/layout.ts';
import { FIRST_FREE_SEQUENCE, MIB, SLOT_COUNT, type Slot, sequenceOf, slotOf } from '../../base/units.ts';
import { INLINE_EXTENTS } from '../../shard/inode_format.ts';
import { DT_REG, FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../../shard/rows.ts';
import { DamagedRow } from '../../shard/scan.ts';
import type { CheckContext } from './context.ts';
import { LAYOUT_OWN, LONG_EXTENTS, LONG_SECOND } from './inode_table.ts';

const SEGMENT_BYTES = 4 * MIB;
const RANGE_ALIGNMENT = 4096;
/** The aggregate's own header lies before the first range. */
const HEADER_BYTES = 4096;

export function checkInodes(ctx: CheckContext): void {
  const used = new Float64Array(SLOT_COUNT);
  ctx.forEachShard('inodes', (scan, shard) => {
    ctx.inodes.beginShard();
    for (const row of scan.inodes()) {
      const slot = slotOf(row.ino);
      if (!ctx.isAtHome(slot, shard, { inode: row.ino })) continue;
      used[slot] = Math.max(used[slot] ?? 0, sequenceOf(row.ino));
      if (row instanceof DamagedRow) {
        ctx.hasDamagedInodes = true;
        ctx.inodes.addDamaged(row.ino);
        const where = { inode: row.ino, shard };
        ctx.add({ kind: 'bad-row-checksum', where, found: 'an unreadable inode', expected: 'a whole row' });
      } else checkInode(ctx, row, shard);
    }
    checkSequences(ctx, { used, shard, reserved: new Map(scan.sequences().map((s) => [s.slot, s.nextSequence])) });
  });
}

function checkInode(ctx: CheckContext, inode: Inode, shard: number): void {
  const { ino, lsn } = inode;
  const at = ctx.inodes.add(inode);
  if (inode.extents.length > INLINE_EXTENTS) ctx.inodes.set(at, LONG_EXTENTS);
  if (inode.second.length > INLINE_EXTENTS) ctx.inodes.set(at, LONG_SECOND);
  if (lsn > ctx.namespace.lsn) {
    ctx.add({
      kind: 'wrong-lsn',
      where: { inode: ino, shard },
      found: `LSN ${lsn}`,
      expected: `at most ${ctx.namespace.lsn}`,
      repair: (repairer) => repairer.rewrite(ino),
    });
  }
  checkLayout(ctx, inode);
  checkList(ctx, inode, inode.extents, inode.size);
  // A copy may be longer than the file is by now.
  checkList(ctx, inode, inode.second, Number.MAX_SAFE_INTEGER);
  if (inode.own === undefined) return;
  ctx.inodes.set(at, LAYOUT_OWN);
  ctx.ownFiles.push({ ino, own: inode.own, size: inode.size, flags: inode.flags });
}

function checkLayout(ctx: CheckContext, inode: Inode): void {
  const { ino, layout, extents, second, flags } = inode;
  const where = { inode: ino };
  const isRegular = inode.mode >> 12 === DT_REG;
  if ((layout === 'none') === isRegular)
    ctx.add({
      kind: 'bad-layout',
      where,
      found: `layout ${layout}`,
      expected: isRegular ? 'own or packed for a file' : 'none',
    });
  if (extents.length > 0 && layout !== 'packed')
    ctx.add({
      kind: 'bad-layout',
      where,
      found: `${extents.length} extents with layout ${layout}`,
      expected: 'none of them',
    });
  if (second.length > 0 && layout === 'none')
    ctx.add({ kind: 'bad-layout', where, found: `${second.length} extents of a copy`, expected: 'none of them' });
  let right = flags;
  if (layout !== 'own') right &= ~(FLAG_UNSETTLED | FLAG_FLUSHED | FLAG_COPY);
  if (second.length === 0) right &= ~FLAG_COPY;
  if (right !== flags)
    ctx.add({
      kind: 'wrong-flag',
      where,
      found: `flags ${flags} with layout ${layout}`,
      expected: right,
      repair: (repairer) => repairer.setFlags(ino, { clear: flags & ~right, set: 0 }),
    });
  if (layout === 'own' && (flags & FLAG_UNSETTLED) !== 0)
    ctx.add({
      kind: 'unsettled-file',
      where,
      found: 'an own file that was open',
      expected: 'the next mount settles it',
    });
}

function checkList(ctx: CheckContext, inode: Inode, list: readonly Extent[], size: number): void {
  let end = 0;
  for (const extent of list) {
    const complaint = extentComplaint(ctx, extent, { end, size });
    if (complaint !== undefined) {
      const where = { inode: inode.ino, aggregate: extent.aggregate, offset: extent.offset };
      ctx.add({ kind: 'bad-extent', where, ...complaint });
    }
    end = extent.fileOffset + extent.length;
    ctx.ranges.add(inode.ino, extent);
  }
}

function extentComplaint(
  ctx: CheckContext,
  extent: Extent,
  file: { readonly end: number; readonly size: number },
): { found: string; expected: string } | undefined {
  const { fileOffset, length, rangeStart, rangeLength, aggregate, volume } = extent;
  if (fileOffset < file.end) return { found: `file offset ${fileOffset}`, expected: `${file.end} or more` };
  if (fileOffset + length > file.size)
    return { found: `end at ${fileOffset + length}`, expected: `within the file's ${file.size} bytes` };
  if (rangeStart % RANGE_ALIGNMENT !== 0 || rangeStart < HEADER_BYTES)
    return { found: `range at ${rangeStart}`, expected: 'a multiple of 4096 behind the header' };
  if ((rangeStart % SEGMENT_BYTES) + rangeLength > SEGMENT_BYTES)
    return { found: `range of ${rangeLength} bytes over a segment's end`, expected: 'within one segment' };
  const row = ctx.aggregates.get(aggregate);
  if (row !== undefined && row.volume !== volume) return { found: `volume ${volume}`, expected: `${row.volume}` };
  return undefined;
}

/** No inode may have a number that its slot would give away once more. */
function checkSequences(
  ctx: CheckContext,
  of: { readonly used: Float64Array; readonly shard: number; readonly reserved: ReadonlyMap<Slot, number> },
): void {
  for (let number = 0; number < SLOT_COUNT; number++) {
    const slot = number as Slot;
    if (ctx.namespace.shardOf(slot) !== of.shard) continue;
    const next = of.reserved.get(slot) ?? FIRST_FREE_SEQUENCE;
    const highest = of.used[slot] ?? 0;
    if (highest < next) continue;
    ctx.add({
      kind: 'wrong-sequence',
      where: { slot, shard: of.shard },
      found: `next sequence ${next}`,
      expected: highest + 1,
      repair: (repairer) => repairer.reserve(slot, highest + 1),
    });
  }
}
