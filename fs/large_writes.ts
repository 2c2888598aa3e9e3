/**
 * Large writes to large files go to a worker: the host stops whoever writes much for milliseconds at a time, and everybody
 * else would wait behind it. This thread decides and records before, and notes and answers after; the worker writes.
 *
 * What may happen to the same file meanwhile:
 * - The kernel holds the inode's lock from before WRITE until after its reply for write(2), direct or not, so that no
 *   other write(2), truncation, fallocate, copy or fsync(2) of the inode comes, O_APPEND's offset is right, and the file is
 *   open: neither RELEASE nor the last FORGET comes. What it writes back from mappings is not under that lock.
 * - Where that is not enough (FUSE says nothing of other kernels), whoever changes, truncates, closes or forgets the inode
 *   waits here for the writes under way: `settle`.
 * - The file is open for writing, so it is not packed. A copy at fsync that is begun meanwhile is not taken for the file,
 *   and a flush does not pass for one of these bytes: changes are counted before and after.
 * - Unlink and rename take names, not bytes; the own file stays until the last handle is closed. Should it be replaced all
 *   the same, the bytes went where they belonged when they were written.
 * - Write-back and flushes by others are of no harm: they promise nothing of what is written beside them.
 * - The daemon dies: the request was not answered, so it comes again to the next one, which begins once all threads of
 *   this one have ended, and writes the same bytes to the same place.
 */
import { E, errnoOf, isErrno } from '../base/errno.ts';
import type { OwnName } from '../base/layout.ts';
import type { Ino } from '../base/units.ts';
import { beginChange, dropPrivileges, noteChange } from './contents.ts';
import type { Core } from './core.ts';
import { mayGrow, undoGrowth } from './operations/files.ts';
import { isSameOwn } from './settle.ts';
import { Deferred, type Loan, type WorkerJobs, type WriteRequest } from './types.ts';
import { WRITE_BACK_BYTES } from './write_back.ts';

/** Bytes of a write from which the way to a worker and back is the smaller part. */
export const LARGE_WRITE_BYTES = 128 * 1024;

interface Write {
  readonly request: WriteRequest;
  readonly from: Uint8Array;
  readonly own: OwnName;
  /** Size before it. */
  readonly before: number;
  readonly release: () => void;
  readonly deferred: Deferred<number>;
}

export interface LargeWriteTools {
  readonly workers: WorkerJobs;
  /** Carries a write out here, answered or put off. */
  readonly writeHere: (request: WriteRequest, from: Uint8Array) => number | Deferred<number>;
  /** So many bytes were written: what the writer gets. */
  readonly wrote: (request: WriteRequest, count: number) => number | Deferred<number>;
}

export class LargeWrites {
  readonly #core: Core;
  readonly #tools: LargeWriteTools;
  readonly #writes = new Map<number, Write>();
  #next = 1;
  /** Begun so far. */
  count = 0;

  constructor(core: Core, tools: LargeWriteTools) {
    this.#core = core;
    this.#tools = tools;
  }

  get isIdle(): boolean {
    return this.#writes.size === 0;
  }

  /** Undefined: it is to be carried out here, because it is small or because something is wrong with it. */
  begin(request: WriteRequest, from: Uint8Array, loan: Loan): Deferred<number> | undefined {
    const core = this.#core;
    const end = request.offset + from.length;
    // A small file is written faster than it is handed on, and the host throttles those that write much.
    if (from.length < LARGE_WRITE_BYTES || end <= WRITE_BACK_BYTES) return undefined;
    const inode = core.inode(request.ino);
    const live = core.live.find(request.ino);
    if (isErrno(inode) || live === undefined || live.writers === 0 || !mayGrow(core, inode, end)) return undefined;
    this.settle(request.ino);
    const change = beginChange(core, inode);
    if (isErrno(change) || change.inode.own === undefined) return undefined;
    const { own } = change.inode;
    const target = core.data.ownTarget(own);
    const release = isErrno(target) ? undefined : loan.keep();
    if (isErrno(target) || release === undefined) return undefined;
    const before = live.size ?? 0;
    noteChange(live, 0);
    const id = this.#next++;
    const deferred = new Deferred<number>();
    this.#writes.set(id, { request, from, own, before, release, deferred });
    this.count += 1;
    this.#tools.workers.post({ kind: 'write', id, target, bytes: from, offset: request.offset });
    return deferred;
  }

  /** A worker's answer. */
  finish(id: number, outcome: number): void {
    const write = this.#writes.get(id);
    if (write === undefined) return;
    this.#writes.delete(id);
    const answer = this.#finish(write, outcome);
    write.release();
    if (answer instanceof Deferred) answer.whenSettled((settled) => write.deferred.settle(settled));
    else write.deferred.settle(answer < 0 ? errnoOf(-answer) : answer);
  }

  /** Waits for what is under way to one inode, or to all. */
  settle(ino?: Ino): void {
    if (this.#writes.size === 0) return;
    for (const [id, { request }] of [...this.#writes]) {
      if (ino === undefined || request.ino === ino) this.finish(id, this.#tools.workers.await('write', id).outcome);
    }
  }

  #finish(write: Write, outcome: number): number | Deferred<number> {
    const core = this.#core;
    const { request, from, own, before } = write;
    const inode = core.namespace.inode(request.ino);
    const live = core.live.find(request.ino);
    // What took the own file from the inode came after this.
    if (inode === undefined || live?.size === undefined || !isSameOwn(inode, own)) return outcome;
    if (outcome >= 0) {
      noteChange(live, request.offset + from.length);
      if (core.refusal() !== undefined) return -E.EIO.number;
      dropPrivileges(core, inode, { bits: request.killPrivileges });
      return this.#tools.wrote(request, outcome);
    }
    const file = core.data.openOwn(own);
    if (isErrno(file)) core.markBroken(`Cannot open the own file of inode ${request.ino}`);
    else undoGrowth(core, { inode, live, file }, before);
    noteChange(live, 0);
    // A full disk may have room once what was deleted is gone: that is tried here.
    return outcome === -E.ENOSPC.number ? this.#tools.writeHere(request, from) : outcome;
  }
}
