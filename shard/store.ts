/**
 * The namespace store: inodes, dentries, partitions, xattrs, symlinks over the shards, and what `system.db` holds. Reads
 * (row_reader.ts) see the newest state, uncommitted changes included. Changes are made by records, one at a time:
 *     const record = store.begin();
 *     record.putInode(...); record.putDentry(...); record.touchDirectory(...);
 *     store.commit(record);      // acknowledged: in the journal, it survives the process; visible to every later read
 *     store.barrier();           // durable
 *
 * A barrier in steps, so that workers can flush what has to be flushed:
 *
 *     const x = store.lsn;
 *     store.barrierBegins(nowMs);
 *     // then the caller has the data flushed that records up to x name
 *     store.appendBarrier(x);
 *     const targets = store.journalFlushTargets();    // flushed by whoever has the time: `flushTarget`
 *     store.barrierFlushed(x, outcome);
 *     while (store.turn() === true);    // databases that were due commit: see cycle.ts
 */
import { assert } from '../base/assert.ts';
import type { Backing, FlushTarget } from '../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { WrittenRange } from '../base/layout.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { type Lsn, MIB, ROOT_INO, slotOf } from '../base/units.ts';
import { applyMutations } from './apply.ts';
import { BALLAST_BYTES, Ballast, makeRoomToOpen } from './ballast.ts';
import { removeBroken, writeBroken } from './broken.ts';
import type { CheckpointOutcome } from './checkpoint.ts';
import { Committer } from './committer.ts';
import { StoreDatabases } from './databases.ts';
import { ShardFailure, sqliteCode } from './failure.ts';
import { journalPath } from './format.ts';
import { type FlushOutcome, ownOutcome } from './journal/flush_outcome.ts';
import type { Journal, Recovered } from './journal/journal.ts';
import type { MirrorStatus } from './journal/mirror.ts';
import type { CompletedRequest, JournalRecord } from './journal/record_codec.ts';
import { openJournal } from './journal/recovery.ts';
import type { SurvivingJournal } from './journal/survivor.ts';
import { MissingShardError } from './missing_shard.ts';
import type { NamespaceOptions } from './namespace_options.ts';
import { makeShardFiles } from './new_shard.ts';
import { type HowToOpen, openAsFarAsItGoes } from './open_policy.ts';
import { Record, type RecordSource } from './record.ts';
import { withoutPlaces } from './replay.ts';
import { Sequences } from './sequences.ts';
import { SlotMoves } from './slot_moves.ts';
import { StoreReader } from './store_reader.ts';

export { type CheckpointOutcome, checkpointDatabase } from './checkpoint.ts';
export type { DatabaseWatcher } from './committer.ts';
export { ShardFailure, StoreError } from './failure.ts';
export { type FormatOptions, formatNamespace } from './format.ts';
export type { Recovered } from './journal/journal.ts';
export type { CompletedRequest, JournalRecord } from './journal/record_codec.ts';
export { SurvivingJournal } from './journal/survivor.ts';
export type { NamespaceOptions } from './namespace_options.ts';
export { NO_PARTITIONS, SINGLE_PARTITION } from './partition_map.ts';
export { Record } from './record.ts';
export { DamagedRow } from './scan.ts';
export { loadSqlite } from './sqlite_file.ts';
export { clampTime } from './time_format.ts';

/** In the table `meta` of system.db. */
const BACKUP_LSN = 'backup_lsn';
/** Rows of open transactions from which the replay of a surviving journal makes a barrier. */
const SURVIVOR_ROWS = 50_000;

export class NamespaceStore extends StoreReader {
  readonly storeId: string;
  readonly readOnly: boolean;
  /** Whether the machine was booted since the last START, so that what was not flushed by then may be lost. */
  readonly rebooted: boolean;
  readonly recovered: Recovered;
  /** Brings slots to the shards that lack them, a step at a time. */
  readonly moves: SlotMoves;
  readonly #folder: string;
  readonly #backing: Backing;
  readonly #options: NamespaceOptions;
  readonly #databases: StoreDatabases;
  readonly #committer: Committer;
  readonly #journal: Journal | undefined;
  readonly #sequences: Sequences;
  readonly #source: RecordSource;
  #current: Record | undefined;
  #lsn: Lsn;
  #start: number;
  #generation: number;
  #broken: string | undefined;

  private constructor(
    folder: string,
    databases: StoreDatabases,
    options: NamespaceOptions & { broken: string | undefined },
  ) {
    super(databases, options);
    const { system } = databases;
    const backing = options.backing ?? new PosixBacking();
    this.#folder = folder;
    this.#backing = backing;
    this.#options = options;
    this.#databases = databases;
    this.readOnly = options.readOnly === true;
    this.storeId = system.text('store_id');
    const { journal, recovered, lost } = openJournal(databases, {
      path: journalPath(folder),
      backing,
      storeId: this.storeId,
      bootId: options.bootId ?? '',
      holds: options.holds,
      readOnly: this.readOnly,
      isTakeover: options.isTakeover,
      isRepair: options.isRepair === true && options.broken !== undefined, // once that is written down
      log: options.log,
      segments: options.journal?.segments,
      mirrors: options.journal?.folders,
      retainBytes: options.journal?.retainBytes,
    });
    this.#journal = journal;
    this.recovered = recovered;
    this.rebooted = journal?.rebooted ?? true;
    this.#lsn = recovered.cutAt;
    const starts = system.number('starts');
    this.#start = Math.max(starts, journal?.start ?? 0);
    this.#generation = Math.max(system.optionalNumber('generation') ?? starts, journal?.generation ?? 0);
    this.#broken = options.broken ?? lost;
    if (this.backupLsn !== undefined) journal?.noteBackup(this.backupLsn);
    this.#sequences = new Sequences((slot) => databases.shardOf(slot).nextSequence(slot));
    this.#source = {
      sequences: this.#sequences,
      readInode: (ino) => this.readInode(ino),
      partition: (dir, index) => this.partition(dir, index),
      partitionOf: (dir, position) => this.partitionOf(dir, position),
    };
    this.readMoving();
    this.#committer = new Committer(databases, {
      folder,
      backing,
      journal,
      ballast: new Ballast(backing, { folder, size: options.ballastBytes ?? BALLAST_BYTES }),
      clock: options.clock,
      log: options.log,
      walLimit: options.walLimit ?? 4 * MIB,
      reserve: options.reserveBytes ?? 64 * MIB,
      shardTxnRows: options.shardTxnRows ?? 1_000,
      shardTxnMs: options.shardTxnMs ?? 5_000,
      watch: options.watch,
      onLoss: (reason) => this.markBroken(reason),
    });
    this.moves = new SlotMoves(databases, this.#committer, {
      clock: options.clock,
      log: options.log,
      shardTxnRows: options.shardTxnRows ?? 1_000,
      sliceLimit: options.sliceLimit,
      low: () => this.low(),
      begin: () => this.begin(),
      commit: (record) => this.commit(record),
    });
  }

  /**
   * Opens the metadata folder of a store and applies what its journal has and its databases lack; one that is read only
   * does so in memory, and nothing is written. Throws `StoreError` when it holds no store, or none that can be served.
   */
  static open(folder: string, options: NamespaceOptions): NamespaceStore {
    return openAsFarAsItGoes(folder, options, (how) => NamespaceStore.#open(folder, how));
  }

  static #open(folder: string, options: HowToOpen): NamespaceStore {
    const { backing, readOnly } = options;
    if (!readOnly) makeRoomToOpen(backing, folder, options.log);
    const rehearsal = readOnly && !isErrno(backing.stat(journalPath(folder)));
    const allowMissing = readOnly && options.allowMissing === true;
    const how = { readOnly, rehearsal, allowMissing, allowUnfinished: options.isRepair === true };
    const databases = StoreDatabases.open(folder, { now: options.clock.now(), ...how });
    try {
      const [missing] = databases.missing.filter(({ shard }) => shard === databases.shardIdOf(slotOf(ROOT_INO)));
      // Nothing can be reached without it.
      if (missing !== undefined) throw new MissingShardError(missing);
      return new NamespaceStore(folder, databases, options);
    } catch (thrown) {
      databases.close();
      throw thrown;
    }
  }

  /** LSN of the last committed record, durable or not. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  get durableLsn(): Lsn {
    return this.#committer.durable;
  }

  /** Number of the newest START of a daemon: raised by `raiseStart`, 0 in a store that was never mounted. */
  get start(): number {
    return this.#start;
  }

  /** Mount generation: raised by every mount, unchanged when a daemon takes over a live one. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Notes a start of a daemon, durably, before anything is named by it; returns its number. `takeover`: the mount is live,
   * and what it was told stays true. Claims nothing of records before it: those a barrier has yet to cover.
   */
  raiseStart({ takeover = false }: { readonly takeover?: boolean } = {}): number {
    assert(!this.readOnly, 'A store opened for reading has no start');
    const { system } = this.#databases;
    const start = this.#start + 1;
    const generation = this.#generation + (takeover ? 0 : 1);
    const noted = this.#writable.raiseStart({ start, generation, bootId: this.#options.bootId ?? '' });
    if (noted === -E.ENOSPC.number)
      throw new ShardFailure('Cannot note the start of the daemon: the metadata disk is full');
    if (noted < 0) throw this.#journalFailure('note the start of the daemon in', noted);
    this.#start = start;
    this.#generation = generation;
    system.putMeta('starts', start);
    system.putMeta('generation', generation);
    return start;
  }

  /** What a request has made that a daemon before this one carried out in the same mount generation. */
  executed(unique: bigint): CompletedRequest | undefined {
    return this.#journal?.executed(unique);
  }

  // ---- Changing ----

  /** A new record; one that was begun before and not committed is dropped. */
  begin(): Record {
    assert(!this.readOnly, 'A store opened for reading takes no records');
    this.#current = new Record((this.#lsn + 1) as Lsn, this.#source);
    return this.#current;
  }

  /** Appends the record to the journal, applies it, and returns its LSN; an empty one changes nothing. */
  commit(record: Record): Lsn {
    assert(record === this.#current, 'The record is not the one begun last, or was committed before');
    this.#current = undefined;
    const { lsn, mutations, request } = record;
    if (mutations.size > 0) this.#commit({ lsn, mutations, completes: request });
    return this.#lsn;
  }

  #commit(record: JournalRecord): void {
    const { mutations } = record;
    // Order: journal first (from there on it survives the process), then the open transactions, then memory.
    let appended = this.#writable.append(record);
    if (appended === -E.ENOSPC.number && this.#committer.makeRoom()) appended = this.#writable.append(record);
    if (appended < 0) throw this.#journalFailure('append to', appended);
    this.#databases.applying.lsn = record.lsn;
    try {
      applyMutations(this.#databases, mutations);
    } catch (thrown) {
      throw new ShardFailure(`Cannot apply record ${record.lsn}: SQLite says ${sqliteCode(thrown)}`, { cause: thrown });
    }
    for (const mutation of mutations) {
      this.applied(mutation);
      if (mutation.kind === 'sequence') this.#sequences.committed(mutation.slot, mutation.next);
    }
    this.#lsn = record.lsn;
  }

  /**
   * Makes every committed record survive power loss, and commits it. The caller has flushed the data that they name.
   * ENOSPC: the disk is full; all stays applied, and a later barrier tries again. Throws `ShardFailure` for any other
   * refusal: what was acknowledged may be lost, and the daemon must end.
   */
  barrier(): Result<Lsn> {
    this.#committer.openAll();
    const lsn = this.#lsn;
    if (lsn > this.durableLsn) {
      const appended = this.appendBarrier(lsn);
      if (isErrno(appended)) return appended;
      this.barrierFlushed(lsn, this.#writable.flush());
    }
    const outcome = this.#committer.commitAll();
    return isErrno(outcome) ? outcome : lsn;
  }

  /** Says in the journal: all up to `lsn` is durable, once `journalFlushTargets` are, and `ranges` besides. ENOSPC: no room. */
  appendBarrier(lsn: Lsn, ranges?: readonly WrittenRange[]): Result<void> {
    const appended = this.#writable.appendBarrier(lsn, this.#databases.lackedFrom, ranges);
    if (appended === -E.ENOSPC.number) return E.ENOSPC;
    if (appended < 0) throw this.#journalFailure('append to', appended);
  }

  /** What is to be flushed before the barrier appended last is complete. Whoever takes them tells `barrierFlushed`. */
  journalFlushTargets(): FlushTarget[] {
    return this.#writable.takeFlushTargets();
  }

  /**
   * What has come of the targets of the barrier up to `lsn`: one outcome (0 or -errno) for all, or each with its own. One of
   * the store's own journal that failed breaks the store; one of another folder ends the journal there. Nothing else is
   * done where the barrier is not complete all the same.
   */
  barrierFlushed(lsn: Lsn, outcomes: number | readonly FlushOutcome[], isComplete = true): void {
    const drop = (path: string, error: number) => this.#writable.dropMirror(path, error);
    const outcome = typeof outcomes === 'number' ? outcomes : ownOutcome(outcomes, journalPath(this.#folder), drop);
    const flushed = isComplete || outcome < 0 ? this.#writable.flushed(lsn, outcome) : 0;
    if (flushed < 0) throw this.#journalFailure('flush', outcome < 0 ? outcome : flushed);
    if (isComplete) this.#committer.barrierDone(lsn);
  }

  // ---- The databases' cycle, in steps ----

  /** Whether a transaction has become so long or old, or the journal so full, that a barrier should be made. */
  isDue(nowMs: number): boolean {
    return this.#committer.isDue(nowMs);
  }

  /** A barrier up to `lsn` begins: transactions that are due take no more rows, so that it covers all of them. */
  barrierBegins(nowMs: number): void {
    this.#committer.barrierBegins(nowMs);
  }

  /**
   * Commits a database that the last barrier covers, or writes rows that came meanwhile: a few milliseconds of work. True
   * when there is more to do at once. ENOSPC: as for `barrier`.
   */
  turn(): Result<boolean> {
    return this.#committer.turn();
  }

  /** Has workers begin the logs that are empty, so that no first commit flushes one: for those who go on with `turn`. */
  beginLogs(): void {
    this.#committer.beginLogs();
  }

  /** Databases whose logs are to be moved by a worker, by their paths: see `Cycle.takeMoves`. */
  takeMoves(wait?: (path: string) => void): string[] {
    return this.#committer.takeMoves(wait);
  }

  /** Throws `ShardFailure` when a write or flush has failed. */
  moved(path: string, outcome: CheckpointOutcome): void {
    this.#committer.moved(path, outcome);
  }

  /** Whether so many rows wait to be written that what workers move has to be waited for. */
  get mustWait(): boolean {
    return this.#committer.mustWait;
  }

  // ---- Shards ----

  /** Adds shards, empty at first: see `moves`. EEXIST: a database that is none of this store's is in the place of one. */
  addShards(count: number): Result<void> {
    const { storeId, shardCount: from } = this;
    const { clock, watch } = this.#options;
    const lsn = Math.min(this.#lsn, this.durableLsn) as Lsn;
    const files = {
      storeId,
      from,
      count,
      now: clock.now(),
      lsn,
      backing: this.#backing,
      added: (path: string) => watch?.added?.(path),
    };
    const made = makeShardFiles(this.#folder, files);
    if (isErrno(made)) return made;
    const record = this.begin();
    record.setShardCount(from + count);
    this.commit(record);
    this.#committer.noteShards();
  }

  // ---- Backup ----

  /** The records from `lsn` on, of those the journal still has: see `holdJournal`. */
  journalFrom(lsn: Lsn): Iterable<JournalRecord> {
    return this.#journal?.readFrom(lsn) ?? [];
  }

  /** Keeps every record from now on in the journal, until `release` is called: for a backup under way. */
  holdJournal(): { readonly lsn: Lsn; readonly release: () => void } {
    const lsn = (this.#lsn + 1) as Lsn;
    return { lsn, release: this.#writable.hold(lsn) };
  }

  /** A backup with everything below `firstLsn` is complete: the journal's other folders need not keep it. */
  noteBackup(firstLsn: Lsn): void {
    this.#writable.noteBackup(firstLsn);
    const record = this.begin();
    record.putMeta(BACKUP_LSN, firstLsn);
    this.commit(record);
  }

  /** First LSN that the newest complete backup lacks; undefined when there is none. */
  get backupLsn(): Lsn | undefined {
    return this.#databases.system.optionalNumber(BACKUP_LSN) as Lsn | undefined;
  }

  /**
   * Applies what a surviving journal has and this store, restored from a backup, lacks; durable after the next `barrier`.
   * ERANGE: it begins too late for this backup. Returns the number of records.
   */
  replaySurvivor(survivor: SurvivingJournal): Result<number> {
    if (survivor.firstLsn > this.#lsn + 1 && survivor.lastLsn > this.#lsn) return E.ERANGE;
    let replayed = 0;
    for (const found of survivor.records((this.#lsn + 1) as Lsn)) {
      if (found === undefined || found.lsn !== this.#lsn + 1) return E.EUCLEAN;
      this.#commit({ ...found, mutations: [...withoutPlaces(found.mutations)] });
      replayed += 1;
      if (this.pendingRows < SURVIVOR_ROWS) continue;
      const outcome = this.barrier();
      if (isErrno(outcome)) return outcome;
    }
    // Of lists that did not change a journal knows only the lengths.
    this.forgetRows();
    this.#start = Math.max(this.#start, survivor.start);
    this.#generation = Math.max(this.#generation, survivor.generation);
    this.#databases.system.putMeta('starts', this.#start);
    this.#databases.system.putMeta('generation', this.#generation);
    return replayed;
  }

  /** The folders besides its own that the journal is written to, and those that were to be and are not. */
  journalFolders(): MirrorStatus[] {
    return this.#journal?.mirrors() ?? [];
  }

  // ---- Broken ----

  /** Why the store takes no changes until it has been repaired; undefined while it is whole. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** Writes the mark that outlives this process, before anything else is done about a loss. */
  markBroken(reason: string): void {
    if (this.#broken !== undefined) return;
    this.#broken = reason;
    if (this.readOnly) return;
    const written = writeBroken(this.#backing, this.#folder, { reason, at: this.#options.clock.now() });
    if (written < 0) this.#options.log.error({ errno: -written, reason }, 'Cannot write the mark BROKEN');
  }

  /** For `fsck --repair`, after everything has been checked. */
  clearBroken(): Result<void> {
    const removed = removeBroken(this.#backing, this.#folder);
    if (removed < 0) return errnoOf(-removed);
    this.#broken = undefined;
  }

  /** For a repair: shards that it has made anew (refill.ts) are whole with the next `barrier`. */
  finishShards(): void {
    this.#databases.finish();
  }

  get #writable(): Journal {
    assert(this.#journal !== undefined && !this.readOnly, 'A store opened for reading takes no records');
    return this.#journal;
  }

  #journalFailure(action: string, outcome: number): ShardFailure {
    const { name } = errnoOf(-outcome);
    if (outcome !== -E.ENOSPC.number) this.markBroken(`Cannot ${action} the journal: ${name}`);
    return new ShardFailure(`Cannot ${action} the journal in ${this.#folder}: ${name}`);
  }

  // ---- The databases' cycle ----

  /** Rows in the databases' open transactions, which the caller bounds by barriers. */
  get pendingRows(): number {
    return this.#committer.pendingRows;
  }

  /** Whether the metadata filesystem is nearly full: refuse whatever makes something new with ENOSPC. */
  low(): boolean {
    return this.#committer.low();
  }

  /** Whether nothing should be added while workers are at a barrier or at logs: see `Committer`. */
  get isBehind(): boolean {
    return this.#committer.isBehind;
  }

  /** Whether barriers should come early; whether nothing may grow, files of its own disk neither: see `Committer`. */
  tight = (): boolean => this.#committer.tight();
  critical = (): boolean => this.#committer.critical();
  /** Whether nobody may write unheard: see `Committer`. */
  scarce = (): boolean => this.#committer.scarce();

  /** Shortens what the next open has to read: moves the logs into the databases. */
  checkpoint(): void {
    this.#committer.checkpoint();
  }

  /** Without a barrier before it, records since the last one are in the journal only, and dropped after a reboot. */
  close(): void {
    this.#journal?.close();
    this.#databases.close();
  }
}
