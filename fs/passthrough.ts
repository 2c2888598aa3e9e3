/**
 * Pass-through: the kernel reads and writes the own file of an open inode by itself; no message comes here. The rules are
 * the kernel's, and it answers a violation with EIO:
 *
 * - While a pass-through handle of an inode lives, every other open of it is pass-through too, with the same backing id;
 *   while a cached one lives, none is. So the first open chooses for all (`begin`), and the last close ends it (`end`).
 * - Ids belong to the connection, not to this process: the open table keeps them for the next daemon.
 * - A file is registered from a descriptor that only reads, so that it does not count among those that may write.
 *
 * Nobody tells of what is written this way. A file is settled once no handle for writing is left and, if one could have
 * mapped it, once a lease proves that no mapping is left either (`isAbandoned`).
 */

import type { DataStore } from '../aggregate/store.ts';
import { E, errnoOf, isErrno } from '../base/errno.ts';
import type { OwnName } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Ino, VolumeId } from '../base/units.ts';
import type { LiveFile } from './live_files.ts';
import type { OpenTable } from './open_table.ts';

/** The kernel's table of registered files, of one connection. */
export interface BackingIds {
  /** An id above 0, or -errno: EPERM where pass-through was not agreed or is not allowed. */
  register(descriptor: number): number;
  unregister(id: number): void;
}

/**
 * When it is tried again whether a file is abandoned: soon at first, since the host closes it a moment after the kernel has
 * sent RELEASE, then once a second, for those that are mapped.
 */
const PROBE_MS = 1_000;
const FIRST_PROBE_MS = 5;
const QUICK_PROBES = 4;

export class Passthrough {
  readonly #ids: BackingIds;
  readonly #data: DataStore;
  readonly #openTable: OpenTable;
  readonly #log: Log;
  readonly #clock: Clock;
  /** Whether a volume's files can be registered and leased, once known. */
  readonly #suits = new Map<VolumeId, boolean>();
  #isOff = false;
  /** Files without handles that may be mapped: how often that was tried, and when to try again. */
  readonly #mapped = new Map<Ino, { readonly tries: number; readonly dueMs: number }>();
  /** Inodes opened this way so far. */
  count = 0;
  /** Registered now. */
  #open = 0;
  readonly #mayPass: (volume: VolumeId) => boolean;

  constructor(
    ids: BackingIds,
    parts: {
      readonly data: DataStore;
      readonly openTable: OpenTable;
      readonly log: Log;
      readonly clock: Clock;
      /** Whether there is so much room on a volume that files may be written there unheard. */
      readonly mayPass: (volume: VolumeId) => boolean;
    },
  ) {
    this.#ids = ids;
    this.#data = parts.data;
    this.#openTable = parts.openTable;
    this.#log = parts.log;
    this.#clock = parts.clock;
    this.#mayPass = parts.mayPass;
  }

  /** Chooses for an inode that has no handle; false when its handles have to be cached. */
  begin(live: LiveFile, own: OwnName): boolean {
    if (this.#isOff || this.#suits.get(own.volume) === false || !this.#mayPass(own.volume)) return false;
    const file = this.#data.lendOwn(own);
    if (isErrno(file)) return false;
    const id = file.descriptor === undefined ? -E.EOPNOTSUPP.number : this.#ids.register(file.descriptor);
    file.close();
    if (id <= 0) {
      this.#refused(own.volume, -id);
      return false;
    }
    if (!this.#isLeasable(own)) {
      this.#ids.unregister(id);
      return false;
    }
    live.mode = 'passthrough';
    live.backingId = id;
    this.count += 1;
    this.#open += 1;
    return true;
  }

  /** One that a predecessor had registered. */
  adopt(live: LiveFile, id: number): void {
    live.backingId = id;
    if (id !== 0) this.#open += 1;
  }

  /** Whether somebody may be writing unheard. */
  get isInUse(): boolean {
    return this.#open > 0 || this.#mapped.size > 0;
  }

  /**
   * On a mount taken over: gives back what the predecessor had registered and could not note any more before it was killed,
   * since nobody ever would, and its files' space with it. Ids rise, so these lie between the newest that was noted and the
   * next one. Returns how many they may be.
   */
  giveBackLost(): number {
    const own = this.#data.lendIdentity();
    if (isErrno(own)) return 0;
    const next = own.descriptor === undefined ? -1 : this.#ids.register(own.descriptor);
    own.close();
    if (next <= 0) return 0;
    const kept = new Set<number>();
    for (const { mode, backingId } of this.#openTable.entries()) if (mode === 'passthrough') kept.add(backingId);
    let count = 0;
    for (let id = this.#openTable.newestBackingId + 1; id < next; id++) {
      if (kept.has(id)) continue;
      this.#ids.unregister(id);
      count += 1;
    }
    this.#ids.unregister(next);
    return count;
  }

  /** The last handle is gone, or the first could not be given. Order: the id goes before the own file may. */
  end(live: LiveFile): void {
    if (live.backingId === 0) return;
    this.#ids.unregister(live.backingId);
    this.#open -= 1;
    live.backingId = 0;
  }

  /** An id whose file nobody has open: of what was never recorded. */
  giveBack(id: number): void {
    this.#ids.unregister(id);
  }

  /** For the next daemon; the entry is there. */
  note(live: LiveFile, own: OwnName): void {
    this.#openTable.setOwn(live.ino, own);
    this.#openTable.setMode(live.ino, 'passthrough', live.backingId);
  }

  /** Whether nobody can write an own file any more that has no handle here. One that cannot be asked may be written. */
  isAbandoned(live: LiveFile, own: OwnName): boolean {
    const outcome = this.#probe(own);
    this.#mapped.delete(live.ino);
    if (outcome >= 0) {
      live.probes = 0;
      return true;
    }
    live.probes += 1;
    const waitMs = live.probes > QUICK_PROBES ? PROBE_MS : FIRST_PROBE_MS * 4 ** (live.probes - 1);
    this.#mapped.set(live.ino, { tries: live.probes, dueMs: this.#clock.monotonicMs() + waitMs });
    return false;
  }

  /** Whether a file was closed so lately that it may be abandoned in a moment. */
  get isUndecided(): boolean {
    for (const { tries } of this.#mapped.values()) if (tries <= QUICK_PROBES) return true;
    return false;
  }

  /** Files to be asked about once more. */
  takeDue(nowMs: number): readonly Ino[] {
    const due: Ino[] = [];
    for (const [ino, { dueMs }] of this.#mapped) if (dueMs <= nowMs) due.push(ino);
    for (const ino of due) this.#mapped.delete(ino);
    return due;
  }

  /** Milliseconds until `takeDue` may have something. */
  dueIn(nowMs: number): number {
    let inMs = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#mapped.values()) inMs = Math.min(inMs, Math.max(0, dueMs - nowMs));
    return inMs;
  }

  #probe(own: OwnName): number {
    // What this thread has open for writing would count.
    this.#data.closeOwn(own);
    const file = this.#data.lendOwn(own);
    if (isErrno(file)) return -file.number;
    const outcome = file.probeWriters?.() ?? -E.EOPNOTSUPP.number;
    file.close();
    return outcome;
  }

  /** Without leases nobody could tell when a mapped file is settled: found out with the first file of each volume. */
  #isLeasable(own: OwnName): boolean {
    const known = this.#suits.get(own.volume);
    if (known !== undefined) return known;
    const outcome = this.#probe(own);
    const suits = outcome >= 0 || outcome === -E.EAGAIN.number;
    this.#suits.set(own.volume, suits);
    if (!suits) this.#refused(own.volume, -outcome);
    return suits;
  }

  #refused(volume: VolumeId, error: number): void {
    const { name } = errnoOf(error);
    if (error === E.ENOENT.number || error === E.EMFILE.number || error === E.ENOMEM.number) return;
    this.#suits.set(volume, false);
    if (error === E.EPERM.number || error === E.ENOTTY.number) {
      this.#isOff = true;
      this.#log.warn(
        { errno: name },
        'No pass-through on this mount: the kernel, or what this process may do, does not allow it',
      );
    } else this.#log.warn({ volume, errno: name }, 'No pass-through on a volume: its filesystem does not allow it');
  }
}
