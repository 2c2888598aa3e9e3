/** What the seeded program of the power cuts does with shards. */
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import type { Random } from '../support/random.ts';

const SHARDS_MAX = 8;

export function addShard(namespace: NamespaceStore, random: Random): void {
  if (namespace.shardCount >= SHARDS_MAX) return;
  assert(!isErrno(namespace.addShards(1 + random.below(2))), 'A shard cannot be added');
}

/** Up to a barrier, or to where some slots were copied or switched. */
export function moveSlots({ moves }: NamespaceStore, random: Random): void {
  for (let turns = random.below(1_500); turns > 0 && moves.turn() === 'worked'; turns--);
}
