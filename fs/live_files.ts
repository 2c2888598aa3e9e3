/**
 * Files that are open or not settled: what stands in memory only, because it changes with every write and is written
 * into the row when the file settles. Of an unsettled file `size`, `mtime` and `ctime` here are what its own file says, as
 * of the last `Core.refresh`: a daemon that takes over finds there what its predecessor told.
 */
import type { Errno } from '../base/errno.ts';
import type { Extent } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import type { Ino } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import type { OpenMode } from './open_table.ts';

/** A range of a packed file that was copied into another file. */
export interface CopiedExtent {
  /** As the copy would name it: offset and length in the copy. */
  readonly extent: Extent;
  /** The inode it was copied from. */
  readonly source: Ino;
}

export interface LiveFile {
  readonly ino: Ino;
  /** Open handles, and how many of them may write. */
  handles: number;
  writers: number;
  /** How the kernel moves the bytes of its handles; 'none' while there are none, or it is not known yet. */
  mode: OpenMode;
  /** Of a pass-through mode: what its own file is registered as. */
  backingId: number;
  /** Some handle since this began could write without a message: nothing here counts what was written. */
  isWrittenUnseen: boolean;
  /** It has no handle, and may be written all the same: by a mapping, or by those who had a mount open that is gone. */
  mayBeMapped: boolean;
  /** How often that was tried to find out. */
  probes: number;
  /** The handles were counted by a predecessor, and may be fewer: FORGET tells. */
  isInDoubt: boolean;
  /** FORGET came before the last RELEASE (they travel in different queues): no second one will come. */
  forgotten: boolean;
  /** Raised by every change of contents or layout and every open for writing: packing compares it and swaps. */
  version: number;
  /** Undefined while the row is right (packed, or a settled own file). */
  size: number | undefined;
  mtime: Timespec;
  ctime: Timespec;
  /** ctime and 512-byte blocks of the own file. */
  hostCtime: Timespec;
  blocks: number;
  /** The own file has changed since it was asked for its times. */
  isStale: boolean;
  /** Raised by every change of contents, and by nothing else. */
  changes: number;
  /** Bytes were written since the own file was last flushed or copied. */
  unflushed: boolean;
  /** `changes` when the copy was made that the row names (FLAG_COPY): while they are equal it has all that was written. */
  copyAt: number | undefined;
  /** Some handle since this began could map the file for writing (O_RDWR), or has O_SYNC or O_DSYNC. */
  isMappable: boolean;
  /** Bytes written since the last piece of it was cut, and where they lie: see `WriteBack`. */
  dirtyBytes: number;
  dirtyFrom: number;
  dirtyTo: number;
  /** Writing to the disk has failed for want of room: what fsync answers until the file is made anew. */
  lost: Errno | undefined;
  /**
   * Extents of packed files that were copied into this one from its first byte on without a gap, nothing else having
   * touched it: on settling it can name them instead of its own bytes. Undefined once it was written otherwise.
   */
  copied: CopiedExtent[] | undefined;
}

export class LiveFiles {
  readonly #files = new Map<Ino, LiveFile>();

  find(ino: Ino): LiveFile | undefined {
    return this.#files.get(ino);
  }

  /** The live state of an inode, made when it is not there. */
  of(inode: Inode): LiveFile {
    const found = this.#files.get(inode.ino);
    if (found !== undefined) return found;
    const made: LiveFile = {
      ino: inode.ino,
      handles: 0,
      writers: 0,
      mode: 'none',
      backingId: 0,
      isWrittenUnseen: false,
      mayBeMapped: false,
      probes: 0,
      isInDoubt: false,
      forgotten: false,
      version: 0,
      size: undefined,
      mtime: inode.mtime,
      ctime: inode.ctime,
      hostCtime: inode.ctime,
      blocks: 0,
      isStale: true,
      changes: 0,
      unflushed: false,
      copyAt: undefined,
      isMappable: false,
      dirtyBytes: 0,
      dirtyFrom: 0,
      dirtyTo: 0,
      lost: undefined,
      copied: undefined,
    };
    this.#files.set(inode.ino, made);
    return made;
  }

  delete(ino: Ino): void {
    this.#files.delete(ino);
  }

  /** Drops the state when nothing is in it any more. */
  dropIfIdle(live: LiveFile): void {
    if (live.handles === 0 && live.size === undefined) this.#files.delete(live.ino);
  }

  all(): IterableIterator<LiveFile> {
    return this.#files.values();
  }

  get count(): number {
    return this.#files.size;
  }
}

/** Whether it may change without this thread hearing of it. */
export function mayChangeUnseen(live: LiveFile): boolean {
  return live.mayBeMapped || (live.mode === 'passthrough' && live.isWrittenUnseen);
}

/** What was flushed or copied is all there is, unless somebody writes on meanwhile. */
export function noteFlushed(live: LiveFile): void {
  live.unflushed = mayChangeUnseen(live);
}

/** The row is right no more. `isNew`: nothing has happened to the own file since its times were taken for the row. */
export function startLive(live: LiveFile, row: Inode, options: { readonly isNew?: boolean } = {}): void {
  live.size = row.size;
  live.mtime = row.mtime;
  live.ctime = row.ctime;
  live.hostCtime = row.ctime;
  live.blocks = 0;
  live.isStale = options.isNew !== true;
  live.version += 1;
  live.unflushed = false;
  live.copyAt = undefined;
  live.lost = undefined;
  live.copied = undefined;
  live.isWrittenUnseen = false;
}
