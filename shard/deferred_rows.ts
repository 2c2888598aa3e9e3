/**
 * Small rows that change again and again between two commits, held back until the commit: partitions, of which each
 * create and unlink changes one, and the indexes of own files and orphans, which most files enter and leave soon. They
 * are part of the shard's open transaction in all but place.
 */
import { type Ino, type Slot, slotOf } from '../base/units.ts';
import { type PartitionKey, partitionKey } from './partition_key.ts';
import type { Partition } from './rows.ts';

export type IndexName = 'own_files' | 'orphans';

/** Where rows go that were held back. */
export interface DeferredTo {
  partition(row: Partition): void;
  index(ino: Ino, index: IndexName, present: boolean): void;
}

export class DeferredRows {
  readonly #partitions = new Map<PartitionKey, Partition>();
  readonly #indexes: { readonly [name in IndexName]: Map<Ino, boolean> } = { own_files: new Map(), orphans: new Map() };

  get size(): number {
    return this.#partitions.size + this.#indexes.own_files.size + this.#indexes.orphans.size;
  }

  partition(dir: Ino, index: number): Partition | undefined {
    return this.#partitions.get(partitionKey(dir, index));
  }

  putPartition(partition: Partition): void {
    this.#partitions.set(partitionKey(partition.dir, partition.index), partition);
  }

  /** The row is being deleted: what was held back of it must not come after. */
  dropPartition(dir: Ino, index: number): void {
    this.#partitions.delete(partitionKey(dir, index));
  }

  setIndex(ino: Ino, index: IndexName, present: boolean): void {
    this.#indexes[index].set(ino, present);
  }

  /** As `flush`, of one slot. */
  flushSlot(slot: Slot, to: DeferredTo): void {
    for (const [key, partition] of this.#partitions) {
      if (partition.slot !== slot) continue;
      to.partition(partition);
      this.#partitions.delete(key);
    }
    for (const name of ['own_files', 'orphans'] as const) {
      for (const [ino, present] of this.#indexes[name]) {
        if (slotOf(ino) !== slot) continue;
        to.index(ino, name, present);
        this.#indexes[name].delete(ino);
      }
    }
  }

  /** Hands over all that was held back, and forgets it. */
  flush(to: DeferredTo): void {
    for (const partition of this.#partitions.values()) to.partition(partition);
    for (const [ino, present] of this.#indexes.own_files) to.index(ino, 'own_files', present);
    for (const [ino, present] of this.#indexes.orphans) to.index(ino, 'orphans', present);
    this.clear();
  }

  clear(): void {
    this.#partitions.clear();
    this.#indexes.own_files.clear();
    this.#indexes.orphans.clear();
  }
}
