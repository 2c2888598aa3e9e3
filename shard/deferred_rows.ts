/**
 * Small rows that change again and again between two commits, held back until the commit: partitions, of which each
 * create and unlink changes one, and the indexes of own files and orphans, which most files enter and leave soon. They
 * are part of the shard's open transaction in all but place.
 */
import type { Ino } from '../base/units.ts';
import type { Partition } from './rows.ts';

export type IndexName = 'own_files' | 'orphans';

export class DeferredRows {
  readonly #partitions = new Map<number | string, Partition>();
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

  /** Hands over all that was held back, and forgets it. */
  flush(to: { partition(row: Partition): void; index(ino: Ino, index: IndexName, present: boolean): void }): void {
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

/** Nearly every directory has one partition: its key is a number. */
function partitionKey(dir: Ino, index: number): number | string {
  return index === 0 ? dir : `${dir}/${index}`;
}
