/**
 * Splits partitions that have grown and merges those that have shrunk, one record a step, one partition at a time; what a
 * daemon before this one began goes first. When to step is the caller's business.
 */
import type { Log } from '../base/log.ts';
import type { Ino } from '../base/units.ts';
import { sqliteCode } from './failure.ts';
import { type PartitionKey, partitionKey } from './partition_key.ts';
import { POSITION_LIMIT, parentPartition, partitionExists, partitionPair } from './partition_map.ts';
import type { QueuedPartition } from './partition_queue.ts';
import type { Inode } from './rows.ts';
import { mergeThreshold, splitThreshold, turnThreshold } from './split_rules.ts';
import { beginSplit, type Move, moveDown, moveUp, type StepOutcome } from './split_step.ts';
import type { NamespaceStore } from './store.ts';

/** Partitions that one step looks at without finding anything to do. */
const LOOKS_A_STEP = 32;

interface UnderWay {
  readonly dir: Ino;
  readonly upper: number;
  /** Whether rows go to the upper half. */
  isSplit: boolean;
}

export interface SplitterCounts {
  /** Splits and merges that were completed, and records that moved something. */
  readonly splits: number;
  readonly merges: number;
  readonly steps: number;
}

export class Splitter {
  readonly #store: NamespaceStore;
  readonly #log: Log;
  #underWay: UnderWay | undefined;
  /** What cannot go on before fsck has been here. */
  readonly #stuck = new Set<PartitionKey>();
  #splits = 0;
  #merges = 0;
  #steps = 0;

  constructor(store: NamespaceStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  get counts(): SplitterCounts {
    return { splits: this.#splits, merges: this.#merges, steps: this.#steps };
  }

  get hasWork(): boolean {
    return this.#underWay !== undefined || this.#store.crowded.size > 0 || this.#resumed() !== undefined;
  }

  /** One record at most; false when there was nothing to do but to look. Throws `ShardFailure`. */
  step(): boolean {
    const underWay = this.#underWay ?? this.#resumed();
    if (underWay !== undefined) {
      this.#underWay = underWay;
      return this.#advance(underWay);
    }
    for (let look = 0; look < LOOKS_A_STEP; look++) {
      const queued = this.#store.crowded.take();
      if (queued === undefined) return false;
      if (this.#begin(queued)) return true;
    }
    return false;
  }

  /** The next of those that are neither split nor whole: its direction is decided by what it has now. */
  #resumed(): UnderWay | undefined {
    for (const { dir, index } of this.#store.moving) {
      if (this.#stuck.has(partitionKey(dir, index))) continue;
      const inode = this.#store.inode(dir);
      const pair = inode && partitionExists(inode.partitions, index) && partitionPair(inode.partitions, index);
      if (inode === undefined || !pair || pair.upper !== index || !pair.areLeaves) {
        this.#getStuck(dir, index, 'its directory is not as it should be');
        continue;
      }
      const isSplit = this.#together(inode, index) >= mergeThreshold(this.#store.crowded.splitAt);
      return { dir, upper: index, isSplit };
    }
    return undefined;
  }

  #together(dir: Inode, upper: number): number {
    return this.#store.partition(dir, upper).entries + this.#store.partition(dir, parentPartition(upper)).entries;
  }

  #advance(underWay: UnderWay): boolean {
    const { upper } = underWay;
    const dir = this.#store.inode(underWay.dir);
    if (dir === undefined || !partitionExists(dir.partitions, upper)) {
      // The directory was removed.
      this.#underWay = undefined;
      return false;
    }
    const { splitAt } = this.#store.crowded;
    const together = this.#together(dir, upper);
    if (underWay.isSplit && together < mergeThreshold(splitAt)) underWay.isSplit = false;
    else if (!underWay.isSplit && together >= turnThreshold(splitAt)) underWay.isSplit = true;
    const outcome = this.#move({ dir, upper }, underWay.isSplit);
    if (outcome === 'stuck') {
      this.#underWay = undefined;
      this.#getStuck(dir.ino, upper, 'a dentry cannot be read');
      return false;
    }
    this.#steps += 1;
    if (outcome === 'moved') return true;
    this.#underWay = undefined;
    if (underWay.isSplit) this.#splits += 1;
    else this.#merges += 1;
    // It may be time for the next one already.
    this.#store.crowded.add({ dir: dir.ino, index: parentPartition(upper) });
    return true;
  }

  #move(move: Move, isSplit: boolean): StepOutcome {
    try {
      return isSplit ? moveUp(this.#store, move) : moveDown(this.#store, move);
    } catch (thrown) {
      if (!/^SQLITE_(CORRUPT|IOERR)/.test(sqliteCode(thrown))) throw thrown;
      return 'stuck';
    }
  }

  /** Whether a split or a merge was begun. */
  #begin({ dir: ino, index }: QueuedPartition): boolean {
    const { moving, crowded } = this.#store;
    const dir = this.#store.inode(ino);
    if (dir === undefined || dir.nlink === 0 || !partitionExists(dir.partitions, index)) return false;
    const pair = partitionPair(dir.partitions, index);
    // Only what nothing could move on is still under way here.
    const isMoving = (of: number) => moving.boundary(ino, of) < POSITION_LIMIT;
    if (isMoving(index) || (pair !== undefined && (isMoving(pair.upper) || isMoving(pair.lower)))) return false;
    const { entries } = this.#store.partition(dir, index);
    if (entries > splitThreshold(crowded.splitAt, ino, index)) {
      const upper = beginSplit(this.#store, dir, index);
      if (upper === undefined) return false;
      this.#underWay = { dir: ino, upper, isSplit: true };
      this.#steps += 1;
      return true;
    }
    if (pair?.areLeaves !== true || this.#together(dir, pair.upper) >= mergeThreshold(crowded.splitAt)) return false;
    this.#underWay = { dir: ino, upper: pair.upper, isSplit: false };
    return this.#advance(this.#underWay);
  }

  #getStuck(dir: Ino, partition: number, why: string): void {
    this.#stuck.add(partitionKey(dir, partition));
    this.#log.error(
      { dir, partition },
      `A partition stays half split, which changes nothing for users: ${why}; run fsck`,
    );
  }
}
