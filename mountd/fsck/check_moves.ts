/** Slots on their way between shards: what shards note of them, and rows that nobody has noted. */
import type { ShardId, Slot } from '../../base/units.ts';
import type { CheckContext } from './context.ts';
import type { Repair } from './findings.ts';

/** Notes that contradict the slot map, or each other, are damage; all others are a move that goes on at the next mount. */
export function checkMoves(ctx: CheckContext): void {
  const copied = new Set<Slot>();
  for (const note of ctx.inspection.marks()) {
    const { kind, slot, shard } = note;
    const home = ctx.namespace.shardOf(slot);
    const isTwice = kind === 'incoming' && copied.has(slot);
    if (home !== shard && !isTwice) {
      if (kind === 'incoming') copied.add(slot);
      ctx.notedSlots.add(`${slot} ${shard}`);
      const found = kind === 'incoming' ? 'being copied here' : 'left here, to be removed';
      ctx.add({ kind: 'moving-slot', where: { slot, shard }, found, expected: `shard ${home}` });
      continue;
    }
    ctx.add({
      kind: 'stray-move',
      where: { slot, shard },
      found: `'${kind}'${isTwice ? ', as in another shard' : ''}`,
      expected: `no note: the slot is in shard ${home}`,
      repair: (repairer) => repairer.forgetMove(note),
    });
  }
}

/**
 * What can be done about rows of a slot in a shard that is neither its home nor noted: when the home has the slot, and
 * nothing older than they, they go; when only they are left of the slot, this shard becomes its home.
 */
export function repairOfForeign(ctx: CheckContext, slot: Slot, shard: ShardId): Repair | undefined {
  const home = ctx.namespace.shardOf(slot);
  const here = ctx.inspection.slotState(shard, slot);
  const there = ctx.inspection.slotState(home, slot);
  if (there.hasRows && there.newest >= here.newest)
    return (repairer) => repairer.releaseSlot(slot, { shard: home, from: shard });
  const others = Array.from({ length: ctx.namespace.shardCount }, (_, other) => other as ShardId).filter(
    (other) => other !== shard && ctx.inspection.slotState(other, slot).hasRows,
  );
  return others.length === 0 ? (repairer) => repairer.releaseSlot(slot, { shard, from: home }) : undefined;
}
