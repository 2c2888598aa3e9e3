/**
 * Bounded dirt: what is written to large files stays with the host until there is much of it. Writing it to the disk at
 * once would keep the disk busy for nothing, and every flush that a program waits for would find it in its way; often the
 * file is gone again before. Beyond `dirtyLimit` it is written piece by piece, the oldest first, by a worker, and beyond
 * somewhat more the writers wait: else the host would stop the thread that writes, which may be the one that serves
 * everybody.
 */
import { E, type Errno, isErrno } from '../base/errno.ts';
import { type OwnName, ownText } from '../base/layout.ts';
import { type Ino, MIB } from '../base/units.ts';
import type { Core } from './core.ts';
import type { LiveFile } from './live_files.ts';
import { isSameOwn } from './settle.ts';
import { Deferred, type WorkerJobs } from './types.ts';

/** Unwritten bytes of a file that make a piece; a file with fewer is the host's affair. */
export const WRITE_BACK_BYTES = 8 * MIB;
/** Over the limit: what may come together, at least, before writers wait. */
const HELD_BYTES_MIN = 2 * WRITE_BACK_BYTES;

interface Held {
  readonly deferred: Deferred<number>;
  readonly count: number;
}

/** A part of an own file that has not been written to the disk. */
interface Piece {
  readonly live: LiveFile;
  readonly own: OwnName;
  readonly range: { readonly offset: number; readonly length: number };
  /** Of these so many were written to. */
  readonly bytes: number;
}

export class WriteBack {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  /** Oldest first; some may be of files that are gone, or durable by now. Bounded: all of them are over the limit in turn. */
  #pieces: Piece[] = [];
  #underWay: { readonly id: number; readonly piece: Piece } | undefined;
  /** Bytes of all pieces, the one under way too: together, and of each file, open or not. */
  #bytes = 0;
  readonly #waiting = new Map<Ino, number>();
  readonly #held = new Map<Ino, Held[]>();
  #next = 1;
  /** Replies that were held back so far. */
  heldCount = 0;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
  }

  get isIdle(): boolean {
    return this.#underWay === undefined;
  }

  /** Bytes were written to an own file: the answer that its writer gets, now or once enough of them are on the disk. */
  wrote(ino: Ino, written: { readonly offset: number; readonly length: number }): number | Deferred<number> {
    const { length } = written;
    const live = this.noteWritten(ino, written);
    if (live === undefined || !this.#mustWait(live)) return length;
    const deferred = new Deferred<number>();
    const held = this.#held.get(ino) ?? [];
    held.push({ deferred, count: length });
    this.#held.set(ino, held);
    this.heldCount += 1;
    return deferred;
  }

  /** As `wrote`, for those who cannot wait. */
  noteWritten(
    ino: Ino,
    { offset, length }: { readonly offset: number; readonly length: number },
  ): LiveFile | undefined {
    const live = this.#core.live.find(ino);
    if (live === undefined) return undefined;
    const isFirst = live.dirtyBytes === 0;
    live.dirtyFrom = isFirst ? offset : Math.min(live.dirtyFrom, offset);
    live.dirtyTo = isFirst ? offset + length : Math.max(live.dirtyTo, offset + length);
    live.dirtyBytes += length;
    if (live.dirtyBytes >= WRITE_BACK_BYTES) this.#cut(live);
    this.#start();
    return live;
  }

  /** All of the file is about to be flushed: so many bytes were not on the disk yet, and need not be written here. */
  takeUnwritten(ino: Ino): number {
    const live = this.#core.live.find(ino);
    const waiting = this.#waiting.get(ino) ?? 0;
    const bytes = waiting + (live?.dirtyBytes ?? 0);
    if (live !== undefined) live.dirtyBytes = 0;
    if (waiting === 0) return bytes;
    const all = this.#pieces;
    this.#pieces = all.filter((piece) => piece.live.ino !== ino);
    for (const piece of all) if (piece.live.ino === ino) this.#count(ino, -piece.bytes);
    return bytes;
  }

  /** A worker's answer. */
  finish(id: number, outcome: number): void {
    const job = this.#underWay;
    if (job?.id !== id) return;
    this.#underWay = undefined;
    const { piece } = job;
    const { live } = piece;
    this.#count(live.ino, -piece.bytes);
    let failed: Errno | undefined;
    // One that is gone had its bytes packed, or was removed.
    if (outcome < 0 && outcome !== -E.ENOENT.number) failed = this.#failed(piece, -outcome);
    this.#start();
    for (const ino of [...this.#held.keys()]) this.#release(ino, ino === live.ino ? failed : undefined);
  }

  /**
   * A full disk loses what was written, and nothing else. Bytes of an own file that nobody names any more are missed by
   * nobody, unless they were packed out of it meanwhile: then they may have been lost before they were read.
   */
  #failed({ live, own }: Piece, error: number): Errno | undefined {
    const { ino } = live;
    const inode = this.#core.namespace.inode(ino);
    const isPacked = inode?.own === undefined && (inode?.extents.length ?? 0) > 0;
    if (inode === undefined || !(isPacked || isSameOwn(inode, own))) {
      this.#core.log.warn({ ino, error }, 'Cannot write an own file to the disk, which nobody names any more');
      return undefined;
    }
    this.#core.log.error({ ino, error }, 'Cannot write an own file to the disk: bytes written to it may be lost');
    if (error === E.ENOSPC.number) {
      live.lost = E.ENOSPC;
      return E.ENOSPC;
    }
    this.#core.data.ownFailed(own, error);
    this.#core.markBroken(`Cannot write back the own file of inode ${ino}, ${ownText(own)}`);
    return E.EIO;
  }

  #cut(live: LiveFile): void {
    const { dirtyBytes: bytes, dirtyFrom: offset, dirtyTo } = live;
    const own = this.#core.namespace.inode(live.ino)?.own;
    live.dirtyBytes = 0;
    if (own === undefined) return;
    this.#pieces.push({ live, own, range: { offset, length: dirtyTo - offset }, bytes });
    this.#count(live.ino, bytes);
  }

  #count(ino: Ino, bytes: number): void {
    this.#bytes += bytes;
    const waiting = (this.#waiting.get(ino) ?? 0) + bytes;
    if (waiting === 0) this.#waiting.delete(ino);
    else this.#waiting.set(ino, waiting);
  }

  /** One at a time: more would only make a flush beside them wait for longer. */
  #start(): void {
    const { dirtyLimit } = this.#core.options;
    while (this.#underWay === undefined && this.#bytes > dirtyLimit && this.#core.broken === undefined) {
      const piece = this.#pieces.shift();
      if (piece === undefined) return;
      const target = this.#isThere(piece) ? this.#core.data.ownTarget(piece.own) : E.ENOENT;
      if (isErrno(target)) {
        this.#count(piece.live.ino, -piece.bytes);
        continue;
      }
      const id = this.#next++;
      this.#underWay = { id, piece };
      this.#workers.post({ kind: 'writeBack', id, target, range: piece.range });
    }
  }

  #isThere({ live, own }: Piece): boolean {
    const inode = this.#core.namespace.inode(live.ino);
    return inode !== undefined && isSameOwn(inode, own);
  }

  /** Only while a worker is at it: its end is what lets the writers of large files go on. */
  #mustWait(live: LiveFile): boolean {
    if (this.#underWay === undefined || !this.#waiting.has(live.ino)) return false;
    const { dirtyLimit } = this.#core.options;
    return this.#bytes + live.dirtyBytes > dirtyLimit + Math.max(HELD_BYTES_MIN, dirtyLimit / 4);
  }

  #release(ino: Ino, failed: Errno | undefined): void {
    const held = this.#held.get(ino);
    const live = this.#core.live.find(ino);
    if (held === undefined || (live !== undefined && this.#mustWait(live))) return;
    this.#held.delete(ino);
    for (const { deferred, count } of held) deferred.settle(failed ?? count);
  }
}
