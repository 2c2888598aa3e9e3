/**
 * The POSIX personality: every operation of the two bindings, over the namespace store and the data store. Operations
 * themselves are in operations/; this class holds what lives as long as the mount, and hands requests on.
 */
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Ino } from '../base/units.ts';
import { Splitter } from '../shard/splitter.ts';
import { Barriers } from './barriers.ts';
import { Compactor } from './compactor.ts';
import { Comparisons } from './comparisons.ts';
import { Core, type CoreParts } from './core.ts';
import { DatabaseSteps } from './database_steps.ts';
import { describeInode, type InodeDescription } from './describe.ts';
import { Doubts } from './doubts.ts';
import { FlushJobs } from './flush_jobs.ts';
import { Fsyncs } from './fsyncs.ts';
import { LargeOrphans } from './large_orphans.ts';
import { LargeWrites } from './large_writes.ts';
import { LowSpace } from './low_space.ts';
import { Maintenance } from './maintenance.ts';
import { Migrator } from './migrator.ts';
import { endMode } from './open_mode.ts';
import { getAttributes, setAttributes } from './operations/attributes.ts';
import {
  allocate,
  copyRange,
  handleOf,
  isSynchronous,
  O_TRUNC,
  open,
  read,
  release,
  seek,
  write,
} from './operations/files.ts';
import { listDirectory } from './operations/listing.ts';
import { create, createUnnamed, lookup, makeDirectory, makeLink, makeNode, makeSymlink } from './operations/make.ts';
import { forget, reclaimOrphan, removeDirectory, unlink } from './operations/remove.ts';
import { rename } from './operations/rename.ts';
import { getXattr, listXattrs, removeXattr, setXattr } from './operations/xattrs.ts';
import { OwnAhead } from './own_ahead.ts';
import { Packer } from './packer.ts';
import { Reads } from './reads/reads.ts';
import type { ReadThreads } from './reads/threads.ts';
import { recover } from './recovery.ts';
import type { CompletedRequest, KernelRequest } from './requests.ts';
import { withRoom } from './room.ts';
import { flushOwn, settle, settleMapped } from './settle.ts';
import { type FilesystemStatus, statistics } from './statistics.ts';
import { Sweep } from './sweep.ts';
import { SynchronousOpens } from './synchronous_opens.ts';
import { Syncs } from './syncs.ts';
import { adoptHandles } from './takeover.ts';
import type {
  Caller,
  CreateReply,
  Loan,
  NewNode,
  OpenReply,
  Operations,
  ReadRequest,
  ReadTicket,
  WriteRequest,
} from './types.ts';
import { Deferred, type WorkerDone, type WorkerJobs } from './types.ts';
import { hearWorker } from './worker_answers.ts';
import { WriteBack } from './write_back.ts';

type Place = { parent: Ino; name: Uint8Array };

/** How often access times are recorded that were only noted. */
const LAZY_INTERVAL_MS = 5_000;

export class Filesystem implements Operations {
  /** Asked for passes by `pacsfs compact`. */
  readonly compactor: Compactor;
  /** Asked by `pacsfs tier move`. */
  readonly migrator: Migrator;
  readonly #core: Core;
  readonly #packer: Packer;
  readonly #flushes: FlushJobs;
  readonly #barriers: Barriers;
  readonly #databases: DatabaseSteps;
  /** What a predecessor left, until it is cleared away. */
  #sweep: Sweep | undefined;
  readonly #fsyncs: Fsyncs;
  readonly #comparisons: Comparisons;
  readonly #writeBack: WriteBack;
  readonly #largeWrites: LargeWrites;
  readonly #maintenance: Maintenance;
  readonly #ownAhead: OwnAhead;
  readonly #lowSpace: LowSpace;
  readonly #doubts: Doubts | undefined;
  #lazyMs: number;
  readonly #syncs: Syncs;
  readonly #syncOpens: SynchronousOpens;
  readonly #reads: Reads | undefined;

  constructor(parts: CoreParts & { readonly workers: WorkerJobs; readonly readThreads?: ReadThreads }) {
    this.#core = new Core(parts);
    const { workers } = parts;
    this.#packer = new Packer(this.#core, workers);
    this.#flushes = new FlushJobs(workers);
    const awaitPack = (job: number) => this.workerDone(workers.await('pack', job));
    this.#barriers = new Barriers(this.#core, { workers, flushes: this.#flushes, awaitPack });
    this.#databases = new DatabaseSteps(this.#core, workers);
    this.#writeBack = new WriteBack(this.#core, workers);
    const writeBack = this.#writeBack;
    this.#fsyncs = new Fsyncs(this.#core, { barriers: this.#barriers, flushes: this.#flushes, workers, writeBack });
    this.#largeWrites = new LargeWrites(this.#core, {
      workers,
      writeHere: (request, from) => this.#writeHere(request, from),
      wrote: (request, count) => this.#wrote(request, count),
    });
    this.compactor = new Compactor(this.#core, { workers, barriers: this.#barriers });
    const sync = () => this.#syncs.begin();
    this.migrator = new Migrator(this.#core, { workers, barriers: this.#barriers, sync });
    this.#maintenance = new Maintenance(this.#core, [
      this.compactor,
      this.migrator,
      new Splitter(parts.namespace, parts.log),
      new LargeOrphans(this.#core),
      parts.namespace.moves,
    ]);
    this.#comparisons = new Comparisons(this.#core, workers);
    this.#ownAhead = new OwnAhead(this.#core, workers);
    this.#lowSpace = new LowSpace(this.#core, { barriers: this.#barriers, ownAhead: this.#ownAhead });
    const durability = { flush: (ino: Ino) => this.#fsyncs.flush(ino), secure: (ino: Ino) => this.#secure(ino) };
    this.#core.attach(this.#packer, durability, this.#comparisons);
    this.#syncs = new Syncs(this.#core, {
      packer: this.#packer,
      fsyncs: this.#fsyncs,
      barriers: this.#barriers,
      comparisons: this.#comparisons,
      isIdle: () =>
        [this.#writeBack, this.#barriers.unlinks, this.compactor, this.migrator].every(({ isIdle }) => isIdle) &&
        this.#sweep === undefined,
    });
    this.#syncOpens = new SynchronousOpens(this.#core, {
      fsyncs: this.#fsyncs,
      barriers: this.#barriers,
      release: (ino, handle) => this.release(ino, handle),
    });
    if (parts.readThreads !== undefined) this.#reads = new Reads(this.#core, parts.readThreads);
    this.#lazyMs = this.#core.clock.monotonicMs();
    // Rows that came out of the journal name bytes that no flush has covered yet.
    this.#core.data.mustFlush(parts.namespace.recovered.aggregates);
    if (parts.options.takeover === true) {
      adoptHandles(this.#core);
      if (parts.dropName !== undefined) this.#doubts = new Doubts(this.#core, parts.dropName);
      if (!parts.options.readOnly) this.#sweep = new Sweep(this.#core, parts.workers);
    } else if (!parts.options.readOnly && this.#core.broken === undefined) recover(this.#core);
  }

  // Time and the other threads

  /** Does what is due, `served` being the number of requests so far; returns the milliseconds until it wants to be called again. */
  tick(served = 0): number {
    const nowMs = this.#core.clock.monotonicMs();
    this.#reads?.turn();
    if (this.#core.options.readOnly) return LAZY_INTERVAL_MS;
    if (nowMs - this.#lazyMs >= LAZY_INTERVAL_MS) {
      this.#core.recordAccesses();
      this.#packer.packKept();
      this.#lazyMs = nowMs;
    }
    this.#core.lookForDatabases(nowMs);
    const sweepIn = this.#sweep?.turn() ?? Number.POSITIVE_INFINITY;
    if (this.#sweep?.isDone === true) this.#sweep = undefined;
    // A slot that moved to another shard meanwhile would slip past the sweep's walk over them.
    const maintainIn = this.#sweep === undefined ? this.#maintenance.turn(served) : Number.POSITIVE_INFINITY;
    const probeIn = settleMapped(this.#core, nowMs);
    const packIn = this.#packer.tick(nowMs);
    this.#ownAhead.tick(nowMs);
    const lowIn = Math.min(this.#lowSpace.tick(nowMs), this.#doubts?.tick(nowMs) ?? Number.POSITIVE_INFINITY);
    this.#fsyncs.tick();
    this.#syncs.tick();
    const barrierIn = this.#barriers.tick(nowMs, this.#fsyncs.isBusy);
    const step = this.#databases.turn();
    if (step === 'full') this.#barriers.noteFull();
    if (step === 'more') return 0;
    const wantedIn = Math.min(sweepIn, maintainIn, probeIn, packIn, barrierIn, lowIn);
    return Math.max(0, Math.min(wantedIn, this.#lazyMs + LAZY_INTERVAL_MS - nowMs));
  }

  /** True while so much waits for workers, to be packed or made durable, that the control thread serves them only. */
  get isFull(): boolean {
    if (this.#packer.isFull) return true;
    return (this.#barriers.isUnderWay || !this.#databases.isIdle) && this.#core.namespace.isBehind;
  }

  workerDone(message: WorkerDone): void {
    hearWorker(message, {
      barriers: this.#barriers,
      comparisons: this.#comparisons,
      compactor: this.compactor,
      databases: this.#databases,
      flushes: this.#flushes,
      fsyncs: this.#fsyncs,
      largeWrites: this.#largeWrites,
      migrator: this.migrator,
      ownAhead: this.#ownAhead,
      packer: this.#packer,
      sweep: this.#sweep,
      writeBack: this.#writeBack,
    });
  }

  /** Settled once everything written before is durable. */
  sync(): Deferred<void> {
    return this.#core.options.readOnly ? this.#nothingToSync() : this.#syncs.begin();
  }

  /**
   * The mount is gone, so nobody can reach a file any more (the kernel drops RELEASE and FORGET that it still had to
   * send): everything settles, orphans go, and what waits is packed. `shutDown` follows once this is settled.
   */
  beginStop(): Deferred<void> {
    const core = this.#core;
    this.#maintenance.stop();
    this.#ownAhead.stop();
    this.#largeWrites.settle();
    if (!core.options.readOnly && core.broken === undefined) {
      for (const live of [...core.live.all()]) {
        // An aborted connection, or one that was detached, leaves those who have a file open able to write it.
        live.mayBeMapped ||= live.mode === 'passthrough' && live.writers > 0;
        live.handles = 0;
        live.writers = 0;
        endMode(core, live);
        settle(core, live);
        core.live.dropIfIdle(live);
      }
      for (const ino of [...core.namespace.orphans()]) reclaimOrphan(core, ino);
    }
    return core.options.readOnly ? this.#nothingToSync() : this.#syncs.beginLast();
  }

  describe = (ino: Ino): Result<InodeDescription> => describeInode(this.#core, ino);

  status(): FilesystemStatus {
    return {
      openFiles: this.#core.live.count,
      waitingFiles: this.#packer.pending,
      ownAhead: this.#core.data.ownPool.count,
      barriers: this.#barriers.made,
      fsyncs: this.#fsyncs.asked,
      flushes: this.#flushes.count,
      copies: this.#fsyncs.copies,
      heldWrites: this.#writeBack.heldCount,
      passedThrough: this.#core.passthrough?.count ?? 0,
      reads: this.#reads?.status,
      compaction: this.compactor.status,
      broken: this.#core.broken,
    };
  }

  /** Makes everything durable; call `sync` with packing before it to leave nothing waiting. */
  shutDown(): Result<void> {
    const done = this.#core.options.readOnly ? undefined : this.#syncNow();
    this.#databases.settle();
    this.#barriers.punches.settle();
    this.#ownAhead.close();
    this.#core.data.close();
    this.#core.namespace.close();
    return done;
  }

  /** Of what was acknowledged before something was lost nobody is told that it is durable. */
  #brokenError(): Result<void> {
    return this.#core.broken === undefined ? undefined : E.EIO;
  }

  #nothingToSync(): Deferred<void> {
    const deferred = new Deferred<void>();
    deferred.settle(this.#brokenError());
    return deferred;
  }

  /** Own files that are not durable, then a barrier, here and now: at the end nobody else waits. */
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

  #withRoom<T>(act: () => T): T {
    return withRoom({ data: this.#core.data, barriers: this.#barriers, ownAhead: this.#ownAhead }, act);
  }

  /** A file that nobody has open is packed, any other one flushed; settled once a record says so. */
  #secure(ino: Ino): Deferred<void> {
    const live = this.#core.live.find(ino);
    if (live !== undefined && live.handles > 0) return this.#fsyncs.flush(ino);
    const answer = new Deferred<void>();
    this.#packer.packNow(ino).whenSettled(() => {
      // Whatever could not be packed is flushed; what is packed needs nothing.
      this.#fsyncs.flush(ino).whenSettled((outcome) => answer.settle(outcome));
    });
    return answer;
  }

  // Requests

  serve(request: KernelRequest | undefined): void {
    this.#core.request = request;
  }

  executed = (unique: bigint): CompletedRequest | undefined => this.#core.namespace.executed(unique);

  openAnswered(ino: Ino): void {
    this.#core.openTable.opened(ino);
  }

  releaseAnswered(ino: Ino, handle: number): void {
    this.#core.openTable.released(ino, handleOf(handle));
  }

  // Operations

  lookup(caller: Caller, parent: Ino, name: Uint8Array) {
    return lookup(this.#core, caller, parent, name);
  }

  forget(ino: Ino): void {
    this.#largeWrites.settle(ino);
    if (!this.#core.options.readOnly) forget(this.#core, ino);
  }

  getAttributes(ino: Ino) {
    return getAttributes(this.#core, ino);
  }

  setAttributes(caller: Caller, ino: Ino, changes: Parameters<Operations['setAttributes']>[2]) {
    this.#largeWrites.settle(ino);
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

  open(caller: Caller, ino: Ino, flags: number): Result<OpenReply> | Deferred<OpenReply> {
    if ((flags & O_TRUNC) !== 0) this.#largeWrites.settle(ino);
    const opened = this.#withRoom(() => open(this.#core, caller, ino, flags));
    return isErrno(opened) ? opened : this.#syncOpens.after(opened, { ino, flags, handle: opened.handle });
  }

  create(caller: Caller, at: Place & { flags: number }, node: NewNode): Result<CreateReply> | Deferred<CreateReply> {
    const made = this.#withRoom(() => create(this.#core, caller, at, node));
    if (isErrno(made)) return made;
    const { entry, open: opened } = made;
    return this.#syncOpens.after(made, { ino: entry.attributes.ino, flags: at.flags, handle: opened.handle });
  }

  createUnnamed(caller: Caller, at: { parent: Ino; flags: number }, node: NewNode) {
    return this.#withRoom(() => createUnnamed(this.#core, caller, at, node));
  }

  read(request: ReadRequest, into: Uint8Array, ticket?: ReadTicket): number {
    const begun = ticket === undefined ? undefined : this.#reads?.begin(request, into, ticket);
    return begun ?? read(this.#core, request, into);
  }

  /** No READ is under way on another thread. */
  get isReadIdle(): boolean {
    return this.#reads?.isIdle ?? true;
  }

  /** With O_SYNC or O_DSYNC answered once the bytes, and what leads to them, are durable. */
  write(request: WriteRequest, from: Uint8Array, loan?: Loan): number | Deferred<number> {
    const later = loan === undefined ? undefined : this.#largeWrites.begin(request, from, loan);
    return later ?? this.#writeHere(request, from);
  }

  #writeHere(request: WriteRequest, from: Uint8Array): number | Deferred<number> {
    this.#largeWrites.settle(request.ino);
    const count = this.#withRoom(() => write(this.#core, request, from));
    return count <= 0 ? count : this.#wrote(request, count);
  }

  #wrote(request: WriteRequest, count: number): number | Deferred<number> {
    const written = this.#writeBack.wrote(request.ino, { offset: request.offset, length: count });
    if (!isSynchronous(request.handle)) return written;
    const synced = this.#fsyncs.fsync(request.ino);
    if (!(synced instanceof Deferred)) return isErrno(synced) ? -synced.number : count;
    const answer = new Deferred<number>();
    synced.whenSettled((outcome) => answer.settle(isErrno(outcome) ? outcome : count));
    return answer;
  }

  release(ino: Ino, handle: number): void {
    this.#largeWrites.settle(ino);
    release(this.#core, ino, handle);
  }

  flushFile(ino: Ino): Result<void> | Deferred<void> {
    return this.#core.options.readOnly ? this.#brokenError() : this.#fsyncs.fsync(ino);
  }

  flushDirectory(ino: Ino): Result<void> | Deferred<void> {
    return this.#core.options.readOnly ? this.#brokenError() : this.#fsyncs.fsync(ino);
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
    this.#largeWrites.settle(request.ino);
    return this.#withRoom(() => allocate(this.#core, request, range));
  }

  seek(request: ReadRequest, whence: number): number {
    return seek(this.#core, request, whence);
  }

  copyRange(from: ReadRequest, to: ReadRequest, options: { length: number; flags: number }): number {
    this.#largeWrites.settle(to.ino);
    const count = this.#withRoom(() => copyRange(this.#core, from, to, options));
    if (count > 0) this.#writeBack.noteWritten(to.ino, { offset: to.offset, length: count });
    return count;
  }
}
