/** The two ways in which a namespace store gives up; both are thrown, and neither is for one request to handle. */

/**
 * 'not-a-store': nothing of ours there. 'newer-format': made by a later pacsfs. 'damaged': ours, but not usable.
 * 'disk-full': no room for what an open has to write. 'journal-lost': the journal cannot be written, or records of it are missing; what there is can be read.
 */
export type StoreErrorCode =
  | 'not-a-store'
  | 'newer-format'
  | 'missing-shard'
  | 'damaged'
  | 'disk-full'
  | 'journal-lost';

/** A store that cannot be opened; the message is meant for the operator. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * A write to a database has failed: what is in memory and what is on disk may now differ, so the daemon has to end.
 * Never caught but to log and exit.
 */
export class ShardFailure extends Error {
  override readonly name = 'ShardFailure';
}

/** SQLite's own code in something it threw ('SQLITE_FULL'), or '' for anything else. */
export function sqliteCode(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}

/** Whether SQLite could not write or flush: what it acknowledged may be missing on the disk, and no flush tells twice. */
export function isLoss(code: string): boolean {
  return /^SQLITE_IOERR_(WRITE|FSYNC|DIR_FSYNC|TRUNCATE)$/.test(code);
}

/** Records of the journal in `path` are missing. */
export function journalLost(path: string, what: string): StoreError {
  return new StoreError(
    'journal-lost',
    `The journal in ${path} has lost records: ${what}. What was acknowledged may be missing: run \`pacsfs fsck --repair\`, or restore a backup`,
  );
}
