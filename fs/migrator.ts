/**
 * Migrations between volumes that are appended to: what somebody named is copied to a volume of another tier, a segment at a time,
 * and switched there. In small steps beside everything else, as compaction: the control thread looks at some rows, a worker
 * copies, one record of at most 256 inodes switches them.
 *
 *     planned  -> what waits to be packed is packed, then everything below the PATHs is counted
 *     copying  -> walk over it: plan units until a job is full -> a worker copies them -> the record that switches -> ...
 *                 what was busy is looked at in another walk, three in all
 *     done     behind a barrier: what moved is durable where it is now, and its old place is given back
 *     failed   the target is missing, broken or full: a reason, how often, and when it is tried again; then on as `planned`,
 *              or for good
 *
 * Order of durability: bytes of the target, the record that names them, the source's bytes. The target is flushed by the barrier
 * that makes the record durable, as everything packed is; the source's ranges die with that record, and are punched, or the
 * source removed, only behind that barrier. The record also carries the job's row: counts, and the place of the walk.
 *
 * A crash in any state is safe, since extents in the inodes are the truth and the row says only what to go on with. Before the
 * record a copy is named by nobody; after it, or after a power cut that took it back, source and target are each whole where
 * a row names them. The walk goes on at a place that all of its files before were switched or left; what it meets again it
 * finds in its place. A target that can be written only once is filled and sealed between copying and switching: see
 * aggregate/migration.ts.
 *
 * Each switch is a compare-and-swap over all that share a range (move_units.ts): deletes, truncates, overwrites, renames, links
 * and copies meanwhile need no other rule.
 */
import type { PackResult } from '../aggregate/pack.ts';
import { SEGMENT_BYTES } from '../aggregate/pack.ts';
import { E, type Errno, isErrno } from '../base/errno.ts';
import type { Ino, VolumeId } from '../base/units.ts';
import type { Barriers } from './barriers.ts';
import type { Core } from './core.ts';
import { Describer } from './describer.ts';
import type { Chore } from './maintenance.ts';
import type { Amount, MigrationJob, StayReason } from './migration_job.ts';
import { NONE_STAYS, RETRIES_MAX, RETRY_SEC_MAX, stayCount } from './migration_job.ts';
import { Migrations, targetsOf, targetWithRoom } from './migrations.ts';
import { bytesElsewhere, lookAt } from './movable.ts';
import { isUnchanged, type PlannedUnit, planUnit, putMoved, switchedRows } from './move_units.ts';
import { TreeWalk, WALK_START, type WalkPlace } from './tree_walk.ts';
import type { Deferred, WorkerJobs } from './types.ts';

/** Files of one record, and units of one job, at most. */
const JOB_FILES = 256;
/** Files looked at in one step. */
const STEP_FILES = 16;
/** Walks that copy. */
const PASSES = 3;
/** How often a row is written while nothing is switched. */
const SAVE_MS = 1_000;
/** Of the time that a job took, how long the disks are left alone. */
const REST = 1;
/** Until a lane is asked for again that is at work. */
const BUSY_MS = 100;
/** Before the next walk. */
const PASS_MS = 500;
/** Until a failed one is tried again: doubled each time, to `RETRY_SEC_MAX`. */
const RETRY_SEC = 60;
/** Jobs in a row that left the target's aggregate without a file. */
const FRUITLESS_MAX = 4;

/** One migration under way. */
interface Run {
  job: MigrationJob;
  readonly targets: readonly VolumeId[];
  walk: TreeWalk;
  planned: PlannedUnit[];
  /** Files that have bytes elsewhere besides: looked at again once the unit has moved. */
  more: Map<PlannedUnit, Ino>;
  bytes: number;
  files: number;
  /** In units that are planned. */
  inos: Set<Ino>;
  describer: Describer;
  /** To be looked at before the walk goes on, and once the job that is planned is done. */
  again: Ino[];
  later: Ino[];
  stay: Record<StayReason, number>;
  toDo: Amount;
  /** What is true up to a place that the walk can go on from. */
  mark: Pick<MigrationJob, 'place' | 'stay' | 'toDo'>;
  savedMs: number;
  fruitless: number;
}

interface CopyJob {
  readonly id: number;
  readonly units: readonly PlannedUnit[];
  readonly more: ReadonlyMap<PlannedUnit, Ino>;
  readonly volume: VolumeId;
  readonly sinceMs: number;
}

export class Migrator implements Chore {
  readonly list: Migrations;
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  readonly #barriers: Barriers;
  readonly #sync: () => Deferred<void>;
  #run: Run | undefined;
  #copy: CopyJob | undefined;
  /** For what is packed first, and the barrier at the end. */
  #waits: 'packing' | 'barrier' | undefined;
  #isBehindBarrier = false;
  #restUntilMs = 0;

  constructor(
    core: Core,
    tools: { readonly workers: WorkerJobs; readonly barriers: Barriers; readonly sync: () => Deferred<void> },
  ) {
    this.#core = core;
    this.#workers = tools.workers;
    this.#barriers = tools.barriers;
    this.#sync = tools.sync;
    this.list = new Migrations(core);
  }

  /** No worker is at work for it. */
  get isIdle(): boolean {
    return this.#copy === undefined;
  }

  get hasWork(): boolean {
    return this.dueInMs === 0;
  }

  get dueInMs(): number {
    if (this.#copy !== undefined || this.#waits !== undefined) return Number.POSITIVE_INFINITY;
    const restMs = Math.max(0, this.#restUntilMs - this.#core.clock.monotonicMs());
    if (this.#run !== undefined) return restMs;
    const next = this.list.next(this.#core.clock.now().sec);
    return typeof next === 'number' ? next * 1_000 : restMs;
  }

  /** As it is now, where the row is behind. */
  shown(job: MigrationJob): MigrationJob {
    const run = this.#run?.job.id === job.id ? this.#run : undefined;
    return run === undefined ? job : { ...run.job, stay: { ...run.stay }, toDo: run.toDo };
  }

  isMine(job: number): boolean {
    return this.#copy?.id === job;
  }

  step(): boolean {
    if (!this.hasWork) return false;
    const run = this.#run;
    if (run === undefined) return this.#begin();
    if (this.#isBehindBarrier) return this.#end(run);
    if (run.job.state === 'planned') return this.#count(run);
    return this.#plan(run);
  }

  #begin(): boolean {
    const core = this.#core;
    const job = this.list.next(core.clock.now().sec);
    if (typeof job === 'number') return false;
    const targets = targetsOf(core, job.to);
    const resumed: MigrationJob = job.state === 'failed' ? { ...job, state: 'planned', place: WALK_START } : job;
    this.#run = newRun(core, resumed, targets);
    const target = targetWithRoom(core, targets, 0);
    if (isErrno(target)) return this.#fail(this.#run, target);
    this.#packFirst();
    return false;
  }

  /** As `pacsfs sync --packed` does. */
  #packFirst(): void {
    this.#waits = 'packing';
    this.#sync().whenSettled(() => {
      this.#waits = undefined;
    });
  }

  #count(run: Run): boolean {
    for (let i = 0; i < STEP_FILES; i++) {
      const ino = run.walk.take();
      if (ino === undefined) {
        if (run.walk.step()) return this.#note(run);
        run.job = { ...run.job, state: 'copying', toDo: addUp(run.toDo, run.job.moved) };
        run.toDo = run.job.toDo;
        this.#walkAgain(run);
        return this.#save(run);
      }
      const { files, bytes } = bytesElsewhere(this.#core, ino, run.targets);
      run.toDo = { files: run.toDo.files + files, bytes: run.toDo.bytes + bytes };
    }
    return this.#note(run);
  }

  /** From the beginning, in a walk that copies. */
  #walkAgain(run: Run): void {
    run.walk = new TreeWalk(this.#core.namespace, run.job.roots);
    run.stay = { ...NONE_STAYS };
    run.job = { ...run.job, pass: run.job.pass + 1 };
    run.mark = { place: WALK_START, stay: NONE_STAYS, toDo: run.toDo };
  }

  #plan(run: Run): boolean {
    for (let i = 0; i < STEP_FILES && !isFull(run); i++) {
      const ino = run.again.pop() ?? run.walk.take();
      if (ino === undefined) {
        if (run.walk.step()) return this.#note(run);
        if (run.planned.length === 0) return this.#finishWalk(run);
        return this.#post(run);
      }
      this.#planFile(run, ino);
    }
    return isFull(run) ? this.#post(run) : this.#note(run);
  }

  #planFile(run: Run, ino: Ino): void {
    const core = this.#core;
    const look = lookAt(core, ino, run.targets);
    if (look === undefined) return;
    if (typeof look === 'string') run.stay[look] += 1;
    else if (run.inos.has(ino)) run.later.push(ino);
    else {
      const at = { source: look.source, describer: run.describer, fileBytes: Number.POSITIVE_INFINITY };
      const planned = planUnit(core, ino, at);
      if (planned === undefined) run.stay.shared += 1;
      // A record changes a row once: what a file has elsewhere goes with the next job.
      else if (planned.members.some((member) => run.inos.has(member.ino))) run.later.push(ino);
      else {
        addUnit(run, planned);
        if (look.more) run.more.set(planned, ino);
      }
    }
  }

  #post(run: Run): boolean {
    const { data, namespace, clock } = this.#core;
    const target = targetWithRoom(this.#core, run.targets, run.bytes);
    if (isErrno(target)) return this.#fail(run, target);
    const units = run.planned.map(({ unit }) => unit);
    const job = data.migration.start(units, { volume: target, lsn: namespace.lsn });
    if (job === E.EBUSY) {
      this.#restUntilMs = clock.monotonicMs() + BUSY_MS;
      return false;
    }
    if (isErrno(job)) return this.#fail(run, job);
    this.#copy = { id: job.id, units: run.planned, more: run.more, volume: target, sinceMs: clock.monotonicMs() };
    clearPlanned(run, this.#core);
    this.#workers.post({ kind: 'pack', job, isUrgent: false });
    return false;
  }

  /** A worker has copied: one record switches what is still as it was, and says how far it is. */
  finish(result: PackResult): void {
    const core = this.#core;
    const copy = this.#copy;
    const run = this.#run;
    this.#copy = undefined;
    if (copy === undefined || run === undefined) return;
    const record = core.namespace.begin();
    const accepted = new Map<number, readonly [PlannedUnit, Parameters<typeof putMoved>[3]]>();
    for (const [i, moved] of result.moved.entries()) {
      const planned = copy.units[i];
      if (planned === undefined) continue;
      const { source } = planned.unit;
      const to = { source, target: result.aggregate, volume: copy.volume, pieces: moved.pieces };
      const rows = core.broken === undefined ? switchedRows(core, planned, to) : undefined;
      if (moved.status === 'moved' && rows !== undefined) accepted.set(i, [planned, { ...to, rows }]);
      else this.#leave(run, planned, moved);
    }
    core.data.migration.finish(result, new Set(accepted.keys()));
    for (const [planned, to] of accepted.values()) {
      putMoved(core, record, planned, to);
      run.job = { ...run.job, moved: addUp(run.job.moved, movedBy(planned, to.rows, run.targets)), retries: 0 };
      const more = copy.more.get(planned);
      if (more !== undefined) run.again.push(more);
    }
    run.fruitless = accepted.size > 0 ? 0 : run.fruitless + 1;
    this.#mark(run);
    this.list.put(record, { ...run.job, ...run.mark });
    core.commit(record);
    run.savedMs = core.clock.monotonicMs();
    this.#restUntilMs = run.savedMs + (run.savedMs - copy.sinceMs) * REST;
    if (result.error !== 0) this.#fail(run, result.error === E.ENOSPC.number ? E.ENOSPC : E.EIO);
    else if (isSourceAway(core, copy, result)) this.#fail(run, E.EIO, 'what is to move cannot be read: see the log');
  }

  #leave(run: Run, planned: PlannedUnit, moved: PackResult['moved'][number]): void {
    const { members, unit } = planned;
    if (moved.status === 'postponed' && run.fruitless < FRUITLESS_MAX) {
      for (const { ino } of members.slice(0, 1)) run.again.push(ino);
    } else if (moved.status === 'too large' || moved.status === 'postponed') run.stay.shared += members.length;
    // What was punched meanwhile is nobody's any more.
    else if (moved.status === 'unreadable' && isUnchanged(this.#core, planned)) {
      const isDamaged = moved.error === 0;
      run.stay[isDamaged ? 'damaged' : 'unreachable'] += members.length;
      const fields = { aggregate: unit.source, rangeStart: moved.badRange, error: moved.error, ino: members[0]?.ino };
      const what = isDamaged ? 'A block is not what was written' : 'An aggregate cannot be read';
      this.#core.log.error(fields, `${what}: it stays where it is`);
    } else run.stay.changed += members.length;
  }

  /** Once nothing is under way for which the walk would have to go back. */
  #mark(run: Run): void {
    if (run.planned.length + run.again.length + run.later.length > 0 || !run.walk.isBetween) return;
    run.mark = { place: run.walk.place, stay: { ...run.stay }, toDo: run.toDo };
  }

  /** After a step: the row, now and then. True when a record was made. */
  #note(run: Run): boolean {
    const before: WalkPlace = run.mark.place;
    this.#mark(run);
    const isDue = this.#core.clock.monotonicMs() - run.savedMs >= SAVE_MS;
    return isDue && run.mark.place !== before ? this.#save(run) : false;
  }

  #save(run: Run): boolean {
    const record = this.#core.namespace.begin();
    this.list.put(record, { ...run.job, ...run.mark });
    this.#core.commit(record);
    run.savedMs = this.#core.clock.monotonicMs();
    return true;
  }

  #finishWalk(run: Run): boolean {
    run.stay.unreachable += run.walk.unread;
    run.walk.unread = 0;
    const { open, changed, shared } = run.stay;
    if (open + changed + shared > 0 && run.job.pass < PASSES) {
      this.#walkAgain(run);
      this.#restUntilMs = this.#core.clock.monotonicMs() + PASS_MS;
      this.#packFirst();
      return this.#save(run);
    }
    this.#waits = 'barrier';
    this.#barriers.wait().whenSettled((outcome) => {
      this.#waits = undefined;
      // A store that is broken does nothing more, and goes on from the row once it is repaired.
      this.#isBehindBarrier = !isErrno(outcome);
    });
    return false;
  }

  #end(run: Run): boolean {
    this.#isBehindBarrier = false;
    const stay = { ...run.stay };
    // What has two names below, or went meanwhile, was counted all the same.
    const toDo = stayCount(stay) === 0 ? run.job.moved : run.job.toDo;
    this.#put({ ...run.job, state: 'done', stay, toDo, reason: '', endedSec: this.#core.clock.now().sec });
    return true;
  }

  #fail(run: Run, errno: Errno, because?: string): boolean {
    const { clock, log, volumes } = this.#core;
    const names = run.targets.map((id) => volumes.get(id)?.name ?? `${id}`).join(', ');
    const why = errno === E.ENOSPC ? 'has no room left' : 'is missing, or cannot be written or read';
    const present = names === '' ? `there is no tier or volume '${run.job.to}' any more` : `volume ${names} ${why}`;
    const reason = because ?? present;
    const retries = run.job.retries + 1;
    const nowSec = clock.now().sec;
    const nextTrySec = nowSec + Math.min(RETRY_SEC * 2 ** (retries - 1), RETRY_SEC_MAX);
    log.warn({ migration: run.job.id, retries, of: RETRIES_MAX, error: errno.number }, `A migration failed: ${reason}`);
    const place = WALK_START;
    const stay = { ...run.stay };
    const toDo = run.job.toDo;
    this.#put({
      ...run.job,
      state: 'failed',
      reason,
      retries,
      nextTrySec,
      endedSec: nowSec,
      place,
      stay,
      toDo,
      pass: 0,
    });
    return true;
  }

  /** The present one is over, for now or for good. */
  #put(job: MigrationJob): void {
    this.#run = undefined;
    const record = this.#core.namespace.begin();
    this.list.put(record, job);
    this.#core.commit(record);
  }
}

function newRun(core: Core, job: MigrationJob, targets: readonly VolumeId[]): Run {
  const isCounting = job.state === 'planned';
  const isAnew = isCounting && job.place.levels.length === 0 && job.place.root === 0;
  const toDo = isAnew ? { files: 0, bytes: 0 } : job.toDo;
  return {
    ...{ job, targets, walk: new TreeWalk(core.namespace, job.roots, job.place) },
    ...{
      planned: [],
      more: new Map<PlannedUnit, Ino>(),
      bytes: 0,
      files: 0,
      inos: new Set<Ino>(),
      describer: new Describer(core.namespace),
      again: [],
      later: [],
    },
    ...{ stay: { ...job.stay }, toDo, mark: { place: job.place, stay: job.stay, toDo } },
    ...{ savedMs: core.clock.monotonicMs(), fruitless: 0 },
  };
}

function clearPlanned(run: Run, core: Core): void {
  run.planned = [];
  run.more = new Map();
  run.bytes = 0;
  run.files = 0;
  run.inos = new Set();
  run.describer = new Describer(core.namespace);
  run.again.push(...run.later);
  run.later = [];
}

function addUnit(run: Run, planned: PlannedUnit): void {
  for (const { ino } of planned.members) run.inos.add(ino);
  run.planned.push(planned);
  run.bytes += planned.bytes;
  run.files += planned.members.length;
}

function isFull(run: Run): boolean {
  return run.bytes >= SEGMENT_BYTES || run.files >= JOB_FILES / 2 || run.later.length >= JOB_FILES;
}

/** Nothing could be read at all of what is still there by its rows: that is no matter of single files. */
function isSourceAway(core: Core, { units }: CopyJob, { moved }: PackResult): boolean {
  return moved.every(({ status, error }, i) => {
    const planned = units[i];
    return planned !== undefined && status === 'unreadable' && error !== 0 && isUnchanged(core, planned);
  });
}

/** What a switch has brought: files that are wholly in their place now, and their bytes that came. */
function movedBy(
  planned: PlannedUnit,
  rows: Parameters<typeof putMoved>[3]['rows'],
  targets: readonly VolumeId[],
): Amount {
  let bytes = 0;
  for (const { extents } of planned.members)
    for (const extent of extents) if (extent.aggregate === planned.unit.source) bytes += extent.length;
  const whole = rows.filter(({ extents }) => extents.every(({ volume }) => targets.includes(volume)));
  return { files: whole.length, bytes };
}

function addUp(a: Amount, b: Amount): Amount {
  return { files: a.files + b.files, bytes: a.bytes + b.bytes };
}
