/**
 * Own files made ahead of their use by workers, so that the thread that serves requests need not wait for the host to make
 * one. They are files like all own files, named by start and number, empty, and with the mtime 0 that says that a row knows
 * better. No row names one before it is taken, so whoever finds one later (a daemon that takes over, a mount, fsck) finds an
 * own file that nobody needs. No descriptors are kept.
 *
 * The first files are made when the first is wanted, and twice as many each time that half of them are used up.
 */
import type { Backing, BackingStat } from '../base/backing.ts';
import { E, isErrno } from '../base/errno.ts';
import type { OwnName, VolumeRow } from '../base/layout.ts';
import { EPOCH } from '../base/time.ts';
import type { VolumeId } from '../base/units.ts';
import type { Volume } from './volume.ts';
import { openVolume } from './volume_set.ts';

/** Files of one volume at most, and at first. */
const OWN_AHEAD_DEFAULT = 512;
const TARGET_FIRST = 64;
/** Files that a worker makes at one go: some milliseconds, or 40 of them where the host is slow at it. */
const BATCH_FILES = 64;

/** Own files for a worker to make; plain data. */
export interface OwnBatch {
  readonly volume: VolumeRow;
  readonly start: number;
  /** The numbers from this one on. */
  readonly first: number;
  readonly count: number;
}

/** What became of a batch: so many were made, in order; `error` is the positive errno of the next, or 0. */
export interface OwnsMade {
  readonly made: number;
  readonly error: number;
}

interface Pool {
  names: OwnName[];
  target: number;
  /** From half of the target down until it is reached. */
  isFilling: boolean;
}

export class OwnPool {
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #start: number;
  readonly #most: number;
  readonly #reserve: (count: number) => number;
  readonly #hasRoom: (volume: VolumeId) => boolean;
  readonly #noteMade: (volume: VolumeId) => void;
  readonly #pools = new Map<VolumeId, Pool>();
  /** Where the last one was wanted. */
  #volume: VolumeId | undefined;

  /**
   * `reserve` hands out so many numbers for good, and returns the first; `noteMade` hears that a volume has names that the
   * next flush has to cover.
   */
  constructor(options: {
    readonly volumes: ReadonlyMap<VolumeId, Volume>;
    readonly start: number;
    readonly most: number | undefined;
    readonly reserve: (count: number) => number;
    readonly hasRoom: (volume: VolumeId) => boolean;
    readonly noteMade: (volume: VolumeId) => void;
  }) {
    this.#volumes = options.volumes;
    this.#start = options.start;
    this.#most = options.most ?? OWN_AHEAD_DEFAULT;
    this.#reserve = options.reserve;
    this.#hasRoom = options.hasRoom;
    this.#noteMade = options.noteMade;
  }

  /** Files that are there. */
  get count(): number {
    let count = 0;
    for (const { names } of this.#pools.values()) count += names.length;
    return count;
  }

  /** The oldest one, for whoever wants a new own file on this volume; undefined when there is none. */
  take(volume: VolumeId): OwnName | undefined {
    if (this.#most === 0) return undefined;
    this.#volume = volume;
    return this.#poolOf(volume).names.shift();
  }

  /** What a worker shall make now, if more are wanted and there is room; `made` hears of it. */
  start(): OwnBatch | undefined {
    const volume = this.#volume === undefined ? undefined : this.#volumes.get(this.#volume);
    if (volume === undefined) return undefined;
    const pool = this.#poolOf(volume.row.id);
    const { length } = pool.names;
    pool.isFilling ||= length < pool.target / 2;
    if (!pool.isFilling || !this.#hasRoom(volume.row.id)) return undefined;
    const count = Math.min(BATCH_FILES, pool.target - length);
    return { volume: volume.row, start: this.#start, first: this.#reserve(count), count };
  }

  /** A worker's result. */
  made(batch: OwnBatch, { made, error }: OwnsMade): void {
    const { id } = batch.volume;
    const pool = this.#poolOf(id);
    if (made > 0) this.#noteMade(id);
    for (let i = 0; i < made; i++) pool.names.push({ volume: id, start: batch.start, number: batch.first + i });
    if (error === 0 && pool.names.length < pool.target) return;
    pool.isFilling = false;
    if (error === 0) pool.target = Math.min(this.#most, pool.target * 2);
  }

  /** Removes all of them, at once: no row has ever named one. How many could not be removed: the next mount does it. */
  empty(): number {
    let left = 0;
    for (const [id, pool] of this.#pools) {
      for (const name of pool.names) {
        const outcome = this.#volumes.get(id)?.unlinkOwn(name) ?? -E.EIO.number;
        if (outcome < 0 && outcome !== -E.ENOENT.number) left += 1;
      }
      pool.names = [];
      pool.isFilling = false;
    }
    this.#volume = undefined;
    return left;
  }

  #poolOf(volume: VolumeId): Pool {
    let pool = this.#pools.get(volume);
    if (pool === undefined) {
      pool = { names: [], target: Math.min(TARGET_FIRST, this.#most), isFilling: false };
      this.#pools.set(volume, pool);
    }
    return pool;
  }
}

/** Makes a batch, on whatever thread. What fails half-way is removed, and ends it. */
export function makeOwnFiles(backing: Backing, { volume: row, start, first, count }: OwnBatch): OwnsMade {
  const volume = openVolume(row, { backing });
  if (isErrno(volume)) return { made: 0, error: volume.number };
  for (let made = 0; made < count; made++) {
    const name = { volume: row.id, start, number: first + made };
    const file = volume.createOwn(name);
    if (isErrno(file)) return { made, error: file.number };
    const marked = file.setModified(EPOCH);
    file.close();
    if (marked >= 0) continue;
    volume.unlinkOwn(name);
    return { made, error: -marked };
  }
  return { made: count, error: 0 };
}

/** Whether an own file that no row names is one that was made ahead: there is nothing in it. */
export function isSpareOwn({ size, mtime }: BackingStat): boolean {
  return size === 0 && mtime.sec === EPOCH.sec && mtime.nsec === EPOCH.nsec;
}
