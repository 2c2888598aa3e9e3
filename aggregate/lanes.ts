/**
 * The open aggregates of each volume: a few lanes, one packing job in each at a time, so that a batch of writes costs few
 * flushes and jobs do not wait for each other. A lane's rest is used up before its aggregate is sealed.
 */
import { type AggregateId, MIB, type VolumeId } from '../base/units.ts';
import { BLOCK_BYTES, type PackJob, type PackResult, roomNeeded } from './pack.ts';

export const LANES_DEFAULT = 2;
export const AHEAD_BYTES_DEFAULT = 16 * MIB;

/**
 * What is moved out of other aggregates has lanes of its own: it is old where new files are new. So has what comes from other
 * volumes: it comes in the order of directories.
 */
export type LaneUse = 'files' | 'compaction' | 'migration';

export interface Lane {
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  offset: number;
  sequence: number;
  /** The file has been made. */
  created: boolean;
  job: PackJob | undefined;
  /** From `offset` to here it holds zeros, durably; where that is not behind `offset`, nothing is ahead. */
  aheadTo: number;
  readonly use: LaneUse;
}

/** What is left of an aggregate that is not appended to any more; it may have been written ahead. */
export interface Rest {
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  readonly offset: number;
  readonly length: number;
}

export interface LaneOptions {
  readonly lanesPerVolume: number;
  readonly aggregateBytes: number;
  /** Bytes of an aggregate in use from which it is worth writing ahead. */
  readonly aheadFrom: number;
  /** So much is written ahead at a time, once less than half of it is left. */
  readonly aheadBytes: number;
  readonly newId: () => AggregateId;
  /** Called when a lane lets go of an aggregate that has a file. */
  readonly seal: (id: AggregateId) => void;
}

export class Lanes {
  readonly #options: LaneOptions;
  #lanes: Lane[] = [];
  #hasSealed = false;
  #rests: Rest[] = [];

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /**
   * A lane without a job, best one that takes all `bytes` of data, at least one that takes the first file; undefined while
   * all lanes of the volume are at work. For what is urgent there is one lane more.
   */
  take(
    volume: VolumeId,
    need: { readonly bytes: number; readonly firstBytes: number; readonly isUrgent: boolean },
  ): Lane | undefined {
    const own = this.#lanes.filter((lane) => lane.volume === volume && lane.use === 'files');
    const idle = own.filter((lane) => lane.job === undefined).sort((a, b) => b.offset - a.offset);
    if (need.isUrgent) idle.sort((a, b) => Number(isAhead(b, need.bytes)) - Number(isAhead(a, need.bytes)));
    const fitting = idle.find((lane) => this.#room(lane) >= roomNeeded(need.bytes));
    if (fitting !== undefined) return fitting;
    const lanes = this.#options.lanesPerVolume + (need.isUrgent ? 1 : 0);
    if (own.length < this.#options.lanesPerVolume) return this.#begin(volume);
    const fullest = idle[0];
    if (fullest === undefined) return own.length < lanes ? this.#begin(volume) : undefined;
    if (!fullest.created || this.#room(fullest) >= roomNeeded(need.firstBytes)) return fullest;
    this.#leave(fullest);
    return this.#begin(volume);
  }

  /** A lane for moves, of which each volume has one for each use; undefined while it is at work. */
  takeForMoves(volume: VolumeId, use: LaneUse, bytes: number): Lane | undefined {
    const lane = this.#lanes.find((each) => each.volume === volume && each.use === use);
    if (lane === undefined) return this.#begin(volume, use);
    if (lane.job !== undefined) return undefined;
    if (!lane.created || this.#room(lane) >= roomNeeded(bytes)) return lane;
    this.#leave(lane);
    return this.#begin(volume, use);
  }

  /** Lanes without a job whose aggregate has a file. */
  idle(): readonly Lane[] {
    return this.#lanes.filter(({ job, created }) => job === undefined && created);
  }

  /** Jobs that flush what they write, and with it all that was written to their aggregate before. */
  flushing(): readonly Lane[] {
    return this.#lanes.filter(({ job }) => job?.ahead !== undefined);
  }

  /** Lanes without a job that have zeros ahead, and how many bytes. */
  ahead(): readonly { readonly lane: Lane; readonly bytes: number }[] {
    const idle = this.#lanes.filter(({ job }) => job === undefined);
    return idle.map((lane) => ({ lane, bytes: aheadOf(lane) })).filter(({ bytes }) => bytes > 0);
  }

  /**
   * A lane where more is worth writing ahead: one that is in use, then a second one, for what comes while the first gets its
   * next piece. Unless it `isMissed`, none before a lane is somewhat full: most who are mounted for a moment never need it.
   * None that holds what is not flushed: a barrier for it would have to wait for the outcome of this flush, too.
   */
  toWriteAhead(volume: VolumeId, isMissed: boolean, unflushed: readonly AggregateId[]): Lane | undefined {
    const { aggregateBytes, aheadFrom, aheadBytes, lanesPerVolume } = this.#options;
    const own = this.#lanes.filter((lane) => lane.volume === volume && lane.use === 'files');
    if (!isMissed && !this.#hasSealed && !own.some(({ offset }) => offset >= aheadFrom)) return undefined;
    const isLow = (lane: Lane) => aheadOf(lane) < aheadBytes / 2 && lane.offset + aheadOf(lane) < aggregateBytes;
    const low = own.filter((lane) => lane.job === undefined && isLow(lane)).sort((a, b) => b.offset - a.offset);
    if (low.length > 0) return low.find(({ aggregate }) => !unflushed.includes(aggregate));
    return own.length > 0 && own.length < lanesPerVolume ? this.#begin(volume) : undefined;
  }

  /** Whether so many bytes find zeros in the lane, and leave it enough for those that come until it has its next piece. */
  suffices(lane: Lane, bytes: number): boolean {
    const left = Math.min(this.#options.aheadBytes / 2, this.#room(lane) - roomNeeded(bytes));
    return aheadOf(lane) >= roomNeeded(bytes) + left;
  }

  /** The piece that a lane gets next. */
  nextAhead(lane: Lane): { readonly offset: number; readonly length: number } {
    const offset = lane.offset + aheadOf(lane);
    return { offset, length: Math.min(this.#options.aheadBytes, this.#options.aggregateBytes - offset) };
  }

  leaveRest({ volume, aggregate, offset }: Omit<Rest, 'length'>, length: number): void {
    if (length > 0) this.#rests.push({ volume, aggregate, offset, length });
  }

  /** Each once: to be looked at for zeros, and given back. */
  takeRests(): readonly Rest[] {
    const rests = this.#rests;
    this.#rests = [];
    return rests;
  }

  laneOf(jobId: number): Lane | undefined {
    return this.#lanes.find((lane) => lane.job?.id === jobId);
  }

  /** The job is over; the ledger knows of it already. A lane that cannot go on is left, its aggregate sealed. */
  finish(lane: Lane, result: PackResult): void {
    const ahead = lane.job?.ahead;
    if (ahead !== undefined && result.ahead) lane.aheadTo = ahead.offset + ahead.length;
    lane.job = undefined;
    lane.offset = result.written;
    lane.sequence = result.sequence;
    lane.created = result.created;
    if (result.error !== 0 || this.#room(lane) < roomNeeded(BLOCK_BYTES)) this.#leave(lane);
  }

  /** Seals those of the open aggregates that are wanted so, but where a job is at work. */
  leaveIdle(isWanted: (id: AggregateId) => boolean): void {
    for (const lane of this.idle()) if (isWanted(lane.aggregate)) this.#leave(lane);
  }

  leave(lane: Lane): void {
    this.#leave(lane);
  }

  get busy(): number {
    return this.#lanes.filter((lane) => lane.job !== undefined).length;
  }

  #room(lane: Lane): number {
    return this.#options.aggregateBytes - lane.offset;
  }

  #begin(volume: VolumeId, use: LaneUse = 'files'): Lane {
    const aggregate = this.#options.newId();
    // Block 0 will be the header.
    const lane: Lane = {
      volume,
      aggregate,
      offset: BLOCK_BYTES,
      sequence: 0,
      created: false,
      job: undefined,
      aheadTo: 0,
      use,
    };
    this.#lanes.push(lane);
    return lane;
  }

  #leave(lane: Lane): void {
    this.#lanes = this.#lanes.filter((each) => each !== lane);
    this.#hasSealed ||= lane.created;
    this.leaveRest(lane, aheadOf(lane));
    if (lane.created) this.#options.seal(lane.aggregate);
  }
}

/** Bytes of zeros behind what is in use. */
function aheadOf({ offset, aheadTo }: Lane): number {
  return Math.max(0, aheadTo - offset);
}

/** Whether so many bytes of data find zeros to go to. */
function isAhead(lane: Lane, bytes: number): boolean {
  return aheadOf(lane) >= roomNeeded(bytes);
}
