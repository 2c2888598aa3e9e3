/** The control thread's side of packing: jobs handed out, results taken into the ledger. */
import { E, isErrno } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { type AggregateId, type Ino, KIB, type Lsn, MIB, type VolumeId } from '../base/units.ts';
import type { Flusher } from './flusher.ts';
import type { Lane, Lanes, LaneUse } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import { type Moves, pieceExtent, unitBytes } from './moves.ts';
import type { PackedFile, PackFile, PackJob, PackMention, PackResult } from './pack.ts';
import { giveBack } from './space_ahead.ts';
import type { Volume } from './volume.ts';

/** Space is written ahead where this many aggregates' worth, and a twentieth of the disk, stay free. */
const ROOM_AGGREGATES = 8;
/** So many bytes that fsync found no zeros for, or that took the last of them, are worth the writing while the disk is in use. */
const MISSED_BYTES = 256 * KIB;
/** So many jobs are, however small. */
const MISSED_JOBS = 4;

/**
 * Moves need so much room, no more: what they copy is given back behind the next barrier. New files leave more than that
 * (`Placement`), so they cannot take it.
 */
export const MOVE_ROOM_BYTES = 12 * MIB;

export interface PackingOptions {
  readonly storeId: string;
  readonly start: number;
  readonly aggregateBytes: number;
  readonly volumes: ReadonlyMap<VolumeId, Volume>;
  readonly lanes: Lanes;
  readonly ledger: Ledger;
  readonly flusher: Flusher;
  readonly log: Log;
}

export interface StartPack {
  /** The highest so far. */
  readonly lsn?: Lsn;
  /** Files that the job's indexes are to describe besides. */
  readonly mentions?: readonly PackMention[];
  /** Somebody waits for it: it may take a lane that others do not get. */
  readonly isUrgent?: boolean;
  /** The next barrier is to be told by which bytes one can tell whether it was flushed. */
  readonly isClaimed?: boolean;
}

/** Where a job moves to. */
export interface MovesTo {
  readonly volume: VolumeId;
  readonly use: LaneUse;
  readonly lsn: Lsn;
}

export class Packing {
  readonly #options: PackingOptions;
  readonly #takesDirect = new Map<VolumeId, boolean>();
  #nextJob = 1;
  /** Bytes of urgent jobs that went where nothing, or too little, was written ahead, since the last time that something was. */
  #missed = 0;
  /** One has failed: not tried again before the next start. */
  #cannotAhead = false;

  constructor(options: PackingOptions) {
    this.#options = options;
  }

  /** Whether jobs for own files of this volume can be had at all, now or once a lane is idle. */
  canPack(volume: VolumeId): boolean {
    return this.#options.volumes.has(volume) && !this.#options.flusher.isBroken(volume);
  }

  /** Without files the mentions go into an aggregate that is under way and has bytes that some inode names, or nowhere. */
  start(files: readonly PackFile[], options: StartPack): PackJob | undefined {
    const { lsn = 0 as Lsn, mentions = [], isUrgent = false, isClaimed = false } = options;
    const first = files[0];
    if (first === undefined) return this.#startMentions(lsn, mentions);
    const volume = this.#options.volumes.get(first.own.volume);
    if (volume === undefined || !this.canPack(volume.row.id)) return undefined;
    let bytes = 0;
    for (const file of files) bytes += Math.ceil(file.size / 4096) * 4096;
    const lane = this.#options.lanes.take(volume.row.id, { bytes, firstBytes: first.size, isUrgent });
    if (lane === undefined) return undefined;
    const job = this.#describe(lane, { volume, files, lsn, mentions, isClaimed, ahead: undefined });
    lane.job = job;
    if (isUrgent && !this.#options.lanes.suffices(lane, bytes))
      this.#missed += Math.max(bytes, MISSED_BYTES / MISSED_JOBS);
    return job;
  }

  /** Whether no aggregate holds what is not flushed. */
  get isFlushed(): boolean {
    return this.#options.flusher.unflushed.length === 0;
  }

  /** Jobs begun so far: whoever waits for a quiet time compares. */
  get begun(): number {
    return this.#nextJob;
  }

  /**
   * A job that writes zeros behind what is in use of an aggregate, if there is one worth it and its volume has room; while
   * others are at work only if fsyncs go without.
   */
  startAhead(isQuiet: boolean): PackJob | undefined {
    const { lanes, volumes, aggregateBytes } = this.#options;
    const isMissed = this.#missed >= MISSED_BYTES;
    if (this.#cannotAhead || !(isQuiet || isMissed)) return undefined;
    for (const volume of volumes.values()) {
      const space = this.canPack(volume.row.id) ? volume.space() : E.EIO;
      if (isErrno(space) || space.available < Math.max(ROOM_AGGREGATES * aggregateBytes, space.total / 20)) continue;
      const lane = lanes.toWriteAhead(volume.row.id, isMissed, this.#options.flusher.unflushed);
      if (lane === undefined) continue;
      this.#missed = 0;
      const ahead = lanes.nextAhead(lane);
      lane.job = this.#describe(lane, { volume, files: [], lsn: 0 as Lsn, mentions: [], isClaimed: false, ahead });
      return lane.job;
    }
    return undefined;
  }

  /** Bytes of a volume that are written ahead: room for whoever wants it. */
  aheadOn(volume: VolumeId): number {
    const ahead = this.#options.lanes.ahead().filter(({ lane }) => lane.volume === volume);
    return ahead.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The host gets back, here and now, what is written ahead and nobody is using; whether there was any. */
  giveBackAhead(): boolean {
    const { lanes, volumes, log } = this.#options;
    const ahead = lanes.ahead();
    for (const { lane, bytes } of ahead) {
      lane.aheadTo = 0;
      const file = volumes.get(lane.volume)?.openAggregate(lane.aggregate, { write: true }) ?? E.EIO;
      const outcome = isErrno(file) ? -file.number : giveBack(file, { offset: lane.offset, length: bytes });
      if (!isErrno(file)) file.close();
      if (outcome < 0)
        log.warn({ aggregate: lane.aggregate, error: -outcome }, 'Cannot give back what was written ahead');
    }
    return ahead.length > 0;
  }

  #startMentions(lsn: Lsn, mentions: readonly PackMention[]): PackJob | undefined {
    const { lanes, ledger, volumes } = this.#options;
    const lane = lanes.idle().find(({ aggregate, use }) => use === 'files' && (ledger.row(aggregate)?.live ?? 0) > 0);
    const volume = lane === undefined ? undefined : volumes.get(lane.volume);
    if (lane === undefined || volume === undefined || !this.canPack(lane.volume)) return undefined;
    lane.job = this.#describe(lane, { volume, files: [], lsn, mentions, isClaimed: false, ahead: undefined });
    return lane.job;
  }

  /**
   * A job that copies units out of other aggregates into one of a volume; undefined while another one does for the same use,
   * or without room. What other volumes' bytes may take is for the caller to say.
   */
  startMoves(moves: Moves, to: MovesTo): PackJob | undefined {
    const { lanes, volumes } = this.#options;
    const { lsn, use } = to;
    const volume = volumes.get(to.volume);
    const space = volume === undefined || !this.canPack(volume.row.id) ? E.EIO : volume.space();
    if (volume === undefined || isErrno(space) || space.available < MOVE_ROOM_BYTES) return undefined;
    const bytes = moves.units.reduce((sum, unit) => sum + unitBytes(unit), 0);
    const lane = lanes.takeForMoves(volume.row.id, use, bytes);
    if (lane === undefined) return undefined;
    const job = this.#describe(lane, {
      volume,
      files: [],
      lsn,
      mentions: [],
      isClaimed: false,
      ahead: undefined,
      moves,
    });
    lane.job = job;
    return job;
  }

  /**
   * As `finish`, of a job that moves: `accepted` are places in its list of the units whose files the caller's record switches.
   * What they were called before is the caller's to release.
   */
  finishMoves(result: PackResult, accepted: ReadonlySet<number>): void {
    const { lanes, ledger, volumes } = this.#options;
    const lane = lanes.laneOf(result.id);
    const moves = lane?.job?.moves;
    const volume = lane === undefined ? undefined : volumes.get(lane.volume);
    if (lane === undefined || moves === undefined || volume === undefined) return;
    if (result.created) this.#noteWritten(lane, result);
    for (const [i, { pieces }] of result.moved.entries()) {
      const extents = pieces.map((piece) => pieceExtent(piece, volume.row, lane.aggregate));
      const mtimes = moves.units[i]?.files.map(({ mtime }) => mtime.sec) ?? [];
      if (!accepted.has(i)) ledger.abandon(extents);
      else if (extents.length > 0) ledger.claim(lane.aggregate, extents, Math.max(...mtimes));
    }
    this.finish(result, new Set());
  }

  /**
   * Takes a result in: which files were `accepted` is the caller's compare-and-swap. Their ranges are live from here on,
   * all others that were written are dead at birth. Without `result` the worker was lost, and nobody knows what it wrote.
   */
  finish(result: PackResult, accepted: ReadonlySet<Ino>): readonly PackedFile[] {
    const { lanes, ledger, flusher, log } = this.#options;
    const lane = lanes.laneOf(result.id);
    const job = lane?.job;
    if (lane === undefined || job === undefined || result.aggregate !== lane.aggregate) {
      log.error({ job: result.id, aggregate: result.aggregate }, 'Result of a packing job that is not under way');
      return [];
    }
    if (result.directRefused) this.#takesDirect.set(lane.volume, false);
    // A job that moves has been noted already.
    if (result.created && job.moves === undefined) this.#noteWritten(lane, result);
    const switched: PackedFile[] = [];
    for (const [i, file] of result.files.entries()) {
      if (file.status === 'packed' && accepted.has(file.ino)) {
        if (file.extents.length > 0) ledger.claim(lane.aggregate, file.extents, job.files[i]?.mtime.sec ?? 0);
        switched.push(file);
      } else ledger.abandon(file.extents);
    }
    if (result.error !== 0) {
      log.warn({ aggregate: lane.aggregate, error: result.error }, 'Segment not written, aggregate sealed');
    }
    if (result.flushed === 0) flusher.flushedAggregate(lane.aggregate);
    else if (result.created) flusher.wroteAggregate(lane.volume, lane.aggregate, result.ranges);
    if (result.flushed !== undefined && result.flushed < 0) flusher.breakVolume(lane.volume, -result.flushed);
    this.#cannotAhead ||= job.ahead !== undefined && !result.ahead;
    lanes.finish(lane, result);
    return switched;
  }

  /**
   * Jobs under way that flush one of these aggregates, by default of those that hold what is not durable. The host tells of
   * a failed flush once: what became of theirs has to be heard before another flush of the same bytes is believed.
   */
  flushing(aggregates = this.#options.flusher.unflushed): readonly number[] {
    const lanes = this.#options.lanes.flushing();
    return lanes.flatMap(({ aggregate, job }) => (job && aggregates.includes(aggregate) ? [job.id] : []));
  }

  /** The worker is lost: what it wrote is named by nobody, and its aggregate is not appended to again. */
  abandon(jobId: number): void {
    const lane = this.#options.lanes.laneOf(jobId);
    if (lane === undefined) return;
    lane.job = undefined;
    this.#options.lanes.leave(lane);
  }

  #describe(
    lane: Lane,
    work: {
      readonly volume: Volume;
      readonly files: readonly PackFile[];
      readonly lsn: Lsn;
      readonly mentions: readonly PackMention[];
      readonly isClaimed: boolean;
      readonly ahead: PackJob['ahead'];
      readonly moves?: Moves;
    },
  ): PackJob {
    const { storeId, start, aggregateBytes } = this.#options;
    return {
      id: this.#nextJob++,
      storeId,
      start,
      lsn: work.lsn,
      volume: work.volume.row,
      aggregate: lane.aggregate,
      fresh: !lane.created,
      offset: lane.offset,
      limit: aggregateBytes,
      sequence: lane.sequence,
      direct: this.#direct(work.volume),
      sources: this.#sources(work.files),
      files: work.files,
      mentions: work.mentions,
      isClaimed: work.isClaimed,
      ahead: work.ahead,
      moves: work.moves,
    };
  }

  #noteWritten(lane: Lane, result: PackResult): void {
    const { ledger, flusher } = this.#options;
    if (!lane.created) {
      ledger.add(lane.aggregate, lane.volume);
      flusher.madeAggregate(lane.volume, lane.aggregate);
    }
    ledger.wrote(lane.aggregate, result.written);
  }

  #sources(files: readonly PackFile[]): readonly VolumeRow[] {
    const rows = new Map<VolumeId, VolumeRow>();
    for (const file of files) {
      const volume = this.#options.volumes.get(file.own.volume);
      if (volume !== undefined) rows.set(volume.row.id, volume.row);
    }
    return [...rows.values()];
  }

  #direct(volume: Volume): boolean {
    const known = this.#takesDirect.get(volume.row.id);
    if (known !== undefined) return known;
    const direct = volume.acceptsDirect();
    this.#takesDirect.set(volume.row.id, direct);
    return direct;
  }
}

/** Highest aggregate id on the volumes' disks at or above the folder of `from`: ids are never used twice. */
export function newestIdOnDisk(volumes: Iterable<Volume>, from: AggregateId): number {
  let newest = 0;
  const firstFolder = Math.floor(from / 4096);
  for (const volume of volumes) {
    const folders = volume.aggregateFolders();
    if (!Array.isArray(folders)) continue;
    for (const folder of folders as readonly number[]) {
      if (folder < firstFolder) continue;
      const ids = volume.aggregateIds(folder);
      if (Array.isArray(ids)) for (const id of ids as readonly AggregateId[]) newest = Math.max(newest, id);
    }
  }
  return newest;
}
