/**
 * One SQLite database of a store: how it is made, opened, brought to the newest schema, committed and checkpointed. WAL,
 * one writer, one transaction that is open from the first write after a commit to the next commit.
 */
import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import { assert } from '../base/assert.ts';
import type { Timespec } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import { ShardFailure, StoreError, sqliteCode } from './failure.ts';
import { APPLICATION_ID, PAGE_BYTES, type SchemaStep } from './schema.ts';

/** Memory for pages, per database. Dirty pages of an open transaction may exceed it: they never spill into the log. */
const CACHE_KIB = 2048;
/** What a written row adds to the log at most, measured with keys spread over a billion: see docs/formats/namespace.md. */
const WAL_BYTES_PER_ROW = 1024;

export interface SqliteOpen {
  readonly schema: readonly SchemaStep[];
  readonly now: Timespec;
  readonly readOnly?: boolean;
}

export class SqliteFile {
  readonly path: string;
  readonly #db: Database.Database;
  readonly #begin: Database.Statement<[]>;
  readonly #commit: Database.Statement<[]>;
  readonly #setLsn: Database.Statement<[number]>;
  #dirty = false;
  #rows = 0;
  #rowsSinceCheckpoint = 0;
  #lsn: Lsn;

  private constructor(path: string, db: Database.Database) {
    this.path = path;
    this.#db = db;
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#setLsn = db.prepare("UPDATE meta SET value = ? WHERE key = 'lsn'");
    this.#lsn = Number(db.prepare("SELECT value FROM meta WHERE key = 'lsn'").pluck().get() ?? 0) as Lsn;
  }

  /** Makes a new database with the newest schema; the file must not exist. */
  static create(path: string, options: SqliteOpen): SqliteFile {
    assert(!existsSync(path), `Database ${path} exists`);
    const db = new Database(path);
    db.pragma(`page_size = ${PAGE_BYTES}`);
    db.pragma('auto_vacuum = 0');
    db.pragma(`application_id = ${APPLICATION_ID}`);
    configure(db, false);
    upgrade(db, options);
    return new SqliteFile(path, db);
  }

  /** Opens what `create` made, of this or an earlier version; throws `StoreError` for anything else. */
  static open(path: string, options: SqliteOpen): SqliteFile {
    const readOnly = options.readOnly === true;
    let db: Database.Database | undefined;
    try {
      db = new Database(path, { fileMustExist: true, readonly: readOnly });
      checkVersion(path, db, options);
      configure(db, readOnly);
      if (!readOnly) upgrade(db, options);
      return new SqliteFile(path, db);
    } catch (thrown) {
      db?.close();
      if (thrown instanceof StoreError) throw thrown;
      const code = sqliteCode(thrown);
      if (code === '') throw thrown;
      throw new StoreError('damaged', `Cannot open database ${path}: SQLite says ${code}`, { cause: thrown });
    }
  }

  prepare<Parameters extends unknown[], Row = unknown>(sql: string): Database.Statement<Parameters, Row> {
    return this.#db.prepare<Parameters, Row>(sql);
  }

  /** To be called before each write of a row; opens the transaction if there is none. */
  willWrite(): void {
    this.#rows += 1;
    if (this.#dirty) return;
    this.#begin.run();
    this.#dirty = true;
  }

  /** Whether rows were written since the last commit. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Rows written since the last commit. */
  get rows(): number {
    return this.#rows;
  }

  /** LSN of the last commit. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  /**
   * Makes the open transaction durable, and with it the LSN up to which this database is whole. False when the disk is
   * full: the transaction is then gone and has to be applied again. Any other failure ends the daemon.
   */
  commit(lsn: Lsn): boolean {
    try {
      if (!this.#dirty) this.willWrite();
      this.#setLsn.run(lsn);
      this.#commit.run();
    } catch (thrown) {
      if (!isDiskFull(thrown)) throw this.#failure('commit', thrown);
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      this.#dirty = false;
      this.#rows = 0;
      return false;
    }
    this.#lsn = lsn;
    this.#dirty = false;
    this.#rowsSinceCheckpoint += this.#rows;
    this.#rows = 0;
    return true;
  }

  /** Bytes of log since the last complete checkpoint, estimated upwards. */
  get walBytes(): number {
    return this.#rowsSinceCheckpoint * WAL_BYTES_PER_ROW;
  }

  /**
   * Moves the log into the database, so that the next transaction writes the log from its start again. Only between
   * transactions. Returns whether all of it was moved; a full disk only postpones it.
   */
  checkpoint(): boolean {
    assert(!this.#dirty, 'A checkpoint within a transaction never ends the log');
    try {
      const [outcome] = this.#db.pragma('wal_checkpoint(PASSIVE)') as { log: number; checkpointed: number }[];
      const complete = outcome !== undefined && outcome.log === outcome.checkpointed;
      if (complete) this.#rowsSinceCheckpoint = 0;
      return complete;
    } catch (thrown) {
      if (isDiskFull(thrown)) return false;
      throw this.#failure('checkpoint', thrown);
    }
  }

  /** Ends without a commit: what was written since the last one is gone. */
  close(): void {
    if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
    this.#db.close();
  }

  #failure(action: string, cause: unknown): ShardFailure {
    return new ShardFailure(`Cannot ${action} database ${this.path}: SQLite says ${sqliteCode(cause)}`, { cause });
  }
}

/** The index of the log is a file too, of which SQLite says otherwise that it cannot grow. */
function isDiskFull(thrown: unknown): boolean {
  const code = sqliteCode(thrown);
  return code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE';
}

function configure(db: Database.Database, readOnly: boolean): void {
  db.pragma(`cache_size = -${CACHE_KIB}`);
  db.pragma('cache_spill = 0');
  db.pragma('temp_store = MEMORY');
  db.pragma('trusted_schema = 0');
  db.pragma('locking_mode = NORMAL');
  if (readOnly) return;
  db.pragma('journal_mode = WAL');
  // NORMAL once the journal exists: until then a commit is what makes an acknowledged fsync true.
  db.pragma('synchronous = FULL');
  db.pragma('wal_autocheckpoint = 0');
}

function checkVersion(path: string, db: Database.Database, options: SqliteOpen): void {
  const id = db.pragma('application_id', { simple: true });
  if (id !== APPLICATION_ID) throw new StoreError('not-a-store', `Database ${path} is not part of a pacsfs store`);
  const version = Number(db.pragma('user_version', { simple: true }));
  const newest = newestVersion(options.schema);
  if (version > newest)
    throw new StoreError(
      'newer-format',
      `Database ${path} has format ${version}, expected at most ${newest}: use a newer pacsfs`,
    );
  if (version < 1) throw new StoreError('damaged', `Database ${path} has format ${version}, expected 1 to ${newest}`);
  if (options.readOnly === true && version < newest)
    throw new StoreError(
      'damaged',
      `Database ${path} has format ${version}: mount it once for the change to ${newest}`,
    );
}

function newestVersion(schema: readonly SchemaStep[]): number {
  return schema.at(-1)?.version ?? 0;
}

/** Runs the steps that the database lacks, each with its version in one transaction: a crash leaves a whole version. */
function upgrade(db: Database.Database, options: SqliteOpen): void {
  const found = Number(db.pragma('user_version', { simple: true }));
  for (const step of options.schema) {
    if (step.version <= found) continue;
    db.transaction(() => {
      db.exec(step.sql);
      db.prepare('INSERT INTO schema_history VALUES(?, ?, ?)').run(step.version, options.now.sec, step.what);
      db.pragma(`user_version = ${step.version}`);
    }).immediate();
  }
}
