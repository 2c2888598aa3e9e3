/**
 * Whether the databases that are open still have their names. One that was deleted, or whose place another file took, goes on
 * working until it is closed, and then nothing of it is left: it must not be written in the belief that it is kept.
 */
import { statSync } from 'node:fs';

/** The database, and its log, which is made at the first write. */
const ENDINGS = ['', '-wal'] as const;
/** How SQLite calls a database that is none on a disk. */
const IN_MEMORY = ':memory:';

export class DatabaseFiles {
  /** Device and inode of each file, as they were first seen. */
  readonly #known = new Map<string, string>();

  /** What has become of one of these databases; undefined while all have their names. */
  lost(paths: Iterable<string>): string | undefined {
    for (const path of paths) {
      if (path === IN_MEMORY) continue;
      for (const ending of ENDINGS) {
        const found = this.#changed(`${path}${ending}`);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  #changed(path: string): string | undefined {
    const known = this.#known.get(path);
    const found = identityOf(path);
    if (found === 'unknown') return undefined;
    if (known === undefined && found !== undefined) this.#known.set(path, found);
    if (known === undefined || known === found) return undefined;
    return found === undefined ? `${path} was deleted` : `${path} was replaced by another file`;
  }
}

/** Undefined: there is no such file. 'unknown': the disk does not tell. */
function identityOf(path: string): string | undefined {
  try {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    return found === undefined ? undefined : `${found.dev}:${found.ino}`;
  } catch {
    return 'unknown';
  }
}
