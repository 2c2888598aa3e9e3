/**
 * The data store: where bytes lie. Own files, packed files, checksums, space. It knows inode numbers, never paths or
 * directories, and it changes no row: what its ledger counts goes into the caller's records.
 *
 * Rules for the caller:
 * - bytes before rows: `flush()` before the barrier of the records that name what was written;
 * - rows before bytes: `barrierBegins()` when a barrier's LSN is chosen, `barrierDone()` after it; only then are own files
 *   unlinked, dead aggregates removed and dead ranges handed out for punching, of what was let go before it began;
 * - after `release` or `finishPack`, `ledger.takeChangedRows()` goes into the same record;
 * - a file from `createOwn` or `openOwn` serves the present request; it may be closed by the next one.
 *
 * All of it runs on one thread (the control thread) but `PackWorker` and `punch`, which workers run.
 */
import type { BackingFile, BackingStat, FlushTarget } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { AggregateRow, Extent, OwnName } from '../base/layout.ts';
import { type Clock, SystemClock } from '../base/time.ts';
import type { AggregateId, Ino, VolumeId } from '../base/units.ts';
import { Compaction } from './compaction.ts';
import { type CopyOut, copier } from './copy_out.ts';
import { aggregateKey, FileCache, OPEN_FILES_DEFAULT, ownKey } from './file_cache.ts';
import { type FlushBatch, Flusher } from './flusher.ts';
import { AHEAD_BYTES_DEFAULT, LANES_DEFAULT, Lanes } from './lanes.ts';
import { Ledger } from './ledger.ts';
import { LentFiles } from './lent_files.ts';
import { Migration } from './migration.ts';
import { OwnPool } from './own_pool.ts';
import { OwnRemovals, type UnlinkBatch } from './own_removals.ts';
import type { PackedFile, PackFile, PackJob, PackResult } from './pack.ts';
import { newestIdOnDisk, Packing, type StartPack } from './packing.ts';
import { Placement } from './placement.ts';
import type { PunchJob } from './punch.ts';
import { Reader, type ReadRange } from './reader.ts';
import { type DataStoreOptions, type OpenDataStore, type VolumeSpace, wholeSegments } from './store_options.ts';
import type { Volume } from './volume.ts';
import { gather, logMissing, type MissingVolume, openVolumes, spacesOf, type VolumeSet } from './volume_set.ts';

export type { FlushBatch } from './flusher.ts';
export { formatVolume } from './identity.ts';
export { isSpareOwn, makeOwnFiles, type OwnBatch, type OwnsMade } from './own_pool.ts';
export type { UnlinkBatch } from './own_removals.ts';
export type { PackedFile, PackFile, PackJob, PackResult, PackStatus } from './pack.ts';
export { PackWorker } from './pack_worker.ts';
export { type PunchJob, punch } from './punch.ts';
export type { ReadRange } from './reader.ts';
export { type ScannedBatch, scanAggregate } from './scan.ts';
export type { DataStoreOptions, OpenDataStore, VolumeSpace } from './store_options.ts';
export { listOwnFiles, type MissingVolume } from './volume_set.ts';

export class DataStore {
  readonly ledger: Ledger;
  /** Aggregates for other threads to read, with O_DIRECT where the volume takes it. */
  readonly lent: LentFiles;
  /** Volumes without the right identity at open: reads there give -EIO, nothing new goes there. */
  readonly missing: readonly MissingVolume[];
  /** Directories without the right identity at open, of volumes that can do without them. */
  readonly degraded: readonly MissingVolume[];
  /** Own files that were made ahead: see `OwnPool`. */
  readonly ownPool: OwnPool;
  readonly compaction: Compaction;
  readonly migration: Migration;
  /** Number of this daemon's start. */
  readonly start: number;
  /** Aggregates from this one on are of this start. */
  readonly firstAggregate: AggregateId;
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #files: FileCache;
  readonly #reader: Reader;
  readonly #flusher: Flusher;
  readonly #placement: Placement;
  readonly #lanes: Lanes;
  readonly #packing: Packing;
  readonly #clock: Clock;
  readonly #removals: OwnRemovals;
  #nextOwn = 1;
  #nextAggregate: number;
  readonly #copyOut: (copy: CopyOut) => number;

  /**
   * Opens the volumes and takes the rows in. Aggregates that an earlier start left open are sealed: take the changed rows
   * into the first record. EOPNOTSUPP when a volume is of a kind that is not built yet; missing volumes are no error.
   */
  static open(open: OpenDataStore): Result<DataStore> {
    const volumes = openVolumes(open.volumes, open);
    if (isErrno(volumes)) {
      open.log.error({}, 'A volume is of a kind that is not supported here');
      return volumes;
    }
    logMissing(volumes, open.log);
    return new DataStore(open, volumes);
  }

  private constructor(open: OpenDataStore, volumes: VolumeSet) {
    const { log, options = {} } = open;
    this.start = open.start;
    this.#volumes = volumes.present;
    this.missing = volumes.missing;
    this.degraded = volumes.degraded;
    this.#clock = options.clock ?? new SystemClock();
    this.#files = new FileCache(options.maxOpenFiles ?? OPEN_FILES_DEFAULT);
    this.#removals = new OwnRemovals({ volumes: this.#volumes, files: this.#files, log });
    this.ledger = new Ledger(open.aggregates, log);
    this.lent = new LentFiles((volume, id) => this.#volumes.get(volume)?.lendAggregate(id) ?? E.EIO);
    this.#reader = new Reader((volume, id) => this.openAggregate(volume, id), log);
    this.#copyOut = copier(this.#reader);
    this.#flusher = new Flusher({ volumes: this.#volumes, backing: open.backing, log });
    this.#placement = new Placement({
      volumes: this.#volumes,
      isBroken: (id) => this.#flusher.isBroken(id),
      clock: this.#clock,
      reserveBytes: options.reserveBytes,
    });
    this.ownPool = new OwnPool({
      volumes: this.#volumes,
      start: this.start,
      most: options.ownAhead,
      reserve: (count) => this.#reserveOwn(count),
      hasRoom: (volume) => this.#placement.check(volume) === undefined,
      noteMade: (volume) => this.#flusher.madeOwn(volume),
    });
    const newest = this.ledger.newestId;
    this.#nextAggregate = Math.max(newest, newestIdOnDisk(this.#volumes.values(), newest as AggregateId)) + 1;
    this.firstAggregate = this.#nextAggregate as AggregateId;
    this.#lanes = this.#makeLanes(open.options);
    this.#packing = this.#makePacking(open);
    const parts = { volumes: this.#volumes, lanes: this.#lanes, packing: this.#packing, ledger: this.ledger };
    this.compaction = new Compaction({ ...parts, storeId: open.storeId });
    this.migration = new Migration({ ...parts, placement: this.#placement });
    if (options.readOnly !== true) this.#sealEarlier();
  }

  // Own files

  /** Where new files go now: ENOSPC when all volumes are full, EIO when none is there. */
  newestPlacement(): Result<VolumeId> {
    return this.#placement.forNewFile();
  }

  /** Whether a volume has so little room that nobody may write there unheard. */
  isScarce = (volume: VolumeId): boolean => this.#placement.isScarce(volume);

  /** A new empty own file, its mtime the host's; ENOSPC within the volume's reserve. */
  createOwn(volume: VolumeId): Result<{ readonly name: OwnName; readonly file: BackingFile }> {
    const allowed = this.#placement.check(volume);
    if (isErrno(allowed)) return allowed;
    const name: OwnName = { volume, start: this.start, number: this.#nextOwn };
    const file = this.#volumes.get(volume)?.createOwn(name) ?? E.EIO;
    if (isErrno(file)) return file;
    this.#nextOwn += 1;
    this.#flusher.madeOwn(volume);
    this.#files.add(ownKey(name), file);
    return { name, file };
  }

  /** Open for reading and writing, for this request only. */
  openOwn(name: OwnName): Result<BackingFile> {
    return this.#files.get(ownKey(name), () => this.#volumes.get(name.volume)?.openOwn(name) ?? E.EIO);
  }

  /** Open for reading only, for the caller to close. */
  lendOwn(name: OwnName): Result<BackingFile> {
    return this.#volumes.get(name.volume)?.lendOwn(name) ?? E.EIO;
  }

  /** Some file of a volume that is there, open for reading, for the caller to close. */
  lendIdentity(): Result<BackingFile> {
    const [volume] = this.#volumes.values();
    return volume?.lendIdentity() ?? E.EIO;
  }

  /** Closes what this thread has open of it. */
  closeOwn(name: OwnName): void {
    this.#files.drop(ownKey(name));
  }

  /** Makes an own file's bytes durable; its name becomes so by `flush()`. A failure breaks the volume for good. */
  flushOwn(name: OwnName): Result<void> {
    if (this.#flusher.isBroken(name.volume)) return E.EIO;
    const file = this.openOwn(name);
    if (isErrno(file)) return file;
    const outcome = file.flush();
    if (outcome >= 0) {
      this.ownFlushed(name);
      return undefined;
    }
    this.#flusher.breakVolume(name.volume, -outcome);
    return E.EIO;
  }

  /** What to flush, on whatever thread, so that its bytes are durable; `ownFlushed` or `ownFailed` hears of it. */
  ownTarget(name: OwnName): Result<FlushTarget> {
    if (this.#flusher.isBroken(name.volume)) return E.EIO;
    return this.#volumes.get(name.volume)?.ownTarget(name) ?? E.EIO;
  }

  /** It was flushed elsewhere: the next flush makes its name durable too. */
  ownFlushed(name: OwnName): void {
    this.#flusher.flushedOwn(name.volume);
  }

  /** A flush of an own file has failed elsewhere: as `flushOwn`. `error` is a positive errno. */
  ownFailed(name: OwnName, error: number): void {
    this.#flusher.breakVolume(name.volume, error);
  }

  /** Removed by the barrier after the next `barrierBegins()`: the record that dropped it must be durable first. */
  unlinkOwnLater(name: OwnName): void {
    this.#removals.later(name);
  }

  /** Removes an own file at once: for those that no durable row names (recovery, fsck). 0 or -errno. */
  removeOwn(name: OwnName): number {
    this.#files.drop(ownKey(name));
    return this.#volumes.get(name.volume)?.unlinkOwn(name) ?? -E.EIO.number;
  }

  /** Moves it to `lost/` of its volume: for those that no row names, which may be somebody's bytes. 0 or -errno. */
  setAsideOwn(name: OwnName): number {
    this.#files.drop(ownKey(name));
    return this.#volumes.get(name.volume)?.setAsideOwn(name) ?? -E.EIO.number;
  }

  statOwn(name: OwnName): Result<BackingStat> {
    return this.#volumes.get(name.volume)?.statOwn(name) ?? E.EIO;
  }

  /** All own files on a volume's disk, in no order; EIO when the volume is missing. */
  ownFiles(volume: VolumeId): Result<Iterable<OwnName>> {
    const found = this.#volumes.get(volume);
    const starts = this.ownStarts(volume);
    if (isErrno(starts) || found === undefined) return E.EIO;
    return gather(starts, (start) => found.ownNames(start));
  }

  /** Starts that have a folder of own files; EIO when the volume is missing. `listOwnFiles` lists one on any thread. */
  ownStarts(volume: VolumeId): Result<readonly number[]> {
    return this.#volumes.get(volume)?.ownStarts() ?? E.EIO;
  }

  /** For a start whose folder has been emptied: without this each mount would leave one for good. 0 or -errno. */
  removeOwnStart(volume: VolumeId, start: number): number {
    return this.#volumes.get(volume)?.removeOwnStart(start) ?? -E.EIO.number;
  }

  // Packed files

  /**
   * Bytes of a packed file; `extents` sorted by file offset, holes are zeros. The count read, 0 at the end of the file, or
   * -EIO: missing, unreadable or not what was written (logged by volume, aggregate and place).
   */
  read(extents: readonly Extent[], range: ReadRange, into: Uint8Array): number {
    return this.#reader.read(extents, range, into);
  }

  /** Notes the day in the rows of the aggregates; at most one change a day each. For opens, not for every read. */
  noteRead(extents: readonly Extent[]): void {
    const nowSec = this.#clock.now().sec;
    for (const extent of extents) this.ledger.noteRead(extent.aggregate, nowSec);
  }

  /** 0, or -EIO when the extent's range cannot be read or differs from its checksums. */
  verify(extent: Extent): number {
    return this.#reader.verify(extent);
  }

  /** Writes the bytes of a packed file up to `size` into an own file, see copy_out.ts. 0, -EIO from the source, or -errno. */
  copyOut(extents: readonly Extent[], size: number, file: BackingFile): number {
    return this.#copyOut({ extents, size, file });
  }

  // Packing

  /** Whether files of this volume can be packed at all, now or once a lane is idle. */
  canPack(volume: VolumeId): boolean {
    return this.#packing.canPack(volume);
  }

  /**
   * A job for a worker, about one segment's worth of files of one volume in the order in which they shall lie; undefined
   * while all lanes of that volume are at work, or when it cannot be packed at all (`canPack`).
   */
  startPack(files: readonly PackFile[], options: StartPack = {}): PackJob | undefined {
    return this.#packing.start(files, options);
  }

  /**
   * Takes a worker's result in; `accepted` are the inodes whose switch the caller's record will make. The rows are for that
   * record. What else was written is dead at birth.
   */
  finishPack(
    result: PackResult,
    accepted: ReadonlySet<Ino>,
  ): { readonly switched: readonly PackedFile[]; readonly rows: readonly AggregateRow[] } {
    const switched = this.#packing.finish(result, accepted);
    return { switched, rows: this.ledger.takeChangedRows() };
  }

  /** A job that writes zeros where files will be packed, if there is one worth it: see `Packing`; for `finishPack`, too. */
  startAhead(isQuiet: boolean): PackJob | undefined {
    return this.#packing.startAhead(isQuiet);
  }

  get packing(): Pick<Packing, 'begun' | 'flushing' | 'isFlushed'> {
    return this.#packing;
  }

  /** The disk is full: what was written ahead is free again, if there was anything. */
  giveBackAhead(): boolean {
    this.#placement.forgetSpace();
    return this.#packing.giveBackAhead();
  }

  /** The job's worker is lost; its files stay own files. */
  abandonPack(jobId: number): void {
    this.#packing.abandon(jobId);
  }

  // Durability

  /** Takes what was packed since, and names of new files, not durable yet. What a barrier lets go it must not claim. */
  takeFlush(): FlushBatch {
    const batch = this.#flusher.take(this.start);
    return this.ledger.letsGoOf(batch.ranges ?? []) ? { ...batch, ranges: undefined } : batch;
  }

  /** The outcomes of a batch that was flushed elsewhere. EIO once a volume is broken. */
  flushDone(batch: FlushBatch, outcomes: readonly number[]): Result<void> {
    return this.#flusher.done(batch, outcomes);
  }

  /** Makes a batch durable here and now, by default all that is not; EIO once a volume is broken. */
  flush(batch: FlushBatch = this.takeFlush()): Result<void> {
    return this.#flusher.flush(batch);
  }

  /** What a daemon that was killed wrote and may not have flushed, names of own files too: the next flush covers it. */
  mustFlush(aggregates: readonly AggregateId[]): void {
    this.#flusher.inheritedOwn();
    for (const id of aggregates) {
      const row = this.ledger.row(id);
      if (row === undefined || row.state === 'dead' || !this.#volumes.has(row.volume)) continue;
      this.#flusher.wroteAggregate(row.volume, id);
      this.#flusher.madeAggregate(row.volume, id);
    }
  }

  /** Volumes on which a flush has failed. */
  get brokenVolumes(): readonly VolumeId[] {
    return this.#flusher.brokenVolumes;
  }

  /** Files that wait for a barrier to remove them. */
  get removals(): number {
    return this.#removals.count + this.ledger.dying;
  }

  /** Whether a barrier would give room back. */
  get hasLetGo(): boolean {
    return this.#removals.count > 0 || this.ledger.hasDead;
  }

  /** A barrier begins, and covers all records committed so far: what these let go may go once it is done. */
  barrierBegins(): void {
    this.#removals.barrierBegins();
    this.ledger.barrierBegins();
  }

  /** The barrier begun last is complete: the rows are gone for good, now their bytes may go. */
  barrierDone(): void {
    for (const batch of this.takeUnlinks()) {
      this.unlinksDone(
        batch,
        batch.names.map((name) => this.removeOwn(name)),
      );
    }
    this.ledger.barrierDone((row) => this.#removeAggregate(row));
  }

  /** Before `barrierDone`: takes out the own files that it would remove, for others to do. */
  takeUnlinks(): readonly UnlinkBatch[] {
    return this.#removals.take();
  }

  /** 0 or -errno for each file of a batch. */
  unlinksDone(batch: UnlinkBatch, outcomes: readonly number[]): void {
    this.#removals.done(batch, outcomes);
    this.#placement.forgetSpace();
  }

  /** Dead ranges behind a barrier, each handed out once; `punch` gives them back to the host, on any thread. */
  takePunches(): readonly PunchJob[] {
    const dead = this.ledger.takeDeadRanges().map((range) => ({ ...range, onlyZeros: false }));
    const rests = this.#lanes.takeRests().map((range) => ({ ...range, onlyZeros: true }));
    return [...dead, ...rests].flatMap((range) => {
      const volume = this.#volumes.get(this.ledger.row(range.aggregate)?.volume ?? (0 as VolumeId));
      return volume === undefined ? [] : [{ ...range, volume: volume.row }];
    });
  }

  // Space and inventory

  /** Of the volumes that are present and answer. */
  space(): readonly VolumeSpace[] {
    return spacesOf(this.#volumes.values(), (volume) => this.#packing.aheadOn(volume));
  }

  /** All aggregates on a volume's disk, in no order; EIO when the volume is missing. */
  aggregateFiles(volume: VolumeId): Result<readonly AggregateId[]> {
    const folders = this.aggregateFolders(volume);
    return isErrno(folders) ? E.EIO : gather(folders, (folder) => this.aggregatesIn(volume, folder));
  }

  /** Folders of at most 4,096 aggregates each. */
  aggregateFolders(volume: VolumeId): Result<readonly number[]> {
    return this.#volumes.get(volume)?.aggregateFolders() ?? E.EIO;
  }

  aggregatesIn(volume: VolumeId, folder: number): Result<readonly AggregateId[]> {
    return this.#volumes.get(volume)?.aggregateIds(folder) ?? E.EIO;
  }

  statAggregate(volume: VolumeId, id: AggregateId): Result<BackingStat> {
    return this.#volumes.get(volume)?.statAggregate(id) ?? E.EIO;
  }

  /** An aggregate's file for reading, for this request only. */
  openAggregate(volume: VolumeId, id: AggregateId): Result<BackingFile> {
    return this.#files.get(aggregateKey(id), () => this.#volumes.get(volume)?.openAggregate(id) ?? E.EIO);
  }

  /** Removes an aggregate's file at once: for those that no row names (fsck). 0 or -errno. */
  removeAggregate(volume: VolumeId, id: AggregateId): number {
    this.#files.drop(aggregateKey(id));
    this.lent.drop(id);
    return this.#volumes.get(volume)?.unlinkAggregate(id) ?? -E.EIO.number;
  }

  /** As `setAsideOwn`. */
  setAsideAggregate(volume: VolumeId, id: AggregateId): number {
    this.#files.drop(aggregateKey(id));
    return this.#volumes.get(volume)?.setAsideAggregate(id) ?? -E.EIO.number;
  }

  /** Descriptors open now. */
  get openFiles(): number {
    return this.#files.size + this.lent.size;
  }

  close(): void {
    this.#files.close();
    this.lent.close();
  }

  #reserveOwn(count: number): number {
    const first = this.#nextOwn;
    this.#nextOwn += count;
    return first;
  }

  #removeAggregate(row: AggregateRow): number {
    this.#flusher.forgetAggregate(row.id);
    this.#placement.forgetSpace();
    const outcome = this.removeAggregate(row.volume, row.id);
    return outcome === -E.ENOENT.number ? 0 : outcome;
  }

  #makeLanes({ lanesPerVolume = LANES_DEFAULT, ...options }: DataStoreOptions = {}): Lanes {
    const aggregateBytes = wholeSegments(options.aggregateBytes);
    const { aheadFrom = aggregateBytes / 8, aheadBytes = AHEAD_BYTES_DEFAULT } = options;
    const calls = { newId: () => this.#newAggregateId(), seal: (id: AggregateId) => this.ledger.seal(id) };
    return new Lanes({ ...calls, lanesPerVolume, aggregateBytes, aheadFrom, aheadBytes });
  }

  #makePacking({ storeId, start, options, log }: OpenDataStore): Packing {
    const aggregateBytes = wholeSegments(options?.aggregateBytes);
    const [lanes, volumes, ledger, flusher] = [this.#lanes, this.#volumes, this.ledger, this.#flusher];
    return new Packing({ storeId, start, aggregateBytes, volumes, lanes, ledger, flusher, log });
  }

  /** Above all that any row, file or (after a recount) inode has: an id is never used twice. */
  #newAggregateId(): AggregateId {
    const id = Math.max(this.#nextAggregate, this.ledger.newestId + 1);
    this.#nextAggregate = id + 1;
    return id as AggregateId;
  }

  /**
   * After a crash the file of an open aggregate may hold batches past the row's `written`. Appending over them could leave
   * a chain in which old batches follow new ones, so no start appends to another's aggregates.
   */
  #sealEarlier(): void {
    for (const { id, volume, written, state } of [...this.ledger.rows()]) {
      if (state !== 'open') continue;
      const stat = this.statAggregate(volume, id);
      if (!isErrno(stat)) this.#lanes.leaveRest({ volume, aggregate: id, offset: written }, stat.size - written);
      this.ledger.seal(id);
    }
  }
}
