/**
 * The worker's side of packing: reads settled own files, gathers them into batches, writes these, and says where every
 * byte lies. It changes nothing but the aggregate of its job; what it wrote exists only once a record names it.
 */
import type { Backing, BackingFile } from '../base/backing.ts';
import { alignDown, alignUp } from '../base/bytes.ts';
import { CHECKSUM_BLOCK, crc32c } from '../base/crc32c.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Extent, WrittenRange } from '../base/layout.ts';
import { alignedBuffer } from '../base/libc.ts';
import type { VolumeId } from '../base/units.ts';
import { BATCH_BUFFER_BYTES, Batch, type PieceDraft } from './batch.ts';
import { dataRuns, type Run } from './data_runs.ts';
import { MoveSources } from './move_source.ts';
import { type MovedUnit, type MoveRange, type MoveStatus, type Moves, type MoveUnit, unitBytes } from './moves.ts';
import {
  BLOCK_BYTES,
  INDEX_BYTES_MAX,
  type PackedFile,
  type PackFile,
  type PackJob,
  type PackResult,
  type PackStatus,
  PIECE_BYTES_MIN,
  roomNeeded,
  SEGMENT_BYTES,
} from './pack.ts';
import { prove } from './prove.ts';
import { writeAhead } from './space_ahead.ts';
import type { Volume, VolumeKinds } from './volume.ts';
import { openVolume } from './volume_set.ts';

export interface PackTools {
  readonly backing: Backing;
  /** Of the volumes that packed bytes are moved from. */
  readonly kinds?: VolumeKinds | undefined;
  /** `BATCH_BUFFER_BYTES` bytes, aligned to 4,096, not used by anybody else meanwhile. */
  readonly buffer: Uint8Array;
}

/** What a worker thread keeps for packing: one buffer of about 4 MiB. */
export class PackWorker {
  readonly #tools: PackTools;

  constructor(backing: Backing, kinds?: VolumeKinds) {
    this.#tools = { backing, kinds, buffer: alignedBuffer(BATCH_BUFFER_BYTES) };
  }

  pack(job: PackJob): PackResult {
    return packFiles(job, this.#tools);
  }
}

export function packFiles(job: PackJob, tools: PackTools): PackResult {
  return job.ahead === undefined ? new PackRun(job, tools).run() : writeAhead(job, job.ahead, tools.backing);
}

interface Outcome {
  status: PackStatus;
  error: number;
  /** Written, and read back by nobody yet. */
  readonly extents: Extent[];
}

interface UnitOutcome {
  status: MoveStatus;
  error: number;
  badRange: number | undefined;
  readonly pieces: PieceDraft[];
}

/** One job under way. */
class PackRun {
  readonly #job: PackJob;
  readonly #tools: PackTools;
  readonly #volume: Result<Volume>;
  readonly #sources = new Map<VolumeId, Volume>();
  readonly #batch: Batch;
  readonly #outcomes: readonly Outcome[];
  readonly #moved: readonly UnitOutcome[];
  #file: BackingFile | undefined;
  #created: boolean;
  #direct: boolean;
  #directRefused = false;
  /** Where the batch in the making will lie, and where the last written one ends. */
  #offset: number;
  #written: number;
  #sequence: number;
  #error = 0;
  #full = false;
  #mentioned = 0;
  readonly #ranges: WrittenRange[] = [];

  constructor(job: PackJob, tools: PackTools) {
    this.#job = job;
    this.#tools = tools;
    this.#volume = openVolume(job.volume, tools);
    for (const row of job.sources) {
      const volume = openVolume(row, tools);
      if (!isErrno(volume)) this.#sources.set(row.id, volume);
    }
    this.#batch = new Batch(tools.buffer);
    this.#outcomes = job.files.map(() => ({ status: 'postponed', error: 0, extents: [] }));
    const postponed = { status: 'postponed', error: 0, badRange: undefined } as const;
    this.#moved = (job.moves?.units ?? []).map(() => ({ ...postponed, pieces: [] }));
    this.#created = !job.fresh;
    this.#direct = job.direct;
    this.#offset = job.offset;
    this.#written = job.offset;
    this.#sequence = job.sequence;
  }

  run(): PackResult {
    this.#beginBatch();
    for (const [i, file] of this.#job.files.entries()) {
      if (this.#full || this.#error !== 0) break;
      const source = this.#sources.get(file.own.volume)?.openOwn(file.own) ?? E.EIO;
      if (isErrno(source)) {
        this.#settle(i, source === E.ENOENT ? 'vanished' : 'unreadable', source.number);
        continue;
      }
      this.#packFile(i, source);
      source.close();
    }
    if (this.#job.moves !== undefined) this.#move(this.#job.moves);
    this.#mention();
    this.#writeBatch();
    if (this.#job.moves?.isProven === true) this.#prove();
    this.#file?.close();
    return this.#result();
  }

  /** Behind the files, into what room there is; the rest waits for another job. */
  #mention(): void {
    for (const mention of this.#job.mentions) {
      if (this.#full || this.#error !== 0) return;
      if (this.#batch.mention(mention)) continue;
      if (!this.#nextBatch() || !this.#batch.mention(mention)) return;
    }
  }

  #move(moves: Moves): void {
    const source = new MoveSources(moves, { ...this.#tools, storeId: this.#job.storeId });
    for (const [i, unit] of moves.units.entries()) {
      if (this.#full || this.#error !== 0) break;
      const outcome = this.#moved[i];
      if (outcome !== undefined) this.#moveUnit({ unit, i, source, outcome });
    }
    source.close();
  }

  /** All that would be switched, or nothing is. */
  #prove(): void {
    const moved = this.#moved.filter(({ status }) => status === 'moved');
    if (this.#file === undefined || isErrno(this.#volume) || moved.length === 0) return;
    const { aggregate, fresh } = this.#job;
    const names = fresh ? this.#volume.aggregateNameTargets(aggregate) : [];
    const pieces = moved.flatMap((unit) => unit.pieces);
    const outcome = prove(this.#file, { ...this.#tools, names, pieces });
    if (outcome === 0) return;
    this.#error = -outcome;
    for (const unit of moved) unit.status = 'unwritten';
  }

  /** All ranges of a unit, then its files; of one that fails no file is described, and no piece is wanted. */
  #moveUnit(work: {
    readonly unit: MoveUnit;
    readonly i: number;
    readonly source: MoveSources;
    readonly outcome: UnitOutcome;
  }): void {
    const { unit, i, source, outcome } = work;
    if (roomNeeded(unitBytes(unit)) > this.#job.limit - this.#offset - this.#batch.bytes) {
      if (this.#job.fresh && this.#batch.isEmpty && this.#sequence === 0) outcome.status = 'too large';
      else this.#full = true;
      return;
    }
    const mark = this.#batch.mark();
    const sequence = this.#sequence;
    const description = descriptionBytes(unit);
    outcome.status = 'moved';
    for (const range of unit.ranges) {
      if (this.#copyRange(range, { unit, i, source, outcome, description })) continue;
      if (sequence === this.#sequence && !this.#full && this.#error === 0) this.#batch.rollBack(mark);
      return;
    }
    for (const file of unit.files) {
      const of = { unit: i, pieces: outcome.pieces };
      if (this.#batch.describe(file, of) || (this.#nextBatch() && this.#batch.describe(file, of))) continue;
      outcome.status = this.#error === 0 ? 'postponed' : 'unwritten';
      return;
    }
  }

  /** False when it could not be read, or has no place. */
  #copyRange(
    range: MoveRange,
    to: {
      readonly unit: MoveUnit;
      readonly i: number;
      readonly source: MoveSources;
      readonly outcome: UnitOutcome;
      readonly description: number;
    },
  ): boolean {
    const { unit, i, source, outcome, description } = to;
    for (let done = 0; done < range.length; ) {
      const left = range.length - done;
      const room = this.#batch.roomForPiece(description);
      if (room < Math.min(left, PIECE_BYTES_MIN)) {
        if (!this.#nextBatch()) outcome.status = this.#error === 0 ? 'postponed' : 'unwritten';
        if (outcome.status !== 'moved') return false;
        continue;
      }
      const length = left <= room ? left : alignDown(room, CHECKSUM_BLOCK);
      const first = done / CHECKSUM_BLOCK;
      const checksums = range.checksums.slice(first, first + Math.ceil(length / CHECKSUM_BLOCK));
      const from = range.from + done;
      const read = source.read(unit.source, this.#batch.space(length), { at: range.rangeStart + from, checksums });
      if (read < 0) {
        outcome.status = 'unreadable';
        outcome.error = read === -E.EUCLEAN.number ? 0 : -read;
        outcome.badRange = range.rangeStart;
        return false;
      }
      const place = { source: unit.source, rangeStart: 0, unit: i };
      const draft = { ...place, sourceStart: range.rangeStart, from, length, checksums, isWritten: false };
      this.#batch.addPiece(draft);
      outcome.pieces.push(draft);
      done += length;
    }
    return true;
  }

  #packFile(i: number, source: BackingFile): void {
    const file = this.#job.files[i];
    const runs = file === undefined ? E.EIO : runsOf(source, file);
    if (file === undefined || isErrno(runs)) {
      this.#settle(i, runs === E.ESTALE ? 'changed' : 'unreadable', isErrno(runs) ? runs.number : 0);
      return;
    }
    if (!this.#fits(runs)) {
      this.#refuse(i);
      return;
    }
    const mark = this.#batch.mark();
    const sequence = this.#sequence;
    const status = this.#gather({ file, i, runs, source });
    if (status !== 'packed') {
      // What left with an earlier batch is dead at birth; what is still in the buffer is dropped, and a batch begun
      // meanwhile holds nothing but this file.
      if (sequence === this.#sequence && !this.#full) this.#batch.rollBack(mark);
      else this.#beginBatch();
    }
    this.#settle(i, status, status === 'unreadable' ? E.EIO.number : 0);
  }

  /** Puts the file's data into the batch, and into as many more as it takes. */
  #gather(work: {
    readonly file: PackFile;
    readonly i: number;
    readonly runs: readonly Run[];
    readonly source: BackingFile;
  }): PackStatus {
    const { file, i, runs, source } = work;
    if (this.#batch.roomFor(file, i) < 0 && !this.#nextBatch()) return this.#noRoomStatus();
    const dataBytes = runs.reduce((sum, { from, to }) => sum + to - from, 0);
    if (runs.length === 0) this.#batch.name(file, i, dataBytes);
    for (const run of runs) {
      for (let at = run.from; at < run.to; ) {
        const room = this.#batch.roomFor(file, i);
        const left = run.to - at;
        if (room < Math.min(left, PIECE_BYTES_MIN)) {
          if (!this.#nextBatch()) return this.#noRoomStatus();
          continue;
        }
        const length = Math.min(left, room);
        const count = source.read(this.#batch.space(length), at);
        if (count < 0) return 'unreadable';
        if (count < length) return 'changed';
        this.#batch.name(file, i, dataBytes);
        this.#batch.add(at, length);
        at += length;
      }
    }
    return 'packed';
  }

  #fits(runs: readonly Run[]): boolean {
    let bytes = 0;
    for (const run of runs) bytes += alignUp(run.to - run.from, BLOCK_BYTES);
    return roomNeeded(bytes) <= this.#job.limit - this.#offset - this.#batch.bytes;
  }

  /** No room for this file; those behind it wait too, so that a directory stays in order. */
  #refuse(i: number): void {
    if (this.#job.fresh && this.#batch.isEmpty && this.#sequence === 0) {
      this.#settle(i, 'too large', 0);
      return;
    }
    this.#full = true;
    this.#settle(i, 'postponed', 0);
  }

  #noRoomStatus(): PackStatus {
    return this.#error === 0 ? 'postponed' : 'unwritten';
  }

  #settle(i: number, status: PackStatus, error: number): void {
    const outcome = this.#outcomes[i];
    if (outcome === undefined) return;
    outcome.status = status;
    outcome.error = error;
  }

  /** False when the aggregate has no room for another batch. */
  #beginBatch(): boolean {
    const smallest = 2 * PIECE_BYTES_MIN;
    const segmentEnd = alignDown(this.#offset, SEGMENT_BYTES) + SEGMENT_BYTES;
    if (segmentEnd - this.#offset < smallest) this.#offset = segmentEnd;
    const end = Math.min(alignDown(this.#offset, SEGMENT_BYTES) + SEGMENT_BYTES, this.#job.limit);
    const room = end - this.#offset;
    this.#full ||= room < smallest;
    this.#batch.begin(Math.max(room, 0));
    return !this.#full;
  }

  #nextBatch(): boolean {
    return this.#writeBatch() && this.#beginBatch();
  }

  #writeBatch(): boolean {
    if (this.#batch.isEmpty) return this.#error === 0;
    const place = { offset: this.#offset, sequence: this.#sequence, withHeader: !this.#created };
    const { bytes, batchBytes, extents } = this.#batch.seal(this.#job, place);
    const offset = this.#created ? this.#offset : 0;
    const outcome = this.#write(bytes, offset);
    if (outcome < 0) {
      this.#error = -outcome;
      for (const i of this.#batch.jobFiles) this.#settle(i, 'unwritten', 0);
      for (const i of this.#batch.units) {
        const unit = this.#moved[i];
        if (unit !== undefined) unit.status = 'unwritten';
      }
      this.#batch.begin(0);
      return false;
    }
    for (const { jobFile, extent } of extents) this.#outcomes[jobFile]?.extents.push(extent);
    this.#mentioned += this.#batch.mentions;
    if (this.#job.isClaimed) this.#ranges.push(this.#range(bytes, offset));
    this.#batch.written();
    this.#created = true;
    this.#sequence += 1;
    this.#offset += batchBytes;
    this.#written = this.#offset;
    this.#batch.begin(0);
    return true;
  }

  #range(bytes: Uint8Array, offset: number): WrittenRange {
    const { aggregate, volume } = this.#job;
    return { volume: volume.id, aggregate, offset, length: bytes.length, checksum: crc32c(bytes) };
  }

  #write(bytes: Uint8Array, offset: number): number {
    const opened = this.#openAggregate();
    if (isErrno(opened)) return -opened.number;
    let outcome = opened.write(bytes, offset);
    if (outcome === -E.EINVAL.number && this.#direct) {
      this.#refuseDirect();
      const buffered = isErrno(this.#volume) ? E.EIO : this.#volume.openAggregate(this.#job.aggregate, { write: true });
      if (isErrno(buffered)) return -buffered.number;
      this.#file = buffered;
      outcome = buffered.write(bytes, offset);
    }
    if (outcome < 0 && !this.#created) this.#removeUnborn();
    return outcome;
  }

  #openAggregate(): Result<BackingFile> {
    if (this.#file !== undefined) return this.#file;
    if (isErrno(this.#volume)) return this.#volume;
    const open = (volume: Volume) =>
      this.#created
        ? volume.openAggregate(this.#job.aggregate, { write: true, direct: this.#direct })
        : volume.createAggregate(this.#job.aggregate, { direct: this.#direct });
    let file = open(this.#volume);
    if (file === E.EINVAL && this.#direct) {
      this.#refuseDirect();
      // Some hosts refuse O_DIRECT after they have made the file.
      if (!this.#created) this.#volume.unlinkAggregate(this.#job.aggregate);
      file = open(this.#volume);
    }
    if (!isErrno(file)) this.#file = file;
    return file;
  }

  #refuseDirect(): void {
    this.#file?.close();
    this.#file = undefined;
    this.#direct = false;
    this.#directRefused = true;
  }

  /** Not even the header could be written: no row will name the file. */
  #removeUnborn(): void {
    this.#file?.close();
    this.#file = undefined;
    if (!isErrno(this.#volume)) this.#volume.unlinkAggregate(this.#job.aggregate);
  }

  #result(): PackResult {
    const { id, aggregate, files } = this.#job;
    const packed: PackedFile[] = [];
    for (const [i, file] of files.entries()) {
      const outcome = this.#outcomes[i];
      if (outcome === undefined) continue;
      const { status, error, extents } = outcome;
      const unwritten = status === 'postponed' && this.#error !== 0;
      packed.push({ ino: file.ino, own: file.own, status: unwritten ? 'unwritten' : status, extents, error });
    }
    return {
      id,
      aggregate,
      created: this.#created,
      written: this.#written,
      sequence: this.#sequence,
      error: this.#error,
      directRefused: this.#directRefused,
      files: packed,
      mentioned: this.#mentioned,
      ranges: this.#job.isClaimed ? this.#ranges : undefined,
      flushed: undefined,
      ahead: false,
      moved: this.#moved.map(movedUnit),
    };
  }
}

function movedUnit({ status, error, badRange, pieces }: UnitOutcome): MovedUnit {
  const written = pieces.filter(({ isWritten }) => isWritten);
  return {
    status,
    error,
    badRange,
    pieces: written.map(({ sourceStart, from, length, rangeStart, checksums }) => {
      return { sourceStart, from, length, rangeStart, checksums };
    }),
  };
}

/**
 * About what a unit's description takes in an index; where it turns out to take more it goes into the next batch. So little
 * at most that the smallest batch still has room for a block.
 */
function descriptionBytes({ files }: MoveUnit): number {
  let bytes = 0;
  for (const { name, extents } of files) bytes += 512 + name.length + 64 * (extents.length + 1);
  return Math.min(bytes, INDEX_BYTES_MAX / 8);
}

/** Runs of data of an own file; ESTALE when its size is not the expected one. */
function runsOf(source: BackingFile, file: PackFile): Result<readonly Run[]> {
  const stat = source.stat();
  if (isErrno(stat)) return stat;
  return stat.size === file.size ? dataRuns(source, file.size) : E.ESTALE;
}
