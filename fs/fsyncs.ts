/**
 * What fsync does before its barrier: the bytes of own files become durable, by copy or by flush, many files at a time.
 *
 * - _By copy_, the first fsync of a small file that nobody can change unseen: a worker packs it with all others that wait
 *   into a segment, and one record names the copies beside the own files (FLAG_COPY).
 * - _By flush_, every other one: the own file is flushed, and the record says so (FLAG_FLUSHED) and drops the copy.
 *
 * While FSYNC is unanswered the kernel lets nobody write to the inode; what changed all the same (a mapping, another way)
 * shows in the counter of changes, and such a copy is not taken.
 */
import { type PackResult, SEGMENT_BYTES } from '../aggregate/pack.ts';
import type { FlushTarget } from '../base/backing.ts';
import { E, type Errno, errnoOf, isErrno, type Result } from '../base/errno.ts';
import { type OwnName, ownText } from '../base/layout.ts';
import { type Ino, type Lsn, MIB, type VolumeId } from '../base/units.ts';
import { FLAG_COPY, FLAG_FLUSHED, type Inode } from '../shard/rows.ts';
import type { Barriers } from './barriers.ts';
import { releaseExtents } from './contents.ts';
import { type Core, isUnsettled } from './core.ts';
import { Describer, type SettledFile } from './describer.ts';
import type { FlushJobs } from './flush_jobs.ts';
import { FsyncModes } from './fsync_mode.ts';
import { type LiveFile, noteFlushed } from './live_files.ts';
import { isSameOwn, putFlushed } from './settle.ts';
import { Deferred, type WorkerJobs } from './types.ts';
import type { WriteBack } from './write_back.ts';

/** Unwritten bytes of a file from which its flush may take long, and goes where nobody waits behind it. */
const LONG_BYTES = 16 * MIB;
/** Copies of one job at most, so that its record stays small. */
const JOB_FILES = 1_024;

/** Files that one job of a sync flushes. */
const ALL_FILES = 256;

/** A file whose bytes are to become durable. */
interface Work {
  readonly ino: Ino;
  readonly own: OwnName;
  /** Its row, its live state and the changes of its contents when this began. */
  readonly lsn: Lsn;
  readonly live: LiveFile | undefined;
  readonly changes: number;
  readonly settled: SettledFile | undefined;
  readonly waiters: Deferred<void>[];
}

interface Group {
  readonly files: readonly Work[];
  readonly volume: VolumeId;
  readonly sinceMs: number;
}

export interface FsyncTools {
  readonly barriers: Barriers;
  readonly flushes: FlushJobs;
  readonly workers: WorkerJobs;
  readonly writeBack: WriteBack;
}

export class Fsyncs {
  readonly #core: Core;
  readonly #barriers: Barriers;
  readonly #flushes: FlushJobs;
  readonly #workers: WorkerJobs;
  readonly #writeBack: WriteBack;
  readonly #modes: FsyncModes;
  /** To be begun at the next tick, by file: whether its bytes may be copied, and who waits. */
  #requests = new Map<Ino, { mayCopy: boolean; readonly waiters: Deferred<void>[] }>();
  /** Waiting for a lane. */
  #toCopy: Work[] = [];
  readonly #copying = new Map<number, Group>();
  #flushing = 0;
  #flushingShort = 0;
  /** Calls of fsync(2) and its like. */
  asked = 0;
  /** Files made durable by a copy, and by a flush. */
  copies = 0;
  flushed = 0;

  constructor(core: Core, tools: FsyncTools) {
    this.#core = core;
    this.#barriers = tools.barriers;
    this.#flushes = tools.flushes;
    this.#workers = tools.workers;
    this.#writeBack = tools.writeBack;
    this.#modes = new FsyncModes(core.options.fsyncMode);
  }

  get isIdle(): boolean {
    return this.#requests.size === 0 && this.#toCopy.length === 0 && this.#copying.size === 0 && this.#flushing === 0;
  }

  /** Work is under way, and soon done, whose files will wait for a barrier. */
  get isBusy(): boolean {
    return this.#copying.size > 0 || this.#flushingShort > 0;
  }

  /** fsync(2): the inode, its bytes and everything recorded before are durable when it is settled. */
  fsync(ino: Ino): Result<void> | Deferred<void> {
    this.asked += 1;
    const inode = this.#core.namespace.inode(ino);
    const lost = this.#core.live.find(ino)?.lost;
    if (lost !== undefined) return lost;
    const needsBytes = inode?.own !== undefined && this.#core.needsFlush(inode);
    if (!needsBytes) return this.#barriers.isDurable ? undefined : this.#barriers.wait();
    const answer = new Deferred<void>();
    this.#ask(ino, true).whenSettled((secured) => {
      if (isErrno(secured)) answer.settle(secured);
      else this.#barriers.wait().whenSettled((outcome) => answer.settle(outcome));
    });
    return answer;
  }

  /** Flushes an own file that is not durable, or whose copy is to go; settled once a record says so. The barrier is the caller's. */
  flush(ino: Ino): Deferred<void> {
    return this.#ask(ino, false);
  }

  /** Flushes every own file that is not durable, where no fsync waits behind it; settled once records say so. */
  flushAll(): Deferred<void> {
    const core = this.#core;
    const answer = new Deferred<void>();
    const todo: Work[] = [];
    for (const ino of [...core.namespace.ownFileInodes()]) {
      const inode = core.namespace.inode(ino);
      if (inode?.own === undefined || core.broken !== undefined || !core.needsFlush(inode)) continue;
      const live = core.live.find(ino);
      const { own, lsn } = inode;
      todo.push({ ino, own, lsn, live, changes: live?.changes ?? 0, settled: undefined, waiters: [] });
    }
    let left = todo.length;
    let failed: Errno | undefined;
    const done = (outcome: Result<void>) => {
      if (isErrno(outcome)) failed = outcome;
      left -= 1;
      if (left === 0) answer.settle(failed);
    };
    for (const { waiters } of todo) {
      const waiter = new Deferred<void>();
      waiter.whenSettled(done);
      waiters.push(waiter);
    }
    if (todo.length === 0) answer.settle(core.broken === undefined ? undefined : E.EIO);
    for (let at = 0; at < todo.length; at += ALL_FILES) this.#flushFiles(todo.slice(at, at + ALL_FILES), true);
    return answer;
  }

  /** Begins what was asked for since the last call: all of it together. */
  tick(): void {
    if (this.#requests.size > 0) this.#beginAsked();
    if (this.#toCopy.length > 0) this.#startCopies();
  }

  /** Whether a pack job is one of these; `finishCopies` takes its result. */
  isCopying(job: number): boolean {
    return this.#copying.has(job);
  }

  #ask(ino: Ino, mayCopy: boolean): Deferred<void> {
    const deferred = new Deferred<void>();
    const asked = this.#requests.get(ino);
    if (asked === undefined) this.#requests.set(ino, { mayCopy, waiters: [deferred] });
    else {
      asked.waiters.push(deferred);
      asked.mayCopy &&= mayCopy;
    }
    return deferred;
  }

  #beginAsked(): void {
    const core = this.#core;
    const asked = this.#requests;
    this.#requests = new Map();
    const toFlush: Work[] = [];
    const ways = new Map<VolumeId, string>();
    for (const [ino, { mayCopy, waiters }] of asked) {
      const inode = core.namespace.inode(ino);
      if (core.broken !== undefined) settleAll(waiters, E.EIO);
      else if (inode?.own === undefined || !(core.needsFlush(inode) || (!mayCopy && hasCopy(inode)))) {
        settleAll(waiters, undefined);
      } else {
        const { own, lsn } = inode;
        const live = core.live.find(ino);
        const canCopy = mayCopy && live !== undefined && isCopyable(core, inode, live);
        if (canCopy && !ways.has(own.volume)) ways.set(own.volume, this.#modes.choose(own.volume));
        const way = canCopy ? ways.get(own.volume) : 'flush';
        const changes = live?.changes ?? 0;
        const work: Work = { ino, own, lsn, live, changes, settled: settledFile(inode, live), waiters };
        if (way === 'copy') this.#toCopy.push(work);
        else toFlush.push(work);
      }
    }
    this.#flushFiles(toFlush);
  }

  // By copy

  #startCopies(): void {
    const { data, namespace, clock, live } = this.#core;
    const describer = new Describer(namespace);
    while (this.#toCopy.length > 0) {
      const [first] = this.#toCopy;
      if (first === undefined) return;
      const { volume } = first.own;
      const files = takeLoad(this.#toCopy, volume);
      // Less than a segment waits for the job before it: what comes meanwhile goes along.
      if (this.#copying.size > 0 && files.length === this.#toCopy.length) return;
      const described = files.flatMap(({ ino, settled }) =>
        settled === undefined ? [] : [describer.file(settled, live.find(ino)?.mtime ?? clock.now())],
      );
      const isRoom = this.#core.broken === undefined && !namespace.critical();
      const job = isRoom
        ? data.startPack(described, { lsn: namespace.lsn, isUrgent: true, isClaimed: true })
        : undefined;
      if (job !== undefined) {
        this.#toCopy = this.#toCopy.filter((work) => !files.includes(work));
        this.#copying.set(job.id, { files, volume, sinceMs: clock.monotonicMs() });
        this.#workers.post({ kind: 'pack', job, isUrgent: true });
        continue;
      }
      // The one lane that is kept for this is at work: those behind it go into one segment when it is free again.
      if (this.#copying.size > 0) return;
      this.#toCopy = this.#toCopy.filter((work) => !files.includes(work));
      this.#flushFiles(files);
    }
  }

  /** Order of durability: the record names bytes that the next barrier flushes before it makes the record durable. */
  finishCopies(result: PackResult): void {
    const core = this.#core;
    const group = this.#copying.get(result.id);
    this.#copying.delete(result.id);
    if (group === undefined) return;
    const record = core.namespace.begin();
    const accepted = new Set<Ino>();
    const toFlush: Work[] = [];
    for (const [index, work] of group.files.entries()) {
      const packed = result.files[index];
      const inode = core.namespace.inode(work.ino);
      const live = core.live.find(work.ino);
      const isSame = inode !== undefined && isSameOwn(inode, work.own) && isUnchanged(work, live);
      if (packed?.status === 'postponed') this.#toCopy.push(work);
      else if (
        packed?.status !== 'packed' ||
        !isSame ||
        live.isMappable ||
        live.handles === 0 ||
        core.broken !== undefined
      ) {
        toFlush.push(work);
      } else {
        accepted.add(work.ino);
        core.refresh(inode, live);
        releaseExtents(core, record, work.ino, { dropped: inode.second, kept: packed.extents });
        core.put(record, {
          ...inode,
          second: packed.extents,
          size: live.size ?? inode.size,
          mtime: live.mtime,
          ctime: live.ctime,
          flags: (inode.flags & ~FLAG_FLUSHED) | FLAG_COPY,
        });
        live.copyAt = work.changes;
        noteFlushed(live);
      }
    }
    const { rows } = core.data.finishPack(result, accepted);
    for (const row of rows) record.putAggregate(row);
    core.commit(record);
    this.copies += accepted.size;
    const copied = group.files.filter(({ ino }) => accepted.has(ino));
    this.#secured({ ...group, files: copied }, 'copy');
    this.#flushFiles(toFlush);
  }

  // By flush

  #flushFiles(files: readonly Work[], isLong = false): void {
    const short: Work[] = [];
    const targets: FlushTarget[] = [];
    for (const work of files) {
      const target = this.#core.data.ownTarget(work.own);
      const unwritten = this.#writeBack.takeUnwritten(work.ino);
      if (isErrno(target)) settleAll(work.waiters, target);
      else if (unwritten >= LONG_BYTES || this.#mayBeLong(work)) this.#postFlush([work], [target], true);
      else {
        short.push(work);
        targets.push(target);
      }
    }
    if (short.length > 0) this.#postFlush(short, targets, isLong);
  }

  /** What a predecessor wrote, or the kernel past this process, or this one before the last close, nobody has counted. */
  #mayBeLong({ ino, changes }: Work): boolean {
    const live = this.#core.live.find(ino);
    const size = live?.size ?? this.#core.namespace.inode(ino)?.size ?? 0;
    return (changes === 0 || live?.isWrittenUnseen === true) && size >= LONG_BYTES;
  }

  #postFlush(files: readonly Work[], targets: readonly FlushTarget[], isLong: boolean): void {
    const sinceMs = this.#core.clock.monotonicMs();
    this.#flushing += 1;
    if (!isLong) this.#flushingShort += 1;
    const done = (outcomes: readonly number[]) => {
      if (!isLong) this.#flushingShort -= 1;
      this.#finishFlush({ files, sinceMs }, outcomes);
    };
    this.#flushes.post(targets, { isLong, done });
  }

  /** Order of durability: the bytes, then the record that says so, which the caller's barrier covers. */
  #finishFlush(group: Omit<Group, 'volume'>, outcomes: readonly number[]): void {
    const core = this.#core;
    this.#flushing -= 1;
    const good: Work[] = [];
    const failed: [Work, Errno][] = [];
    const record = core.namespace.begin();
    for (const [index, work] of group.files.entries()) {
      const outcome = outcomes[index] ?? -E.EIO.number;
      const inode = core.namespace.inode(work.ino);
      const isSame = inode !== undefined && isSameOwn(inode, work.own);
      if (outcome < 0 && (isSame || outcome !== -E.ENOENT.number)) {
        failed.push([work, this.#failed(work, -outcome)]);
        continue;
      }
      good.push(work);
      core.data.ownFlushed(work.own);
      // Packed meanwhile, or emptied, or removed: what it had when fsync was called is named by a record, or by none.
      if (!isSame || core.broken !== undefined) continue;
      // Settled meanwhile: it may have been written before that, and its row says what of it is durable.
      if (!isUnsettled(inode) && inode.lsn !== work.lsn) continue;
      const live = core.live.find(work.ino);
      if (live !== undefined) core.refresh(inode, live);
      putFlushed(core, record, inode, live);
      if (isUnchanged(work, live)) noteFlushed(live);
    }
    core.commit(record);
    // Whoever hears of it may make a record of its own.
    for (const [{ waiters }, errno] of failed) settleAll(waiters, errno);
    this.flushed += good.length;
    const [first] = good;
    if (first !== undefined) this.#secured({ ...group, files: good, volume: first.own.volume }, 'flush');
  }

  /** ENOSPC loses what was written since, which its writer is told; any other error may have lost what was durable. */
  #failed(work: Work, error: number): Errno {
    const { ino, own } = work;
    this.#core.log.error({ ino, own, error }, 'Cannot flush an own file: its bytes may be lost');
    if (error === E.ENOSPC.number) {
      const live = this.#core.live.find(ino);
      if (live !== undefined) live.lost = E.ENOSPC;
      return E.ENOSPC;
    }
    this.#core.data.ownFailed(own, error);
    this.#core.markBroken(`Cannot flush the own file of inode ${ino}, ${ownText(own)}: ${errnoOf(error).name}`);
    return E.EIO;
  }

  #secured(group: Group, way: 'copy' | 'flush'): void {
    const { clock, broken } = this.#core;
    const { files, volume, sinceMs } = group;
    for (const { waiters } of files) settleAll(waiters, broken === undefined ? undefined : E.EIO);
    if (files.length === 0 || broken !== undefined) return;
    this.#barriers.afterNext(() => {
      this.#modes.note(volume, way, { files: files.length, ms: clock.monotonicMs() - sinceMs });
    });
  }
}

/** Closed and opened again a file begins to count anew. */
function isUnchanged(work: Work, live: LiveFile | undefined): live is LiveFile {
  return live !== undefined && live === work.live && live.changes === work.changes;
}

function hasCopy(inode: Inode): boolean {
  return (inode.flags & FLAG_COPY) !== 0;
}

/** The first fsync of a small file that only handles for writing alone, without O_SYNC, can change. */
function isCopyable(core: Core, inode: Inode, live: LiveFile): boolean {
  const size = live.size ?? 0;
  return (
    isUnsettled(inode) &&
    inode.nlink > 0 &&
    (inode.flags & (FLAG_COPY | FLAG_FLUSHED)) === 0 &&
    live.handles > 0 &&
    !live.isMappable &&
    (live.copied?.length ?? 0) === 0 &&
    size > 0 &&
    size <= core.options.packBelow &&
    inode.own !== undefined &&
    core.data.canPack(inode.own.volume)
  );
}

/** Its name is looked up when a job is made: files are often renamed while they wait. */
function settledFile(inode: Inode, live: LiveFile | undefined): SettledFile | undefined {
  const { ino, own, position } = inode;
  if (own === undefined) return undefined;
  return { ino, own, size: live?.size ?? inode.size, name: new Uint8Array(0), parent: 0 as Ino, position };
}

/** About a segment's worth of the files of one volume that wait, in the order in which they came. */
function takeLoad(waiting: readonly Work[], volume: VolumeId): Work[] {
  const load: Work[] = [];
  let bytes = 0;
  for (const work of waiting) {
    if (work.own.volume !== volume) continue;
    const size = work.settled?.size ?? 0;
    if (load.length > 0 && (bytes + size > SEGMENT_BYTES || load.length >= JOB_FILES)) break;
    load.push(work);
    bytes += size;
  }
  return load;
}

function settleAll(waiters: readonly Deferred<void>[], outcome: Result<void>): void {
  for (const waiter of waiters) waiter.settle(outcome);
}
