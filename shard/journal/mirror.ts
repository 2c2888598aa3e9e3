/**
 * The journal once more, in a folder on another disk: the same bytes at the same places of segments with the same numbers,
 * and older ones besides, kept until a backup makes them superfluous. It only follows; the journal in the metadata folder
 * is the one that is believed, and at each open this one is made equal to it. A mirror that fails is dropped: it misses
 * what comes next, and where that leaves a gap, what lies before the gap goes at the next open.
 */
import { join } from 'node:path';
import type { Backing } from '../../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import type { Lsn } from '../../base/units.ts';
import { HEADER_BYTES, type SegmentHeader } from './frame_v1.ts';
import { walk } from './reader.ts';
import { beginSegment, flushSegment, isDirty, type Segment, SegmentFolder, wipeSegment } from './segments.ts';

export interface MirrorOptions {
  readonly backing: Backing;
  /** The folder that the operator named; the store's own folder in it is made. */
  readonly path: string;
  readonly storeId: string;
  /** Bytes of segments kept for want of a backup, at most. */
  readonly retainBytes: number;
  /**
   * The journal was written here before: where nothing of it is, this is not the disk that was meant (it is not mounted, or
   * another one is), and nothing is made. An operator who has replaced the disk makes the store's own folder on it.
   */
  readonly isKnown: boolean;
}

/** What is said of a mirror in `status`. */
export interface MirrorStatus {
  readonly path: string;
  /** Why it was dropped; undefined while it is written. */
  readonly dropped: string | undefined;
  /** With a backup that begins at or after this LSN it restores everything. */
  readonly coversFrom: Lsn;
}

export class JournalMirror {
  readonly path: string;
  readonly #folder: SegmentFolder;
  readonly #retainBytes: number;
  #current: Segment;

  private constructor(folder: SegmentFolder, current: Segment, options: MirrorOptions) {
    this.path = options.path;
    this.#folder = folder;
    this.#current = current;
    this.#retainBytes = options.retainBytes;
  }

  /** Opens or makes it, equal to `live`, the segments of the journal that it follows; durable when it returns. */
  static attach(options: MirrorOptions, live: readonly Segment[], segmentBytes: number): Result<JournalMirror> {
    const folder = openFolder(options, segmentBytes);
    if (isErrno(folder)) return folder;
    const named = folder.flushAll();
    const outcome = named < 0 ? errnoOf(-named) : follow(folder, live, segmentBytes);
    const cleared = isErrno(outcome) ? 0 : clearStale(options);
    if (!isErrno(outcome) && cleared === 0) return new JournalMirror(folder, outcome, options);
    folder.close();
    return isErrno(outcome) ? outcome : errnoOf(-cleared);
  }

  get coversFrom(): Lsn {
    return this.#folder.used()[0]?.header?.firstLsn ?? (0 as Lsn);
  }

  /** 0 or -errno. */
  write(bytes: Uint8Array, offset: number): number {
    const outcome = this.#current.file.write(bytes, offset);
    this.#current.writes += 1;
    return Math.min(outcome, 0);
  }

  /**
   * Begins the next segment, as the journal does. Segments from `needed` on, or that hold records from `backupLsn` on, are
   * kept; without room for one more the oldest of the latter goes all the same.
   */
  next(header: SegmentHeader, backupLsn: number): number {
    const flushed = this.flush();
    if (flushed < 0) return flushed;
    const segment = this.#spare(header, backupLsn);
    if (isErrno(segment)) return -segment.number;
    const begun = beginSegment(segment, header);
    if (begun === 0) this.#current = segment;
    return begun;
  }

  #spare({ oldest }: SegmentHeader, backupLsn: number): Result<Segment> {
    const used = this.#folder.used();
    // The first that anything needs, if not the journal itself: a segment ends where the next one begins.
    const kept = used.findIndex((_, i) => (used[i + 1]?.header?.firstLsn ?? Number.POSITIVE_INFINITY) > backupLsn);
    const keptFrom = Math.min(oldest, used[kept]?.header?.sequence ?? oldest);
    const free = this.#folder.free(keptFrom);
    if (free !== undefined) return free;
    const mayGrow = (this.#folder.count + 1) * this.#folder.segmentBytes <= this.#retainBytes;
    const grown = mayGrow ? this.#folder.grow() : E.ENOSPC;
    if (!isErrno(grown)) return grown;
    const [first] = used;
    return first !== undefined && (first.header?.sequence ?? oldest) < oldest ? first : this.#folder.grow();
  }

  dirty(): Segment[] {
    return this.#folder.used().filter(isDirty);
  }

  flush(): number {
    for (const segment of this.dirty()) {
      const outcome = flushSegment(segment);
      if (outcome < 0) return outcome;
    }
    return 0;
  }

  close(): void {
    this.#folder.close();
  }
}

/** Where a store's segments lie in a folder that the operator named. */
export function mirrorPath(path: string, storeId: string): string {
  return join(path, `pacsfs-journal-${storeId}`);
}

/** A file beside the segments of a folder that misses records: its journal is whole, but not the newest. */
const STALE = 'STALE';

interface FolderOfStore {
  readonly path: string;
  readonly storeId: string;
}

export function isStale(backing: Backing, { path, storeId }: FolderOfStore): boolean {
  return backing.stat(join(mirrorPath(path, storeId), STALE)) !== E.ENOENT;
}

/** 0 or -errno; on a disk that is gone nothing can be marked. */
export function markStale(backing: Backing, of: FolderOfStore & { readonly missing: Lsn }): number {
  const folder = mirrorPath(of.path, of.storeId);
  const file = backing.open(join(folder, STALE), { write: true, create: true });
  if (isErrno(file)) return file === E.EEXIST ? 0 : -file.number;
  const written = file.write(Buffer.from(`The records from ${of.missing} on are not here.\n`), 0);
  file.close();
  const named = backing.flushFolder(folder);
  return Math.min(0, written === -E.ENOSPC.number ? 0 : written, named);
}

function clearStale({ backing, path, storeId }: MirrorOptions): number {
  const folder = mirrorPath(path, storeId);
  const removed = backing.unlink(join(folder, STALE));
  if (removed === -E.ENOENT.number) return 0;
  return removed < 0 ? removed : backing.flushFolder(folder);
}

function openFolder(options: MirrorOptions, segmentBytes: number): Result<SegmentFolder> {
  const { backing, storeId } = options;
  const path = mirrorPath(options.path, storeId);
  const found = SegmentFolder.open(backing, { path, storeId, readOnly: false });
  if (found !== E.ENOENT) {
    if (isErrno(found) || found.segmentBytes === segmentBytes) return found;
    found.close();
    return E.EINVAL;
  }
  // The operator's own folder must be there: an empty mount point is not the disk.
  const named = backing.stat(options.path);
  if (isErrno(named)) return named;
  if (options.isKnown && isErrno(backing.stat(path))) return E.ENOENT;
  const made = SegmentFolder.create(backing, { path, segmentBytes, count: 1 });
  if (made < 0) return errnoOf(-made);
  const flushed = backing.flushFolder(options.path);
  return flushed < 0 ? errnoOf(-flushed) : SegmentFolder.open(backing, { path, storeId, readOnly: false });
}

/** Makes the folder's segments from the first live one on equal to the live ones; the last of them is the current one. */
function follow(folder: SegmentFolder, live: readonly Segment[], segmentBytes: number): Result<Segment> {
  const first = live[0]?.header;
  if (first === undefined) return E.EINVAL;
  const wiped = wipeStale(folder, { live, first, segmentBytes });
  if (wiped < 0) return errnoOf(-wiped);
  let current: Segment | undefined;
  const ours = new Uint8Array(segmentBytes);
  const theirs = new Uint8Array(segmentBytes);
  for (const segment of live) {
    const sequence = segment.header?.sequence;
    let copy = folder.used().find((each) => each.header?.sequence === sequence);
    const count = segment.file.read(ours, 0);
    if (count < 0) return errnoOf(-count);
    if (copy !== undefined && copy.file.read(theirs, 0) === count && Buffer.compare(ours, theirs) === 0) {
      current = copy;
      continue;
    }
    if (copy === undefined) {
      const spare = folder.free(0) ?? folder.grow();
      if (isErrno(spare)) return spare;
      copy = spare;
    }
    const written = copy.file.write(ours, 0);
    const flushed = written < 0 ? written : copy.file.flush();
    if (flushed < 0) return errnoOf(-flushed);
    copy.header = segment.header;
    current = copy;
  }
  return current ?? E.EINVAL;
}

/** What lies behind the journal's end never happened; what lies before a gap is of no use. */
function wipeStale(
  folder: SegmentFolder,
  to: { readonly live: readonly Segment[]; readonly first: SegmentHeader; readonly segmentBytes: number },
): number {
  const { live, first, segmentBytes } = to;
  const last = live.at(-1)?.header?.sequence ?? 0;
  const used = folder.used();
  const before = used.filter(({ header }) => (header?.sequence ?? 0) < first.sequence).reverse();
  let isJoined = true;
  let next = first;
  const stale = used.filter(({ header }) => (header?.sequence ?? 0) > last).reverse();
  for (const [index, segment] of before.entries()) {
    isJoined &&= segment.header?.sequence === next.sequence - 1;
    // Only the newest of them can be of another history: the others were joined when it was written.
    if (isJoined && index === 0) isJoined = endOf(segment, segmentBytes) === next.seed;
    if (!isJoined) stale.push(segment);
    next = segment.header ?? next;
  }
  for (const segment of stale) {
    const outcome = wipeSegment(segment, 0, HEADER_BYTES);
    if (outcome < 0) return outcome;
    segment.header = undefined;
  }
  return 0;
}

/** Checksum of the last whole frame. */
function endOf(segment: Segment, segmentBytes: number): number | undefined {
  let chain = segment.header?.seed;
  for (const { after } of walk([segment], segmentBytes)) chain = after.chain;
  return chain;
}
