/**
 * Moves slots to the shards that lack them, while everything else goes on: docs/architecture.md, "Moving slots". `turn`
 * does one small step; what is under way is in the databases, so that whoever opens the store next goes on with it.
 *
 *     copying -> comparing -> (B settled) switch -> (system.db settled) removing
 */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Lsn, ShardId, Slot } from '../base/units.ts';
import { type PlannedMove, planMoves } from './balance.ts';
import type { Committer } from './committer.ts';
import type { StoreDatabases } from './databases.ts';
import { sqliteCode } from './failure.ts';
import type { NotedSlot } from './inspection.ts';
import type { Record } from './record.ts';
import type { ShardDatabase } from './shard_database.ts';
import { COPIED, type CopyMark, DROPPED, FIRST_COMPARED } from './slot_marks.ts';
import { areEqualRows, keyOf, SLOT_TABLES, slotTableName } from './slot_rows.ts';

/** What one round of commit, checkpoint and switch has at most. */
const ROUND_SLOTS = 64;
const ROUND_ROWS = 65_536;
/** Control-thread time of one step, about. */
const STEP_MS = 0.8;
/** Until it is tried again what waits, barrier or not. */
const WAIT_MS = 20;
/** Rows of a database's open transaction from which a move waits for its commit, in transactions of the usual length. */
const TRANSACTIONS = 2;

export interface SlotMovesOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly shardTxnRows: number;
  /** Rows of one slice at most, for tests; the steps then have one slice each. */
  readonly sliceLimit: number | undefined;
  /** Whether nothing new should be made. */
  readonly low: () => boolean;
  readonly begin: () => Record;
  readonly commit: (record: Record) => Lsn;
}

/** 'worked': call again soon. 'waiting': for a barrier, a commit, or room. 'idle': every shard has its share. */
export type MoveOutcome = 'worked' | 'waiting' | 'idle';

export interface MovesStatus {
  /** Slots that are not in the shard yet that they are to be in; slots being copied; left to be removed. */
  readonly toMove: number;
  readonly copying: number;
  readonly removing: number;
  /** Switched since this store was opened. */
  readonly moved: number;
  /** Slots whose move was given up until the next open; see the log. */
  readonly failed: number;
  /** Why nothing goes on. */
  readonly paused?: string;
}

export class SlotMoves {
  readonly #databases: StoreDatabases;
  readonly #committer: Committer;
  readonly #options: SlotMovesOptions;
  readonly #failed = new Set<Slot>();
  /** What is yet to be begun, of the present map and number of shards; undefined: to be made. */
  #plan: PlannedMove[] | undefined;
  #plannedShards = 0;
  #roundRows = 0;
  /** When the last slot was copied, and the last switch; what an earlier daemon did counts as of the open. */
  #copiedAt: Lsn;
  #switchedAt: Lsn;
  /** Number of shards with which there was nothing left to do. */
  #restsAt: number | undefined;
  #waitsSince = { durable: -1, ms: 0 };
  #moved = 0;
  #isLow = false;

  constructor(databases: StoreDatabases, committer: Committer, options: SlotMovesOptions) {
    this.#databases = databases;
    this.#committer = committer;
    this.#options = options;
    this.#copiedAt = databases.applying.lsn;
    this.#switchedAt = databases.applying.lsn;
  }

  /** Whether a step may find something to do: not while it waits for what only time or a barrier brings. */
  get hasWork(): boolean {
    if (this.#restsAt === this.#databases.shards.length) return false;
    const { durable, ms } = this.#waitsSince;
    return this.#committer.durable !== durable || this.#options.clock.monotonicMs() - ms >= WAIT_MS;
  }

  /** One step of about a millisecond; between records only. False when nothing was changed. */
  step(): boolean {
    const outcome = this.turn();
    if (outcome === 'idle') this.#restsAt = this.#databases.shards.length;
    const { clock } = this.#options;
    if (outcome === 'waiting') this.#waitsSince = { durable: this.#committer.durable, ms: clock.monotonicMs() };
    return outcome === 'worked';
  }

  /** As `step`, telling what it did. */
  turn(): MoveOutcome {
    this.#isLow = false;
    const leftover = this.#leftover();
    if (leftover !== undefined) return this.#remove(leftover);
    const copies = this.#copies();
    const open = copies.find(({ mark }) => mark.stage !== COPIED);
    if (open !== undefined) return this.#continue(open);
    const next = this.#isRoundFull(copies.length) ? undefined : this.#next();
    if (next !== undefined) return this.#begin(next);
    return copies.length === 0 ? 'idle' : this.#switch(copies);
  }

  /** Whether a call of `turn` would find anything to do. */
  get isIdle(): boolean {
    return this.#leftover() === undefined && this.#copies().length === 0 && this.#next() === undefined;
  }

  /** Slots switched since this store was opened. */
  get moved(): number {
    return this.#moved;
  }

  /** Whether rows of slots are left where these have been. */
  get hasLeftovers(): boolean {
    return this.#leftover() !== undefined;
  }

  /** For repairs: a note that contradicts the map. Rows that it was for are then those of nobody. */
  forget({ kind, slot, shard }: Pick<NotedSlot, 'kind' | 'slot' | 'shard'>): void {
    const marks = this.#databases.shards[shard]?.marks;
    if (kind === 'incoming') marks?.dropIncoming(slot);
    else marks?.dropOutgoing(slot);
    this.#databases.noteCopies();
  }

  status(): MovesStatus {
    const copying = this.#copies().length;
    const removing = this.#databases.shards.reduce((sum, { marks }) => sum + marks.outgoing.size, 0);
    const toMove = planMoves(this.#databases.slotMap(), this.#databases.shards.length).length;
    const paused = this.#isLow ? { paused: 'the metadata disk is low on room' } : {};
    return { toMove, copying, removing, moved: this.#moved, failed: this.#failed.size, ...paused };
  }

  // ---- What is under way ----

  #copies(): Copy[] {
    const copies: Copy[] = [];
    for (const [id, to] of this.#databases.shards.entries()) {
      for (const [slot, mark] of to.marks.incoming)
        if (this.#databases.copyOf(slot) === to) copies.push({ slot, to, shard: id as ShardId, mark });
    }
    return copies;
  }

  #leftover(): Leftover | undefined {
    for (const shard of this.#databases.shards) {
      // Of a slot that is at home nothing is left over, whatever is noted.
      for (const slot of shard.marks.outgoing) if (this.#databases.shardOf(slot) !== shard) return { slot, shard };
    }
    return undefined;
  }

  #planned(): PlannedMove[] {
    const { shards } = this.#databases;
    if (this.#plan === undefined || this.#plannedShards !== shards.length) {
      this.#plannedShards = shards.length;
      this.#plan = planMoves(this.#databases.slotMap(), shards.length).filter(({ slot }) => !this.#failed.has(slot));
    }
    return this.#plan;
  }

  #next(): PlannedMove | undefined {
    const plan = this.#planned();
    return plan.find(({ slot }) => this.#databases.copyOf(slot) === undefined && !this.#failed.has(slot));
  }

  #isRoundFull(copies: number): boolean {
    return copies >= ROUND_SLOTS || (copies > 0 && this.#roundRows >= ROUND_ROWS);
  }

  /** A transaction that is long already is committed first; little room is kept for others. */
  #mayWrite(database: ShardDatabase): boolean {
    this.#isLow = this.#options.low();
    if (this.#isLow) return false;
    return !database.backlog.isTaking && database.file.rows < TRANSACTIONS * this.#options.shardTxnRows;
  }

  /** Repeats a slice until the step has taken its time. */
  #during(slice: () => boolean): void {
    const { clock, sliceLimit } = this.#options;
    const endMs = clock.monotonicMs() + STEP_MS;
    while (slice() && sliceLimit === undefined && clock.monotonicMs() < endMs);
  }

  // ---- Steps ----

  #begin({ slot, to }: PlannedMove): MoveOutcome {
    const shard = this.#databases.shards[to];
    if (shard === undefined || !this.#mayWrite(shard)) return 'waiting';
    // What an older fault has left there must not come to life, and might be all that is left of the slot.
    shard.writeDeferredOf(slot);
    if (shard.slotRows(this.#options.sliceLimit).has(slot)) {
      this.#refuse(slot, 'the shard that is to get it has rows of it');
      return 'worked';
    }
    shard.marks.putIncoming(slot);
    this.#databases.noteCopies();
    return 'worked';
  }

  #continue(copy: Copy): MoveOutcome {
    // What waits to be written is not in the rows that are read here.
    const source = this.#databases.shardOf(copy.slot);
    if (!this.#mayWrite(copy.to) || source.backlog.isTaking) return 'waiting';
    if (copy.mark.stage === DROPPED) this.#drop(copy);
    else {
      try {
        this.#during(() => this.#slice(copy));
      } catch (thrown) {
        if (!/^SQLITE_(CORRUPT|IOERR)/.test(sqliteCode(thrown))) throw thrown;
        this.#giveUp(copy, sqliteCode(thrown));
      }
    }
    return 'worked';
  }

  /** Copies or compares one slice, and notes it in the same transaction; false: not to be repeated in this step. */
  #slice({ slot, to }: Copy): boolean {
    const { sliceLimit } = this.#options;
    const mark = to.marks.incoming.get(slot);
    if (mark === undefined || mark.stage >= COPIED) return false;
    const source = this.#databases.shardOf(slot);
    const table = mark.stage % SLOT_TABLES;
    for (const shard of [source, to]) shard.writeDeferredOf(slot);
    const rows = source.slotRows(sliceLimit).after(table, slot, mark.key);
    if (mark.stage < FIRST_COMPARED) {
      for (const row of rows) to.slotRows(sliceLimit).put(table, row);
      this.#roundRows += rows.length;
    } else {
      const copied = to.slotRows(sliceLimit).after(table, slot, mark.key);
      const isEqual = copied.length === rows.length && rows.every((row, i) => areEqualRows(row, copied[i] ?? []));
      if (!isEqual) {
        this.#giveUp({ slot, to }, `the copies of its ${slotTableName(table)} differ`);
        return false;
      }
    }
    const last = rows.at(-1);
    const { stage } = mark;
    to.marks.putIncoming(
      slot,
      last === undefined ? { stage: stage + 1, key: undefined } : { stage, key: keyOf(table, last) },
    );
    if (stage + 1 === COPIED && last === undefined) this.#copiedAt = this.#databases.applying.lsn;
    return true;
  }

  #giveUp({ slot, to }: Pick<Copy, 'slot' | 'to'>, reason: string): void {
    this.#refuse(slot, reason);
    to.marks.putIncoming(slot, { stage: DROPPED, key: undefined });
  }

  #refuse(slot: Slot, reason: string): void {
    this.#options.log.error({ slot, reason }, 'A slot cannot be moved and stays where it is: run fsck');
    this.#failed.add(slot);
  }

  /** Removes rows of a copy that was given up; the note goes with the last of them. */
  #drop({ slot, to }: Copy): void {
    this.#during(() => {
      if (this.#removeSlice(to, slot)) return true;
      to.marks.dropIncoming(slot);
      this.#databases.noteCopies();
      return false;
    });
  }

  /** Order: all copies are in their databases for good, then the record that makes them the slots. */
  #switch(copies: readonly Copy[]): MoveOutcome {
    for (const to of new Set(copies.map((copy) => copy.to)))
      if (!this.#committer.settle(to, this.#copiedAt)) return 'waiting';
    const sources = copies.map(({ slot }) => this.#databases.shardOf(slot));
    // What waits to be written to a slot's old place must not come there after it has left.
    const concerned = [...sources, ...copies.map(({ to }) => to), this.#databases.system];
    if (concerned.some(({ backlog }) => backlog.isTaking)) return 'waiting';
    const record = this.#options.begin();
    for (const { slot, shard } of copies) record.switchSlot(slot, { shard, from: this.#databases.shardIdOf(slot) });
    this.#switchedAt = this.#options.commit(record);
    this.#moved += copies.length;
    this.#roundRows = 0;
    this.#plan = undefined;
    return 'worked';
  }

  /** Order: the switch is in system.db for good, then its rows may go from where they were. */
  #remove({ slot, shard }: Leftover): MoveOutcome {
    if (!this.#committer.settle(this.#databases.system, this.#switchedAt)) return 'waiting';
    if (!this.#mayWrite(shard)) return 'waiting';
    this.#during(() => {
      if (this.#removeSlice(shard, slot)) return true;
      shard.marks.dropOutgoing(slot);
      return false;
    });
    return 'worked';
  }

  /** False: the slot has no rows in the shard any more. */
  #removeSlice(shard: ShardDatabase, slot: Slot): boolean {
    shard.writeDeferredOf(slot);
    const rows = shard.slotRows(this.#options.sliceLimit);
    for (let table = 0; table < SLOT_TABLES; table++) if (rows.remove(table, slot) > 0) return true;
    return false;
  }
}

interface Copy {
  readonly slot: Slot;
  readonly to: ShardDatabase;
  readonly shard: ShardId;
  readonly mark: CopyMark;
}

interface Leftover {
  readonly slot: Slot;
  readonly shard: ShardDatabase;
}

const WAITS_MAX = 8;

/** ENOSPC: no room to go on. Does all that there is to do, where nobody else works on the store. `barrier` makes everything durable. */
export function moveAll(
  moves: SlotMoves,
  by: { readonly barrier: () => Result<unknown>; readonly onStep?: (moved: number) => void },
): Result<void> {
  let waited = 0;
  for (;;) {
    const outcome = moves.turn();
    if (outcome === 'idle') break;
    waited = outcome === 'waiting' ? waited + 1 : 0;
    by.onStep?.(moves.moved);
    if (outcome === 'worked') continue;
    const made = by.barrier();
    if (isErrno(made)) return made;
    // A barrier lets everything go on but what has no room.
    if (waited > WAITS_MAX) return E.ENOSPC;
  }
  const made = by.barrier();
  return isErrno(made) ? made : undefined;
}
