/**
 * A shard whose file is not there, cannot be read, or is another's: what is said of it, and what stands in for it in a
 * store that is read without it. Nothing of its slots is known, so nothing is concluded: every read of them fails.
 */
import type { Timespec } from '../base/time.ts';
import { EPOCH } from '../base/time.ts';
import type { Ino, Lsn, ShardId, Slot } from '../base/units.ts';
import { StoreError, type StoreErrorCode } from './failure.ts';
import { POSITION_LIMIT } from './partition_map.ts';
import type { Partition } from './rows.ts';
import { SHARD_SCHEMA } from './schema.ts';
import { type Damaged, type DentryRows, ShardDatabase } from './shard_database.ts';
import { SqliteFile } from './sqlite_file.ts';

/**
 * 'absent': no file. 'foreign': a database of another store, of another shard, or of no store. 'damaged': SQLite calls it no
 * database, or a broken one. 'unreadable': the disk or its permissions keep it from being read, which may pass.
 * 'unfinished': made anew by a repair that did not come to its end.
 */
export type MissingState = 'absent' | 'foreign' | 'damaged' | 'unreadable' | 'unfinished';

export interface MissingShard {
  readonly shard: ShardId;
  readonly path: string;
  readonly state: MissingState;
  /** What was found, in a few words. */
  readonly reason: string;
}

/** A store that cannot be opened whole. */
export class MissingShardError extends StoreError {
  readonly missing: MissingShard;

  constructor(missing: MissingShard, options: ErrorOptions & { readonly code?: StoreErrorCode } = {}) {
    super(options.code ?? codeOf(missing.state), describeMissing(missing), options);
    this.missing = missing;
  }
}

function codeOf(state: MissingState): StoreErrorCode {
  return state === 'absent' || state === 'unfinished' ? 'missing-shard' : 'damaged';
}

/** One sentence for the operator. */
export function describeMissing({ shard, path, state, reason }: MissingShard): string {
  if (state === 'absent') return `Shard ${shard} of the store is missing: expected ${path}`;
  return `Shard ${shard} of the store is missing: database ${path} ${reason}`;
}

/** What a read of a row throws: SQLite's own word for a page that cannot be read, so that it is met like one. */
class ReadOfMissing extends Error {
  override readonly name = 'ReadOfMissing';
  readonly code = 'SQLITE_IOERR_MISSING_SHARD';
}

export function isReadOfMissing(thrown: unknown): boolean {
  return thrown instanceof ReadOfMissing;
}

/** Takes writes, in memory, and gives nothing back. */
export class MissingShardDatabase extends ShardDatabase {
  readonly #shard: ShardId;

  private constructor(file: SqliteFile, shard: ShardId) {
    super(file);
    this.#shard = shard;
  }

  /** `lsn`: what it is taken to have reached, so that nobody's progress hangs on it. */
  static standIn(shard: ShardId, at: { readonly now: Timespec; readonly lsn: Lsn }): MissingShardDatabase {
    const file = SqliteFile.create(':memory:', { schema: SHARD_SCHEMA, now: at.now });
    file.commit(at.lsn);
    return new MissingShardDatabase(file, shard);
  }

  #fail(): never {
    throw new ReadOfMissing(`Shard ${this.#shard} is missing`);
  }

  override inode(): never {
    this.#fail();
  }

  override dentries(): DentryRows {
    this.#fail();
  }

  override dentrySlice(): DentryRows {
    this.#fail();
  }

  override count(): readonly [entries: number, directories: number] {
    this.#fail();
  }

  override xattr(): Uint8Array | Damaged | undefined {
    this.#fail();
  }

  override xattrNames(): Uint8Array[] {
    this.#fail();
  }

  override symlink(): Uint8Array | Damaged | undefined {
    this.#fail();
  }

  /** Part of a directory whose inode is elsewhere: what is known of the rest of it is shown, its listing fails here. */
  override partition(slot: Slot, dir: Ino, index: number): Partition {
    const lsn = 0 as Lsn;
    return { slot, dir, index, entries: 0, directories: 0, changed: EPOCH, lsn, boundary: POSITION_LIMIT };
  }
}
