/**
 * The POSIX personality: every operation of the two bindings, over the namespace store and the data store. Operations
 * themselves are in operations/; this class holds what lives as long as the mount, and hands requests on.
 */
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Ino } from '../base/units.ts';
import { Barriers } from './barriers.ts';
import { Core, type CoreParts } from './core.ts';
import { describeInode, type InodeDescription } from './describe.ts';
import { getAttributes, setAttributes } from './operations/attributes.ts';
import { allocate, copyRange, open, read, release, seek, write } from './operations/files.ts';
import { listDirectory } from './operations/listing.ts';
import { create, createUnnamed, lookup, makeDirectory, makeLink, makeNode, makeSymlink } from './operations/make.ts';
import { forget, reclaimOrphan, removeDirectory, unlink } from './operations/remove.ts';
import { rename } from './operations/rename.ts';
import { getXattr, listXattrs, removeXattr, setXattr } from './operations/xattrs.ts';
import { Packer } from './packer.ts';
import { recover } from './recovery.ts';
import { flushOwn, settle } from './settle.ts';
import { statistics } from './statistics.ts';
import type { Caller, NewNode, Operations, ReadRequest, WriteRequest } from './types.ts';
import { Deferred, type WorkerDone, type WorkerJobs } from './types.ts';

type Place = { parent: Ino; name: Uint8Array };

/** How often access times are recorded that were only noted. */
const LAZY_INTERVAL_MS = 5_000;

/** A `sync` waits until what had settled at that time is packed; at the end, until no worker is at work either. */
interface Sync {
  readonly ms: number;
  readonly deferred: Deferred<void>;
}

export interface FilesystemStatus {
  readonly openFiles: number;
  readonly waitingFiles: number;
  readonly barriers: number;
  readonly fsyncs: number;
  readonly broken: string | undefined;
}

export class Filesystem implements Operations {
  readonly #core: Core;
  readonly #packer: Packer;
  readonly #barriers: Barriers;
  #lazyMs: number;
  #syncs: Sync[] = [];

  constructor(parts: CoreParts & { readonly workers: WorkerJobs }) {
    this.#core = new Core(parts);
    this.#packer = new Packer(this.#core, parts.workers);
    this.#core.attach(this.#packer);
    this.#barriers = new Barriers(this.#core, parts.workers);
    this.#lazyMs = this.#core.clock.monotonicMs();
    recover(this.#core);
  }

  // Time and the other threads

  /** Does what is due; returns the milliseconds until it wants to be called again. */
  tick(): number {
    const nowMs = this.#core.clock.monotonicMs();
    if (this.#core.options.readOnly) return LAZY_INTERVAL_MS;
    if (nowMs - this.#lazyMs >= LAZY_INTERVAL_MS) {
      this.#core.recordAccesses();
      this.#packer.packKept();
      this.#lazyMs = nowMs;
    }
    const packIn = this.#packer.tick(nowMs);
    if (this.#syncs.length > 0) this.#finishSyncs();
    const barrierIn = this.#barriers.tick(nowMs);
    return Math.max(0, Math.min(packIn, barrierIn, this.#lazyMs + LAZY_INTERVAL_MS - nowMs));
  }

  /** True while so much waits to be packed that new files must wait: the control thread then serves workers only. */
  get isFull(): boolean {
    return this.#packer.isFull;
  }

  workerDone(message: WorkerDone): void {
    if (message.kind === 'pack') this.#packer.finish(message.result);
  }

  /**
   * Settled once everything written before is durable. What waits is packed first, whether that was asked for or not: a
   * segment is flushed in a fraction of the time that its files would take one by one.
   */
  sync(): Deferred<void> {
    return this.#syncFrom(this.#core.clock.monotonicMs());
  }

  /**
   * The mount is gone, so nobody can reach a file any more (the kernel drops RELEASE and FORGET that it still had to
   * send): everything settles, orphans go, and what waits is packed. `shutDown` follows once this is settled.
   */
  beginStop(): Deferred<void> {
    const core = this.#core;
    if (!core.options.readOnly && core.broken === undefined) {
      for (const live of [...core.live.all()]) {
        live.handles = 0;
        live.writers = 0;
        settle(core, live);
        core.live.dropIfIdle(live);
      }
      for (const ino of [...core.namespace.orphans()]) reclaimOrphan(core, ino);
    }
    return this.#syncFrom(Number.POSITIVE_INFINITY);
  }

  describe(ino: Ino): Result<InodeDescription> {
    return describeInode(this.#core, ino);
  }

  status(): FilesystemStatus {
    return {
      openFiles: this.#core.live.count,
      waitingFiles: this.#packer.pending,
      barriers: this.#barriers.made,
      fsyncs: this.#barriers.answered,
      broken: this.#core.broken,
    };
  }

  /** Makes everything durable; call `sync` with packing before it to leave nothing waiting. */
  shutDown(): Result<void> {
    const done = this.#core.options.readOnly ? undefined : this.#syncNow();
    this.#core.data.close();
    this.#core.namespace.close();
    return done;
  }

  #syncFrom(ms: number): Deferred<void> {
    const deferred = new Deferred<void>();
    if (this.#core.options.readOnly) {
      deferred.settle(undefined);
      return deferred;
    }
    this.#packer.packKept();
    this.#packer.drain(true);
    this.#syncs.push({ ms, deferred });
    return deferred;
  }

  /** Files that came later need not be waited for: there may always be some. */
  #finishSyncs(): void {
    const waits = ({ ms }: Sync) => (ms === Number.POSITIVE_INFINITY ? !this.#packer.isIdle : this.#packer.hasFrom(ms));
    const finished = this.#syncs.filter((sync) => !waits(sync));
    if (finished.length === 0) return;
    this.#syncs = this.#syncs.filter((sync) => !finished.includes(sync));
    this.#packer.drain(this.#syncs.length > 0);
    const done = this.#syncNow();
    for (const { deferred } of finished) deferred.settle(done);
  }

  /** Order of durability: own files that are not durable, then a barrier over their rows and everything else. */
  #syncNow(): Result<void> {
    const core = this.#core;
    if (core.broken !== undefined) {
      this.#barriers.make();
      return E.EIO;
    }
    core.recordAccesses();
    let failed: Errno | undefined;
    for (const ino of [...core.namespace.ownFileInodes()]) {
      const inode = core.namespace.inode(ino);
      if (inode === undefined || !core.needsFlush(inode)) continue;
      const flushed = flushOwn(core, inode, core.live.find(ino));
      if (isErrno(flushed)) failed = flushed;
    }
    const done = this.#barriers.make();
    return failed ?? done;
  }

  /**
   * What was deleted takes up room until the barrier that makes it so: an operation that finds the disk full has that
   * barrier made, and tries once more from its beginning.
   */
  #withRoom<T>(act: () => T): T {
    const outcome = act();
    const isFull = outcome === E.ENOSPC || outcome === -E.ENOSPC.number;
    if (!isFull || this.#core.data.removals === 0 || isErrno(this.#barriers.make())) return outcome;
    return act();
  }

  // Operations

  lookup(caller: Caller, parent: Ino, name: Uint8Array) {
    return lookup(this.#core, caller, parent, name);
  }

  forget(ino: Ino): void {
    if (!this.#core.options.readOnly) forget(this.#core, ino);
  }

  getAttributes(ino: Ino) {
    return getAttributes(this.#core, ino);
  }

  setAttributes(caller: Caller, ino: Ino, changes: Parameters<Operations['setAttributes']>[2]) {
    return setAttributes(this.#core, caller, ino, changes);
  }

  readLink(ino: Ino): Result<Uint8Array> {
    const inode = this.#core.inode(ino);
    if (isErrno(inode)) return inode;
    this.#core.noteAccess(inode, inode);
    const target = this.#core.namespace.readSymlink(ino);
    return target === E.ENOENT ? E.EINVAL : target;
  }

  makeNode(caller: Caller, at: Place, node: NewNode) {
    return this.#withRoom(() => makeNode(this.#core, caller, at, node));
  }

  makeDirectory(caller: Caller, at: Place, node: NewNode) {
    return this.#withRoom(() => makeDirectory(this.#core, caller, at, node));
  }

  makeSymlink(caller: Caller, at: Place, target: Uint8Array) {
    return this.#withRoom(() => makeSymlink(this.#core, caller, at, target));
  }

  makeLink(_caller: Caller, ino: Ino, at: Place) {
    return this.#withRoom(() => makeLink(this.#core, ino, at));
  }

  unlink(caller: Caller, parent: Ino, name: Uint8Array) {
    return unlink(this.#core, caller, parent, name);
  }

  removeDirectory(caller: Caller, parent: Ino, name: Uint8Array) {
    return removeDirectory(this.#core, caller, parent, name);
  }

  rename(caller: Caller, from: Place, to: Place & { flags: number }) {
    return this.#withRoom(() => rename(this.#core, caller, from, to));
  }

  open(caller: Caller, ino: Ino, flags: number) {
    return this.#withRoom(() => open(this.#core, caller, ino, flags));
  }

  create(caller: Caller, at: Place & { flags: number }, node: NewNode) {
    return this.#withRoom(() => create(this.#core, caller, at, node));
  }

  createUnnamed(caller: Caller, at: { parent: Ino; flags: number }, node: NewNode) {
    return this.#withRoom(() => createUnnamed(this.#core, caller, at, node));
  }

  read(request: ReadRequest, into: Uint8Array): number {
    return read(this.#core, request, into);
  }

  write(request: WriteRequest, from: Uint8Array): number {
    return this.#withRoom(() => write(this.#core, request, from));
  }

  release(ino: Ino, handle: number): void {
    release(this.#core, ino, handle);
  }

  flushFile(ino: Ino): Result<void> | Deferred<void> {
    return this.#core.options.readOnly ? undefined : this.#barriers.wait(ino);
  }

  flushDirectory(ino: Ino): Result<void> | Deferred<void> {
    return this.#core.options.readOnly ? undefined : this.#barriers.wait(ino);
  }

  openDirectory(_caller: Caller, ino: Ino) {
    const dir = this.#core.directory(ino);
    return isErrno(dir) ? dir : { handle: 0, openFlags: 0 };
  }

  releaseDirectory(): void {
    // A directory handle carries no state.
  }

  listDirectory(request: Parameters<Operations['listDirectory']>[0], take: Parameters<Operations['listDirectory']>[1]) {
    return listDirectory(this.#core, request, take);
  }

  statistics() {
    return statistics(this.#core);
  }

  setXattr(caller: Caller, ino: Ino, change: Parameters<Operations['setXattr']>[2]) {
    return this.#withRoom(() => setXattr(this.#core, caller, ino, change));
  }

  getXattr(caller: Caller, ino: Ino, name: Uint8Array) {
    return getXattr(this.#core, caller, ino, name);
  }

  listXattrs(caller: Caller, ino: Ino) {
    return listXattrs(this.#core, caller, ino);
  }

  removeXattr(caller: Caller, ino: Ino, name: Uint8Array) {
    return removeXattr(this.#core, caller, ino, name);
  }

  allocate(request: ReadRequest, range: { mode: number; length: number }) {
    return this.#withRoom(() => allocate(this.#core, request, range));
  }

  seek(request: ReadRequest, whence: number): number {
    return seek(this.#core, request, whence);
  }

  copyRange(from: ReadRequest, to: ReadRequest, options: { length: number; flags: number }): number {
    return this.#withRoom(() => copyRange(this.#core, from, to, options));
  }
}
