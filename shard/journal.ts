/**
 * The redo log that makes metadata changes atomic over shards. It has an issue of its own; until then `NoJournal` stands
 * in its place, and what is durable is what `NamespaceStore.barrier` has committed.
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
  /** Appends records of one batch; when it returns they survive the process, not yet the power. */
  append(batch: readonly JournalRecord[]): Result<void>;
  /** Makes all up to and including `lsn` survive power loss. */
  flush(lsn: Lsn): Result<void>;
  /** Everything up to here survives power loss. */
  readonly durable: Lsn;
  /** The whole records from `lsn` on, in order. */
  readFrom(lsn: Lsn): Iterable<JournalRecord>;
}

/** Keeps nothing: records live in the open transactions of their shards until the barrier commits those. */
export class NoJournal implements Journal {
  readonly durable = 0 as Lsn;

  append(_batch: readonly JournalRecord[]): void {}

  flush(_lsn: Lsn): void {}

  readFrom(_lsn: Lsn): Iterable<JournalRecord> {
    return [];
  }
}
