/**
 * The data store: where bytes lie. Own files, packed files, checksums, space. It knows inode numbers, never paths or
 * directories, and it changes no row: what its ledger counts goes into the caller's records.
 *
 * Rules for the caller:
 * - bytes before rows: `flush()` before the barrier of the records that name what was written;
 * - rows before bytes: `barrierDone()` after that barrier; only then are own files unlinked, dead aggregates removed and
 *   dead ranges handed out for punching;
 * - after `release` or `finishPack`, `ledger.takeChangedRows()` goes into the same record;
 * - a file from `createOwn` or `openOwn` serves the present request; it may be closed by the next one.
 *
 * All of it runs on one thread (the control thread) but `PackWorker` and `punch`, which workers run.
 */
import type { Backing, BackingFile, BackingSpace, BackingStat } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { AggregateRow, Extent, OwnName, VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { type Clock, SystemClock } from '../base/time.ts';
import { type AggregateId, type Ino, type Lsn, MIB, type VolumeId } from '../base/units.ts';
import { aggregateKey, FileCache, OPEN_FILES_DEFAULT, ownKey } from './file_cache.ts';
import { Flusher } from './flusher.ts';
import { LANES_DEFAULT, Lanes } from './lanes.ts';
import { Ledger } from './ledger.ts';
import { type PackedFile, type PackFile, type PackJob, type PackResult, SEGMENT_BYTES } from './pack.ts';
import { newestIdOnDisk, Packing } from './packing.ts';
import { Placement } from './placement.ts';
import type { PunchJob } from './punch.ts';
import { Reader, type ReadRange } from './reader.ts';
import type { Volume } from './volume.ts';
import { type MissingVolume, openVolumes } from './volume_set.ts';

export { formatVolume } from './identity.ts';
export type { PackedFile, PackFile, PackJob, PackResult, PackStatus } from './pack.ts';
export { PackWorker } from './pack_worker.ts';
export { type PunchJob, punch } from './punch.ts';
export type { ReadRange } from './reader.ts';
export { type ScannedBatch, scanAggregate } from './scan.ts';
export type { MissingVolume } from './volume_set.ts';

export interface DataStoreOptions {
  /** Size of a new aggregate, rounded down to whole segments of 4 MiB. Default 64 MiB. */
  readonly aggregateBytes?: number;
  /** Open aggregates for each volume, and so packing jobs at a time. Default 2. */
  readonly lanesPerVolume?: number;
  /** Descriptors kept open. Default 1,024. */
  readonly maxOpenFiles?: number;
  /** Free bytes below which a volume takes no new own file. Default 64 MiB or 1 % of it, whichever is less. */
  readonly reserveBytes?: number;
  /** Changes nothing, not even the state of aggregates that an earlier start left open. */
  readonly readOnly?: boolean;
  readonly clock?: Clock;
}

export interface OpenDataStore {
  readonly backing: Backing;
  readonly storeId: string;
  /** Number of this daemon start, never used before. */
  readonly start: number;
  readonly volumes: readonly VolumeRow[];
  readonly aggregates: readonly AggregateRow[];
  readonly options?: DataStoreOptions;
  readonly log: Log;
}

export interface VolumeSpace extends BackingSpace {
  readonly volume: VolumeRow;
}

const AGGREGATE_BYTES_DEFAULT = 64 * MIB;
/** Copy-out goes through a buffer of this size. */
const COPY_BYTES = MIB;

export class DataStore {
  readonly ledger: Ledger;
  /** Volumes without the right identity at open: reads there give -EIO, nothing new goes there. */
  readonly missing: readonly MissingVolume[];
  readonly #start: number;
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #files: FileCache;
  readonly #reader: Reader;
  readonly #flusher: Flusher;
  readonly #placement: Placement;
  readonly #packing: Packing;
  readonly #clock: Clock;
  readonly #log: Log;
  #unlinks: OwnName[] = [];
  #nextOwn = 1;
  #nextAggregate: number;
  #copyBuffer: Uint8Array | undefined;

  /**
   * Opens the volumes and takes the rows in. Aggregates that an earlier start left open are sealed: take the changed rows
   * into the first record. EOPNOTSUPP when a volume is of a kind that is not built yet; missing volumes are no error.
   */
  static open(open: OpenDataStore): Result<DataStore> {
    const volumes = openVolumes(open.volumes, open);
    if (isErrno(volumes)) {
      open.log.error({}, "A volume is of kind 'mirror' or 'ec', which is not supported yet; expected 'dir'");
      return volumes;
    }
    for (const { volume, reason } of volumes.missing) {
      open.log.error({ volume, reason }, 'Volume is missing: its files cannot be read');
    }
    return new DataStore(open, volumes);
  }

  private constructor(
    open: OpenDataStore,
    volumes: { present: ReadonlyMap<VolumeId, Volume>; missing: readonly MissingVolume[] },
  ) {
    const { log, options = {} } = open;
    this.#start = open.start;
    this.#log = log;
    this.#volumes = volumes.present;
    this.missing = volumes.missing;
    this.#clock = options.clock ?? new SystemClock();
    this.#files = new FileCache(options.maxOpenFiles ?? OPEN_FILES_DEFAULT);
    this.ledger = new Ledger(open.aggregates, log);
    const openFile = (volume: VolumeId, id: AggregateId) => this.#openAggregate(volume, id);
    this.#reader = new Reader(openFile, log);
    this.#flusher = new Flusher({ volumes: this.#volumes, open: openFile, log });
    this.#placement = new Placement({
      volumes: this.#volumes,
      isBroken: (id) => this.#flusher.isBroken(id),
      clock: this.#clock,
      reserveBytes: options.reserveBytes,
    });
    const newest = this.ledger.newestId;
    this.#nextAggregate = Math.max(newest, newestIdOnDisk(this.#volumes.values(), newest as AggregateId)) + 1;
    this.#packing = this.#makePacking(open);
    if (options.readOnly !== true) this.#sealEarlier();
  }

  // Own files

  /** Where new files go now: ENOSPC when all volumes are full, EIO when none is there. */
  newestPlacement(): Result<VolumeId> {
    return this.#placement.forNewFile();
  }

  /** A new empty own file, its mtime the host's; ENOSPC within the volume's reserve. */
  createOwn(volume: VolumeId): Result<{ readonly name: OwnName; readonly file: BackingFile }> {
    const allowed = this.#placement.check(volume);
    if (isErrno(allowed)) return allowed;
    const name: OwnName = { volume, start: this.#start, number: this.#nextOwn };
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

  /** Makes an own file's bytes durable; its name becomes so by `flush()`. A failure breaks the volume for good. */
  flushOwn(name: OwnName): Result<void> {
    if (this.#flusher.isBroken(name.volume)) return E.EIO;
    const file = this.openOwn(name);
    if (isErrno(file)) return file;
    const outcome = file.flush();
    if (outcome >= 0) return undefined;
    this.#flusher.breakVolume(name.volume, -outcome);
    return E.EIO;
  }

  /** Removed by the first `barrierDone()`: the record that dropped it must be durable before its bytes go. */
  unlinkOwnLater(name: OwnName): void {
    this.#unlinks.push(name);
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
    const starts = found?.ownStarts() ?? E.EIO;
    if (isErrno(starts) || found === undefined) return E.EIO;
    const names: OwnName[] = [];
    for (const start of starts) {
      const list = found.ownNames(start);
      if (isErrno(list)) return list;
      for (const name of list) names.push(name);
    }
    return names;
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

  /**
   * Writes the bytes of a packed file into an own file: data ranges only, holes stay holes, then the size. 0, -EIO from the
   * source, or -errno of the write. Extents beyond `size` are left out.
   */
  copyOut(extents: readonly Extent[], size: number, file: BackingFile): number {
    this.#copyBuffer ??= new Uint8Array(COPY_BYTES);
    for (const extent of extents) {
      const end = Math.min(size, extent.fileOffset + extent.length);
      for (let at = extent.fileOffset; at < end; ) {
        const part = this.#copyBuffer.subarray(0, Math.min(COPY_BYTES, end - at));
        const count = this.#reader.read([extent], { offset: at, length: part.length, size: end }, part);
        if (count < 0) return count;
        const written = file.write(part.subarray(0, count), at);
        if (written < 0) return written;
        at += count;
      }
    }
    return file.truncate(size);
  }

  // Packing

  /** Whether files of this volume can be packed at all, now or once a lane is idle. */
  canPack(volume: VolumeId): boolean {
    return this.#packing.canPack(volume);
  }

  /**
   * A job for a worker, about one segment's worth of files of one volume in the order in which they shall lie; undefined
   * while all lanes of that volume are at work, or when it cannot be packed at all (`canPack`). `lsn`: the highest so far.
   */
  startPack(files: readonly PackFile[], lsn: Lsn = 0 as Lsn): PackJob | undefined {
    return this.#packing.start(files, lsn);
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

  /** The job's worker is lost; its files stay own files. */
  abandonPack(jobId: number): void {
    this.#packing.abandon(jobId);
  }

  // Durability

  /** Makes all that was packed since the last flush durable, and the names of new files. EIO once a volume is broken. */
  flush(): Result<void> {
    return this.#flusher.flush(this.#start);
  }

  /** Volumes on which a flush has failed. */
  get brokenVolumes(): readonly VolumeId[] {
    return this.#flusher.brokenVolumes;
  }

  /** Files that the next `barrierDone()` removes. */
  get removals(): number {
    return this.#unlinks.length + this.ledger.dying;
  }

  /** After the barrier of all records committed so far: the rows are gone for good, now their bytes may go. */
  barrierDone(): void {
    const unlinks = this.#unlinks;
    this.#unlinks = [];
    for (const name of unlinks) {
      const outcome = this.removeOwn(name);
      if (outcome < 0 && outcome !== -E.ENOENT.number) {
        const { volume, start, number } = name;
        this.#log.warn({ volume, start, number, error: -outcome }, 'Cannot unlink an own file; fsck will find it');
      }
    }
    this.ledger.barrierDone((row) => this.#removeAggregate(row));
    if (unlinks.length > 0) this.#placement.forgetSpace();
  }

  /** Dead ranges behind a barrier, each handed out once; `punch` gives them back to the host, on any thread. */
  takePunches(): readonly PunchJob[] {
    const punches: PunchJob[] = [];
    for (const { aggregate, offset, length } of this.ledger.takeDeadRanges()) {
      const volume = this.#volumes.get(this.ledger.row(aggregate)?.volume ?? (0 as VolumeId));
      if (volume !== undefined) punches.push({ volume: volume.row, aggregate, offset, length });
    }
    return punches;
  }

  // Space and inventory

  /** Of the volumes that are present and answer. */
  space(): readonly VolumeSpace[] {
    const spaces: VolumeSpace[] = [];
    for (const volume of this.#volumes.values()) {
      const space = volume.space();
      if (!isErrno(space)) spaces.push({ volume: volume.row, ...space });
    }
    return spaces;
  }

  /** All aggregates on a volume's disk, in no order; EIO when the volume is missing. */
  aggregateFiles(volume: VolumeId): Result<readonly AggregateId[]> {
    const found = this.#volumes.get(volume);
    const folders = found?.aggregateFolders() ?? E.EIO;
    if (isErrno(folders) || found === undefined) return E.EIO;
    const ids: AggregateId[] = [];
    for (const folder of folders) {
      const list = found.aggregateIds(folder);
      if (isErrno(list)) return list;
      for (const id of list) ids.push(id);
    }
    return ids;
  }

  statAggregate(volume: VolumeId, id: AggregateId): Result<BackingStat> {
    return this.#volumes.get(volume)?.statAggregate(id) ?? E.EIO;
  }

  /** An aggregate's file for reading, for this request only. */
  openAggregate(volume: VolumeId, id: AggregateId): Result<BackingFile> {
    return this.#openAggregate(volume, id);
  }

  /** Removes an aggregate's file at once: for those that no row names (fsck). 0 or -errno. */
  removeAggregate(volume: VolumeId, id: AggregateId): number {
    this.#files.drop(aggregateKey(id));
    return this.#volumes.get(volume)?.unlinkAggregate(id) ?? -E.EIO.number;
  }

  /** As `setAsideOwn`. */
  setAsideAggregate(volume: VolumeId, id: AggregateId): number {
    this.#files.drop(aggregateKey(id));
    return this.#volumes.get(volume)?.setAsideAggregate(id) ?? -E.EIO.number;
  }

  /** Descriptors open now. */
  get openFiles(): number {
    return this.#files.size;
  }

  close(): void {
    this.#files.close();
  }

  #openAggregate(volume: VolumeId, id: AggregateId): Result<BackingFile> {
    return this.#files.get(aggregateKey(id), () => this.#volumes.get(volume)?.openAggregate(id) ?? E.EIO);
  }

  #removeAggregate(row: AggregateRow): number {
    this.#flusher.forgetAggregate(row.id);
    this.#placement.forgetSpace();
    const outcome = this.removeAggregate(row.volume, row.id);
    return outcome === -E.ENOENT.number ? 0 : outcome;
  }

  #makePacking(open: OpenDataStore): Packing {
    const { options = {} } = open;
    const wanted = options.aggregateBytes ?? AGGREGATE_BYTES_DEFAULT;
    const aggregateBytes = Math.max(1, Math.floor(wanted / SEGMENT_BYTES)) * SEGMENT_BYTES;
    const lanes = new Lanes({
      lanesPerVolume: options.lanesPerVolume ?? LANES_DEFAULT,
      aggregateBytes,
      newId: () => this.#newAggregateId(),
      seal: (id) => this.ledger.seal(id),
    });
    return new Packing({
      storeId: open.storeId,
      start: open.start,
      aggregateBytes,
      volumes: this.#volumes,
      lanes,
      ledger: this.ledger,
      flusher: this.#flusher,
      log: open.log,
    });
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
    for (const row of [...this.ledger.rows()]) if (row.state === 'open') this.ledger.seal(row.id);
  }
}
