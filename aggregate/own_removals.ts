/**
 * Own files that were let go and wait for a barrier; behind it they are removed, here or by whoever takes them. Names are
 * never used again, so nothing depends on when that happens.
 */
import { E } from '../base/errno.ts';
import type { OwnName } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { VolumeId } from '../base/units.ts';
import { type FileCache, ownKey } from './file_cache.ts';
import type { Volume } from './volume.ts';

/** Files of one batch at most. */
const BATCH_FILES = 256;

/** Own files to be removed, on whatever thread; `done` hears of it. */
export interface UnlinkBatch {
  readonly names: readonly OwnName[];
  /** Of each name. */
  readonly paths: readonly string[];
}

export class OwnRemovals {
  readonly #volumes: ReadonlyMap<VolumeId, Volume>;
  readonly #files: FileCache;
  readonly #log: Log;
  /** Let go since the last barrier began, and before it. */
  #later: OwnName[] = [];
  #passing: OwnName[] = [];
  /** Handed out. */
  #underWay = 0;

  constructor(tools: {
    readonly volumes: ReadonlyMap<VolumeId, Volume>;
    readonly files: FileCache;
    readonly log: Log;
  }) {
    this.#volumes = tools.volumes;
    this.#files = tools.files;
    this.#log = tools.log;
  }

  get count(): number {
    return this.#later.length + this.#passing.length + this.#underWay;
  }

  /** Its descriptor is closed now: of many at once that takes long. */
  later(name: OwnName): void {
    this.#files.drop(ownKey(name));
    this.#later.push(name);
  }

  barrierBegins(): void {
    this.#passing = this.#passing.concat(this.#later);
    this.#later = [];
  }

  /** Those behind the barrier that is done. Their descriptors are closed: else the last close would be the removal. */
  take(): readonly UnlinkBatch[] {
    const batches: UnlinkBatch[] = [];
    const unlinks = this.#passing;
    this.#passing = [];
    for (let at = 0; at < unlinks.length; at += BATCH_FILES) {
      const names: OwnName[] = [];
      const paths: string[] = [];
      for (const name of unlinks.slice(at, at + BATCH_FILES)) {
        this.#files.drop(ownKey(name));
        const target = this.#volumes.get(name.volume)?.ownTarget(name);
        if (target === undefined) continue;
        names.push(name);
        paths.push(target.path);
      }
      this.#underWay += names.length;
      if (names.length > 0) batches.push({ names, paths });
    }
    return batches;
  }

  /** 0 or -errno for each file of a batch. */
  done(batch: UnlinkBatch, outcomes: readonly number[]): void {
    this.#underWay -= batch.names.length;
    for (const [i, { volume, start, number }] of batch.names.entries()) {
      const outcome = outcomes[i] ?? -E.EIO.number;
      if (outcome >= 0 || outcome === -E.ENOENT.number) continue;
      this.#log.warn({ volume, start, number, error: -outcome }, 'Cannot unlink an own file; fsck will find it');
    }
  }
}
