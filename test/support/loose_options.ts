/** What a loose filesystem is made with. */
import type { DataStoreOptions } from '../../aggregate/store.ts';
import type { Backing } from '../../base/backing.ts';
import type { FilesystemOptions } from '../../fs/core.ts';
import type { ReadThreads } from '../../fs/reads/threads.ts';
import type { JournalShape } from '../../shard/journal/shape.ts';
import type { NamespaceOptions } from '../../shard/store.ts';
import type { StillClock } from './still_clock.ts';

export interface LooseOptions {
  readonly filesystem?: Partial<FilesystemOptions>;
  readonly data?: DataStoreOptions;
  readonly namespace?: Partial<NamespaceOptions>;
  readonly shardCount?: number;
  /** `dir` volumes, the first one hot, the others warm. Default 1. */
  readonly volumes?: number;
  /** Folder on a disk of its own; default a new one in the system's temporary folder. */
  readonly folder?: string;
  /** The disk; default this machine's. */
  readonly disk?: Backing;
  /** The store is there already: its volumes lie below `volumesFolder`, default `folder`. */
  readonly isFormatted?: boolean;
  readonly volumesFolder?: string;
  readonly hashKey?: Uint8Array;
  readonly journalShape?: JournalShape;
  readonly clock?: StillClock;
  readonly bootId?: string;
  /** For packing, as `PackTools` wants it; default one of its own, which is never given back. */
  readonly packBuffer?: Uint8Array;
  /** Which of so many urgent jobs the workers do next; default the one that was posted first. */
  readonly nextUrgent?: (count: number) => number;
  /** Who answers READs; default the filesystem itself. */
  readonly readThreads?: ReadThreads;
}
