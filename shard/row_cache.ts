/** The newest rows in memory, bounded by number. A hit costs no SQLite call; a row dropped is read again. */
import { LRUCache } from 'lru-cache';
import type { Ino } from '../base/units.ts';
import type { Mutation } from './mutation.ts';
import { type PartitionKey, partitionKey } from './partition_key.ts';
import type { Inode, Partition } from './rows.ts';

export interface CacheLimits {
  /** Inodes kept, about 1 KB each. */
  readonly inodes: number;
  readonly partitions: number;
}

export class RowCache {
  readonly inodes: LRUCache<Ino, Inode>;
  readonly #partitions: LRUCache<PartitionKey, Partition>;

  constructor(limits: CacheLimits) {
    this.inodes = new LRUCache({ max: limits.inodes });
    this.#partitions = new LRUCache({ max: limits.partitions });
  }

  partition(dir: Ino, index: number): Partition | undefined {
    return this.#partitions.get(partitionKey(dir, index));
  }

  setPartition(partition: Partition): void {
    this.#partitions.set(partitionKey(partition.dir, partition.index), partition);
  }

  clear(): void {
    this.inodes.clear();
    this.#partitions.clear();
  }

  /** Follows a record that has been applied. */
  apply(mutation: Mutation): void {
    switch (mutation.kind) {
      case 'inode':
        this.inodes.set(mutation.inode.ino, mutation.inode);
        return;
      case 'no-inode':
        this.inodes.delete(mutation.ino);
        return;
      case 'partition':
        this.setPartition(mutation.partition);
        return;
      case 'no-partition':
        this.#partitions.delete(partitionKey(mutation.dir, mutation.index));
        return;
      default:
        return;
    }
  }
}
