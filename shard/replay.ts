/** Brings databases up to the journal: whatever they lack is applied to their open transactions, and nothing twice. */
import type { Lsn } from '../base/units.ts';
import { applyMutation, type Lacks } from './apply.ts';
import type { StoreDatabases } from './databases.ts';
import type { JournalRecord } from './journal/record_codec.ts';
import type { Mutation } from './mutation.ts';

export interface ReplayOptions {
  /** Called between two records once so many rows wait in open transactions. */
  readonly pendingRows: number;
  readonly full: (lsn: Lsn) => void;
}

/** Returns how many records some database lacked. Databases may have reached different LSNs. */
export function replay(databases: StoreDatabases, records: Iterable<JournalRecord>, options?: ReplayOptions): number {
  let replayed = 0;
  for (const record of records) {
    databases.applying.lsn = record.lsn;
    let isLacking = false;
    const lacks: Lacks = ({ file }) => record.lsn > file.lsn;
    for (const mutation of record.mutations) if (applyMutation(databases, mutation, lacks)) isLacking = true;
    if (isLacking) replayed += 1;
    if (options !== undefined && databases.pendingRows > options.pendingRows) options.full(record.lsn);
  }
  return replayed;
}

/** What a record changes but where slots are and how many shards there are: that is as the restored store has it. */
export function* withoutPlaces(mutations: Iterable<Mutation>): Generator<Mutation> {
  for (const mutation of mutations) if (mutation.kind !== 'slot' && mutation.kind !== 'shards') yield mutation;
}
