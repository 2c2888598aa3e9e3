/**
 * The list of migrations: those to be done, and the last thousand that are over. In memory as `system.db` has them; every change
 * is part of the caller's record, or a record here.
 */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Ino, VolumeId } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import type { Core } from './core.ts';
import { isOver, jobOf, type MigrationJob, NONE_STAYS, RETRY_SEC_MAX, ROOTS_MAX, rowOf } from './migration_job.ts';
import { WALK_START } from './tree_walk.ts';

/** That are not over; more are refused. */
const PENDING_MAX = 1_000;
/** That are over, and kept to be looked at. */
const HISTORY_MAX = 1_000;

export interface MigrationRequest {
  /** Names it: asked again it is the same migration. */
  readonly request: string;
  readonly roots: readonly Ino[];
  /** A tier, or a volume's name. */
  readonly to: string;
}

export class Migrations {
  readonly #core: Core;
  readonly #pending = new Map<number, MigrationJob>();
  readonly #over = new Map<number, MigrationJob>();
  #newest = 0;

  constructor(core: Core) {
    this.#core = core;
    for (const row of core.namespace.migrations()) {
      this.#newest = Math.max(this.#newest, row.id);
      const job = jobOf(row);
      if (job !== undefined) (isOver(job) ? this.#over : this.#pending).set(row.id, job);
      else
        core.log.warn({ migration: row.id, state: row.state }, 'Row of a migration that cannot be read, passed over');
    }
  }

  /** To be done, or being done; the oldest first. */
  get pending(): MigrationJob[] {
    return [...this.#pending.values()];
  }

  /** Over, the newest last. */
  get history(): MigrationJob[] {
    return [...this.#over.values()];
  }

  /** The first that may be worked at now, and else the seconds until one may; infinite without any. */
  next(nowSec: number): MigrationJob | number {
    let waitSec = Number.POSITIVE_INFINITY;
    for (const job of this.#pending.values()) {
      // Of a clock that was set back since nothing is to be waited for.
      const isDue = job.nextTrySec <= nowSec || job.nextTrySec > nowSec + RETRY_SEC_MAX;
      if (job.state !== 'failed' || isDue) return job;
      waitSec = Math.min(waitSec, job.nextTrySec - nowSec);
    }
    return waitSec;
  }

  /**
   * EROFS, and ENOSPC where rows have no room; ENOENT: no tier or volume of that name; EAGAIN: too many wait; EINVAL: no
   * inodes, or too many; EOPNOTSUPP: volumes that are written once, to which nothing moves yet.
   */
  ask({ request, roots, to }: MigrationRequest): Result<MigrationJob> {
    const core = this.#core;
    for (const job of [...this.#pending.values(), ...this.#over.values()]) if (job.request === request) return job;
    if (core.refusal() !== undefined) return E.EROFS;
    if (core.namespace.low()) return E.ENOSPC;
    if (roots.length === 0 || roots.length > ROOTS_MAX) return E.EINVAL;
    const targets = targetsOf(core, to);
    if (targets.length === 0) return E.ENOENT;
    if (targets.every((id) => core.volumes.get(id)?.kind === 'ec')) return E.EOPNOTSUPP;
    if (this.#pending.size >= PENDING_MAX) return E.EAGAIN;
    const job: MigrationJob = {
      ...{ id: this.#newest + 1, state: 'planned', request, to, roots, place: WALK_START, pass: 0 },
      ...{ toDo: { files: 0, bytes: 0 }, moved: { files: 0, bytes: 0 }, stay: NONE_STAYS },
      ...{ beganSec: core.clock.now().sec, endedSec: 0, reason: '', retries: 0, nextTrySec: 0 },
    };
    const record = core.namespace.begin();
    this.put(record, job);
    core.commit(record);
    return job;
  }

  /** Into the record, and from here on what is known; of those that are over the oldest leave. */
  put(record: Record, job: MigrationJob): void {
    const kept = isOver(job) ? { ...job, roots: [], place: WALK_START } : job;
    this.#newest = Math.max(this.#newest, job.id);
    record.putMigration(rowOf(kept));
    if (!isOver(job)) {
      this.#pending.set(job.id, kept);
      return;
    }
    this.#pending.delete(job.id);
    this.#over.set(job.id, kept);
    for (const id of this.#over.keys()) {
      if (this.#over.size <= HISTORY_MAX) return;
      this.#over.delete(id);
      record.deleteMigration(id);
    }
  }
}

/** The volumes that a name means: all of a tier, else one. */
export function targetsOf(core: Core, to: string): readonly VolumeId[] {
  const rows = [...core.volumes.values()];
  const ofTier = rows.filter(({ tier }) => tier === to);
  const found = ofTier.length > 0 ? ofTier : rows.filter(({ name }) => name === to);
  return found.map(({ id }) => id);
}

/** The first of them that takes so many bytes; else ENOSPC when all that are there are full, or EIO. */
export function targetWithRoom(core: Core, targets: readonly VolumeId[], bytes: number): Result<VolumeId> {
  let isFull = false;
  for (const id of targets) {
    const outcome = core.data.migration.check(id, bytes);
    if (!isErrno(outcome)) return id;
    isFull ||= outcome === E.ENOSPC;
  }
  return isFull ? E.ENOSPC : E.EIO;
}
