/**
 * What makes tiering pause until a person confirms: a clock that jumped, or a run that would move very much at once. Both
 * look like years of data fallen due overnight, and are mostly a mistake.
 */
import type { Tier } from '../../base/layout.ts';
import { approximateSize } from '../../base/sizes.ts';
import { GIB } from '../../base/units.ts';
import { approximateSpan, formatShare, SECONDS_PER_DAY } from './spans.ts';

export const MAX_JUMP_SEC = SECONDS_PER_DAY;
export const MAX_MOVED_SHARE = 0.2;
/** Runs that move less are never held up by their share: an almost empty tier has nothing to lose. */
export const SHARE_FLOOR_BYTES = GIB;

export interface ClockReading {
  /** Seconds since 1970. */
  readonly wallSec: number;
  /** Of `Clock.monotonicMs`. */
  readonly monotonicMs: number;
  /** Monotonic times of different boots cannot be compared. */
  readonly bootId: string;
}

export interface TierLoad {
  /** Bytes that the tier holds, and of those the bytes that the run would take out of it. */
  readonly heldBytes: number;
  readonly leavingBytes: number;
}

/** A reason to pause. `kind` is what a confirmation names: one for a jump does not allow a large run. */
export interface Pause {
  readonly kind: 'clock' | 'share';
  readonly reason: string;
}

/**
 * Whether wall time went on otherwise than monotonic time. After a reboot nothing tells how long the machine was off: then
 * only a clock that went back counts.
 */
export function clockPause(last: ClockReading | undefined, now: ClockReading): Pause | undefined {
  if (last === undefined) return undefined;
  const wall = now.wallSec - last.wallSec;
  const sameBoot = last.bootId === now.bootId;
  const elapsed = sameBoot ? (now.monotonicMs - last.monotonicMs) / 1000 : Math.max(0, wall);
  const jump = wall - elapsed;
  if (Math.abs(jump) <= MAX_JUMP_SEC) return undefined;
  const direction = jump > 0 ? 'forward' : 'back';
  const reason = `the clock jumped ${direction} by ${approximateSpan(Math.round(Math.abs(jump)))}, expected at most ${approximateSpan(MAX_JUMP_SEC)}`;
  return { kind: 'clock', reason };
}

/** Whether a run would take too much out of one tier. */
export function sharePause(
  loads: ReadonlyMap<Tier, TierLoad>,
  options: { readonly floorBytes?: number } = {},
): Pause | undefined {
  const floor = options.floorBytes ?? SHARE_FLOOR_BYTES;
  for (const [tier, { heldBytes, leavingBytes }] of loads) {
    const share = heldBytes > 0 ? leavingBytes / heldBytes : leavingBytes > 0 ? 1 : 0;
    if (leavingBytes < floor || share <= MAX_MOVED_SHARE) continue;
    const reason = `the run would move ${approximateSize(leavingBytes)} of ${approximateSize(heldBytes)} (${formatShare(share)}) off tier '${tier}', expected at most ${formatShare(MAX_MOVED_SHARE)}`;
    return { kind: 'share', reason };
  }
  return undefined;
}

/** The pauses that nobody has confirmed. */
export function standing(
  pauses: readonly (Pause | undefined)[],
  confirmed: ReadonlySet<Pause['kind']>,
): readonly Pause[] {
  return pauses.filter((pause): pause is Pause => pause !== undefined && !confirmed.has(pause.kind));
}
