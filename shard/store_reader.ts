/**
 * Reads of a whole store, beyond the rows of the namespace (row_reader.ts): what belongs to no directory, and walks over
 * everything, for fsck, dump, recovery and statistics.
 */
import { assert } from '../base/assert.ts';
import type { AggregateRow, MigrationRow, VolumeRow } from '../base/layout.ts';
import type { AggregateId, Ino, Lsn, ShardId, Slot } from '../base/units.ts';
import type { StoreDatabases } from './databases.ts';
import { Inspection } from './inspection.ts';
import type { MissingShard } from './missing_shard.ts';
import { RowReader, type RowReaderOptions } from './row_reader.ts';
import { ShardScan } from './scan.ts';
import type { Sharer } from './system_database.ts';

export interface ShardState {
  readonly shard: ShardId;
  /** Of its last commit. */
  readonly lsn: Lsn;
  /** Rows that await the next one. */
  readonly pendingRows: number;
  readonly isMissing: boolean;
}

export class StoreReader extends RowReader {
  readonly #databases: StoreDatabases;

  protected constructor(databases: StoreDatabases, options: RowReaderOptions) {
    super(databases, options);
    this.#databases = databases;
  }

  // ---- What belongs to no directory ----

  volumes(): VolumeRow[] {
    return this.#databases.system.volumes();
  }

  aggregates(): AggregateRow[] {
    return [...this.#databases.system.aggregates()];
  }

  /** By id; as the last commit of `system.db` has them, so that a daemon asks once, before its first record. */
  migrations(): MigrationRow[] {
    return [...this.#databases.system.migrations()];
  }

  /** Inodes that name a shared range. */
  sharers(aggregate: AggregateId, rangeStart: number): Ino[] {
    return this.#databases.system.sharers(aggregate, rangeStart);
  }

  allSharers(): Iterable<Sharer> {
    return this.#databases.system.allSharers();
  }

  // ---- Walking over everything ----

  get shardCount(): number {
    return this.#databases.shards.length;
  }

  /**
   * All rows of the slots of one shard (0 to `shardCount` - 1), in slices; `foreign`: also those of slots that are not its
   * own, such as are on their way.
   */
  scan(shard: number, options: { readonly foreign?: boolean } = {}): ShardScan {
    const database = this.#databases.shards[shard];
    assert(database !== undefined, `Shard ${shard}, expected 0 to ${this.shardCount - 1}`);
    if (options.foreign === true) return new ShardScan(database);
    return new ShardScan(database, { has: (slot) => this.#databases.shardOf(slot) === database });
  }

  /** The shard of each slot. */
  slotMap(): readonly ShardId[] {
    return this.#databases.slotMap();
  }

  shardOf(slot: Slot): ShardId {
    return this.#databases.shardIdOf(slot);
  }

  /** Shards that are missing: their slots give EIO, and the store takes no changes. */
  get missingShards(): readonly MissingShard[] {
    return this.#databases.missing;
  }

  /** A database's file that was deleted or replaced since it was opened: what is written to it is lost at the end. */
  lostFile(): string | undefined {
    return this.#databases.lostFile();
  }

  /** Shards that a repair has made anew and not finished, by their state: see refill.ts. */
  unfinishedShards(): ReadonlyMap<ShardId, string> {
    return this.#databases.unfinished();
  }

  /** What each shard's database has done so far, without reading any row. */
  shards(): ShardState[] {
    return this.#databases.shards.map(({ file }, shard) => ({
      shard: shard as ShardId,
      lsn: file.lsn,
      pendingRows: file.rows,
      isMissing: this.#databases.missing.some((missing) => missing.shard === shard),
    }));
  }

  /** What fsck and dump ask beyond that. */
  inspect(): Inspection {
    return new Inspection(this.#databases, this.placement);
  }

  /** Inodes without a name (open, or left over from before the mount). */
  *orphans(): Generator<Ino> {
    for (let shard = 0; shard < this.shardCount; shard++) yield* this.scan(shard).orphans();
  }

  /** Inodes whose bytes are in own files. */
  *ownFileInodes(): Generator<Ino> {
    for (let shard = 0; shard < this.shardCount; shard++) yield* this.scan(shard).ownFiles();
  }
}
