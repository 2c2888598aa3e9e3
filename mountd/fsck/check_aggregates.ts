/** Rows of aggregates against their files: both there, headers right, no shorter than the row says. */
import { readHeader } from '../../aggregate/scan.ts';
import { isErrno } from '../../base/errno.ts';
import type { AggregateRow } from '../../base/layout.ts';
import type { AggregateId, VolumeId } from '../../base/units.ts';
import type { CheckContext } from './context.ts';

export function checkAggregates(ctx: CheckContext): void {
  ctx.progress.begin('aggregates', ctx.aggregates.size);
  const onDisk = new Map<VolumeId, ReadonlySet<AggregateId>>();
  for (const volume of ctx.present.keys()) {
    const ids = ctx.data.aggregateFiles(volume);
    if (isErrno(ids)) {
      const found = `aggregates cannot be listed: ${ids.name}`;
      ctx.add({ kind: 'missing-volume', where: { volume }, found, expected: 'a readable directory' });
      continue;
    }
    onDisk.set(volume, new Set(ids));
    for (const id of ids) if (ctx.aggregates.get(id)?.volume !== volume) checkUnknown(ctx, volume, id);
  }
  for (const row of ctx.aggregates.values()) {
    checkRow(ctx, row, onDisk.get(row.volume));
    ctx.progress.advance(1);
  }
}

/** A file that no row names, though inodes may: then the row is what is missing. */
function checkUnknown(ctx: CheckContext, volume: VolumeId, id: AggregateId): void {
  const isReferenced = ctx.ranges.of(id) !== undefined && !ctx.aggregates.has(id);
  if (isReferenced) return;
  const where = { volume, aggregate: id };
  if (!ctx.wasClean && isOfStart(ctx, volume, id)) {
    const expected = 'a row, or none of either: left by the end of the last mount';
    ctx.add({ kind: 'leftover-aggregate', where, found: 'a file without a row', expected });
    return;
  }
  ctx.add({
    kind: 'unknown-aggregate',
    where,
    found: 'a file without a row',
    expected: 'a row',
    // Where rows cannot be read it may be the only copy of something named.
    repair:
      ctx.hasUnseenRows || ctx.hasDamagedInodes ? undefined : (repairer) => repairer.setAsideAggregate(volume, id),
  });
}

function isOfStart(ctx: CheckContext, volume: VolumeId, id: AggregateId): boolean {
  const file = ctx.data.openAggregate(volume, id);
  if (isErrno(file)) return false;
  const header = readHeader(file, { storeId: ctx.namespace.storeId, aggregate: id });
  return header === undefined || header.start <= ctx.namespace.start;
}

function checkRow(ctx: CheckContext, row: AggregateRow, files: ReadonlySet<AggregateId> | undefined): void {
  const { id, volume, state, written } = row;
  const where = { volume, aggregate: id };
  const isNamed = ctx.ranges.of(id) !== undefined;
  if (!ctx.volumes.some((each) => each.id === volume))
    ctx.add({ kind: 'wrong-volume', where, found: `volume ${volume}`, expected: 'a volume of the store' });
  if (state === 'dead' && isNamed)
    ctx.add({
      kind: 'wrong-aggregate-state',
      where,
      found: 'dead, and inodes name bytes in it',
      expected: 'sealed',
      repair: (repairer) => repairer.setAggregate(id, { state: 'sealed' }),
    });
  if (files === undefined) return;
  if (files.has(id)) checkFile(ctx, row);
  else if (isNamed) ctx.add({ kind: 'missing-aggregate', where, found: 'no file', expected: `${written} bytes` });
  else if (state !== 'dead')
    ctx.add({
      kind: 'stale-aggregate-row',
      where,
      found: `a row in state ${state} without a file`,
      expected: 'a file, or state dead',
      repair: ctx.hasDamagedInodes ? undefined : (repairer) => repairer.setAggregate(id, { state: 'dead', live: 0 }),
    });
}

function checkFile(ctx: CheckContext, row: AggregateRow): void {
  const { id, volume, written, state } = row;
  const where = { volume, aggregate: id };
  const stat = ctx.data.statAggregate(volume, id);
  if (isErrno(stat)) {
    ctx.add({ kind: 'missing-aggregate', where, found: stat.name, expected: 'a readable file' });
    return;
  }
  if (stat.size < written)
    ctx.add({ kind: 'short-aggregate', where, found: stat.size, expected: `${written} bytes or more` });
  if (state === 'dead') return;
  const file = ctx.data.openAggregate(volume, id);
  const header = isErrno(file) ? undefined : readHeader(file, { storeId: ctx.namespace.storeId, aggregate: id });
  if (header?.volume === volume) return;
  const found = header === undefined ? 'none of this store and number' : `of volume ${header.volume}`;
  ctx.add({ kind: 'bad-aggregate-header', where, found, expected: `a header of volume ${volume}` });
}
