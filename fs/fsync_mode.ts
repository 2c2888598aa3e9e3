/**
 * Whether the first fsync of a small file copies it into a segment or flushes its own file: whichever has taken less time
 * of late, a volume at a time. What is not used is tried again now and then, for disks change with their load.
 */
import type { VolumeId } from '../base/units.ts';

export type FsyncMode = 'auto' | 'copy' | 'flush';
export type FsyncWay = 'copy' | 'flush';

/** Weight of the newest measurement. */
const NEWEST = 1 / 8;
/** No measurement counts as more than so many times the mean: one stall of the disk says nothing of a way. */
const OUTLIER = 4;
/** One choice in so many goes to the other way. */
const TRY_OTHER = 128;

interface Measured {
  /** Mean milliseconds a file; undefined until there is one. */
  readonly ms: Record<FsyncWay, number | undefined>;
  choices: number;
}

export class FsyncModes {
  readonly #mode: FsyncMode;
  readonly #volumes = new Map<VolumeId, Measured>();

  constructor(mode: FsyncMode) {
    this.#mode = mode;
  }

  /** How the next group of files is made durable. Copies come first, and stay where nothing is faster. */
  choose(volume: VolumeId): FsyncWay {
    if (this.#mode !== 'auto') return this.#mode;
    const measured = this.#of(volume);
    measured.choices += 1;
    const { copy, flush } = measured.ms;
    const best = copy !== undefined && flush !== undefined && flush < copy ? 'flush' : 'copy';
    if (measured.choices % TRY_OTHER !== 0) return best;
    return best === 'copy' ? 'flush' : 'copy';
  }

  /** A group of `files` took `ms` from its beginning to the end of its barrier. */
  note(volume: VolumeId, way: FsyncWay, took: { readonly files: number; readonly ms: number }): void {
    const { ms } = this.#of(volume);
    const each = took.ms / Math.max(1, took.files);
    const before = ms[way];
    ms[way] = before === undefined ? each : before + (Math.min(each, OUTLIER * before) - before) * NEWEST;
  }

  #of(volume: VolumeId): Measured {
    let measured = this.#volumes.get(volume);
    if (measured === undefined) {
      measured = { ms: { copy: undefined, flush: undefined }, choices: 0 };
      this.#volumes.set(volume, measured);
    }
    return measured;
  }
}
