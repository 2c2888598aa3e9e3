/** How a namespace store is opened. */
import type { Backing } from '../base/backing.ts';
import type { WrittenRange } from '../base/layout.ts';
import type { Clock } from '../base/time.ts';
import type { DatabaseWatcher } from './committer.ts';
import type { RowReaderOptions } from './row_reader.ts';

export interface NamespaceOptions extends RowReaderOptions {
  readonly clock: Clock;
  /** One that is broken is opened so in any case, but for a repair. */
  readonly readOnly?: boolean;
  /** For `fsck --repair`: a broken store is opened for changes all the same. */
  readonly isRepair?: boolean;
  /** A store that lacks shards is opened all the same, for reading: what lies in them gives EIO. */
  readonly allowMissing?: boolean;
  /**
   * Which boot of the machine it is (base/boot.ts); '', of nobody knows when, is never the same as the last one. Default ''.
   * After another boot, records behind the last barrier are dropped: of their data nobody knows what is on the disk.
   */
  readonly bootId?: string;
  /** Whether bytes of aggregates are on the disk; what it cannot tell is. Default: they are. */
  readonly holds?: (ranges: readonly WrittenRange[]) => boolean;
  /** The daemon before has just died, and the mount lives: only what the databases lack is looked at. */
  readonly isTakeover?: boolean;
  /** Default: this machine's filesystems. */
  readonly backing?: Backing;
  readonly journal?: {
    /** Segments at most while what they hold can be let go; default 8. */
    readonly segments?: number;
    /** Folders on other disks that the journal is written to as well: see shard/journal/mirror.ts. */
    readonly folders?: readonly string[];
    /** Bytes of segments that such a folder keeps for want of a backup; default 16 GiB. */
    readonly retainBytes?: number;
  };
  /** Bytes of one database's log from which it is checkpointed; default 4 MiB. */
  readonly walLimit?: number;
  /** Rows and milliseconds from which a database's transaction is committed; defaults 1,000 and 5,000. */
  readonly shardTxnRows?: number;
  readonly shardTxnMs?: number;
  /** Bytes kept free on the metadata filesystem, and those of its ballast file (0 = none); defaults 64 and 16 MiB. */
  readonly reserveBytes?: number;
  readonly ballastBytes?: number;
  readonly watch?: DatabaseWatcher;
  /** For tests: a step of a move of slots has so many rows. */
  readonly sliceLimit?: number;
}
