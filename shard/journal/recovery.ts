/** Opens the journal of a store and brings its databases up to it. */
import { isErrno } from '../../base/errno.ts';
import type { AggregateId, Lsn } from '../../base/units.ts';
import type { StoreDatabases } from '../databases.ts';
import { journalLost, StoreError } from '../failure.ts';
import { replay } from '../replay.ts';
import type { SystemDatabase } from '../system_database.ts';
import { Journal, type JournalOptions, type Recovered } from './journal.ts';
import type { StaleFolders } from './mirrors.ts';
import type { JournalRecord, Wants } from './record_codec.ts';

/** Rows of open transactions from which a replay commits what the last barrier covers. */
const REPLAY_ROWS = 50_000;

export interface OpenedJournal {
  /** Undefined only when the store is read only and has none: made by an earlier version. */
  readonly journal: Journal | undefined;
  readonly recovered: Recovered;
  /** Which records are missing. */
  readonly lost: string | undefined;
}

/** In the table `meta` of system.db: the store has a journal. */
export const HAS_JOURNAL = 'has_journal';
/** There too: folders that miss records, by their paths, with the first LSN that each misses, as JSON. */
export const STALE_FOLDERS = 'stale_journal_folders';
/** And those that it has been written to, as JSON: one of which nothing is there is not made anew. */
const KNOWN_FOLDERS = 'journal_folders';

export interface RecoveryOptions extends Omit<JournalOptions, 'reached'> {
  /** Folders on other disks that the journal is written to as well. */
  readonly mirrors?: readonly string[] | undefined;
  /** The daemon before has just died, and the mount lives: somebody waits for every millisecond of this. */
  readonly isTakeover?: boolean | undefined;
}

/**
 * Order: the journal first becomes durable as far as it counts, then the databases take from it what they lack; so a
 * database never holds what the journal may lose. Interrupted at any point it starts over and comes to the same.
 */
export function openJournal(databases: StoreDatabases, from: RecoveryOptions): OpenedJournal {
  const reached = databases.highestLsn();
  const { system } = databases;
  const isExpected = system.optionalNumber(HAS_JOURNAL) === 1;
  const recentFrom = from.isTakeover === true && from.readOnly === false ? lackedFrom(databases) : undefined;
  const options = { ...from, reached, isExpected, recentFrom };
  const { journal, lost } = openOrMake(options);
  databases.applying.lsn = reached;
  if (lost !== undefined) options.log.error({ lost }, 'The journal has lost records');
  // It is there: from now on it has to be. Not before, for an end in between.
  if (!isExpected && !options.readOnly) system.putMeta(HAS_JOURNAL, 1);
  if (journal === undefined)
    return { journal, recovered: { replayed: 0, dropped: 0, cutAt: reached, aggregates: [] }, lost };
  try {
    const recovered = replayInto(databases, journal, options);
    if (!options.readOnly) {
      if (journal.lsn < reached) giveUp(databases, journal, reached);
      const known = JSON.parse(system.optionalText(KNOWN_FOLDERS) ?? '[]') as string[];
      journal.follow({ paths: from.mirrors ?? [], known }, (path, lsn) => noteFolder(system, path, lsn));
    }
    return { journal, recovered: { ...recovered, cutAt: Math.max(reached, journal.lsn) as Lsn }, lost };
  } catch (thrown) {
    journal.close();
    throw thrown;
  }
}

/** The first record that one of the databases may lack. */
function lackedFrom(databases: StoreDatabases): Lsn {
  return (Math.min(...databases.all.map(({ file }) => file.lsn)) + 1) as Lsn;
}

function replayInto(databases: StoreDatabases, journal: Journal, options: JournalOptions): Omit<Recovered, 'cutAt'> {
  const aggregates = new Set<AggregateId>();
  const wants: Wants = (lsn, slot) => databases.shardOf(slot).file.lsn < lsn || databases.copyOf(slot) !== undefined;
  const records = noting(journal.readFrom(lackedFrom(databases), wants), { after: journal.barrierLsn, aggregates });
  const replayed = replay(databases, records, {
    pendingRows: options.readOnly ? Number.POSITIVE_INFINITY : REPLAY_ROWS,
    full: (lsn) => commitReplayed(databases, lsn, journal.barrierLsn),
  });
  databases.applying.lsn = Math.max(databases.highestLsn(), journal.lsn) as Lsn;
  if (replayed > 0) options.log.info({ replayed, lsn: journal.lsn }, 'Applied records of the journal');
  return { replayed, dropped: journal.dropped, aggregates: [...aggregates] };
}

/** For a repair: what the journal still has is in the databases for good before it begins anew behind them. */
function giveUp(databases: StoreDatabases, journal: Journal, reached: Lsn): void {
  for (const database of databases.all) {
    const { file } = database;
    if (file.dirty && !database.commit(file.highest)) throw tooFull();
    if (!file.checkpoint()) throw new StoreError('damaged', `Database ${file.path} is in use elsewhere`);
  }
  journal.reset(reached);
}

/** `lsn`: the first record that the folder misses; undefined for one that is whole. */
function noteFolder(system: SystemDatabase, path: string, lsn: Lsn | undefined): void {
  const known: string[] = JSON.parse(system.optionalText(KNOWN_FOLDERS) ?? '[]');
  if (lsn === undefined && !known.includes(path))
    system.putMeta(KNOWN_FOLDERS, JSON.stringify([...known, path].sort()));
  const stale: StaleFolders = JSON.parse(system.optionalText(STALE_FOLDERS) ?? '{}');
  if (stale[path] === lsn) return;
  const { [path]: _, ...others } = stale;
  system.putMeta(STALE_FOLDERS, JSON.stringify(lsn === undefined ? others : { ...others, [path]: lsn }));
}

function* noting(
  records: Iterable<JournalRecord>,
  to: { readonly after: Lsn; readonly aggregates: Set<AggregateId> },
): Generator<JournalRecord> {
  for (const record of records) {
    if (record.lsn > to.after) {
      for (const mutation of record.mutations) if (mutation.kind === 'aggregate') to.aggregates.add(mutation.row.id);
    }
    yield record;
  }
}

function openOrMake(
  options: JournalOptions & { readonly reached: Lsn; readonly isExpected: boolean },
): Omit<OpenedJournal, 'recovered'> {
  const found = Journal.open(options);
  if (!isErrno(found)) return { journal: found, lost: found.lost };
  const { backing, path, storeId, readOnly, reached, isExpected, isRepair } = options;
  if (found.name !== 'ENOENT') throw new StoreError('damaged', `Cannot open the journal ${path}: ${found.name}`);
  const lost = isExpected ? 'it is not there, or nothing in it is a journal of this store' : undefined;
  if (readOnly) return { journal: undefined, lost };
  if (lost !== undefined && isRepair !== true) throw journalLost(path, lost);
  const made = Journal.create(backing, { path, storeId, lsn: reached });
  const opened = made < 0 ? made : Journal.open(options);
  if (typeof opened === 'number' || isErrno(opened))
    throw new StoreError(
      'damaged',
      `Cannot make the journal ${path}: errno ${isErrno(opened) ? opened.number : -made}`,
    );
  return { journal: opened, lost };
}

/** Only what the last barrier covers: see `Committer`. A full disk only postpones it. */
function commitReplayed(databases: StoreDatabases, lsn: Lsn, barrierLsn: Lsn): void {
  if (lsn > barrierLsn) return;
  for (const database of databases.all) {
    if (database.file.dirty && !database.commit(lsn)) throw tooFull();
  }
}

function tooFull(): StoreError {
  return new StoreError('damaged', 'The metadata disk is too full to recover the store: free some space on it');
}
