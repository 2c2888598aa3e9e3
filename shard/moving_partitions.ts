/**
 * Partitions that are being split off or merged back, and how far: see `Partition.boundary`. Few at any time, all of them
 * in memory, so that finding out where a name lies costs no read for it.
 */
import type { Ino } from '../base/units.ts';
import type { Mutation } from './mutation.ts';
import { POSITION_LIMIT } from './partition_map.ts';

export interface MovingPartition {
  readonly dir: Ino;
  /** The upper half; what is missing in it lies in the partition that it splits off from. */
  readonly index: number;
  readonly boundary: number;
}

export class MovingPartitions implements Iterable<MovingPartition> {
  readonly #directories = new Map<Ino, Map<number, number>>();

  get isEmpty(): boolean {
    return this.#directories.size === 0;
  }

  /** `POSITION_LIMIT` when nothing is under way. */
  boundary(dir: Ino, index: number): number {
    return this.#directories.get(dir)?.get(index) ?? POSITION_LIMIT;
  }

  set({ dir, index, boundary }: MovingPartition): void {
    if (boundary >= POSITION_LIMIT) {
      this.#delete(dir, index);
      return;
    }
    const indexes = this.#directories.get(dir);
    if (indexes === undefined) this.#directories.set(dir, new Map([[index, boundary]]));
    else indexes.set(index, boundary);
  }

  #delete(dir: Ino, index: number): void {
    const indexes = this.#directories.get(dir);
    if (indexes?.delete(index) === true && indexes.size === 0) this.#directories.delete(dir);
  }

  clear(): void {
    this.#directories.clear();
  }

  /** Follows a record that has been applied. */
  apply(mutation: Mutation): void {
    if (mutation.kind === 'partition') {
      if (mutation.partition.boundary < POSITION_LIMIT || !this.isEmpty) this.set(mutation.partition);
    } else if (mutation.kind === 'no-partition') {
      this.#delete(mutation.dir, mutation.index);
    }
  }

  *[Symbol.iterator](): Generator<MovingPartition> {
    for (const [dir, indexes] of this.#directories)
      for (const [index, boundary] of indexes) yield { dir, index, boundary };
  }
}
