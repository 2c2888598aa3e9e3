/** Faults of slots on their way between shards. The store has four; a slot's home is its number modulo 4. */
import { type ShardId, type Slot, slotOf } from '../../../base/units.ts';
import { foreignSlots } from '../../shard/slot_walk.ts';
import type { PlantedStore } from '../../support/planted_store.ts';
import { type Fault, must } from './fault.ts';

/** All rows of a slot, as they are in its home, in another shard too; `moved`: and no more in its home. */
export function copySlot(store: PlantedStore, slot: Slot, options: { readonly moved?: boolean } = {}): void {
  store.change((databases) => {
    const from = databases.shardOf(slot);
    const to = databases.shards[(databases.shardIdOf(slot) + 1) % 4];
    for (let table = 0; table < 9; table++) {
      for (const row of from.slotRows().after(table, slot)) to?.slotRows().put(table, row);
      if (options.moved === true) while (from.slotRows().remove(table, slot) > 0);
    }
  });
}

function hasNoForeign(store: PlantedStore): boolean {
  return store.read((namespace) =>
    Array.from({ length: namespace.shardCount }, (_, shard) => foreignSlots(namespace, shard).size).every(
      (count) => count === 0,
    ),
  );
}

export const MOVE_FAULTS: readonly Fault[] = [
  {
    name: 'a copy of a slot that nobody has noted',
    kinds: ['foreign-slot'],
    plant: (store) => copySlot(store, slotOf(store.ino('a'))),
    healed: (store) => {
      must(store.exists('a/b/small'), 'the names are there');
      must(hasNoForeign(store), 'the copy is gone');
    },
  },
  {
    name: 'a slot of which all rows are in another shard',
    kinds: ['foreign-slot'],
    plant: (store) => copySlot(store, slotOf(store.ino('a')), { moved: true }),
    healed: (store) => {
      must(store.exists('a/b/small'), 'the names are there');
      must(
        store.read((namespace) => namespace.shardOf(slotOf(store.ino('a')))) !== slotOf(store.ino('a')) % 4,
        'its home',
      );
      must(hasNoForeign(store), 'all is at home');
    },
  },
  {
    name: 'notes of a move that the map contradicts',
    kinds: ['stray-move'],
    plant: (store) => {
      const slot = slotOf(store.ino('a'));
      store.change((databases) => {
        databases.shardOf(slot).marks.putOutgoing(slot);
        databases.shardOf(slot).marks.putIncoming(slot);
      });
    },
    healed: (store) => must(store.exists('a/b/small'), 'nothing was taken for a leftover'),
  },
  {
    name: 'a slot that is copied into two shards',
    kinds: ['stray-move'],
    plant: (store) => {
      const slot = slotOf(store.ino('a'));
      copySlot(store, slot);
      store.change((databases) => {
        const home = databases.shardIdOf(slot);
        for (const other of [1, 2]) databases.shards[((home + other) % 4) as ShardId]?.marks.putIncoming(slot);
      });
    },
    healed: (store) => must(store.exists('a/b/small'), 'the names are there'),
  },
];
