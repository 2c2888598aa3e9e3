/**
 * Sums over the partitions of directories that have many, kept by the records that are applied: adding up 4,096 rows at
 * each GETATTR would take longer than the rest of it. Bounded; what is dropped is added up again.
 */
import { LRUCache } from 'lru-cache';
import { EPOCH, type Timespec } from '../base/time.ts';
import type { Ino, Lsn } from '../base/units.ts';
import type { Mutation } from './mutation.ts';
import type { Partition } from './rows.ts';

const DIRECTORIES_MAX = 4096;

/** Kept by whoever has asked for it: changes with the directory. */
export interface PartitionSums {
  readonly entries: number;
  readonly directories: number;
  /** Time and LSN of the partition that changed last. */
  readonly changed: Timespec;
  readonly lsn: Lsn;
}

interface Sums extends PartitionSums {
  entries: number;
  directories: number;
  changed: Timespec;
  lsn: Lsn;
}

export class DirectoryTotalsCache {
  readonly #sums = new LRUCache<Ino, Sums>({ max: DIRECTORIES_MAX });

  find(dir: Ino): PartitionSums | undefined {
    return this.#sums.get(dir);
  }

  /** Adds up all partitions of a directory. */
  keep(dir: Ino, partitions: Iterable<Partition>): PartitionSums {
    const sums: Sums = { entries: 0, directories: 0, changed: EPOCH, lsn: 0 as Lsn };
    for (const partition of partitions) add(sums, partition);
    this.#sums.set(dir, sums);
    return sums;
  }

  clear(): void {
    this.#sums.clear();
  }

  /** Follows a record; `before` is the partition's row as it was, undefined where that is not in memory. */
  apply(mutation: Mutation, before: Partition | undefined): void {
    if (mutation.kind === 'partition') this.#put(mutation.partition, before);
    else if (mutation.kind === 'no-partition') this.#remove(mutation.dir, before);
    else if (mutation.kind === 'no-inode') this.#sums.delete(mutation.ino);
  }

  #put(row: Partition, before: Partition | undefined): void {
    const sums = this.#sums.peek(row.dir);
    if (sums === undefined) return;
    // A row that was not read before is either new, which only its maker knows, or nobody knows what it counted.
    if (before === undefined || row.lsn < before.lsn) {
      this.#sums.delete(row.dir);
      return;
    }
    subtract(sums, before);
    add(sums, row);
  }

  /** The time that goes with the row is by then in the directory's own, of a higher LSN. */
  #remove(dir: Ino, before: Partition | undefined): void {
    const sums = this.#sums.peek(dir);
    if (sums === undefined) return;
    if (before === undefined) this.#sums.delete(dir);
    else subtract(sums, before);
  }
}

function add(sums: Sums, row: Partition): void {
  sums.entries += row.entries;
  sums.directories += row.directories;
  if (row.lsn < sums.lsn) return;
  sums.lsn = row.lsn;
  sums.changed = row.changed;
}

function subtract(sums: Sums, row: Partition): void {
  sums.entries -= row.entries;
  sums.directories -= row.directories;
}
