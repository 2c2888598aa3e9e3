/** The control thread's side of packing: jobs handed out, results taken into the ledger. */
import type { VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { AggregateId, Ino, Lsn, VolumeId } from '../base/units.ts';
import type { Flusher } from './flusher.ts';
import type { Lane, Lanes } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import type { PackedFile, PackFile, PackJob, PackResult } from './pack.ts';
import type { Volume } from './volume.ts';

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

export class Packing {
  readonly #options: PackingOptions;
  readonly #takesDirect = new Map<VolumeId, boolean>();
  #nextJob = 1;

  constructor(options: PackingOptions) {
    this.#options = options;
  }

  /** Whether jobs for own files of this volume can be had at all, now or once a lane is idle. */
  canPack(volume: VolumeId): boolean {
    return this.#options.volumes.has(volume) && !this.#options.flusher.isBroken(volume);
  }

  start(files: readonly PackFile[], lsn: Lsn): PackJob | undefined {
    const first = files[0];
    const volume = first === undefined ? undefined : this.#options.volumes.get(first.own.volume);
    if (first === undefined || volume === undefined || !this.canPack(volume.row.id)) return undefined;
    let bytes = 0;
    for (const file of files) bytes += Math.ceil(file.size / 4096) * 4096;
    const lane = this.#options.lanes.take(volume.row.id, { bytes, firstBytes: first.size });
    if (lane === undefined) return undefined;
    const job = this.#describe(lane, { volume, files, lsn });
    lane.job = job;
    return job;
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
    if (result.created) this.#noteWritten(lane, result);
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
    if (result.created) flusher.wroteAggregate(lane.volume, lane.aggregate);
    lanes.finish(lane, result);
    return switched;
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
    work: { readonly volume: Volume; readonly files: readonly PackFile[]; readonly lsn: Lsn },
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
      files: work.files.map(compact),
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

/** A clone of a view copies the whole buffer behind it; names cut from a large one get a buffer of their own. */
function compact(file: PackFile): PackFile {
  const { name, directoryPath } = file;
  if (isCompact(name) && isCompact(directoryPath)) return file;
  return {
    ...file,
    name: isCompact(name) ? name : Uint8Array.from(name),
    directoryPath: isCompact(directoryPath) ? directoryPath : Uint8Array.from(directoryPath),
  };
}

function isCompact(bytes: Uint8Array): boolean {
  return bytes.buffer.byteLength === bytes.length;
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
