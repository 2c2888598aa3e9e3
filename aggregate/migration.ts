/**
 * Migrations as the data store sees them: whether a volume takes what comes from others, and the jobs that copy it there. Which
 * inodes name what, and the records that switch them, are the caller's.
 *
 * A target that is written once and sealed takes other jobs than these: it is filled by as many of them as it needs, and
 * nothing is switched before it is sealed. `start` is where such a volume would be told apart, by its kind.
 */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { AggregateId, Lsn, VolumeId } from '../base/units.ts';
import type { Ledger } from './ledger.ts';
import { type MoveUnit, unitBytes } from './moves.ts';
import { type PackJob, type PackResult, roomNeeded } from './pack.ts';
import { MOVE_ROOM_BYTES, type Packing } from './packing.ts';
import type { Placement } from './placement.ts';
import type { Volume } from './volume.ts';

export interface MigrationOptions {
  readonly volumes: ReadonlyMap<VolumeId, Volume>;
  readonly ledger: Ledger;
  readonly packing: Packing;
  readonly placement: Placement;
}

export class Migration {
  readonly #options: MigrationOptions;

  constructor(options: MigrationOptions) {
    this.#options = options;
  }

  /** Whether a volume takes `bytes` that lie elsewhere: ENOSPC within its reserve, EIO when it is missing or broken. */
  check(volume: VolumeId, bytes: number): Result<void> {
    return this.#options.placement.checkMoves(volume, roomNeeded(bytes) + MOVE_ROOM_BYTES);
  }

  /**
   * EBUSY while another job goes there, ENOSPC and EIO as of `check`. Of a source that is gone by now, or whose volume is, all
   * units are `unreadable`.
   */
  start(units: readonly MoveUnit[], to: { readonly volume: VolumeId; readonly lsn: Lsn }): Result<PackJob> {
    const allowed = this.check(
      to.volume,
      units.reduce((sum, unit) => sum + unitBytes(unit), 0),
    );
    if (isErrno(allowed)) return allowed;
    const sources = new Map<AggregateId, VolumeRow>();
    for (const { source } of units) {
      const row = this.#volumeOf(source);
      if (row !== undefined) sources.set(source, row);
    }
    return this.#options.packing.startMoves({ sources, isProven: true, units }, { ...to, use: 'migration' }) ?? E.EBUSY;
  }

  /** As `Packing.finishMoves`; the changed rows go into the record that switches. */
  finish(result: PackResult, accepted: ReadonlySet<number>): void {
    this.#options.packing.finishMoves(result, accepted);
  }

  #volumeOf(id: AggregateId): VolumeRow | undefined {
    return this.#options.volumes.get(this.#options.ledger.row(id)?.volume ?? (0 as VolumeId))?.row;
  }
}
