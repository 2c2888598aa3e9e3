/**
 * Makes what is applied durable, and keeps the logs of the databases and the space of their disk within bounds. Until
 * the journal exists this is all there is: a crash between two commits of one barrier can leave one shard ahead of
 * another. `system.db` is therefore committed last and every time: a shard with a higher LSN than it tells of that.
 */
import type { Backing } from '../base/backing.ts';
import { isErrno } from '../base/errno.ts';
import type { Log } from '../base/log.ts';
import type { Clock } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import type { Ballast } from './ballast.ts';
import type { StoreDatabases } from './databases.ts';
import type { SqliteFile } from './sqlite_file.ts';

/** How long a look at the disk's free space counts. */
const SPACE_MEMORY_MS = 100;

export interface CommitterOptions {
  /** The metadata folder. */
  readonly folder: string;
  readonly backing: Backing;
  readonly ballast: Ballast;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of one database's log from which it is checkpointed. */
  readonly walLimit: number;
  /** Free bytes of the metadata filesystem under which nothing new should be made. */
  readonly reserve: number;
}

export class Committer {
  readonly #databases: StoreDatabases;
  readonly #options: CommitterOptions;
  #durable: Lsn;
  #low = false;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(databases: StoreDatabases, options: CommitterOptions) {
    this.#databases = databases;
    this.#options = options;
    this.#durable = databases.highestLsn();
  }

  /** Everything up to here survives power loss. */
  get durable(): Lsn {
    return this.#durable;
  }

  /** Rows written since the last barrier, over all databases. */
  get pendingRows(): number {
    const { shards, system } = this.#databases;
    return shards.reduce((rows, shard) => rows + shard.file.rows, system.file.rows);
  }

  /** Order of durability: shards, then `system.db`, which says that all shards have reached `lsn`; then the logs. */
  barrier(lsn: Lsn): void {
    const { shards, system } = this.#databases;
    if (lsn === this.#durable && this.pendingRows === 0) return;
    for (const { file } of shards) if (file.dirty) this.#commit(file, lsn);
    this.#commit(system.file, lsn);
    this.#durable = lsn;
    const { walLimit, ballast } = this.#options;
    for (const { file } of [...shards, system]) if (file.walBytes > walLimit) file.checkpoint();
    if (!ballast.present && !this.low()) ballast.restore();
  }

  /** Moves every log into its database, as far as readers elsewhere allow. */
  checkpoint(): void {
    for (const { file } of [...this.#databases.shards, this.#databases.system]) if (!file.dirty) file.checkpoint();
  }

  /** Whether the metadata filesystem is so full that nothing new should be made. */
  low(): boolean {
    const { backing, clock, folder, reserve } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#lookedMs < SPACE_MEMORY_MS) return this.#low;
    this.#lookedMs = nowMs;
    const space = backing.space(folder);
    // A small disk keeps an eighth of itself at most; one that cannot be asked is not called full.
    this.#low = !isErrno(space) && space.available < Math.min(reserve, space.total / 8);
    return this.#low;
  }

  #commit(file: SqliteFile, lsn: Lsn): void {
    const { ballast, log } = this.#options;
    file.commit(lsn, () => {
      log.warn({ database: file.path }, 'Metadata disk is full: releasing the ballast file');
      ballast.release();
    });
  }
}
