/** What must be flushed before a barrier, and which volumes a failed flush has broken. */
import { type Backing, type FlushTarget, flushTarget } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { WrittenRange } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { type AggregateId, MIB, type VolumeId } from '../base/units.ts';
import type { Volume } from './volume.ts';

/** What one barrier flushes, bytes of aggregates before names; on whatever thread. */
export interface FlushBatch {
  readonly targets: readonly FlushTarget[];
  /** Of each target. */
  readonly volumes: readonly VolumeId[];
  /** Aggregates whose bytes are among them. */
  readonly aggregates: readonly AggregateId[];
  /** All bytes that the targets hold; undefined where they are more than these, or too many to be read again. */
  readonly ranges: readonly WrittenRange[] | undefined;
}

/** What a barrier may claim: it is read again after a power cut. */
const CLAIM_RANGES = 16;
const CLAIM_BYTES = 16 * MIB;

interface Written {
  readonly volume: VolumeId;
  /** Undefined: nobody has told all of them. */
  readonly ranges: readonly WrittenRange[] | undefined;
}

export class Flusher {
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #backing: Backing;
  readonly #log: Log;
  readonly #written = new Map<AggregateId, Written>();
  readonly #newAggregates = new Map<AggregateId, VolumeId>();
  /** Volumes on which own files of this start were made since their names were flushed, and those where one counts. */
  readonly #newOwnNames = new Set<VolumeId>();
  readonly #flushedOwn = new Set<VolumeId>();
  /** Own files of earlier starts may have names that nobody has flushed. */
  #mayHaveNames = false;
  readonly #broken = new Set<VolumeId>();

  constructor(options: {
    readonly volumes: ReadonlyMap<VolumeId, Volume>;
    readonly backing: Backing;
    readonly log: Log;
  }) {
    this.#volumes = options.volumes;
    this.#backing = options.backing;
    this.#log = options.log;
  }

  isBroken(volume: VolumeId): boolean {
    return this.#broken.has(volume);
  }

  get brokenVolumes(): readonly VolumeId[] {
    return [...this.#broken];
  }

  wroteAggregate(volume: VolumeId, id: AggregateId, written?: readonly WrittenRange[]): void {
    const { ranges } = this.#written.get(id) ?? { ranges: [] };
    this.#written.set(id, { volume, ranges: ranges && written && [...ranges, ...written] });
  }

  /** A worker flushed all that was written to it; only one at a time writes to an aggregate. */
  flushedAggregate(id: AggregateId): void {
    this.#written.delete(id);
  }

  /** Aggregates that were written to and not flushed. */
  get unflushed(): readonly AggregateId[] {
    return [...this.#written.keys()];
  }

  madeAggregate(volume: VolumeId, id: AggregateId): void {
    this.#newAggregates.set(id, volume);
  }

  madeOwn(volume: VolumeId): void {
    this.#newOwnNames.add(volume);
  }

  /** An own file's bytes are durable: so must its name be. One that was never flushed may be lost with its name. */
  flushedOwn(volume: VolumeId): void {
    this.#flushedOwn.add(volume);
  }

  /** A daemon that was killed made own files, and may have flushed their bytes but not their names. */
  inheritedOwn(): void {
    this.#mayHaveNames = true;
  }

  /** Removed: nothing of it needs to be durable any more. */
  forgetAggregate(id: AggregateId): void {
    this.#written.delete(id);
    this.#newAggregates.delete(id);
  }

  /** A flush or write of bytes that records name has failed: the volume takes no more. */
  breakVolume(volume: VolumeId, error: number): void {
    if (this.#broken.has(volume)) return;
    this.#broken.add(volume);
    this.#log.error(
      { volume, error },
      'A flush failed: the volume is broken, nothing on it is called durable any more',
    );
  }

  /** Paths of aggregates and folders tell no name of a file. */
  #failed(volume: VolumeId, path: string, error: number): void {
    this.#log.error({ volume, path, error }, 'Cannot flush what records name: it may be lost');
    this.breakVolume(volume, error);
  }

  /** Takes what is not durable yet; whoever takes it flushes it and hands the outcomes to `done`. */
  take(start: number): FlushBatch {
    const targets: FlushTarget[] = [];
    const volumes: VolumeId[] = [];
    const add = (volume: VolumeId, found: readonly FlushTarget[]) => {
      for (const target of found) {
        targets.push(target);
        volumes.push(volume);
      }
    };
    for (const [id, { volume }] of this.#written)
      add(
        volume,
        this.#targets(volume, (v) => [v.aggregateTarget(id)]),
      );
    for (const [id, volume] of this.#newAggregates) {
      add(
        volume,
        this.#targets(volume, (v) => v.aggregateNameTargets(id)),
      );
    }
    if (this.#mayHaveNames) for (const id of this.#volumes.keys()) add(id, this.#targets(id, inheritedNames));
    for (const volume of this.#flushedOwn) {
      if (!this.#newOwnNames.delete(volume)) continue;
      add(
        volume,
        this.#targets(volume, (v) => v.ownNameTargets(start)),
      );
    }
    const aggregates = this.unflushed;
    const ranges = targets.length === aggregates.length ? this.#claimable() : undefined;
    this.#written.clear();
    this.#newAggregates.clear();
    this.#flushedOwn.clear();
    this.#mayHaveNames = false;
    return { targets, volumes, aggregates, ranges };
  }

  #claimable(): readonly WrittenRange[] | undefined {
    const all: WrittenRange[] = [];
    let bytes = 0;
    for (const { ranges } of this.#written.values()) {
      for (const { length } of ranges ?? []) bytes += length;
      if (ranges === undefined || all.length + ranges.length > CLAIM_RANGES || bytes > CLAIM_BYTES) return undefined;
      all.push(...ranges);
    }
    return all.length > 0 ? all : undefined;
  }

  /**
   * Outcomes of a batch's targets, 0 or -errno each. EIO once any volume is broken: after a failed flush the host has
   * forgotten which pages it could not write, so a second flush that succeeds would prove nothing.
   */
  done(batch: FlushBatch, outcomes: readonly number[]): Result<void> {
    for (const [i, volume] of batch.volumes.entries()) {
      const outcome = outcomes[i] ?? -E.EIO.number;
      if (outcome < 0) this.#failed(volume, batch.targets[i]?.path ?? '', -outcome);
    }
    return this.#broken.size > 0 ? E.EIO : undefined;
  }

  /** Flushes a batch here and now; nothing on a volume that is broken. */
  flush(batch: FlushBatch): Result<void> {
    for (const [i, target] of batch.targets.entries()) {
      const volume = batch.volumes[i];
      if (volume === undefined || this.#broken.has(volume)) continue;
      const outcome = flushTarget(this.#backing, target);
      if (outcome < 0) this.#failed(volume, target.path, -outcome);
    }
    return this.#broken.size > 0 ? E.EIO : undefined;
  }

  /** Of a volume that is not there nothing can be made durable. */
  #targets(id: VolumeId, of: (volume: Volume) => readonly FlushTarget[]): readonly FlushTarget[] {
    const volume = this.#volumes.get(id);
    if (volume !== undefined) return of(volume);
    this.breakVolume(id, E.EIO.number);
    return [];
  }
}

/** Folders of all starts: few are left from earlier ones, and to flush one without changes costs nothing. */
function inheritedNames(volume: Volume): readonly FlushTarget[] {
  const starts = volume.ownStarts();
  return isErrno(starts) ? [] : starts.flatMap((start) => volume.ownNameTargets(start));
}
