/**
 * Which slots should move where, so that every shard has its share: from the slot map alone, the same whoever asks, and
 * after some of it was done, what is left of it.
 */
import type { ShardId, Slot } from '../base/units.ts';

export interface PlannedMove {
  readonly slot: Slot;
  readonly from: ShardId;
  readonly to: ShardId;
}

/** How many slots each shard has. */
export function slotsOfShards(map: readonly ShardId[], shardCount: number): number[] {
  const counts = new Array<number>(shardCount).fill(0);
  for (const shard of map) counts[shard] = (counts[shard] ?? 0) + 1;
  return counts;
}

/**
 * The fewest moves after which no shard has over one slot more than another. Slots of one donor are taken at even
 * distances, since partitions of one directory lie in slots that follow each other; receivers get them in turn.
 */
export function planMoves(map: readonly ShardId[], shardCount: number): PlannedMove[] {
  const counts = slotsOfShards(map, shardCount);
  const share = Math.floor(map.length / shardCount);
  const larger = map.length % shardCount;
  // Those with the most keep the slots that do not divide.
  const order = counts.map((_, shard) => shard).sort((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0) || a - b);
  const wanted = new Array<number>(shardCount).fill(share);
  for (const shard of order.slice(0, larger)) wanted[shard] = share + 1;
  const lacking = order.filter((shard) => (wanted[shard] ?? 0) > (counts[shard] ?? 0)).sort((a, b) => a - b);
  const missing = lacking.map((shard) => (wanted[shard] ?? 0) - (counts[shard] ?? 0));
  const donated = takeEvenly(map, { counts, wanted });
  return donated.map(({ slot, from }) => {
    let next = 0;
    for (let i = 1; i < missing.length; i++) if ((missing[i] ?? 0) > (missing[next] ?? 0)) next = i;
    missing[next] = (missing[next] ?? 0) - 1;
    return { slot, from, to: lacking[next] as ShardId };
  });
}

/** What the shards have too much of, in the order of the slots. */
function takeEvenly(
  map: readonly ShardId[],
  of: { readonly counts: readonly number[]; readonly wanted: readonly number[] },
): { readonly slot: Slot; readonly from: ShardId }[] {
  const seen = of.counts.map(() => 0);
  const taken: { slot: Slot; from: ShardId }[] = [];
  for (const [slot, from] of map.entries()) {
    const count = of.counts[from] ?? 0;
    const excess = count - (of.wanted[from] ?? 0);
    const nth = seen[from] ?? 0;
    seen[from] = nth + 1;
    if (excess <= 0) continue;
    if (Math.floor(((nth + 1) * excess) / count) > Math.floor((nth * excess) / count))
      taken.push({ slot: slot as Slot, from });
  }
  return taken;
}
