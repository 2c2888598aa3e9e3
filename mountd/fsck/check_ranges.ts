/**
 * Which bytes of each aggregate inodes name: within what was written, no two files over each other unless they share, and
 * as many as the row counts as live.
 */
import { isErrno } from '../../base/errno.ts';
import { occupied } from '../../base/layout.ts';
import type { AggregateId } from '../../base/units.ts';
import { SharerCheck } from './check_sharers.ts';
import type { CheckContext } from './context.ts';
import type { NamedRange } from './range_table.ts';

const RANGE_ALIGNMENT = 4096;

export function checkRanges(ctx: CheckContext): void {
  const ids = [...new Set([...ctx.ranges.ids(), ...ctx.aggregates.keys()])].sort((a, b) => a - b);
  ctx.progress.begin('extents', ids.length);
  ctx.ranges.sort();
  const sharers = new SharerCheck(ctx);
  for (const id of ids) {
    checkAggregate(ctx, id, sharers);
    ctx.progress.advance(1);
  }
  sharers.finish();
}

function checkAggregate(ctx: CheckContext, id: AggregateId, sharers: SharerCheck): void {
  let last: NamedRange | undefined;
  let lastEnd = 0;
  let live = 0;
  for (const range of ctx.ranges.of(id) ?? []) {
    if (range.shared) sharers.expect({ aggregate: id, rangeStart: range.start, ino: range.ino });
    if (last !== undefined && range.start < lastEnd) checkOverlap(ctx, id, { last, range });
    if (last?.start !== range.start) live += occupied(range.length);
    last = range;
    lastEnd = Math.max(lastEnd, range.start + occupied(range.length));
  }
  const row = ctx.aggregates.get(id);
  if (row === undefined) reportMissingRow(ctx, id, { live, end: lastEnd });
  else {
    checkEnd(ctx, id, { written: row.written, end: lastEnd });
    checkLive(ctx, id, { found: row.live, live });
  }
}

function checkOverlap(
  ctx: CheckContext,
  id: AggregateId,
  { last, range }: { readonly last: NamedRange; readonly range: NamedRange },
): void {
  const isSame = last.start === range.start && last.length === range.length;
  if (isSame && (last.ino === range.ino || (last.shared && range.shared))) return;
  ctx.add({
    kind: 'overlapping-extents',
    where: { inode: range.ino, aggregate: id, offset: range.start },
    found: `${range.length} bytes${range.shared ? ', shared' : ''}`,
    expected: `none over those of inode ${last.ino} at ${last.start}, ${last.length} bytes${last.shared ? ', shared' : ''}`,
  });
}

function checkEnd(ctx: CheckContext, id: AggregateId, of: { readonly written: number; readonly end: number }): void {
  if (of.end <= of.written) return;
  const size = sizeOf(ctx, id);
  ctx.add({
    kind: 'extent-beyond-written',
    where: { aggregate: id, offset: of.end },
    found: `an extent up to ${of.end}`,
    expected: `up to ${of.written}`,
    // What the file has, and the contents' checksums vouch for, was written.
    repair: size < of.end ? undefined : (repairer) => repairer.setAggregate(id, { written: of.end }),
  });
}

function checkLive(ctx: CheckContext, id: AggregateId, of: { readonly found: number; readonly live: number }): void {
  if (of.found === of.live) return;
  // An inode that cannot be read may name the difference: bytes must not be taken for dead because of it.
  const mayBeRight = of.live < of.found && (ctx.hasDamagedInodes || ctx.hasUnseenRows);
  if (mayBeRight) return;
  ctx.add({
    kind: 'wrong-live-count',
    where: { aggregate: id },
    found: of.found,
    expected: of.live,
    repair: (repairer) => repairer.setAggregate(id, { live: of.live }),
  });
}

function reportMissingRow(
  ctx: CheckContext,
  id: AggregateId,
  of: { readonly live: number; readonly end: number },
): void {
  const [first] = ctx.ranges.of(id) ?? [];
  const inode = first === undefined ? undefined : ctx.namespace.inode(first.ino);
  const volume = [...(inode?.extents ?? []), ...(inode?.second ?? [])].find((each) => each.aggregate === id)?.volume;
  const size = sizeOf(ctx, id, volume);
  const written = Math.ceil(Math.max(of.end, size) / RANGE_ALIGNMENT) * RANGE_ALIGNMENT;
  ctx.add({
    kind: 'missing-aggregate-row',
    where: { aggregate: id, ...(volume === undefined ? {} : { volume }) },
    found: 'no row',
    expected: `one with ${of.live} bytes live`,
    repair:
      volume === undefined || size < of.end
        ? undefined
        : (repairer) =>
            repairer.makeAggregate({
              id,
              volume,
              state: 'sealed',
              written,
              live: of.live,
              newestMtimeSec: 0,
              lastReadDay: 0,
            }),
  });
}

/** Bytes of the file, 0 when there is none. */
function sizeOf(ctx: CheckContext, id: AggregateId, volume = ctx.aggregates.get(id)?.volume): number {
  const stat = volume === undefined ? undefined : ctx.data.statAggregate(volume, id);
  return stat === undefined || isErrno(stat) ? 0 : stat.size;
}
