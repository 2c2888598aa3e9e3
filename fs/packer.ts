/**
 * Packing: settled files wait in their directory's list, a worker writes them into a segment, and one record switches
 * them. The switch is a compare-and-swap: an inode that changed since, or was opened for writing, keeps its own file,
 * and the bytes written for it are dead at birth.
 */
import { type PackedFile, type PackFile, type PackResult, SEGMENT_BYTES } from '../aggregate/pack.ts';
import { E, isErrno } from '../base/errno.ts';
import type { Ino } from '../base/units.ts';
import { ROOT_INO } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import { type Core, isUnsettled } from './core.ts';
import type { LiveFile } from './live_files.ts';
import { putSwitch, settleAgain, settleDedicated } from './settle.ts';
import type { WorkerJobs } from './types.ts';
import { type WaitingFile, WaitingFiles } from './waiting_files.ts';

/** Files of one job at most, so that a record stays small. */
const JOB_FILES = 1_024;
/** Directories above a file whose names are looked up for its path, at most. */
const PATH_DEPTH = 256;

export class Packer {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  readonly #waiting = new WaitingFiles(SEGMENT_BYTES);
  /** Files handed to a worker, with what they were when they were. */
  readonly #packing = new Map<Ino, WaitingFile>();
  /** The files of each job, by its number. */
  readonly #jobs = new Map<number, readonly WaitingFile[]>();
  /** When set, everything that waits is due. */
  #draining = false;
  /** No job can be had before one is done. */
  #isBlocked = false;
  /** Files were left in own files because a disk was full. */
  #hasKept = false;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
  }

  /** Files that wait or are being packed. */
  get pending(): number {
    return this.#waiting.count + this.#packing.size;
  }

  /** No file waits, and no worker writes. */
  get isIdle(): boolean {
    return this.#waiting.count === 0 && this.#jobs.size === 0;
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

  /** The file is opened for writing, removed or changed: it must not be packed as it is. */
  cancel(ino: Ino): void {
    this.#waiting.remove(ino);
    this.#packing.delete(ino);
  }

  /** From now on everything that waits is packed at once. */
  drain(on: boolean): void {
    this.#draining = on;
  }

  /** Hands work to the workers; returns the milliseconds until it wants to be called again. */
  tick(nowMs: number): number {
    // In a broken store own files stay what they are, until it is mounted again.
    if (this.#core.broken !== undefined) this.#waiting.clear();
    const delay = this.#draining ? 0 : this.#core.options.packDelayMs;
    while (!this.#isBlocked) {
      const oldest = this.#waiting.oldestMs();
      if (oldest === undefined) return Number.POSITIVE_INFINITY;
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
    const job = this.#jobs.get(result.id) ?? [];
    this.#jobs.delete(result.id);
    this.#isBlocked = false;
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
  #start(files: readonly WaitingFile[]): void {
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
    const job = this.#core.data.startPack(
      mine.map((waiting) => waiting.file),
      this.#core.namespace.lsn,
    );
    if (job === undefined) {
      if (this.#core.data.canPack(volume)) {
        this.#isBlocked = true;
        for (const waiting of mine) this.#waiting.add(waiting);
      } else for (const waiting of mine) this.#keepOwn(waiting.file.ino);
      return;
    }
    this.#jobs.set(job.id, mine);
    for (const waiting of mine) this.#packing.set(waiting.file.ino, waiting);
    this.#workers.post({ kind: 'pack', job });
  }

  #describe(inode: Inode, live: LiveFile): PackFile | undefined {
    if (inode.own === undefined) return undefined;
    const { ino, own, parent, mode, uid, gid } = inode;
    const name = this.#nameOf(parent, inode.position) ?? new Uint8Array(0);
    const size = live.size ?? inode.size;
    return { ino, own, size, name, parent, directoryPath: this.#pathOf(parent), mode, uid, gid, mtime: live.mtime };
  }

  #nameOf(parent: Ino, position: number): Uint8Array | undefined {
    const dir = this.#core.namespace.inode(parent);
    if (dir === undefined) return undefined;
    const found = this.#core.namespace.readList(dir, position - 1, 1);
    const dentry = isErrno(found) ? undefined : found[0];
    return dentry?.position === position ? dentry.name : undefined;
  }

  /** The directory's path from the root, for those who one day rebuild the store from its segments. */
  #pathOf(directory: Ino): Uint8Array {
    const parts: Uint8Array[] = [];
    let ino = directory;
    for (let depth = 0; ino !== ROOT_INO && depth < PATH_DEPTH; depth++) {
      const row = this.#core.namespace.inode(ino);
      const name = row === undefined ? undefined : this.#nameOf(row.parent, row.position);
      if (row === undefined || name === undefined) break;
      parts.unshift(SLASH, name);
      ino = row.parent;
    }
    return parts.length === 0 ? SLASH : Buffer.concat(parts);
  }
}

const SLASH = Uint8Array.of(0x2f);

/** The inode still has the own file that was packed, nobody has it open, nothing was changed since. */
function isSame(inode: Inode, live: LiveFile, waiting: WaitingFile): boolean {
  const { own } = waiting.file;
  return (
    inode.own !== undefined &&
    inode.own.volume === own.volume &&
    inode.own.start === own.start &&
    inode.own.number === own.number &&
    inode.nlink > 0 &&
    live.version === waiting.version &&
    live.writers === 0
  );
}
