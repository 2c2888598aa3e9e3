/**
 * One batch in the making: data gathered in an aligned buffer, the index put right before it once its length is known, so
 * that header (of a fresh aggregate), index and data leave in one write.
 *
 *     buffer  |  room for header and the longest index  |  data, each extent at a 4 KiB boundary  |
 *                                  header | index       |
 */
import { assert } from '../base/assert.ts';
import { alignDown, alignUp } from '../base/bytes.ts';
import { blockChecksums, CHECKSUM_BLOCK } from '../base/crc32c.ts';
import type { Extent } from '../base/layout.ts';
import type { AggregateId, Ino, VolumeId } from '../base/units.ts';
import { encodeHeader, HEADER_BYTES } from './header_v1.ts';
import {
  directoryBytes,
  encodeIndex,
  extentBytes,
  fileBytes,
  INDEX_FIXED_BYTES,
  type IndexedDirectory,
  type IndexedExtent,
  type IndexedFile,
  type IndexedShare,
  shareBytes,
} from './index_v1.ts';
import { type MovedPiece, type MovePlace, movedExtents } from './moves.ts';
import {
  BLOCK_BYTES,
  INDEX_BYTES_MAX,
  type PackDirectory,
  type PackFile,
  type PackJob,
  type PackMention,
  SEGMENT_BYTES,
} from './pack.ts';

const DATA_AT = HEADER_BYTES + INDEX_BYTES_MAX;
/** Size of the buffer that a worker needs; aligned to 4,096. */
export const BATCH_BUFFER_BYTES = DATA_AT + SEGMENT_BYTES;
/** In the place of a position in the job's list: the entry is a mention. */
const MENTION = -1;
const NO_AGGREGATE = 0 as AggregateId;
const NOWHERE = { target: NO_AGGREGATE, volume: 0 as VolumeId };
const CHECKSUM_BYTES_MAX = (4 * SEGMENT_BYTES) / CHECKSUM_BLOCK;

/** A point to go back to. */
export interface BatchMark {
  readonly directories: number;
  readonly files: number;
  readonly extents: number;
  readonly shares: number;
  readonly pieces: number;
  readonly described: number;
  readonly indexBytes: number;
  readonly dataBytes: number;
}

/** An extent of the batch, and the place in the job's list of the file that it is of. */
export interface BatchExtent {
  readonly jobFile: number;
  readonly extent: Extent;
}

/** A piece that was moved into a batch: where it lies is known once the batch is sealed. */
export interface PieceDraft extends MovedPiece {
  rangeStart: number;
  readonly source: AggregateId;
  /** Place in the job's list of the unit that it is of. */
  readonly unit: number;
  /** Whether its batch was written. */
  isWritten: boolean;
}

/** A file that is described with pieces of this batch, or earlier ones. */
interface Described {
  readonly unit: number;
  readonly mention: PackMention;
  readonly pieces: readonly PieceDraft[];
  /** Its first share in the list. */
  readonly share: number;
}

export class Batch {
  readonly #buffer: Uint8Array;
  readonly #directories: IndexedDirectory[] = [];
  readonly #directoryOf = new Map<Ino, number>();
  readonly #files: IndexedFile[] = [];
  readonly #jobFiles: number[] = [];
  /** `at` counts from the data's start until the batch is sealed. */
  readonly #extents: IndexedExtent[] = [];
  readonly #shares: IndexedShare[] = [];
  /** `at` as that of extents. */
  readonly #pieces: { readonly draft: PieceDraft; readonly at: number }[] = [];
  readonly #described: Described[] = [];
  #indexBytes = INDEX_FIXED_BYTES;
  #dataBytes = 0;
  /** Bytes of the segment from the batch's start. */
  #room = 0;

  constructor(buffer: Uint8Array) {
    assert(buffer.length >= BATCH_BUFFER_BYTES, `Buffer of ${buffer.length} bytes, expected ${BATCH_BUFFER_BYTES}`);
    this.#buffer = buffer;
  }

  /** Empties the batch; it may take up to `room` bytes. */
  begin(room: number): void {
    const lists = { directories: 0, files: 0, extents: 0, shares: 0, pieces: 0, described: 0 };
    this.rollBack({ ...lists, indexBytes: INDEX_FIXED_BYTES, dataBytes: 0 });
    this.#room = room;
  }

  get isEmpty(): boolean {
    return this.#files.length === 0 && this.#pieces.length === 0;
  }

  /** Positions in the job's list of the files that this batch has a part of (or that have no data at all). */
  get jobFiles(): readonly number[] {
    return this.#jobFiles.filter((jobFile) => jobFile !== MENTION);
  }

  get mentions(): number {
    return this.#jobFiles.length - this.jobFiles.length;
  }

  mark(): BatchMark {
    return {
      directories: this.#directories.length,
      files: this.#files.length,
      extents: this.#extents.length,
      shares: this.#shares.length,
      pieces: this.#pieces.length,
      described: this.#described.length,
      indexBytes: this.#indexBytes,
      dataBytes: this.#dataBytes,
    };
  }

  rollBack(mark: BatchMark): void {
    for (const directory of this.#directories.splice(mark.directories)) this.#directoryOf.delete(directory.ino);
    this.#files.splice(mark.files);
    this.#jobFiles.splice(mark.files);
    this.#extents.splice(mark.extents);
    this.#shares.splice(mark.shares);
    this.#pieces.splice(mark.pieces);
    this.#described.splice(mark.described);
    this.#indexBytes = mark.indexBytes;
    this.#dataBytes = mark.dataBytes;
  }

  /** Bytes that it would take up now. */
  get bytes(): number {
    return this.isEmpty ? 0 : alignUp(this.#indexBytes, BLOCK_BYTES) + this.#dataBytes;
  }

  /** Bytes of data, a multiple of 4,096, that one more extent of this file may have; negative when not even its name fits. */
  roomFor(file: PackFile, jobFile: number): number {
    const index = this.#indexBytes + this.#bytesToName(file, jobFile) + extentBytes(0) + CHECKSUM_BYTES_MAX;
    if (index > INDEX_BYTES_MAX) return -1;
    return alignDown(this.#room - this.#dataBytes - alignUp(index, BLOCK_BYTES), BLOCK_BYTES);
  }

  /** Enters the file, if this batch does not have it yet. `dataBytes`: see `IndexedFile`. */
  name(file: PackFile, jobFile: number, dataBytes: number): void {
    if (this.#jobFiles.at(-1) === jobFile) return;
    this.#indexBytes += this.#bytesToName(file, jobFile);
    this.#enter(file, { jobFile, dataBytes, own: undefined });
  }

  /** Enters a file of which no bytes are here; false when it does not fit. */
  mention(mention: PackMention): boolean {
    let bytes = fileBytes(mention.name) + this.#bytesOfNew(mention.directory);
    for (const extent of mention.extents) bytes += shareBytes(extent);
    if (!this.#takeBytes(bytes)) return false;
    const dataBytes = mention.extents.reduce((sum, { length }) => sum + length, 0);
    this.#enter(mention, { jobFile: MENTION, dataBytes, own: mention.own });
    const file = this.#files.length - 1;
    for (const extent of mention.extents) this.#shares.push({ file, extent });
    return true;
  }

  /** Makes the index so many bytes longer, if there is room. */
  #takeBytes(bytes: number): boolean {
    const index = this.#indexBytes + bytes;
    if (index > INDEX_BYTES_MAX || alignUp(index, BLOCK_BYTES) + this.#dataBytes > this.#room) return false;
    this.#indexBytes = index;
    return true;
  }

  /** Bytes of data that one more piece of a unit may have, room for the unit's description left free. */
  roomForPiece(description: number): number {
    const index = Math.min(this.#indexBytes + description, INDEX_BYTES_MAX);
    return alignDown(this.#room - this.#dataBytes - alignUp(index, BLOCK_BYTES), BLOCK_BYTES);
  }

  /** Takes in what was put into `space(length)`. */
  addPiece(draft: PieceDraft): void {
    this.#pad(draft.length);
    this.#pieces.push({ draft, at: this.#dataBytes });
    this.#dataBytes += alignUp(draft.length, BLOCK_BYTES);
  }

  /**
   * Enters a file whose bytes were moved, some of them into this batch; false when it does not fit. As a packed one where
   * this batch has all of it and nothing else names it, else by what it shares with other batches.
   */
  describe(mention: PackMention, of: { readonly unit: number; readonly pieces: readonly PieceDraft[] }): boolean {
    // As many, and as long, as they will be in the end.
    const extents = draftedExtents(mention, of.pieces, NOWHERE);
    const wholes = this.#wholes(extents, of.pieces);
    if (wholes !== undefined) return this.#describeWhole(mention, wholes);
    const share = this.#shares.length;
    if (!this.mention({ ...mention, extents })) return false;
    this.#described.push({ ...of, mention, share });
    return true;
  }

  #describeWhole(mention: PackMention, wholes: readonly Omit<IndexedExtent, 'file'>[]): boolean {
    const bytes = wholes.reduce((sum, { length }) => sum + extentBytes(length), 0);
    if (!this.#takeBytes(bytes + fileBytes(mention.name) + this.#bytesOfNew(mention.directory))) return false;
    const dataBytes = wholes.reduce((sum, { length }) => sum + length, 0);
    this.#enter(mention, { jobFile: MENTION, dataBytes, own: undefined });
    const file = this.#files.length - 1;
    for (const whole of wholes) this.#extents.push({ ...whole, file });
    return true;
  }

  /** Extents that are pieces of this batch, from their first byte to their last; undefined when one of them is not. */
  #wholes(
    extents: readonly Extent[],
    pieces: readonly PieceDraft[],
  ): readonly Omit<IndexedExtent, 'file'>[] | undefined {
    const wholes: Omit<IndexedExtent, 'file'>[] = [];
    for (const { fileOffset, length, checksums, shared } of extents) {
      const draft = pieces.find((piece) => piece.checksums === checksums);
      const at = this.#pieces.find((piece) => piece.draft === draft)?.at;
      if (shared || at === undefined || draft?.length !== length) return undefined;
      wholes.push({ fileOffset, length, at, checksums });
    }
    return wholes;
  }

  /** Units of which this batch has a piece, or a file. */
  get units(): ReadonlySet<number> {
    return new Set([...this.#pieces.map(({ draft }) => draft.unit), ...this.#described.map(({ unit }) => unit)]);
  }

  /** It has been written. */
  written(): void {
    for (const { draft } of this.#pieces) draft.isWritten = true;
  }

  /** Where pieces lie is known now. */
  #place(batchOffset: number, indexBytes: number, job: PackJob): void {
    for (const { draft, at } of this.#pieces) draft.rangeStart = batchOffset + indexBytes + at;
    for (const { mention, pieces, share } of this.#described) {
      for (const [i, extent] of draftedExtents(mention, pieces, {
        target: job.aggregate,
        volume: job.volume.id,
      }).entries()) {
        const { file = 0 } = this.#shares[share + i] ?? {};
        this.#shares[share + i] = { file, extent };
      }
    }
  }

  #enter(
    entry: PackFile | PackMention,
    as: { readonly jobFile: number; readonly dataBytes: number; readonly own: PackMention['own'] },
  ): void {
    const directory = this.#directory(entry.directory);
    const { ino, name, mode, uid, gid, size, mtime } = entry;
    const { dataBytes, own } = as;
    this.#files.push({ ino, directory, name, mode, uid, gid, size, mtime, dataBytes, own });
    this.#jobFiles.push(as.jobFile);
  }

  /** Its place in the list; those above it come before it. */
  #directory(directory: PackDirectory): number {
    const known = this.#directoryOf.get(directory.ino);
    if (known !== undefined) return known;
    const above = directory.above === undefined ? undefined : this.#directory(directory.above);
    const { ino, name, mode, uid, gid } = directory;
    const place = this.#directories.push({ ino, name, mode, uid, gid, above }) - 1;
    this.#directoryOf.set(ino, place);
    return place;
  }

  /** Where the next extent's `length` bytes are to be put; `add` takes them in. */
  space(length: number): Uint8Array {
    const at = DATA_AT + this.#dataBytes;
    return this.#buffer.subarray(at, at + length);
  }

  /** Takes in what was put into `space(length)` as a part of the file named last. */
  add(fileOffset: number, length: number): void {
    const bytes = this.space(length);
    this.#pad(length);
    const file = this.#files.length - 1;
    this.#extents.push({ file, fileOffset, length, at: this.#dataBytes, checksums: blockChecksums(bytes) });
    this.#indexBytes += extentBytes(length);
    this.#dataBytes += alignUp(length, BLOCK_BYTES);
  }

  /** The rest of the last block would show another file's bytes. */
  #pad(length: number): void {
    const at = DATA_AT + this.#dataBytes;
    this.#buffer.fill(0, at + length, at + alignUp(length, BLOCK_BYTES));
  }

  /** The bytes to write at `offset` of the aggregate (at 0, header first, when `withHeader`), and the extents in them. */
  seal(
    job: PackJob,
    place: { readonly offset: number; readonly sequence: number; readonly withHeader: boolean },
  ): { readonly bytes: Uint8Array; readonly batchBytes: number; readonly extents: readonly BatchExtent[] } {
    const indexBytes = alignUp(this.#indexBytes, BLOCK_BYTES);
    const batchBytes = indexBytes + this.#dataBytes;
    assert(batchBytes <= this.#room, `Batch of ${batchBytes} bytes, room for ${this.#room}`);
    this.#place(place.offset, indexBytes, job);
    const indexed = this.#extents.map((extent) => ({ ...extent, at: extent.at + indexBytes }));
    encodeIndex(
      {
        storeId: job.storeId,
        aggregate: job.aggregate,
        lsn: job.lsn,
        start: job.start,
        segment: Math.floor(place.offset / SEGMENT_BYTES),
        batchAt: place.offset % SEGMENT_BYTES,
        batchBytes,
        sequence: place.sequence,
        directories: this.#directories,
        files: this.#files,
        extents: indexed,
        shares: this.#shares,
      },
      this.#buffer.subarray(DATA_AT - indexBytes, DATA_AT),
    );
    const from = DATA_AT - indexBytes - (place.withHeader ? HEADER_BYTES : 0);
    if (place.withHeader) encodeHeader(headerOf(job), this.#buffer.subarray(from, from + HEADER_BYTES));
    return {
      bytes: this.#buffer.subarray(from, DATA_AT + this.#dataBytes),
      batchBytes,
      extents: indexed.map((extent) => ({
        jobFile: this.#jobFiles[extent.file] ?? 0,
        extent: toExtent(extent, job, place.offset),
      })),
    };
  }

  #bytesToName(file: PackFile, jobFile: number): number {
    if (this.#jobFiles.at(-1) === jobFile) return 0;
    return fileBytes(file.name) + this.#bytesOfNew(file.directory);
  }

  /** Of the directories that this one would bring into the index. */
  #bytesOfNew(directory: PackDirectory): number {
    let bytes = 0;
    for (let each: PackDirectory | undefined = directory; each !== undefined; each = each.above) {
      if (this.#directoryOf.has(each.ino)) break;
      bytes += directoryBytes(each.name);
    }
    return bytes;
  }
}

/** A moved file's extents; where they go is not known, nor matters, while they are only counted. */
function draftedExtents(
  mention: PackMention,
  pieces: readonly PieceDraft[],
  to: Pick<MovePlace, 'target' | 'volume'>,
): readonly Extent[] {
  const [{ source } = { source: NO_AGGREGATE }] = pieces;
  const moved = movedExtents(mention.extents, pieces, { source, ...to });
  assert(moved !== undefined, 'A unit without some of its blocks was described');
  return moved;
}

export function headerOf(job: PackJob): Parameters<typeof encodeHeader>[0] {
  return {
    storeId: job.storeId,
    aggregate: job.aggregate,
    volume: job.volume.id,
    transform: 0,
    start: job.start,
    segmentBytes: SEGMENT_BYTES,
  };
}

function toExtent(extent: IndexedExtent, job: PackJob, batchOffset: number): Extent {
  const offset = batchOffset + extent.at;
  return {
    fileOffset: extent.fileOffset,
    length: extent.length,
    volume: job.volume.id,
    aggregate: job.aggregate,
    offset,
    rangeStart: offset,
    rangeLength: extent.length,
    checksums: extent.checksums,
    shared: false,
  };
}
