/** What a journal is opened with, and what an open has found. */
import type { Backing } from '../../base/backing.ts';
import type { WrittenRange } from '../../base/layout.ts';
import type { Log } from '../../base/log.ts';
import type { AggregateId, Lsn } from '../../base/units.ts';

export interface JournalOptions {
  readonly backing: Backing;
  /** Folder of the journal. */
  readonly path: string;
  readonly storeId: string;
  readonly bootId: string;
  readonly readOnly: boolean;
  readonly log: Log;
  readonly segments?: number | undefined;
  /** Bytes of segments that a mirror keeps for want of a backup; default 16 GiB. */
  readonly retainBytes?: number | undefined;
  /** The highest LSN that a database has committed: what a barrier has covered, the journal has. */
  readonly reached?: Lsn;
  /**
   * A daemon of this boot has ended and nothing else: what comes before this record the databases have, and nobody needs
   * to look at it now.
   */
  readonly recentFrom?: Lsn | undefined;
  /** Whether bytes of aggregates are on the disk; what it cannot tell is. Default: they are. */
  readonly holds?: ((ranges: readonly WrittenRange[]) => boolean) | undefined;
  /** Records that are missing are given up: for a repair, after the mark of the loss is durable. */
  readonly isRepair?: boolean | undefined;
}

/** What an open has found. */
export interface Recovered {
  /** Records that were taken out of the journal because the databases lacked them. */
  readonly replayed: number;
  /** Records behind the last barrier that were dropped: the machine was booted since. */
  readonly dropped: number;
  /** LSN of the last record that counts. */
  readonly cutAt: Lsn;
  /** Aggregates whose rows changed behind the last barrier: their bytes must be flushed before the next one. */
  readonly aggregates: readonly AggregateId[];
}
