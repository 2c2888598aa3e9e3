/**
 * Partitions that may have to split or merge: noted by every record that brings one over or under its bound, looked at by
 * the splitter. Bounded: what finds it full is noted by its next change.
 */
import type { Ino } from '../base/units.ts';
import { type PartitionKey, partitionKey } from './partition_key.ts';
import type { Partition } from './rows.ts';
import { mergeThreshold, splitThreshold } from './split_rules.ts';

const QUEUED_MAX = 8192;

export interface QueuedPartition {
  readonly dir: Ino;
  readonly index: number;
}

export class PartitionQueue {
  readonly splitAt: number;
  readonly #mergeBelow: number;
  readonly #queued = new Map<PartitionKey, QueuedPartition>();

  constructor(splitAt: number) {
    this.splitAt = splitAt;
    this.#mergeBelow = mergeThreshold(splitAt);
  }

  get size(): number {
    return this.#queued.size;
  }

  /** A row was put. `hasSibling`: whether the directory has other partitions. */
  note(row: Partition, before: Partition | undefined, hasSibling: () => boolean): void {
    const { dir, index, entries } = row;
    if (entries > this.splitAt) {
      if (entries > splitThreshold(this.splitAt, dir, index)) this.add(row);
    } else if (entries < this.#mergeBelow && entries < (before?.entries ?? Number.POSITIVE_INFINITY) && hasSibling()) {
      this.add(row);
    }
  }

  add({ dir, index }: QueuedPartition): void {
    if (this.#queued.size < QUEUED_MAX) this.#queued.set(partitionKey(dir, index), { dir, index });
  }

  /** The one that has waited longest. */
  take(): QueuedPartition | undefined {
    for (const [key, queued] of this.#queued) {
      this.#queued.delete(key);
      return queued;
    }
    return undefined;
  }
}
