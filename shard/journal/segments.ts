/**
 * The files of a journal in one folder: segments of one size, named 0000, 0001, ..., zero-filled once, used over and over,
 * never renamed. What a file holds its header says; headers become durable before the first frame that belongs to them.
 */
import { join } from 'node:path';
import type { Backing, BackingFile } from '../../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import { type Lsn, MIB } from '../../base/units.ts';
import { decodeHeader, encodeHeader, HEADER_BYTES, type SegmentHeader } from './frame_v1.ts';

const NAME = /^\d{4,}$/;

export interface Segment {
  readonly file: BackingFile;
  /** Undefined while it holds nothing. */
  header: SegmentHeader | undefined;
  /** Writes so far, and how many of them a flush that is over has covered. */
  writes: number;
  flushed: number;
}

export function isDirty(segment: Segment): boolean {
  return segment.writes > segment.flushed;
}

/** Makes a segment's writes durable; 0 or -errno. */
export function flushSegment(segment: Segment): number {
  const { writes } = segment;
  const outcome = segment.file.flush();
  if (outcome >= 0) segment.flushed = writes;
  return Math.min(outcome, 0);
}

export class SegmentFolder {
  readonly path: string;
  readonly #backing: Backing;
  readonly #segmentBytes: number;
  readonly #all: Segment[];
  /** Segments by their names, and those that hold nothing but zeros where a header would be. */
  readonly #names: Set<string>;
  readonly blank: number;

  private constructor(
    backing: Backing,
    options: { path: string; segmentBytes: number; segments: Segment[]; names: readonly string[]; blank: number },
  ) {
    this.#backing = backing;
    this.path = options.path;
    this.#segmentBytes = options.segmentBytes;
    this.#all = options.segments;
    this.#names = new Set(options.names);
    this.blank = options.blank;
  }

  /** Makes the folder with `count` empty segments, durably; 0 or -errno. */
  static create(backing: Backing, options: { path: string; segmentBytes: number; count: number }): number {
    const made = backing.makeFolder(options.path);
    if (made < 0) return made;
    for (let index = 0; index < options.count; index++) {
      // Left by a format that was interrupted, or of no use to anybody.
      backing.unlink(join(options.path, nameOf(index)));
      const file = zeroFilled(backing, join(options.path, nameOf(index)), options.segmentBytes);
      if (isErrno(file)) return -file.number;
      file.close();
    }
    return backing.flushFolder(options.path);
  }

  /** What is there; headers of other stores count as none. ENOENT: no folder. */
  static open(
    backing: Backing,
    options: { readonly path: string; readonly storeId: string; readonly readOnly: boolean },
  ): Result<SegmentFolder> {
    const names = backing.list(options.path);
    if (isErrno(names)) return names;
    const segments: Segment[] = [];
    let segmentBytes = 0;
    let blank = 0;
    const ours = [...names].filter((each) => NAME.test(each)).sort();
    for (const name of ours) {
      const file = backing.open(join(options.path, name), { write: !options.readOnly });
      if (isErrno(file)) return closeAll(segments, file);
      const stat = file.stat();
      const bytes = new Uint8Array(HEADER_BYTES);
      const count = file.read(bytes, 0);
      if (isErrno(stat) || count < 0) {
        file.close();
        return closeAll(segments, isErrno(stat) ? stat : errnoOf(-count));
      }
      const header = decodeHeader(bytes);
      if (bytes.every((byte) => byte === 0)) blank += 1;
      segments.push({ file, header: header?.storeId === options.storeId ? header : undefined, writes: 0, flushed: 0 });
      segmentBytes = Math.max(segmentBytes, stat.size);
    }
    return segmentBytes === 0
      ? closeAll(segments, E.ENOENT)
      : new SegmentFolder(backing, { path: options.path, segmentBytes, segments, names: ours, blank });
  }

  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  get count(): number {
    return this.#all.length;
  }

  /** Those that hold something, in order. */
  used(): Segment[] {
    const used = this.#all.filter((segment) => segment.header !== undefined);
    return used.sort((a, b) => (a.header?.sequence ?? 0) - (b.header?.sequence ?? 0));
  }

  /** One that may be used (again): it holds nothing, or it is the first and comes before the segment `oldest`. */
  free(oldest: number): Segment | undefined {
    const empty = this.#all.find(({ header }) => header === undefined);
    if (empty !== undefined) return empty;
    const [first] = this.used();
    return (first?.header?.sequence ?? oldest) < oldest ? first : undefined;
  }

  /** The first name that should be there and is not: none is ever taken away. */
  get missing(): string | undefined {
    for (let index = 0; index < this.#all.length; index++) if (!this.#names.has(nameOf(index))) return nameOf(index);
    return undefined;
  }

  /** One more, zero-filled and flushed. */
  grow(): Result<Segment> {
    const name = this.missing ?? nameOf(this.#all.length);
    const file = zeroFilled(this.#backing, join(this.path, name), this.#segmentBytes);
    if (isErrno(file)) return file;
    const flushed = this.#backing.flushFolder(this.path);
    if (flushed < 0) {
      file.close();
      this.#backing.unlink(join(this.path, name));
      return errnoOf(-flushed);
    }
    this.#names.add(name);
    const segment: Segment = { file, header: undefined, writes: 0, flushed: 0 };
    this.#all.push(segment);
    return segment;
  }

  /** What somebody did who ended before it was durable: names, and segments that were wiped; 0 or -errno. */
  flushAll(): number {
    let outcome = this.#backing.flushFolder(this.path);
    for (const { file } of this.#all) if (outcome >= 0) outcome = file.flush();
    return Math.min(outcome, 0);
  }

  close(): void {
    for (const { file } of this.#all) file.close();
  }
}

/** Gives a segment a new life; durable when it returns 0, else -errno. */
export function beginSegment(segment: Segment, header: SegmentHeader): number {
  const written = segment.file.write(encodeHeader(header), 0);
  if (written < 0) return written;
  const flushed = segment.file.flush();
  // Whether it has become durable nobody knows: no other segment may be begun in its place.
  if (flushed < 0) return flushed === -E.ENOSPC.number ? -E.EIO.number : flushed;
  segment.header = header;
  return 0;
}

/** Begins the journal of a folder of empty segments, behind the record `lsn`; durable when it returns 0. */
export function beginFirst(folder: SegmentFolder, at: { storeId: string; lsn: Lsn; sequence: number }): number {
  const { storeId, lsn, sequence } = at;
  const segment = folder.free(0);
  if (segment === undefined) return -E.ENOSPC.number;
  const { segmentBytes } = folder;
  const firstLsn = (lsn + 1) as Lsn;
  return beginSegment(segment, { segmentBytes, sequence, firstLsn, seed: 0, oldest: sequence, storeId });
}

/** Zeros from `from` to the end; durable when it returns 0. */
export function wipeSegment(segment: Segment, from: number, segmentBytes: number): number {
  const zeros = new Uint8Array(Math.min(MIB, segmentBytes));
  for (let at = from; at < segmentBytes; at += zeros.length) {
    const written = segment.file.write(zeros.subarray(0, Math.min(zeros.length, segmentBytes - at)), at);
    if (written < 0) return written;
  }
  return segment.file.flush();
}

/** As `wipeSegment`, but writes only up to the last byte that is not zero, and flushes nothing. */
export function wipeTail(segment: Segment, from: number, segmentBytes: number): number {
  const bytes = new Uint8Array(Math.min(MIB, segmentBytes));
  const zeros = Buffer.alloc(bytes.length);
  for (let at = from; at < segmentBytes; at += bytes.length) {
    const piece = bytes.subarray(0, Math.min(bytes.length, segmentBytes - at));
    const count = segment.file.read(piece, at);
    if (count < 0) return count;
    const none = zeros.subarray(0, piece.length);
    if (none.equals(piece)) continue;
    const written = segment.file.write(none, at);
    if (written < 0) return written;
  }
  return 0;
}

function nameOf(index: number): string {
  return String(index).padStart(4, '0');
}

function closeAll<T>(segments: readonly Segment[], outcome: T): T {
  for (const { file } of segments) file.close();
  return outcome;
}

/** Zeros that are really written: unwritten extents would make every flush one of the filesystem's own journal. */
function zeroFilled(backing: Backing, path: string, size: number): Result<BackingFile> {
  const file = backing.open(path, { write: true, create: true });
  if (isErrno(file)) return file;
  const outcome = wipeSegment({ file, header: undefined, writes: 0, flushed: 0 }, 0, size);
  if (outcome >= 0) return file;
  file.close();
  backing.unlink(path);
  return errnoOf(-outcome);
}
