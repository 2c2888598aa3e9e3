/** Every byte that an inode names in an aggregate, read in the order in which it lies and compared with its checksums. */
import type { BackingFile } from '../../base/backing.ts';
import { CHECKSUM_BLOCK, crc32c } from '../../base/crc32c.ts';
import { errnoOf, isErrno, type Result } from '../../base/errno.ts';
import type { Extent } from '../../base/layout.ts';
import { type AggregateId, type Ino, MIB } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';
import type { CheckContext } from './context.ts';

export function checkContents(ctx: CheckContext): void {
  ctx.progress.begin('contents', ctx.ranges.bytes);
  const buffer = new Uint8Array(4 * MIB);
  for (const id of ctx.ranges.ids()) checkAggregate(ctx, id, buffer);
}

function checkAggregate(ctx: CheckContext, id: AggregateId, buffer: Uint8Array): void {
  const volume = ctx.aggregates.get(id)?.volume;
  // Told already: no row, no volume, no file.
  if (volume === undefined || !ctx.present.has(volume)) return;
  if (isErrno(ctx.data.statAggregate(volume, id))) return;
  let inode: Inode | undefined;
  let last: Extent | undefined;
  for (const range of ctx.ranges.of(id) ?? []) {
    ctx.progress.advance(range.length);
    if (inode?.ino !== range.ino) inode = ctx.namespace.inode(range.ino);
    const extent = inode === undefined ? undefined : extentOf(inode, id, range.start);
    if (extent === undefined || (last !== undefined && isSameClaim(last, extent))) continue;
    last = extent;
    checkRange(ctx, { ino: range.ino, extent, file: ctx.data.openAggregate(volume, id) }, buffer);
  }
}

function extentOf(inode: Inode, id: AggregateId, start: number): Extent | undefined {
  const isIt = (extent: Extent) => extent.aggregate === id && extent.rangeStart === start;
  return inode.extents.find(isIt) ?? inode.second.find(isIt);
}

/** Sharers of a range are checked once, unless they say different things of it or name further bytes. */
function isSameClaim(a: Extent, b: Extent): boolean {
  if (a.rangeStart !== b.rangeStart || a.rangeLength !== b.rangeLength) return false;
  if (b.offset < a.offset || b.offset + b.length > a.offset + a.length) return false;
  return a.checksums.every((checksum, index) => checksum === b.checksums[index]);
}

function checkRange(
  ctx: CheckContext,
  of: { readonly ino: Ino; readonly extent: Extent; readonly file: Result<BackingFile> },
  buffer: Uint8Array,
): void {
  const { ino, extent, file } = of;
  const { aggregate, rangeStart, rangeLength, checksums } = extent;
  const where = { inode: ino, aggregate, offset: rangeStart };
  const bytes = buffer.subarray(0, rangeLength);
  const count = isErrno(file) ? -file.number : file.read(bytes, rangeStart);
  if (count < rangeLength) {
    const found = count < 0 ? errnoOf(-count).name : `${count} bytes`;
    ctx.add({ kind: 'unreadable-data', where, found, expected: `${rangeLength} bytes` });
    return;
  }
  let wrong = 0;
  let first = { block: 0, found: 0, expected: 0 };
  for (const [block, expected] of checksums.entries()) {
    if (!touches(extent, block)) continue;
    const found = crc32c(bytes.subarray(block * CHECKSUM_BLOCK, (block + 1) * CHECKSUM_BLOCK));
    if (found === expected) continue;
    if (wrong === 0) first = { block, found, expected };
    wrong += 1;
  }
  if (wrong === 0) return;
  ctx.add({
    kind: 'bad-data-checksum',
    where: { ...where, offset: rangeStart + first.block * CHECKSUM_BLOCK },
    found: `${hex(first.found)} in the first of ${wrong} wrong blocks`,
    expected: hex(first.expected),
  });
}

/** Blocks that no live extent touches may have been punched. */
function touches(extent: Extent, block: number): boolean {
  const start = extent.rangeStart + block * CHECKSUM_BLOCK;
  return start < extent.offset + extent.length && start + CHECKSUM_BLOCK > extent.offset;
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}
