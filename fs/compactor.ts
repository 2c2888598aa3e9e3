/**
 * Compaction: what is left in aggregates of which little is live moves together into others, and the old ones go. In small
 * steps beside everything else: the control thread looks at some rows, a worker copies about a segment, one record switches
 * the files.
 *
 *     look at the ledger -> for each aggregate that is worth it: a worker lists who may be in it -> plan units until a job is
 *     full -> a worker copies them -> the record -> the next job ... -> a barrier, behind which the source goes
 *
 * Order of durability: the target is flushed by the barrier that makes the record durable, as everything packed is; the
 * source's ranges die with that record, and are punched, or the source removed, only behind that barrier.
 */
import { isSparse } from '../aggregate/compaction.ts';
import type { PackResult } from '../aggregate/pack.ts';
import { SEGMENT_BYTES } from '../aggregate/pack.ts';
import type { Residents } from '../aggregate/residents.ts';
import type { AggregateRow } from '../base/layout.ts';
import type { AggregateId, Ino, VolumeId } from '../base/units.ts';
import type { Barriers } from './barriers.ts';
import type { Core } from './core.ts';
import { Describer } from './describer.ts';
import type { Chore } from './maintenance.ts';
import { isUnchanged, type PlannedUnit, planUnit, putMoved, sourceBytes, switchedRows } from './move_units.ts';
import type { WorkerJobs } from './types.ts';

/** Files of one record, and units of one job, at most. */
const JOB_FILES = 256;
/** Looked at in one step: rows of the ledger, places in a source. */
const STEP_ROWS = 1_000;
const STEP_PLACES = 16;
/** How often it is looked whether something is worth it without being asked. */
const LOOK_MS = 60_000;
/** Of the time that a job took, how long the disk is left alone: when somebody asked for it, and otherwise. */
const REST_ASKED = 1;
const REST = 4;
/** Until room is looked for again, and how often, before what was asked for ends without it. */
const NO_ROOM_MS = 1_000;
const NO_ROOM_TRIES = 30;
/** Aggregates that are remembered as not worth it. */
const PASSED_OVER = 100_000;

export interface CompactionStatus {
  /** Aggregates that are gone because all that lived in them was moved. */
  readonly aggregates: number;
  /** With the indexes beside the copies. */
  readonly bytesCopied: number;
  /** What emptied aggregates took on their disks, and ranges that left others, less the copies. */
  readonly bytesGivenBack: number;
  /** Bytes copied for each one given back; null where nothing was. */
  readonly writeAmplification: number | null;
  /** Files switched, and those that stay since a block of theirs cannot be read. */
  readonly files: number;
  readonly damaged: number;
  /** Passes that were asked for: the newest, and up to which all is done. */
  readonly asked: number;
  readonly done: number;
  /** Of the pass under way: aggregates to look at, and those that were. */
  readonly toDo: number;
  readonly looked: number;
  /** Why the last pass that was asked for ended early. */
  readonly failed: string | undefined;
}

interface Source {
  readonly id: AggregateId;
  readonly volume: VolumeId;
  readonly pairs: Float64Array;
  readonly allocated: number;
  at: number;
  readonly seen: Set<Ino>;
  describer: Describer;
  planned: PlannedUnit[];
  bytes: number;
  files: number;
  /** Bytes of ranges that have left it. */
  freed: number;
}

export class Compactor implements Chore {
  readonly #core: Core;
  readonly #workers: WorkerJobs;
  readonly #barriers: Barriers;
  #rows: Iterator<AggregateRow> | undefined;
  #shares: ReadonlyMap<VolumeId, number> = new Map();
  #queue: AggregateId[] = [];
  #source: Source | undefined;
  #listing: AggregateId | undefined;
  #job:
    | { readonly id: number; readonly units: readonly PlannedUnit[]; readonly offset: number; readonly sinceMs: number }
    | undefined;
  /** The barrier at the end of a pass that was asked for. */
  #isEnding = false;
  #isAsked = false;
  #wanted = 0;
  #begun = 0;
  #done = 0;
  #failed: string | undefined;
  #toDo = 0;
  #looked = 0;
  #nextLookMs: number;
  #restUntilMs = 0;
  #withoutRoom = 0;
  readonly #passedOver = new Map<AggregateId, number>();
  #aggregates = 0;
  #copied = 0;
  #freed = 0;
  #files = 0;
  #damaged = 0;

  constructor(core: Core, tools: { readonly workers: WorkerJobs; readonly barriers: Barriers }) {
    this.#core = core;
    this.#workers = tools.workers;
    this.#barriers = tools.barriers;
    this.#nextLookMs = core.clock.monotonicMs() + LOOK_MS;
  }

  /** A pass over everything that is there now, also what gives nothing back to its disk; its number, for `done`. */
  ask(): number {
    this.#wanted = this.#begun + 1;
    return this.#wanted;
  }

  /** No worker is at work for it. */
  get isIdle(): boolean {
    return this.#job === undefined && this.#listing === undefined;
  }

  get status(): CompactionStatus {
    const bytesGivenBack = Math.max(0, this.#freed - this.#copied);
    return {
      aggregates: this.#aggregates,
      bytesCopied: this.#copied,
      bytesGivenBack,
      writeAmplification: bytesGivenBack > 0 ? Math.round((100 * this.#copied) / bytesGivenBack) / 100 : null,
      files: this.#files,
      damaged: this.#damaged,
      asked: this.#wanted,
      done: this.#done,
      toDo: this.#toDo,
      looked: this.#looked,
      failed: this.#failed,
    };
  }

  get hasWork(): boolean {
    const nowMs = this.#core.clock.monotonicMs();
    if (!this.isIdle || this.#isEnding || nowMs < this.#restUntilMs) return false;
    if (this.#rows !== undefined || this.#source !== undefined || this.#queue.length > 0 || this.#isAsked) return true;
    return this.#wanted > this.#begun || nowMs >= this.#nextLookMs;
  }

  /** Records are made when a worker has answered, none here. */
  step(): boolean {
    if (!this.hasWork) return false;
    if (this.#source !== undefined) this.#plan(this.#source);
    else if (this.#rows !== undefined) this.#look(this.#rows);
    else if (this.#queue.length > 0) this.#list();
    else if (this.#isAsked) this.#end();
    else this.#begin();
    return false;
  }

  #begin(): void {
    const { data } = this.#core;
    this.#isAsked = this.#wanted > this.#begun;
    this.#shares = data.compaction.shares();
    this.#toDo = 0;
    this.#looked = 0;
    this.#withoutRoom = 0;
    if (this.#isAsked) {
      this.#begun = this.#wanted;
      this.#failed = undefined;
      data.compaction.sealSparse(this.#shares);
    }
    this.#rows = data.ledger.rows()[Symbol.iterator]();
  }

  #look(rows: Iterator<AggregateRow>): void {
    for (let count = 0; count < STEP_ROWS; count++) {
      const next = rows.next();
      if (next.done === true) {
        this.#rows = undefined;
        this.#nextLookMs = this.#core.clock.monotonicMs() + LOOK_MS;
        return;
      }
      const { id, live } = next.value;
      if (!this.#core.data.compaction.isSparse(id, this.#shares)) continue;
      if (!this.#isAsked && this.#passedOver.get(id) === live) continue;
      this.#queue.push(id);
      this.#toDo += 1;
    }
  }

  #list(): void {
    const id = this.#queue.shift();
    const { compaction } = this.#core.data;
    // Whoever asks does not wait for the others: they are looked at again.
    const isWanted = id !== undefined && (this.#isAsked || this.#wanted === this.#begun);
    const job = isWanted && compaction.isSparse(id, this.#shares) ? compaction.residentsJob(id) : undefined;
    if (job === undefined) {
      this.#looked += 1;
      return;
    }
    this.#listing = job.aggregate;
    this.#workers.post({ kind: 'residents', job });
  }

  /** A worker's answer. */
  listed({ aggregate: id, pairs, allocated }: Residents): void {
    if (this.#listing !== id) return;
    this.#listing = undefined;
    const row = this.#core.data.ledger.row(id);
    const isWorth = row !== undefined && isSparse({ ...row, written: allocated }, this.#shares.get(row.volume) ?? 0);
    if (row === undefined || !(this.#isAsked || isWorth)) {
      this.#passOver(id);
      return;
    }
    this.#source = {
      ...{ id, volume: row.volume, pairs, allocated, at: 0, seen: new Set<Ino>() },
      ...{ describer: new Describer(this.#core.namespace), planned: [], bytes: 0, files: 0, freed: 0 },
    };
  }

  /** Its dead ranges went back to the disk when they died, or it has what cannot be moved. */
  #passOver(id: AggregateId): void {
    this.#looked += 1;
    if (this.#passedOver.size >= PASSED_OVER) this.#passedOver.clear();
    const live = this.#core.data.ledger.row(id)?.live;
    if (live !== undefined) this.#passedOver.set(id, live);
  }

  /** Some of those who may be in it; with enough of them a job. */
  #plan(source: Source): void {
    const end = Math.min(source.pairs.length, source.at + 2 * STEP_PLACES);
    for (; source.at < end; source.at += 2) {
      this.#planAt(source, source.pairs[source.at] as Ino, source.pairs[source.at + 1] ?? 0);
      if (source.bytes >= SEGMENT_BYTES || source.files >= JOB_FILES / 2) break;
    }
    if (source.bytes >= SEGMENT_BYTES || source.files >= JOB_FILES / 2 || source.at >= source.pairs.length)
      this.#post(source);
  }

  #planAt(source: Source, ino: Ino, rangeStart: number): void {
    const { namespace } = this.#core;
    const row = ino > 0 ? namespace.inode(ino) : undefined;
    const names = [...(row?.extents ?? []), ...(row?.second ?? [])].some(
      (extent) => extent.aggregate === source.id && extent.rangeStart === rangeStart,
    );
    // Who made a range may be gone, and others share it.
    const from = names ? ino : namespace.sharers(source.id, rangeStart)[0];
    if (from === undefined || source.seen.has(from)) return;
    source.seen.add(from);
    const planned = planUnit(this.#core, from, { source: source.id, describer: source.describer });
    if (planned === undefined) return;
    for (const member of planned.members) source.seen.add(member.ino);
    source.planned.push(planned);
    source.bytes += planned.bytes;
    source.files += planned.members.length;
  }

  #post(source: Source): void {
    const { data, namespace, clock } = this.#core;
    const { planned, id } = source;
    if (planned.length === 0) {
      this.#leave(source);
      return;
    }
    const units = planned.map(({ unit }) => unit);
    const job = data.compaction.start(id, units, namespace.lsn);
    if (job === undefined) {
      this.#waitForRoom();
      return;
    }
    this.#withoutRoom = 0;
    source.planned = [];
    source.bytes = 0;
    source.files = 0;
    source.describer = new Describer(namespace);
    this.#job = { id: job.id, units: planned, offset: job.offset, sinceMs: clock.monotonicMs() };
    this.#workers.post({ kind: 'pack', job, isUrgent: false });
  }

  #waitForRoom(): void {
    this.#restUntilMs = this.#core.clock.monotonicMs() + NO_ROOM_MS;
    this.#withoutRoom += 1;
    if (this.#withoutRoom < NO_ROOM_TRIES) return;
    this.#failed = 'the volume has no room for copies, or takes none';
    this.#source = undefined;
    this.#queue = [];
  }

  isMine(job: number): boolean {
    return this.#job?.id === job;
  }

  /** A worker has copied: one record switches what is still as it was. */
  finish(result: PackResult): void {
    const core = this.#core;
    const job = this.#job;
    const source = this.#source;
    this.#job = undefined;
    if (job === undefined || source === undefined) return;
    const record = core.namespace.begin();
    const accepted = new Map<number, readonly [PlannedUnit, Parameters<typeof putMoved>[3]]>();
    for (const [i, moved] of result.moved.entries()) {
      const planned = job.units[i];
      if (planned === undefined) continue;
      const to = { source: source.id, target: result.aggregate, volume: source.volume, pieces: moved.pieces };
      const rows = core.broken === undefined ? switchedRows(core, planned, to) : undefined;
      if (moved.status === 'moved' && rows !== undefined) accepted.set(i, [planned, { ...to, rows }]);
      // What was punched meanwhile is nobody's any more.
      else if (moved.status === 'unreadable' && isUnchanged(core, planned)) this.#tell(source, planned, moved);
    }
    core.data.compaction.finish(result, new Set(accepted.keys()));
    for (const [planned, to] of accepted.values()) {
      putMoved(core, record, planned, to);
      source.freed += sourceBytes(planned);
      this.#files += planned.members.length;
    }
    core.commit(record);
    this.#copied += Math.max(0, result.written - job.offset);
    const tookMs = core.clock.monotonicMs() - job.sinceMs;
    this.#restUntilMs = core.clock.monotonicMs() + tookMs * (this.#isAsked ? REST_ASKED : REST);
    if (source.at >= source.pairs.length) this.#leave(source);
  }

  #tell(source: Source, { members }: PlannedUnit, moved: PackResult['moved'][number]): void {
    this.#damaged += members.length;
    const fields = { aggregate: source.id, rangeStart: moved.badRange, error: moved.error, ino: members[0]?.ino };
    this.#core.log.error(fields, 'A block is not what was written, or cannot be read: it stays where it is');
  }

  #leave(source: Source): void {
    this.#source = undefined;
    const row = this.#core.data.ledger.row(source.id);
    const isGone = row === undefined || row.state === 'dead';
    this.#aggregates += isGone ? 1 : 0;
    this.#freed += isGone ? source.allocated : source.freed;
    this.#passOver(source.id);
  }

  /** Whoever asked waits until it is durable, and the sources are gone. */
  #end(): void {
    this.#isEnding = true;
    this.#barriers.wait().whenSettled(() => {
      this.#isEnding = false;
      this.#isAsked = false;
      this.#done = this.#begun;
    });
  }
}
