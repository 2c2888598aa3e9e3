/**
 * Files that were written past this process and that a copy in packed extents may equal: the one that fsync made, or the
 * source of a copy_file_range. A worker compares the bytes; then the file settles, by the copy or without it.
 */
import type { CompareJob } from '../aggregate/compare.ts';
import { isErrno } from '../base/errno.ts';
import type { Extent, OwnName } from '../base/layout.ts';
import type { Ino } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import type { Core } from './core.ts';
import type { LiveFile } from './live_files.ts';
import { isSameOwn, settle } from './settle.ts';
import type { WorkerJobs } from './types.ts';

interface Comparison {
  readonly ino: Ino;
  readonly own: OwnName;
  readonly live: LiveFile;
  readonly version: number;
  readonly sinceMs: number;
}

export class Comparisons {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  readonly #underWay = new Map<number, Comparison>();
  #next = 1;

  constructor(core: Core, workers: WorkerJobs) {
    this.#core = core;
    this.#workers = workers;
  }

  get isIdle(): boolean {
    return this.#underWay.size === 0;
  }

  /** Whether one was begun at `ms` or before. */
  hasFrom(ms: number): boolean {
    for (const { sinceMs } of this.#underWay.values()) if (sinceMs <= ms) return true;
    return false;
  }

  has(ino: Ino): boolean {
    for (const comparison of this.#underWay.values()) if (comparison.ino === ino) return true;
    return false;
  }

  /** Of a file without handles, whose own file nobody can write; it settles when this is done, if it is still so. */
  begin(inode: Inode, live: LiveFile, extents: readonly Extent[]): void {
    const { data, volumes, clock } = this.#core;
    const target = inode.own === undefined ? undefined : data.ownTarget(inode.own);
    if (inode.own === undefined || target === undefined || isErrno(target)) {
      this.#decide(live, false);
      return;
    }
    const named = new Set(extents.map(({ volume }) => volume));
    const rows = [...volumes.values()].filter(({ id }) => named.has(id));
    const job: CompareJob = { path: target.path, size: live.size ?? inode.size, extents, volumes: rows };
    const id = this.#next++;
    const { version } = live;
    this.#underWay.set(id, { ino: inode.ino, own: inode.own, live, version, sinceMs: clock.monotonicMs() });
    this.#workers.post({ kind: 'compare', id, job });
  }

  /** A worker's answer: what could not be read counts as different. */
  finish(id: number, outcome: number): void {
    const found = this.#underWay.get(id);
    this.#underWay.delete(id);
    if (found === undefined) return;
    const { ino, own, live, version } = found;
    const inode = this.#core.namespace.inode(ino);
    const isAsItWas = inode !== undefined && isSameOwn(inode, own) && this.#core.live.find(ino) === live;
    if (isAsItWas && live.version === version && live.writers === 0) this.#decide(live, outcome === 1);
  }

  #decide(live: LiveFile, isSame: boolean): void {
    // Equal to what was counted: then what was not counted has changed nothing.
    live.isWrittenUnseen = false;
    if (!isSame) {
      live.copied = undefined;
      live.copyAt = undefined;
      live.unflushed = true;
    }
    settle(this.#core, live);
    this.#core.live.dropIfIdle(live);
  }
}
