/**
 * Packing: settled files wait in their directory's list, a worker writes them into a segment, and one record switches
 * them. The switch is a compare-and-swap: an inode that changed since, or was opened for writing, keeps its own file,
 * and the bytes written for it are dead at birth.
 */
import { type PackedFile, type PackMention, type PackResult, SEGMENT_BYTES } from '../aggregate/pack.ts';
import { E, isErrno } from '../base/errno.ts';
import { EPOCH } from '../base/time.ts';
import type { Ino } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import { type Core, isUnsettled } from './core.ts';
import { Describer, type SettledFile } from './describer.ts';
import type { LiveFile } from './live_files.ts';
import { Mentions } from './mentions.ts';
import { isSameOwn, putSwitch, settleAgain, settleDedicated } from './settle.ts';
import { SpaceAhead } from './space_ahead.ts';
import { Deferred, type WorkerJobs } from './types.ts';
import { type WaitingFile, WaitingFiles } from './waiting_files.ts';

/** Files of one job at most, so that a record stays small. */
const JOB_FILES = 1_024;

interface Job {
  readonly files: readonly WaitingFile[];
  readonly mentions: readonly PackMention[];
}

export class Packer {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  readonly #waiting = new WaitingFiles(SEGMENT_BYTES);
  /** Files handed to a worker, with what they were when they were. */
  readonly #packing = new Map<Ino, WaitingFile>();
  /** The files of each job, by its number. */
  readonly #jobs = new Map<number, Job>();
  readonly #mentions = new Mentions();
  readonly #ahead: SpaceAhead;
  /** When set, everything that waits is due. */
  #draining = false;
  /** No job can be had before one is done. */
  #isBlocked = false;
  /** Who waits for a file to be packed, whatever becomes of it. */
  readonly #awaited = new Map<Ino, Deferred<void>[]>();
  /** Files were left in own files because a disk was full. */
  #hasKept = false;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
    this.#ahead = new SpaceAhead(core, workers);
  }

  /** Files that wait or are being packed. */
  get pending(): number {
    return this.#waiting.count + this.#packing.size;
  }

  /** No file waits, and no worker writes. */
  get isIdle(): boolean {
    return this.#waiting.count === 0 && this.#jobs.size === 0 && this.#ahead.isIdle;
  }

  /** Whether a file that came at `ms` or before waits or is being packed. */
  hasFrom(ms: number): boolean {
    for (const { sinceMs } of this.#packing.values()) if (sinceMs <= ms) return true;
    return this.#waiting.hasFrom(ms);
  }

  /** Whether more waits than may: creates wait until a segment has been written. */
  get isFull(): boolean {
    const { landingFiles, landingBytes } = this.#core.options;
    return this.#waiting.count > landingFiles || this.#waiting.bytes > landingBytes;
  }

  add(inode: Inode, live: LiveFile): void {
    const file = this.#describe(inode, live);
    if (file === undefined) return;
    this.#waiting.add({ file, version: live.version, sinceMs: this.#core.clock.monotonicMs() });
  }

  /** It settled without a byte in a segment, or has another name since: an index is to describe it. */
  mention(ino: Ino): void {
    this.#mentions.add(ino);
  }

  /** The file is opened for writing, removed or changed: it must not be packed as it is. */
  cancel(ino: Ino): void {
    this.#waiting.remove(ino);
    this.#packing.delete(ino);
  }

  /** Packs a waiting file now, alone; settled once a record has switched it, or it is clear that none will. */
  packNow(ino: Ino): Deferred<void> {
    const deferred = new Deferred<void>();
    const waiting = this.#waiting.remove(ino);
    if (waiting !== undefined) this.#start([waiting], true);
    if (this.#packing.has(ino)) this.#awaited.set(ino, [...(this.#awaited.get(ino) ?? []), deferred]);
    else deferred.settle(undefined);
    return deferred;
  }

  /** A worker has it, by the name that it had. */
  isPacking(ino: Ino): boolean {
    return this.#packing.has(ino);
  }

  has(ino: Ino): boolean {
    return this.#waiting.has(ino) || this.#packing.has(ino);
  }

  /** From now on everything that waits is packed at once. */
  drain(on: boolean): void {
    this.#draining = on;
  }

  /** Hands work to the workers; returns the milliseconds until it wants to be called again. */
  tick(nowMs: number): number {
    const packIn = this.#tick(nowMs);
    return this.#draining ? packIn : Math.min(packIn, this.#ahead.tick(nowMs));
  }

  #tick(nowMs: number): number {
    // In a broken store own files stay what they are, until it is mounted again.
    if (this.#core.broken !== undefined) this.#waiting.clear();
    const delay = this.#draining ? 0 : this.#core.options.packDelayMs;
    while (!this.#isBlocked) {
      const oldest = this.#waiting.oldestMs();
      if (oldest === undefined) {
        if (this.#draining && this.#jobs.size === 0 && this.#core.broken === undefined) this.#startMentions();
        return Number.POSITIVE_INFINITY;
      }
      const isDue = this.#draining || nowMs - oldest >= delay || this.isFull;
      if (!isDue && !this.#waiting.hasFull) return Math.max(1, oldest + delay - nowMs);
      const dueMs = this.isFull || this.#draining ? nowMs : nowMs - delay;
      const files = this.#waiting.take({ files: JOB_FILES, dueMs });
      if (files.length === 0) return 1;
      this.#start(files);
    }
    return Number.POSITIVE_INFINITY;
  }

  /** A worker has written a segment: one record switches its files. */
  finish(result: PackResult): void {
    const core = this.#core;
    const { files: job, mentions } = this.#jobs.get(result.id) ?? { files: [], mentions: [] };
    this.#jobs.delete(result.id);
    // Behind files there may have been no room; where not even one got in alone, none ever would.
    if (result.mentioned > 0 || job.length > 0)
      for (const { ino } of mentions.slice(result.mentioned)) this.#mentions.add(ino);
    this.#isBlocked = false;
    this.#ahead.finished(result.id);
    const record = core.namespace.begin();
    const accepted = new Set<Ino>();
    const unpacked: PackedFile[] = [];
    for (const [index, packed] of result.files.entries()) {
      const waiting = job[index];
      if (waiting === undefined || this.#packing.get(packed.ino) !== waiting) continue;
      this.#packing.delete(packed.ino);
      if (packed.status === 'postponed') {
        this.#waiting.add(waiting);
        continue;
      }
      if (packed.status !== 'packed') {
        unpacked.push(packed);
        continue;
      }
      const live = core.live.find(packed.ino);
      const inode = core.namespace.inode(packed.ino);
      if (inode === undefined || live === undefined || !isSame(inode, live, waiting)) continue;
      if (core.broken !== undefined) continue;
      accepted.add(packed.ino);
      putSwitch(core, record, { inode, live }, packed.extents);
    }
    const { rows } = core.data.finishPack(result, accepted);
    for (const row of rows) record.putAggregate(row);
    core.commit(record);
    this.#leave(result, unpacked);
    for (const { ino } of result.files) this.#tellAwaiting(ino);
  }

  #tellAwaiting(ino: Ino): void {
    const awaiting = this.#awaited.get(ino) ?? [];
    this.#awaited.delete(ino);
    for (const deferred of awaiting) deferred.settle(undefined);
  }

  /** What was left in own files for want of room is to be packed after all. Those that wait already come first. */
  packKept(): void {
    const core = this.#core;
    if (!this.#hasKept || core.namespace.low() || isErrno(core.data.newestPlacement())) return;
    this.#hasKept = false;
    for (const ino of core.namespace.ownFileInodes()) {
      if (this.isFull) {
        this.#hasKept = true;
        return;
      }
      const inode = core.namespace.inode(ino);
      const isKept = inode !== undefined && inode.nlink > 0 && !isUnsettled(inode);
      if (isKept && inode.size <= core.options.packBelow && core.live.find(ino) === undefined)
        settleAgain(core, inode, inode);
    }
  }

  #leave(result: PackResult, files: readonly PackedFile[]): void {
    const [first] = files;
    if (first === undefined) return;
    const fields = { files: files.length, ino: first.ino, status: first.status, error: first.error || result.error };
    this.#core.log.warn(fields, 'Files were not packed, the first of them for this reason');
    if (result.error === E.ENOSPC.number) this.#hasKept = true;
    for (const { ino } of files) this.#keepOwn(ino);
  }

  /** An own file is a valid state for good: the inode settles with it. */
  #keepOwn(ino: Ino): void {
    const live = this.#core.live.find(ino);
    const inode = this.#core.namespace.inode(ino);
    if (live !== undefined && inode?.own !== undefined && live.handles === 0) settleDedicated(this.#core, inode, live);
  }

  /** Hands a job of files of one volume to a worker. When all lanes are at work they wait on, and others with them. */
  #start(files: readonly WaitingFile[], isUrgent = false): void {
    const [first] = files;
    if (first === undefined) return;
    const { volume } = first.file.own;
    const mine = files.filter((waiting) => waiting.file.own.volume === volume);
    for (const waiting of files) if (waiting.file.own.volume !== volume) this.#waiting.add(waiting);
    if (this.#core.namespace.critical()) {
      this.#hasKept = true;
      for (const waiting of mine) this.#keepOwn(waiting.file.ino);
      return;
    }
    const { data, namespace, live } = this.#core;
    const describer = new Describer(namespace);
    const described = mine.map(({ file }) =>
      describer.file(file, live.find(file.ino)?.mtime ?? namespace.inode(file.ino)?.mtime ?? EPOCH),
    );
    const mentions = this.#takeMentions(describer);
    const job = data.startPack(described, { lsn: namespace.lsn, mentions, isUrgent });
    if (job === undefined) {
      for (const { ino } of mentions) this.#mentions.add(ino);
      if (this.#core.data.canPack(volume)) {
        this.#isBlocked ||= !isUrgent;
        for (const waiting of mine) this.#waiting.add(waiting);
      } else for (const waiting of mine) this.#keepOwn(waiting.file.ino);
      return;
    }
    this.#jobs.set(job.id, { files: mine, mentions });
    for (const waiting of mine) this.#packing.set(waiting.file.ino, waiting);
    this.#workers.post({ kind: 'pack', job, isUrgent });
  }

  /** Nothing waits any more to be packed: what is left to be mentioned gets a job of its own, if there is a place for it. */
  #startMentions(): void {
    const { data, namespace } = this.#core;
    const mentions = this.#takeMentions(new Describer(namespace));
    if (mentions.length === 0) return;
    const job = data.startPack([], { lsn: namespace.lsn, mentions });
    if (job === undefined) {
      for (const { ino } of mentions) this.#mentions.add(ino);
      return;
    }
    this.#jobs.set(job.id, { files: [], mentions });
    this.#workers.post({ kind: 'pack', job, isUrgent: false });
  }

  #takeMentions(describer: Describer): PackMention[] {
    return this.#mentions.take(describer, (ino) => this.#packing.has(ino));
  }

  #describe(inode: Inode, live: LiveFile): SettledFile | undefined {
    const { ino, own, parent, position } = inode;
    if (own === undefined) return undefined;
    const name = new Describer(this.#core.namespace).name(parent, position);
    return { ino, own, size: live.size ?? inode.size, name, parent, position };
  }
}

/** The inode still has the own file that was packed, nobody has it open, nothing was changed since. */
function isSame(inode: Inode, live: LiveFile, waiting: WaitingFile): boolean {
  return (
    isSameOwn(inode, waiting.file.own) &&
    inode.nlink > 0 &&
    live.version === waiting.version &&
    live.writers === 0 &&
    live.mode !== 'passthrough'
  );
}
