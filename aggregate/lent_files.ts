/**
 * Aggregates that are open for threads that read them by descriptor: one that is lent stays open, whatever happens to the
 * aggregate, and what nobody uses is closed when there are too many, or when the aggregate is removed.
 */
import type { BackingFile } from '../base/backing.ts';
import { isErrno, type Result } from '../base/errno.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';

/** Kept open though nobody uses them. */
const IDLE_MAX = 64;

export interface LentFile {
  readonly aggregate: AggregateId;
  readonly descriptor: number;
}

interface Kept extends LentFile {
  readonly file: BackingFile;
  users: number;
  /** It is to be closed when its last user has gone, and nobody gets it any more. */
  isDropped: boolean;
}

export class LentFiles {
  readonly #open: (volume: VolumeId, id: AggregateId) => Result<BackingFile>;
  /** In the order of their last use. */
  readonly #files = new Map<AggregateId, Kept>();

  constructor(open: (volume: VolumeId, id: AggregateId) => Result<BackingFile>) {
    this.#open = open;
  }

  get size(): number {
    return this.#files.size;
  }

  /** Give it back with `giveBack`. Undefined when it cannot be opened, or is no file of this host. */
  lend(volume: VolumeId, aggregate: AggregateId): LentFile | undefined {
    const kept = this.#files.get(aggregate) ?? this.#make(volume, aggregate);
    if (kept === undefined) return undefined;
    this.#files.delete(aggregate);
    this.#files.set(aggregate, kept);
    kept.users += 1;
    return kept;
  }

  giveBack(lent: LentFile): void {
    const kept = lent as Kept;
    kept.users -= 1;
    if (kept.users === 0 && kept.isDropped) kept.file.close();
  }

  /** The aggregate is removed: its space is free once nobody reads it. */
  drop(aggregate: AggregateId): void {
    const kept = this.#files.get(aggregate);
    if (kept === undefined) return;
    this.#files.delete(aggregate);
    kept.isDropped = true;
    if (kept.users === 0) kept.file.close();
  }

  close(): void {
    for (const aggregate of [...this.#files.keys()]) this.drop(aggregate);
  }

  #make(volume: VolumeId, aggregate: AggregateId): Kept | undefined {
    const file = this.#open(volume, aggregate);
    if (isErrno(file)) return undefined;
    if (file.descriptor === undefined) {
      file.close();
      return undefined;
    }
    for (const [id, { users }] of this.#files) {
      if (this.#files.size < IDLE_MAX) break;
      if (users === 0) this.drop(id);
    }
    return { aggregate, descriptor: file.descriptor, file, users: 0, isDropped: false };
  }
}
