/** What `pacsfs shard` tells of shards without reading their rows. */
import { slotsOfShards } from '../../shard/balance.ts';
import type { MovesStatus } from '../../shard/slot_moves.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import type { ShardState } from '../../shard/store_reader.ts';

export interface ShardLine extends ShardState {
  readonly slots: number;
  /** Slots that are being copied into it, and those that have left it and are not removed yet. */
  readonly incoming: number;
  readonly outgoing: number;
}

export interface ShardsStatus {
  readonly shards: readonly ShardLine[];
  readonly moves: MovesStatus;
  /** Partitions of directories that are being split or merged. */
  readonly splitting: number;
}

export function shardsStatus(namespace: NamespaceStore): ShardsStatus {
  const slots = slotsOfShards(namespace.slotMap(), namespace.shardCount);
  const marks = namespace.inspect().marks();
  const noted = (shard: number, wanted: string) =>
    marks.filter((mark) => mark.shard === shard && mark.kind === wanted).length;
  return {
    shards: namespace.shards().map((state) => ({
      ...state,
      slots: slots[state.shard] ?? 0,
      incoming: noted(state.shard, 'incoming'),
      outgoing: noted(state.shard, 'outgoing'),
    })),
    moves: namespace.moves.status(),
    splitting: [...namespace.moving].length,
  };
}
