/**
 * One SQLite database of a store: how it is made, opened, brought to the newest schema, committed and checkpointed. WAL,
 * one writer, one transaction that is open from the first write after a commit to the next commit.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';
import { assert } from '../base/assert.ts';
import type { Timespec } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import { ShardFailure, StoreError, sqliteCode } from './failure.ts';
import { APPLICATION_ID, PAGE_BYTES, type SchemaStep } from './schema.ts';

/** Memory for pages, per database. Dirty pages of an open transaction may exceed it: they never spill into the log. */
const CACHE_KIB = 2048;
/** How long other processes are waited for, which read: the binding's own default. */
const BUSY_MS = 5_000;
/** A database without a file. */
const MEMORY = ':memory:';
/** Of a frame of the log: its head, and a page. */
const FRAME_BYTES = 24 + PAGE_BYTES;

/** Loads the library, for a process that will need it in a hurry: otherwise the first database does. */
export function loadSqlite(): void {
  const db = new Database(MEMORY);
  db.pragma('user_version');
  db.prepare('SELECT 1').get();
  db.close();
}

export interface SqliteOpen {
  readonly schema: readonly SchemaStep[];
  readonly now: Timespec;
  readonly readOnly?: boolean;
  /** Writes may be made, but no commit, and nothing of them is on the disk when it has been closed. */
  readonly rehearsal?: boolean;
  /** Asked before anything is written, with what the table `meta` has; throws for a database that is another's. */
  readonly recognise?: (meta: (key: string) => unknown) => void;
  /** The record that is being applied; without it LSNs of transactions are not known. */
  readonly applying?: Applying;
}

/** Shared by all databases of a store. */
export interface Applying {
  lsn: Lsn;
}

export class SqliteFile {
  readonly path: string;
  readonly #db: Database.Database;
  readonly #begin: Database.Statement<[]>;
  readonly #commit: Database.Statement<[]>;
  readonly #setLsn: Database.Statement<[number]>;
  readonly #freePages: Database.Statement<[], number>;
  readonly #logFrames: Database.Statement<[], [busy: number, log: number, checkpointed: number]>;
  /** Set while rows wait outside (backlog.ts): writes all of them. Called before a row is written past them. */
  catchUp: (() => void) | undefined;
  /** Set while another thread of this process may write: waits until it does no more. */
  #awaitOther: (() => void) | undefined;
  #dirty = false;
  #rows = 0;
  #commits = 0;
  #lsn: Lsn;
  readonly #applying: Applying;
  readonly #guard: Database.Database | undefined;
  /** Highest LSN in the open transaction. */
  #highest = 0 as Lsn;
  /** First LSN in the open transaction. */
  #lowest = 0 as Lsn;
  /** First LSN that the database may lack after a power cut; infinite when there is none. */
  #neededFrom = 0;

  private constructor(path: string, db: Database.Database, options: SqliteOpen, guard?: Database.Database) {
    this.path = path;
    this.#db = db;
    this.#guard = guard;
    this.#applying = options.applying ?? { lsn: 0 as Lsn };
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#setLsn = db.prepare("UPDATE meta SET value = ? WHERE key = 'lsn'");
    this.#freePages = db.prepare<[], number>('PRAGMA freelist_count').pluck(true);
    this.#logFrames = db.prepare<[], [number, number, number]>('PRAGMA wal_checkpoint(NOOP)').raw(true);
    this.#lsn = Number(db.prepare("SELECT value FROM meta WHERE key = 'lsn'").pluck().get() ?? 0) as Lsn;
  }

  /** Makes a new database with the newest schema; the file must not exist. */
  static create(path: string, options: SqliteOpen): SqliteFile {
    assert(!existsSync(path), `Database ${path} exists`);
    if (path !== MEMORY) makePrivate(path);
    const db = new Database(path);
    db.pragma(`page_size = ${PAGE_BYTES}`);
    db.pragma('auto_vacuum = 0');
    db.pragma(`application_id = ${APPLICATION_ID}`);
    configure(db, false);
    upgrade(db, options);
    return new SqliteFile(path, db, options);
  }

  /** Opens what `create` made, of this or an earlier version; throws `StoreError` for anything else. */
  static open(path: string, options: SqliteOpen): SqliteFile {
    const readOnly = options.readOnly === true;
    const rehearsal = options.rehearsal === true;
    let db: Database.Database | undefined;
    let guard: Database.Database | undefined;
    try {
      // While another connection of this process is open, SQLite does not move the log into the database at a close; and
      // the other one may not.
      if (rehearsal) {
        guard = new Database(path, { fileMustExist: true, readonly: true });
        guard.pragma('application_id');
      }
      db = new Database(path, { fileMustExist: true, readonly: readOnly && !rehearsal });
      checkVersion(path, db, options);
      recognise(db, options);
      configure(db, readOnly);
      if (!readOnly) upgrade(db, options);
      return new SqliteFile(path, db, options, guard);
    } catch (thrown) {
      if (guard === undefined && !isDiskFull(thrown)) guard = lookedAt(path);
      db?.close();
      guard?.close();
      if (thrown instanceof StoreError) throw thrown;
      const code = sqliteCode(thrown);
      if (code === '') throw thrown;
      if (isDiskFull(thrown))
        throw new StoreError('disk-full', `Cannot open database ${path}: its disk is full, free some MiB there first`, {
          cause: thrown,
        });
      throw new StoreError('damaged', `Cannot open database ${path}: SQLite says ${code}`, { cause: thrown });
    }
  }

  prepare<Parameters extends unknown[], Row = unknown>(sql: string): Database.Statement<Parameters, Row> {
    return this.#db.prepare<Parameters, Row>(sql);
  }

  /** To be called before each write of a row; opens the transaction if there is none. */
  willWrite(): void {
    if (this.catchUp !== undefined) this.catchUp();
    this.#rows += 1;
    const { lsn } = this.#applying;
    if (lsn < this.#neededFrom) this.#neededFrom = lsn;
    if (this.#dirty) {
      // Where records are applied again, later ones may be in it already.
      if (lsn > this.#highest) this.#highest = lsn;
      if (lsn < this.#lowest) this.#lowest = lsn;
      return;
    }
    this.#highest = lsn;
    this.#lowest = lsn;
    this.#beginTransaction();
    this.#dirty = true;
  }

  /** Another thread may write from now on: a transaction that finds it at work begins once `wait` has returned. */
  share(wait: () => void): void {
    // Waited for is its end, not a time: a disk may take any.
    this.#db.pragma('busy_timeout = 0');
    this.#awaitOther = wait;
  }

  unshare(): void {
    if (this.#awaitOther === undefined) return;
    this.#awaitOther = undefined;
    this.#db.pragma(`busy_timeout = ${BUSY_MS}`);
  }

  #beginTransaction(): void {
    const wait = this.#awaitOther;
    try {
      this.#begin.run();
    } catch (thrown) {
      if (wait === undefined || !sqliteCode(thrown).startsWith('SQLITE_BUSY')) throw thrown;
      wait();
      this.#begin.run();
    }
  }

  /** Whether rows were written since the last commit. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Rows written since the last commit. */
  get rows(): number {
    return this.#rows;
  }

  /** Bytes within the database that are free for rows to come, uncommitted deletes included. It never gives them back. */
  get freeBytes(): number {
    return (this.#freePages.get() ?? 0) * PAGE_BYTES;
  }

  /** Highest LSN in the open transaction: no commit before a barrier has covered it. */
  get highest(): Lsn {
    return this.#dirty ? this.#highest : this.#lsn;
  }

  /** The journal must keep the records from here on; infinite when this database lacks none after a power cut. */
  get neededFrom(): number {
    return this.#neededFrom;
  }

  /** First LSN in the open transaction: infinite when there is none. */
  get lackedFrom(): number {
    return this.#dirty ? this.#lowest : Number.POSITIVE_INFINITY;
  }

  /** LSN of the last commit, whoever made it: for those who read what a daemon writes. */
  readLsn(): Lsn {
    return Number(this.#db.prepare("SELECT value FROM meta WHERE key = 'lsn'").pluck().get() ?? 0) as Lsn;
  }

  /** LSN of the last commit. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  /**
   * Commits the open transaction, and with it the LSN up to which this database is whole; what a checkpoint has not made
   * durable the journal still has. False when the disk is full: the transaction is then gone and has to be applied again.
   * Any other failure ends the daemon.
   */
  commit(lsn: Lsn): boolean {
    assert(this.#guard === undefined, 'A rehearsal is never committed');
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
    this.#rows = 0;
    this.#commits += 1;
    return true;
  }

  /** Commits since it was opened. */
  get commits(): number {
    return this.#commits;
  }

  /** Bytes of the log that the next commit adds to: 0 when it begins anew. Only between transactions. */
  get walBytes(): number {
    assert(!this.#dirty, 'Within a transaction SQLite does not tell how long the log is');
    const [, frames, moved] = this.#logFrames.get() ?? [0, 0, 0];
    return frames === moved ? 0 : frames * FRAME_BYTES;
  }

  /** All that was committed so far was moved into the database, durably, by whomever. */
  checkpointed(): void {
    this.#neededFrom = this.lackedFrom;
  }

  /**
   * Moves the log into the database, so that the next transaction writes the log from its start again. Only between
   * transactions. Returns whether all of it was moved; a full disk only postpones it.
   */
  checkpoint(): boolean {
    assert(!this.#dirty, 'A checkpoint within a transaction never ends the log');
    try {
      const complete = moveLog(this.#db);
      if (complete) this.checkpointed();
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
    this.#guard?.close();
  }

  #failure(action: string, cause: unknown): ShardFailure {
    return new ShardFailure(`Cannot ${action} database ${this.path}: SQLite says ${sqliteCode(cause)}`, { cause });
  }
}

/** An empty file, of which SQLite makes a database; its log and the log's index get the same mode. */
export function makePrivate(path: string): void {
  closeSync(openSync(path, 'wx', 0o600));
}

/** Whether all of the log is in the database, durably. Where another connection is at it, it is not. */
export function moveLog(db: Database.Database): boolean {
  const [outcome] = db.pragma('wal_checkpoint(PASSIVE)') as { busy: number; log: number; checkpointed: number }[];
  return outcome !== undefined && outcome.busy === 0 && outcome.log === outcome.checkpointed;
}

/** The index of the log is a file too, of which SQLite says otherwise that it cannot grow. */
export function isDiskFull(thrown: unknown): boolean {
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
  // The journal makes an acknowledged fsync true; SQLite syncs at checkpoints only.
  db.pragma('synchronous = NORMAL');
  db.pragma('wal_autocheckpoint = 0');
}

function recognise(db: Database.Database, options: SqliteOpen): void {
  if (options.recognise === undefined) return;
  const get = db.prepare<[string], unknown>('SELECT value FROM meta WHERE key = ?').pluck(true);
  options.recognise((key) => get.get(key));
}

/** A second connection, while which is open the log of what is not ours stays as it is. */
function lookedAt(path: string): Database.Database | undefined {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { fileMustExist: true, readonly: true });
    db.pragma('application_id');
    return db;
  } catch {
    // It has no log that anybody could read.
    db?.close();
    return undefined;
  }
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
  const isReadable = options.schema.every((step) => step.version <= version || step.isIndexOnly === true);
  if (options.readOnly === true && !isReadable)
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
