/**
 * The redo log that makes metadata changes atomic over shards. The one on disk has an issue of its own; until then
 * `MemoryJournal` stands in its place, and what is durable is what `NamespaceStore.barrier` has committed.
 */
import type { Result } from '../base/errno.ts';
import type { Lsn } from '../base/units.ts';
import type { Mutation } from './mutation.ts';

export interface JournalRecord {
  readonly lsn: Lsn;
  readonly mutations: Iterable<Mutation>;
}

/** LSNs ascend by one. After a failed append or flush a journal is broken and says so; no flush is tried twice. */
export interface Journal {
  /** Appends the records of one batch; when it returns they survive the process (on disk), not yet the power. */
  append(batch: readonly JournalRecord[]): Result<void>;
  /** Makes all up to and including `lsn` survive power loss. */
  flush(lsn: Lsn): Result<void>;
  /** The whole records from `lsn` on, in order. */
  readFrom(lsn: Lsn): Iterable<JournalRecord>;
  /** Every database has committed up to and including `lsn`: those records need not be kept. */
  release(lsn: Lsn): void;
}

/**
 * Keeps the records since the last barrier, for as long as the process lives: a commit that a full disk refuses loses
 * the shard's transaction, and these make it again. Bounded by barriers: `NamespaceStore.low` is true above a limit.
 */
export class MemoryJournal implements Journal {
  #records: JournalRecord[] = [];

  append(batch: readonly JournalRecord[]): void {
    for (const record of batch) this.#records.push(record);
  }

  flush(_lsn: Lsn): void {}

  readFrom(lsn: Lsn): Iterable<JournalRecord> {
    return this.#records.filter((record) => record.lsn >= lsn);
  }

  release(lsn: Lsn): void {
    this.#records = this.#records.filter((record) => record.lsn > lsn);
  }
}
