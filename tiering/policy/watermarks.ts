/**
 * Volumes above their high watermark: how much has to leave each, and how old a file must be to be among it. The oldest go
 * first; which those are a first look over the files tells (`AgeHistogram`), in memory that does not grow with their number.
 */
import type { VolumeId } from '../../base/units.ts';
import type { Pressure } from './decide.ts';
import { type FileFacts, lastUse } from './facts.ts';
import type { AgeBy, Policy, Watermark } from './policy.ts';
import { SECONDS_PER_DAY } from './spans.ts';

export interface Fill {
  readonly usedBytes: number;
  readonly totalBytes: number;
}

export interface Need {
  readonly volume: VolumeId;
  readonly watermark: Watermark;
  /** Bytes to leave the volume until it is at its low watermark; above 0. */
  readonly bytes: number;
}

/**
 * The volumes from which files have to leave now. `draining` are those that were above high and have not been at low
 * since: without them a volume between its marks is left alone.
 */
export function watermarkNeeds(
  policy: Policy,
  fills: ReadonlyMap<VolumeId, Fill>,
  draining: ReadonlySet<VolumeId> = new Set(),
): Need[] {
  const needs: Need[] = [];
  for (const [volume, watermark] of policy.watermarks) {
    const fill = fills.get(volume);
    if (fill === undefined || fill.totalBytes <= 0) continue;
    const share = fill.usedBytes / fill.totalBytes;
    const bytes = Math.ceil(fill.usedBytes - watermark.low * fill.totalBytes);
    if (bytes > 0 && (share > watermark.high || draining.has(volume))) needs.push({ volume, watermark, bytes });
  }
  return needs;
}

/** A century: what is older or from the future counts as its first or last day. */
const MAX_DAYS = 36_525;

/** Bytes of a volume's files by the day of their last use, counted back from the day of the look. */
export class AgeHistogram {
  readonly by: AgeBy;
  readonly #today: number;
  readonly #bytes = new Float64Array(MAX_DAYS);

  constructor(by: AgeBy, nowSec: number) {
    this.by = by;
    this.#today = Math.floor(nowSec / SECONDS_PER_DAY);
  }

  /** Files that a watermark may move: not those that a rule or a pin keeps. */
  add(file: Pick<FileFacts, 'mtimeSec' | 'atimeSec' | 'storedBytes'>): void {
    const ago = this.#today - Math.floor(lastUse(file, this.by) / SECONDS_PER_DAY);
    const index = Math.max(0, Math.min(MAX_DAYS - 1, ago));
    this.#bytes[index] = (this.#bytes[index] ?? 0) + file.storedBytes;
  }

  /**
   * The end of the youngest day that has to go for `bytes` to leave; undefined when there is nothing. The engine stops
   * within that day once enough has left. Never in the future: a file that is being written is not the oldest.
   */
  untilSec(bytes: number): number | undefined {
    let left = bytes;
    let found: number | undefined;
    for (let ago = MAX_DAYS - 1; ago >= 0 && left > 0; ago--) {
      const held = this.#bytes[ago] ?? 0;
      if (held === 0) continue;
      left -= held;
      found = (this.#today - ago + 1) * SECONDS_PER_DAY - 1;
    }
    return found;
  }

  pressure(need: Need): Pressure | undefined {
    const untilSec = this.untilSec(need.bytes);
    return untilSec === undefined ? undefined : { to: need.watermark.to, by: this.by, untilSec };
  }
}
