/**
 * The open aggregates of each volume: a few lanes, one packing job in each at a time, so that a batch of writes costs few
 * flushes and jobs do not wait for each other. A lane's rest is used up before its aggregate is sealed.
 */
import type { AggregateId, VolumeId } from '../base/units.ts';
import { BLOCK_BYTES, type PackJob, type PackResult, roomNeeded } from './pack.ts';

export const LANES_DEFAULT = 2;

export interface Lane {
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  offset: number;
  sequence: number;
  /** The file has been made. */
  created: boolean;
  job: PackJob | undefined;
}

export interface LaneOptions {
  readonly lanesPerVolume: number;
  readonly aggregateBytes: number;
  readonly newId: () => AggregateId;
  /** Called when a lane lets go of an aggregate that has a file. */
  readonly seal: (id: AggregateId) => void;
}

export class Lanes {
  readonly #options: LaneOptions;
  #lanes: Lane[] = [];

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /**
   * A lane without a job, best one that takes all `bytes` of data, at least one that takes the first file; undefined while
   * all lanes of the volume are at work.
   */
  take(volume: VolumeId, need: { readonly bytes: number; readonly firstBytes: number }): Lane | undefined {
    const own = this.#lanes.filter((lane) => lane.volume === volume);
    const idle = own.filter((lane) => lane.job === undefined).sort((a, b) => b.offset - a.offset);
    const fitting = idle.find((lane) => this.#room(lane) >= roomNeeded(need.bytes));
    if (fitting !== undefined) return fitting;
    if (own.length < this.#options.lanesPerVolume) return this.#begin(volume);
    const fullest = idle[0];
    if (fullest === undefined) return undefined;
    if (!fullest.created || this.#room(fullest) >= roomNeeded(need.firstBytes)) return fullest;
    this.#leave(fullest);
    return this.#begin(volume);
  }

  laneOf(jobId: number): Lane | undefined {
    return this.#lanes.find((lane) => lane.job?.id === jobId);
  }

  /** The job is over; the ledger knows of it already. A lane that cannot go on is left, its aggregate sealed. */
  finish(lane: Lane, result: PackResult): void {
    lane.job = undefined;
    lane.offset = result.written;
    lane.sequence = result.sequence;
    lane.created = result.created;
    if (result.error !== 0 || this.#room(lane) < roomNeeded(BLOCK_BYTES)) this.#leave(lane);
  }

  /** Seals what is open, but where a job is at work. */
  leaveIdle(): void {
    for (const lane of this.#lanes.filter((each) => each.job === undefined)) this.#leave(lane);
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

  #begin(volume: VolumeId): Lane {
    const aggregate = this.#options.newId();
    // Block 0 will be the header.
    const lane: Lane = { volume, aggregate, offset: BLOCK_BYTES, sequence: 0, created: false, job: undefined };
    this.#lanes.push(lane);
    return lane;
  }

  #leave(lane: Lane): void {
    this.#lanes = this.#lanes.filter((each) => each !== lane);
    if (lane.created) this.#options.seal(lane.aggregate);
  }
}
