/** Reads everything that the volumes say of themselves: aggregates into the catalogue, directories, own files. */
import { decodeHeader, HEADER_BYTES } from '../../aggregate/header_v1.ts';
import { extentOf, type ScannedBatch, scanAggregate } from '../../aggregate/scan.ts';
import type { Volume } from '../../aggregate/volume.ts';
import type { BackingFile, BackingStat } from '../../base/backing.ts';
import { isErrno } from '../../base/errno.ts';
import type { Extent, OwnName } from '../../base/layout.ts';
import { type AggregateId, type Ino, type Lsn, MAX_INTEGER, sequenceOf, slotOf } from '../../base/units.ts';
import type { Catalogue } from '../../shard/catalogue.ts';
import type { Progress } from '../fsck/progress.ts';
import { stateOf, worst } from './evidence.ts';

/** A directory as the newest index that names it describes it. */
export interface FoundDirectory {
  readonly ino: Ino;
  /** Undefined for the root, and where it is not known. */
  readonly above: Ino | undefined;
  readonly name: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly lsn: Lsn;
  readonly start: number;
}

export interface FoundAggregate {
  readonly id: AggregateId;
  readonly volume: Volume;
  readonly size: number;
}

export interface FoundOwn {
  readonly own: OwnName;
  readonly volume: Volume;
  readonly stat: BackingStat;
}

export interface SurveyJob {
  readonly storeId: string;
  readonly volumes: readonly Volume[];
  readonly catalogue: Catalogue;
  /** Compare every packed byte with its checksum. */
  readonly readAll: boolean;
  /** Files that are of interest; default all. */
  readonly wants?: (ino: Ino) => boolean;
  readonly progress: Progress;
}

/** Places in a file are multiples of 512 bytes in 32 bits. */
const OFFSET_MAX = 2 ** 41;

export class Survey {
  readonly directories = new Map<Ino, FoundDirectory>();
  /** By `ownKey`. */
  readonly ownFiles = new Map<string, FoundOwn>();
  readonly aggregates = new Map<AggregateId, FoundAggregate>();
  /** Files in the aggregates' folders that are another's, or cannot be read. */
  readonly foreign: { readonly id: AggregateId; readonly volume: Volume }[] = [];
  /** Aggregates without a readable header. */
  headless = 0;
  newestAggregate = 0 as AggregateId;
  batches = 0;
  lsn = 0 as Lsn;
  start = 0;
  /** Highest sequence of each slot. */
  readonly sequences = new Float64Array(4096);
  readonly #job: SurveyJob;

  constructor(job: SurveyJob) {
    this.#job = job;
  }

  run(): void {
    for (const volume of this.#job.volumes) this.#listOwn(volume);
    const found = this.#job.volumes.flatMap((volume) => this.#listAggregates(volume));
    const bytes = found.reduce((sum, { size }) => sum + size, 0);
    this.#job.progress.begin('aggregates', bytes);
    for (const each of found) {
      this.#readAggregate(each);
      this.#job.progress.advance(each.size);
    }
    this.#job.progress.end();
  }

  openAggregate(id: AggregateId): BackingFile | undefined {
    const file = this.aggregates.get(id)?.volume.openAggregate(id);
    return file === undefined || isErrno(file) ? undefined : file;
  }

  #listOwn(volume: Volume): void {
    const starts = volume.ownStarts();
    for (const start of isErrno(starts) ? [] : starts) {
      this.start = Math.max(this.start, start);
      const names = volume.ownNames(start);
      for (const own of isErrno(names) ? [] : names) {
        const stat = volume.statOwn(own);
        if (!isErrno(stat)) this.ownFiles.set(ownKey(own), { own, volume, stat });
      }
    }
  }

  #listAggregates(volume: Volume): FoundAggregate[] {
    const found: FoundAggregate[] = [];
    const folders = volume.aggregateFolders();
    for (const folder of isErrno(folders) ? [] : [...folders].sort((a, b) => a - b)) {
      const ids = volume.aggregateIds(folder);
      for (const id of isErrno(ids) ? [] : [...ids].sort((a, b) => a - b)) {
        const stat = volume.statAggregate(id);
        found.push({ id, volume, size: isErrno(stat) ? 0 : stat.size });
      }
    }
    return found;
  }

  #readAggregate(found: FoundAggregate): void {
    const { storeId } = this.#job;
    const { id, volume } = found;
    const file = volume.openAggregate(id);
    const header = isErrno(file) ? undefined : headerOf(file);
    const isOther = header !== undefined && (header.storeId !== storeId || header.aggregate !== id);
    if (isErrno(file) || isOther || this.aggregates.has(id)) {
      this.foreign.push({ id, volume });
      if (!isErrno(file)) file.close();
      return;
    }
    const batchesBefore = this.batches;
    for (const batch of scanAggregate(file, { storeId, aggregate: id, withoutHeader: true }))
      this.#takeBatch(batch, file, volume);
    file.close();
    if (header === undefined) {
      if (this.batches === batchesBefore) {
        this.foreign.push({ id, volume });
        return;
      }
      this.headless += 1;
    }
    this.start = Math.max(this.start, header?.start ?? 0);
    this.aggregates.set(id, found);
    if (id > this.newestAggregate) this.newestAggregate = id;
  }

  #takeBatch(batch: ScannedBatch, file: BackingFile, volume: Volume): void {
    const { index } = batch;
    const { lsn, start, aggregate } = index;
    this.batches += 1;
    this.lsn = Math.max(this.lsn, lsn) as Lsn;
    this.start = Math.max(this.start, start);
    for (const { above, ...directory } of index.directories) {
      this.#note(directory.ino);
      const known = this.directories.get(directory.ino);
      const isOlder = known !== undefined && (known.start > start || (known.start === start && known.lsn > lsn));
      const aboveIno = above === undefined ? undefined : index.directories[above]?.ino;
      if (!isOlder) this.directories.set(directory.ino, { ...directory, above: aboveIno, lsn, start });
    }
    const extents = new Map<number, Extent[]>();
    const put = (at: number, extent: Extent) => {
      const list = extents.get(at);
      if (list === undefined) extents.set(at, [extent]);
      else list.push(extent);
    };
    for (const entry of index.extents) put(entry.file, extentOf(batch, entry, volume.row.id));
    // Whose bytes they share is in another aggregate, perhaps one that is read later: they are looked at when chosen.
    for (const { file: at, extent } of index.shares) if (extent.rangeStart < OFFSET_MAX) put(at, extent);
    for (const [at, entry] of index.files.entries()) {
      const dir = index.directories[entry.directory]?.ino;
      if (dir === undefined || slotOf(entry.ino) + sequenceOf(entry.ino) < 2 || entry.ino > MAX_INTEGER) continue;
      this.#note(entry.ino);
      this.start = Math.max(this.start, entry.own?.start ?? 0);
      if (this.#job.wants?.(entry.ino) === false) continue;
      const mine = extents.get(at) ?? [];
      const own = mine.filter(({ shared }) => !shared);
      const state = worst(own.map((extent) => stateOf(file, extent, this.#job)));
      this.#job.catalogue.addPart({ ...entry, dir, lsn, start, aggregate, at: batch.offset, state, extents: mine });
    }
  }

  #note(ino: Ino): void {
    const slot = slotOf(ino);
    this.sequences[slot] = Math.max(this.sequences[slot] ?? 0, sequenceOf(ino));
  }
}

export function ownKey({ volume, start, number }: OwnName): string {
  return `${volume}/${start}/${number}`;
}

function headerOf(file: BackingFile): ReturnType<typeof decodeHeader> {
  const bytes = new Uint8Array(HEADER_BYTES);
  return file.read(bytes, 0) < HEADER_BYTES ? undefined : decodeHeader(bytes);
}
