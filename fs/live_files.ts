/**
 * Files that are open or not settled: what stands in memory only, because it changes with every write and is written
 * into the row when the file settles. For an unsettled own file `size`, `mtime` and `ctime` here are the true ones.
 */
import type { Extent } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import type { Ino } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';

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
  /** FORGET came before the last RELEASE (they travel in different queues): no second one will come. */
  forgotten: boolean;
  /** Raised by every change of contents or layout and every open for writing: packing compares it and swaps. */
  version: number;
  /** Undefined while the row is right (packed, or a settled own file). */
  size: number | undefined;
  mtime: Timespec;
  ctime: Timespec;
  /** Bytes were written since the own file was last flushed. */
  unflushed: boolean;
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
      forgotten: false,
      version: 0,
      size: undefined,
      mtime: inode.mtime,
      ctime: inode.ctime,
      unflushed: false,
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
