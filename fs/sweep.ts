/**
 * What a daemon that takes over a live mount does about its predecessor's leavings, a little at a time, since requests
 * wait: own files whose last handle was closed settle; own files and aggregates that no row names are removed, among them
 * those that were to be unlinked behind the barrier that never came.
 *
 * Names of earlier starts are never given again, so an own file that no row named when all rows had been looked at is
 * nobody's for good. It goes behind the next barrier, like any other.
 */
import { E, isErrno } from '../base/errno.ts';
import type { OwnName, VolumeRow } from '../base/layout.ts';
import type { Ino, VolumeId } from '../base/units.ts';
import { type Core, isUnsettled } from './core.ts';
import { dropUnnamed, logUnnamed, OwnNames, recoverOwn, removeUnknownAggregate } from './recovery.ts';
import type { WorkerJobs } from './types.ts';

/** Files looked at before requests have their turn again, and the time that this may take. */
const STEPS_A_TURN = 256;
const TURN_MS = 2;
/** Files that wait for a barrier to be unlinked, at most: it unlinks them at one go. */
const REMOVALS_MAX = 1_024;
/** Until the next turn: requests and barriers come first. */
const PAUSE_MS = 1;
const LONG_PAUSE_MS = 100;

/** What one step has come to. */
type Step = 'worked' | 'waits';

export class Sweep {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  readonly #steps: Generator<Step>;
  readonly #named = new OwnNames();
  /** The folder that a worker was asked to list, and what it found. */
  #listed: Float64Array | undefined;
  /** A row that cannot be read may name what looks like nobody's. */
  #isSure = true;
  #isDone = false;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
    this.#steps = this.#run();
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Goes on for a moment; returns the milliseconds until it wants to be called again. */
  turn(): number {
    // Of a broken store nothing is taken away.
    if (this.#core.broken !== undefined) this.#isDone = true;
    if (this.#isDone) return Number.POSITIVE_INFINITY;
    const { clock } = this.#core;
    const endMs = clock.monotonicMs() + TURN_MS;
    for (let step = 0; step < STEPS_A_TURN && clock.monotonicMs() <= endMs; step++) {
      const next = this.#steps.next();
      if (next.done === true) {
        this.#isDone = true;
        return Number.POSITIVE_INFINITY;
      }
      if (next.value === 'waits') return LONG_PAUSE_MS;
    }
    return PAUSE_MS;
  }

  /** A worker has listed the folder. */
  listed(numbers: Float64Array): void {
    this.#listed = numbers;
  }

  *#run(): Generator<Step> {
    for (const ino of this.#core.namespace.ownFileInodes()) {
      this.#look(ino);
      yield 'worked';
    }
    for (const volume of this.#core.volumes.keys()) {
      yield* this.#removeOwnFiles(volume);
      yield* this.#removeAggregates(volume);
    }
  }

  /** Files of this start are this daemon's own business. */
  #look(ino: Ino): void {
    const core = this.#core;
    const inode = core.namespace.readInode(ino);
    if (isErrno(inode)) {
      // Removed since the index was read, and its own file with it; or else damaged.
      if (inode !== E.ENOENT) this.#isSure = false;
      return;
    }
    const { own } = inode;
    if (own === undefined || own.start === core.data.start) return;
    this.#named.add(own);
    const live = core.live.find(ino);
    const isOpen = live !== undefined && (live.handles > 0 || live.mayBeMapped);
    if (!isOpen && !core.packer.has(ino) && isUnsettled(inode) && inode.nlink > 0) recoverOwn(core, inode);
  }

  *#removeOwnFiles(volume: VolumeId): Generator<Step> {
    const core = this.#core;
    const starts = core.data.ownStarts(volume);
    const row = core.volumes.get(volume);
    if (isErrno(starts) || row === undefined) return;
    let count = 0;
    for (const start of starts) {
      if (start >= core.data.start) continue;
      for (const number of yield* this.#list(row, start)) {
        const own: OwnName = { volume, start, number };
        if (!this.#named.has(own)) {
          dropUnnamed(core, own, this.#isSure);
          count += 1;
        }
        while (core.data.removals > REMOVALS_MAX) yield 'waits';
        yield 'worked';
      }
    }
    logUnnamed(core, volume, { count, isSure: this.#isSure });
  }

  *#list(volume: VolumeRow, start: number): Generator<Step, Float64Array> {
    this.#workers.post({ kind: 'list', volume, start });
    for (;;) {
      yield 'waits';
      const listed = this.#listed;
      this.#listed = undefined;
      if (listed !== undefined) return listed;
    }
  }

  *#removeAggregates(volume: VolumeId): Generator<Step> {
    const core = this.#core;
    const folders = core.data.aggregateFolders(volume);
    if (isErrno(folders)) return;
    for (const folder of folders) {
      const ids = core.data.aggregatesIn(volume, folder);
      if (isErrno(ids)) continue;
      for (const id of ids) {
        removeUnknownAggregate(core, { volume, id, isSure: this.#isSure });
        yield 'worked';
      }
    }
  }
}
