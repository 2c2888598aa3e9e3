/** Where new files go: the first hot volume with room, else the next one down; and how much room there is. */
import type { BackingSpace } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Tier } from '../base/layout.ts';
import type { Clock } from '../base/time.ts';
import { MIB, type VolumeId } from '../base/units.ts';
import type { Volume } from './volume.ts';

/** What stays free for packing, metadata and deletes: the smaller of the two. */
const RESERVE_BYTES_DEFAULT = 64 * MIB;
const RESERVE_SHARE_DEFAULT = 0.01;
/** An answer of statfs(2) serves this long: it is asked for at every create. */
const SPACE_VALID_MS = 200;

const TIER_ORDER: Readonly<Record<Tier, number>> = { hot: 0, warm: 1, cold: 2 };

export class Placement {
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #candidates: readonly Volume[];
  readonly #isBroken: (id: VolumeId) => boolean;
  readonly #clock: Clock;
  readonly #reserveBytes: number | undefined;
  readonly #spaces = new Map<VolumeId, { readonly space: BackingSpace; readonly atMs: number }>();

  constructor(options: {
    readonly volumes: ReadonlyMap<VolumeId, Volume>;
    readonly isBroken: (id: VolumeId) => boolean;
    readonly clock: Clock;
    readonly reserveBytes: number | undefined;
  }) {
    this.#volumes = options.volumes;
    this.#isBroken = options.isBroken;
    this.#clock = options.clock;
    this.#reserveBytes = options.reserveBytes;
    this.#candidates = [...options.volumes.values()].sort(
      (a, b) => TIER_ORDER[a.row.tier] - TIER_ORDER[b.row.tier] || a.row.id - b.row.id,
    );
  }

  /** The volume for a new own file; ENOSPC when all are full, EIO when none is there or whole. */
  forNewFile(): Result<VolumeId> {
    let full = false;
    for (const volume of this.#candidates) {
      const outcome = this.check(volume.row.id);
      if (outcome === undefined) return volume.row.id;
      full ||= outcome === E.ENOSPC;
    }
    return full ? E.ENOSPC : E.EIO;
  }

  /** Whether a new own file may be made on this volume: ENOSPC within the reserve, EIO when it is missing or broken, EOPNOTSUPP. */
  check(id: VolumeId): Result<void> {
    const volume = this.#volumes.get(id);
    if (volume === undefined || this.#isBroken(id)) return E.EIO;
    if (!volume.holdsOwnFiles) return E.EOPNOTSUPP;
    const space = this.#recentSpace(volume);
    if (isErrno(space)) return E.EIO;
    return space.available < this.#reserve(space) ? E.ENOSPC : undefined;
  }

  /** As `check`, for so many bytes that are to come from another volume: they leave the reserve, and what moves need, alone. */
  checkMoves(id: VolumeId, bytes: number): Result<void> {
    const outcome = this.check(id);
    const volume = this.#volumes.get(id);
    if (isErrno(outcome) || volume === undefined) return outcome;
    const space = this.#recentSpace(volume);
    if (isErrno(space)) return E.EIO;
    return space.available < this.#reserve(space) + bytes ? E.ENOSPC : undefined;
  }

  /** Whether a volume is so close to its reserve that nobody may write there unheard. */
  isScarce(id: VolumeId): boolean {
    const volume = this.#volumes.get(id);
    const space = volume === undefined ? E.EIO : this.#recentSpace(volume);
    return isErrno(space) || space.available < 2 * this.#reserve(space);
  }

  #reserve({ total }: BackingSpace): number {
    return this.#reserveBytes ?? Math.min(RESERVE_BYTES_DEFAULT, total * RESERVE_SHARE_DEFAULT);
  }

  /** Bytes free are about to change by much: ask the host again next time. */
  forgetSpace(): void {
    this.#spaces.clear();
  }

  #recentSpace(volume: Volume): Result<BackingSpace> {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#spaces.get(volume.row.id);
    if (known !== undefined && nowMs - known.atMs < SPACE_VALID_MS) return known.space;
    const space = volume.space();
    if (!isErrno(space)) this.#spaces.set(volume.row.id, { space, atMs: nowMs });
    return space;
  }
}
