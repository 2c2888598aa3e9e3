/**
 * Compaction as the data store sees it: which aggregates are worth it, who is asked for what is in them, and the jobs that
 * copy. Which inodes name what, and the records that switch them, are the caller's.
 */
import { isErrno } from '../base/errno.ts';
import type { AggregateRow } from '../base/layout.ts';
import type { AggregateId, Lsn, VolumeId } from '../base/units.ts';
import { HEADER_BYTES } from './header_v1.ts';
import type { Lanes } from './lanes.ts';
import type { Ledger } from './ledger.ts';
import type { MoveUnit } from './moves.ts';
import type { PackJob, PackResult } from './pack.ts';
import type { Packing } from './packing.ts';
import type { ResidentsJob } from './residents.ts';
import type { Volume } from './volume.ts';

/** Of what was written to an aggregate: with less of it live, compaction gives back three times what it copies, or more. */
export const LIVE_SHARE = 0.25;
/** On a volume that is fuller than the high watermark. */
export const LIVE_SHARE_FULL = 0.5;
export const HIGH_WATERMARK = 0.85;

export interface CompactionOptions {
  readonly storeId: string;
  readonly volumes: ReadonlyMap<VolumeId, Volume>;
  readonly ledger: Ledger;
  readonly lanes: Lanes;
  readonly packing: Packing;
}

/** Whether so little of an aggregate is live that it is worth the copying. One without a live byte goes anyway. */
export function isSparse({ live, written }: Pick<AggregateRow, 'live' | 'written'>, share: number): boolean {
  return live > 0 && live < share * (written - HEADER_BYTES);
}

export class Compaction {
  readonly #options: CompactionOptions;

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  /** The share of live bytes below which aggregates of each volume are compacted now. */
  shares(): ReadonlyMap<VolumeId, number> {
    const shares = new Map<VolumeId, number>();
    for (const volume of this.#options.volumes.values()) {
      const space = this.#options.packing.canPack(volume.row.id) ? volume.space() : undefined;
      if (space === undefined || isErrno(space)) continue;
      const isFull = space.available < (1 - HIGH_WATERMARK) * space.total;
      shares.set(volume.row.id, isFull ? LIVE_SHARE_FULL : LIVE_SHARE);
    }
    return shares;
  }

  isSparse(id: AggregateId, shares: ReadonlyMap<VolumeId, number>): boolean {
    const row = this.#options.ledger.row(id);
    return row !== undefined && row.state === 'sealed' && isSparse(row, shares.get(row.volume) ?? 0);
  }

  /** Aggregates that are appended to, and would be worth it, are appended to no more. */
  sealSparse(shares: ReadonlyMap<VolumeId, number>): void {
    const { ledger, lanes } = this.#options;
    lanes.leaveIdle((id) => {
      const row = ledger.row(id);
      return row !== undefined && isSparse(row, shares.get(row.volume) ?? 0);
    });
  }

  residentsJob(id: AggregateId): ResidentsJob | undefined {
    const { ledger, volumes, storeId } = this.#options;
    const volume = volumes.get(ledger.row(id)?.volume ?? (0 as VolumeId));
    return volume === undefined ? undefined : { volume: volume.row, storeId, aggregate: id };
  }

  /** Undefined while there is no room, or another such job is under way. */
  start(source: AggregateId, units: readonly MoveUnit[], lsn: Lsn): PackJob | undefined {
    const volume = this.residentsJob(source)?.volume;
    if (volume === undefined) return undefined;
    const moves = { sources: new Map([[source, volume]]), isProven: false, units };
    return this.#options.packing.startMoves(moves, { volume: volume.id, use: 'compaction', lsn });
  }

  /** As `Packing.finishMoves`; the changed rows go into the record that switches. */
  finish(result: PackResult, accepted: ReadonlySet<number>): void {
    this.#options.packing.finishMoves(result, accepted);
  }
}
