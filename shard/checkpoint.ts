/**
 * Moving a database's log into it, on a thread that serves nobody: through a connection of its own, opened and closed by
 * the same SQLite library in the same process. Meanwhile whoever writes the database has no transaction open.
 *
 * SQLite begins a log anew with the first commit after all of it has been moved, and flushes the log's new head within
 * that commit. So that no commit of the control thread waits for a disk, a row that says nothing is committed here.
 */
import Database from 'better-sqlite3';
import { sqliteCode } from './failure.ts';
import { isDiskFull, moveLog } from './sqlite_file.ts';

export interface CheckpointOutcome {
  /** All of the log is in the database, durably; else a reader, a writer or a full disk kept it from going on. */
  readonly isComplete: boolean;
  /** SQLite's code for a write or flush that failed: the daemon has to end. */
  readonly failure: string | undefined;
  /** The database could not be opened once more, for want of descriptors, or as its folder was moved; nothing was done. */
  readonly cannotOpen?: boolean;
}

/** Told of what is done, for the crash suite. */
export interface CheckpointWatcher {
  moved(isComplete: boolean): void;
  begunAnew(): void;
}

const INCOMPLETE: CheckpointOutcome = { isComplete: false, failure: undefined };

/** Of the database in `path`, which is open elsewhere in this process. */
export function checkpointDatabase(path: string, watch?: CheckpointWatcher): CheckpointOutcome {
  let db: Database.Database | undefined;
  try {
    // A writer is not waited for: the log goes on, and is moved another time.
    db = new Database(path, { fileMustExist: true, timeout: 0 });
    db.pragma('synchronous = NORMAL');
    db.pragma('wal_autocheckpoint = 0');
    const isComplete = moveLog(db);
    watch?.moved(isComplete);
    if (!isComplete) return INCOMPLETE;
    db.exec(
      "BEGIN IMMEDIATE; INSERT OR REPLACE INTO meta(key, value) SELECT 'logs', coalesce((SELECT value FROM meta WHERE key = 'logs'), 0) + 1; COMMIT",
    );
    watch?.begunAnew();
    return { isComplete, failure: undefined };
  } catch (thrown) {
    const code = sqliteCode(thrown);
    // The binding itself looks whether the folder is there.
    const isGone = db === undefined && thrown instanceof TypeError;
    if (code === '' && !isGone) throw thrown;
    if (isGone || code.startsWith('SQLITE_CANTOPEN')) return { ...INCOMPLETE, cannotOpen: true };
    return isDiskFull(thrown) || code.startsWith('SQLITE_BUSY') ? INCOMPLETE : { isComplete: false, failure: code };
  } finally {
    db?.close();
  }
}
