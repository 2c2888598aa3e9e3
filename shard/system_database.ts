/** The SQL of `system.db`: what belongs to no directory. It takes part in records and barriers like a shard. */
import type { AggregateRow, AggregateState, MigrationRow, Tier, VolumeKind, VolumeRow } from '../base/layout.ts';
import {
  type AggregateId,
  type Ino,
  type Lsn,
  type ShardId,
  SLOT_COUNT,
  type Slot,
  type VolumeId,
} from '../base/units.ts';
import { Backlog } from './backlog.ts';
import { StoreError } from './failure.ts';
import { SqliteFile, type SqliteOpen } from './sqlite_file.ts';

type AggregateColumns = [number, number, AggregateState, number, number, number, number];
type VolumeColumns = [number, string, Tier, VolumeKind, string, number, number];

/** Rows fetched by one statement when all of a table is walked. */
const SLICE = 4096;

function statements(file: SqliteFile) {
  return {
    getMeta: file.prepare<[string], unknown>('SELECT value FROM meta WHERE key = ?').pluck(true),
    putMeta: file.prepare<[string, unknown]>('INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)'),
    slots: file.prepare<[], [number, number]>('SELECT slot, shard FROM slots ORDER BY slot').raw(true),
    putSlot: file.prepare<[number, number]>('INSERT OR REPLACE INTO slots(slot, shard) VALUES(?, ?)'),
    volumes: file
      .prepare<[], VolumeColumns>(
        'SELECT id, name, tier, kind, paths, data_cells, parity_cells FROM volumes ORDER BY id',
      )
      .raw(true),
    putVolume: file.prepare<[number, string, string, string, string, number, number]>(
      'INSERT OR REPLACE INTO volumes(id, name, tier, kind, paths, data_cells, parity_cells) VALUES(?, ?, ?, ?, ?, ?, ?)',
    ),
    aggregates: file
      .prepare<[number], AggregateColumns>(
        `SELECT id, volume, state, written, live, newest_mtime_sec, last_read_day FROM aggregates WHERE id > ? ORDER BY id LIMIT ${SLICE}`,
      )
      .raw(true),
    putAggregate: file.prepare<[number, number, string, number, number, number, number]>(
      'INSERT OR REPLACE INTO aggregates(id, volume, state, written, live, newest_mtime_sec, last_read_day) VALUES(?, ?, ?, ?, ?, ?, ?)',
    ),
    deleteAggregate: file.prepare<[number]>('DELETE FROM aggregates WHERE id = ?'),
    migrations: file
      .prepare<[number], [number, string, string]>(
        `SELECT id, state, job FROM migrations WHERE id > ? ORDER BY id LIMIT ${SLICE}`,
      )
      .raw(true),
    putMigration: file.prepare<[number, string, string]>(
      'INSERT OR REPLACE INTO migrations(id, state, job) VALUES(?, ?, ?)',
    ),
    deleteMigration: file.prepare<[number]>('DELETE FROM migrations WHERE id = ?'),
    sharers: file
      .prepare<[number, number], number>('SELECT ino FROM sharers WHERE aggregate = ? AND range_start = ? ORDER BY ino')
      .pluck(true),
    allSharers: file
      .prepare<[number, number, number], [number, number, number]>(
        `SELECT aggregate, range_start, ino FROM sharers WHERE (aggregate, range_start, ino) > (?, ?, ?) ORDER BY aggregate, range_start, ino LIMIT ${SLICE}`,
      )
      .raw(true),
    putSharer: file.prepare<[number, number, number]>(
      'INSERT OR IGNORE INTO sharers(aggregate, range_start, ino) VALUES(?, ?, ?)',
    ),
    deleteSharer: file.prepare<[number, number, number]>(
      'DELETE FROM sharers WHERE aggregate = ? AND range_start = ? AND ino = ?',
    ),
  };
}

export interface Sharer {
  readonly aggregate: AggregateId;
  readonly rangeStart: number;
  readonly ino: Ino;
}

export class SystemDatabase {
  readonly file: SqliteFile;
  /** What is to be written later: `sharers` sees it, whoever else reads has it written first. */
  readonly backlog = new Backlog();
  readonly #sql: ReturnType<typeof statements>;

  constructor(file: SqliteFile) {
    this.file = file;
    this.#sql = statements(file);
  }

  static open(path: string, options: SqliteOpen): SystemDatabase {
    return new SystemDatabase(SqliteFile.open(path, options));
  }

  /** Nothing is held back here. */
  writeDeferred(): void {}

  /** As `SqliteFile.commit`. */
  commit(lsn: Lsn): boolean {
    return this.file.commit(lsn);
  }

  text(key: string): string {
    const value = this.#meta(key);
    if (typeof value !== 'string') throw this.#missing(key);
    return value;
  }

  /** A text that earlier versions or starts may not have left. */
  optionalText(key: string): string | undefined {
    const value = this.#meta(key);
    return typeof value === 'string' ? value : undefined;
  }

  optionalNumber(key: string): number | undefined {
    const value = this.#meta(key);
    return typeof value === 'number' ? value : undefined;
  }

  number(key: string): number {
    const value = this.#meta(key);
    if (typeof value !== 'number') throw this.#missing(key);
    return value;
  }

  bytes(key: string): Uint8Array {
    const value = this.#meta(key);
    if (!(value instanceof Uint8Array)) throw this.#missing(key);
    return value;
  }

  #meta(key: string): unknown {
    this.file.catchUp?.();
    return this.#sql.getMeta.get(key);
  }

  putMeta(key: string, value: string | number | Uint8Array): void {
    this.file.willWrite();
    this.#sql.putMeta.run(key, value);
  }

  #missing(key: string): StoreError {
    return new StoreError('damaged', `Database ${this.file.path} lacks '${key}' in its table meta`);
  }

  /** Shard of every slot. */
  slots(): ShardId[] {
    const shards = this.#sql.slots.all().map(([, shard]) => shard as ShardId);
    if (shards.length !== SLOT_COUNT)
      throw new StoreError('damaged', `Database ${this.file.path} maps ${shards.length} slots, expected ${SLOT_COUNT}`);
    return shards;
  }

  putSlot(slot: Slot, shard: ShardId): void {
    this.file.willWrite();
    this.#sql.putSlot.run(slot, shard);
  }

  volumes(): VolumeRow[] {
    return this.#sql.volumes.all().map(([id, name, tier, kind, paths, dataCells, parityCells]) => {
      const parsed: unknown = JSON.parse(paths);
      if (!Array.isArray(parsed) || !parsed.every((path) => typeof path === 'string'))
        throw new StoreError('damaged', `Volume ${id} in ${this.file.path} has no list of paths`);
      return { id: id as VolumeId, name, tier, kind, paths: parsed, dataCells, parityCells };
    });
  }

  putVolume(row: VolumeRow): void {
    this.file.willWrite();
    const { id, name, tier, kind, paths, dataCells, parityCells } = row;
    this.#sql.putVolume.run(id, name, tier, kind, JSON.stringify(paths), dataCells, parityCells);
  }

  *aggregates(): Generator<AggregateRow> {
    let last = 0;
    for (;;) {
      this.file.catchUp?.();
      const slice = this.#sql.aggregates.all(last);
      for (const [id, volume, state, written, live, newestMtimeSec, lastReadDay] of slice) {
        last = id;
        yield {
          id: id as AggregateId,
          volume: volume as VolumeId,
          state,
          written,
          live,
          newestMtimeSec,
          lastReadDay,
        };
      }
      if (slice.length < SLICE) return;
    }
  }

  putAggregate(row: AggregateRow): void {
    this.file.willWrite();
    const { id, volume, state, written, live, newestMtimeSec, lastReadDay } = row;
    this.#sql.putAggregate.run(id, volume, state, written, live, newestMtimeSec, lastReadDay);
  }

  deleteAggregate(id: AggregateId): void {
    this.file.willWrite();
    this.#sql.deleteAggregate.run(id);
  }

  /** By id. */
  *migrations(): Generator<MigrationRow> {
    let last = 0;
    for (;;) {
      this.file.catchUp?.();
      const slice = this.#sql.migrations.all(last);
      for (const [id, state, job] of slice) {
        last = id;
        yield { id, state, job };
      }
      if (slice.length < SLICE) return;
    }
  }

  putMigration({ id, state, job }: MigrationRow): void {
    this.file.willWrite();
    this.#sql.putMigration.run(id, state, job);
  }

  deleteMigration(id: number): void {
    this.file.willWrite();
    this.#sql.deleteMigration.run(id);
  }

  sharers(aggregate: AggregateId, rangeStart: number): Ino[] {
    return this.backlog.sharers(aggregate, rangeStart, this.#sql.sharers.all(aggregate, rangeStart) as Ino[]);
  }

  *allSharers(): Generator<Sharer> {
    let last: readonly [number, number, number] = [0, 0, 0];
    for (;;) {
      this.file.catchUp?.();
      const slice = this.#sql.allSharers.all(last[0], last[1], last[2]);
      for (const row of slice) {
        last = row;
        yield { aggregate: row[0] as AggregateId, rangeStart: row[1], ino: row[2] as Ino };
      }
      if (slice.length < SLICE) return;
    }
  }

  putSharer(sharer: Sharer): void {
    this.file.willWrite();
    this.#sql.putSharer.run(sharer.aggregate, sharer.rangeStart, sharer.ino);
  }

  deleteSharer(sharer: Sharer): void {
    this.file.willWrite();
    this.#sql.deleteSharer.run(sharer.aggregate, sharer.rangeStart, sharer.ino);
  }
}
