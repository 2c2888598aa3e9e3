/** What must be flushed before a barrier, and which volumes a failed flush has broken. */
import type { BackingFile } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import type { Volume } from './volume.ts';

export class Flusher {
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #open: (volume: VolumeId, id: AggregateId) => Result<BackingFile>;
  readonly #log: Log;
  readonly #written = new Map<AggregateId, VolumeId>();
  readonly #newAggregates = new Map<AggregateId, VolumeId>();
  /** Volumes on which own files of this start were made since the last flush. */
  readonly #newOwnNames = new Set<VolumeId>();
  readonly #broken = new Set<VolumeId>();

  constructor(options: {
    readonly volumes: ReadonlyMap<VolumeId, Volume>;
    readonly open: (volume: VolumeId, id: AggregateId) => Result<BackingFile>;
    readonly log: Log;
  }) {
    this.#volumes = options.volumes;
    this.#open = options.open;
    this.#log = options.log;
  }

  isBroken(volume: VolumeId): boolean {
    return this.#broken.has(volume);
  }

  get brokenVolumes(): readonly VolumeId[] {
    return [...this.#broken];
  }

  wroteAggregate(volume: VolumeId, id: AggregateId): void {
    this.#written.set(id, volume);
  }

  madeAggregate(volume: VolumeId, id: AggregateId): void {
    this.#newAggregates.set(id, volume);
  }

  madeOwn(volume: VolumeId): void {
    this.#newOwnNames.add(volume);
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

  /**
   * Bytes of aggregates first, then names. EIO once any volume is broken: after a failed flush the host has forgotten
   * which pages it could not write, so a second flush that succeeds would prove nothing.
   */
  flush(start: number): Result<void> {
    for (const [id, volume] of this.#written) this.#note(volume, this.#flushAggregate(volume, id));
    for (const [id, volume] of this.#newAggregates) {
      this.#note(volume, this.#volumes.get(volume)?.flushAggregateName(id) ?? -E.EIO.number);
    }
    for (const volume of this.#newOwnNames) {
      this.#note(volume, this.#volumes.get(volume)?.flushOwnNames(start) ?? -E.EIO.number);
    }
    this.#written.clear();
    this.#newAggregates.clear();
    this.#newOwnNames.clear();
    return this.#broken.size > 0 ? E.EIO : undefined;
  }

  #flushAggregate(volume: VolumeId, id: AggregateId): number {
    if (this.#broken.has(volume)) return -E.EIO.number;
    const file = this.#open(volume, id);
    return isErrno(file) ? -file.number : file.flush();
  }

  #note(volume: VolumeId, outcome: number): void {
    if (outcome < 0) this.breakVolume(volume, -outcome);
  }
}
