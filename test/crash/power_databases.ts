/**
 * The databases of a store under power cuts, by SQLite's contract: after power loss a database is at any commit between
 * its last complete checkpoint and its last COMMIT. SQLite itself runs on real files; what they held at checkpoints and
 * after COMMITs is kept, and a state is made from that:
 *
 * - the database as the last complete checkpoint left it; its log with every frame up to some commit, and of what was
 *   written after that any sectors. A log that starts anew has its header flushed first, as SQLite does it;
 * - within a checkpoint: the whole log, which is flushed before, and any pages of the database moved.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Random } from '../support/random.ts';
import { PAGE } from './power_file.ts';

const SECTOR = 512;
/** Of the log: salts and checksum are in it. */
const HEADER = 32;

/** Bytes of the databases and logs of a store, by their paths from the metadata folder. */
export type DatabaseImage = ReadonlyMap<string, Uint8Array>;

interface Database {
  /** At the last complete checkpoint. */
  base: Uint8Array;
  /** The log then, and after each commit since. */
  logs: Uint8Array[];
  /** The logs up to this one are durable. */
  floor: number;
  /** While a checkpoint is under way: what it makes of the database. */
  moved: Uint8Array | undefined;
}

/** Which commits a power cut keeps. */
export type KeepCommits = 'none' | 'all' | 'some' | 'torn';

export class PowerDatabases {
  readonly folder: string;
  readonly #databases = new Map<string, Database>();
  /** Told of each commit and checkpoint, before it is taken in: a place where the power may be cut. */
  before: (what: string, path: string) => void = () => {};

  /** The databases of a metadata folder, all of them durable as they are. */
  constructor(folder: string) {
    this.folder = folder;
    for (const path of databasePaths(folder)) {
      const base = readFileSync(join(folder, path));
      this.#databases.set(path, { base, logs: [this.#log(path)], floor: 0, moved: undefined });
    }
  }

  /** Made and durable before anybody counts on it. */
  added(path: string): void {
    const name = this.#relative(path);
    const base = readFileSync(join(this.folder, name));
    this.#databases.set(name, { base, logs: [new Uint8Array(0)], floor: 0, moved: undefined });
    this.before('added', path);
  }

  committed(path: string): void {
    const database = this.#find(path);
    database.logs.push(this.#log(this.#relative(path)));
    this.before('commit', path);
  }

  checkpointed(path: string, complete: boolean): void {
    const database = this.#find(path);
    const name = this.#relative(path);
    database.floor = database.logs.length - 1;
    database.moved = readFileSync(join(this.folder, name));
    this.before('checkpoint', path);
    if (!complete) return;
    database.base = database.moved;
    database.moved = undefined;
    database.logs = [this.#log(name)];
    database.floor = 0;
  }

  /** Closed by SQLite, which moves the logs into the databases. */
  closed(): void {
    for (const [name, database] of this.#databases) {
      database.base = readFileSync(join(this.folder, name));
      database.logs = [this.#log(name)];
      database.floor = 0;
      database.moved = undefined;
    }
  }

  cut(keep: KeepCommits, random: Random): DatabaseImage {
    const image = new Map<string, Uint8Array>();
    for (const [name, database] of this.#databases) {
      const { base, moved, logs, floor } = database;
      const last = logs.length - 1;
      const isMixed = moved !== undefined && random.below(2) === 0;
      image.set(name, isMixed ? mixed(base, moved, random) : base);
      let whole = last;
      // What a checkpoint has moved is in the log, whole, until the checkpoint is complete.
      if (keep === 'none') whole = floor;
      else if (keep !== 'all') whole = floor + random.below(last - floor + 1);
      const log = keep === 'torn' ? tornLog(logs, whole, random) : logs[whole];
      if (log !== undefined && log.length > 0) image.set(`${name}-wal`, log);
    }
    return image;
  }

  #find(path: string): Database {
    const found = this.#databases.get(this.#relative(path));
    if (found === undefined) throw new Error(`No database ${path} was recorded`);
    return found;
  }

  #relative(path: string): string {
    return path.slice(this.folder.length + 1);
  }

  #log(name: string): Uint8Array {
    const path = join(this.folder, `${name}-wal`);
    return existsSync(path) ? readFileSync(path) : new Uint8Array(0);
  }
}

/** Writes the databases of a state into an empty metadata folder. */
export function placeDatabases(image: DatabaseImage, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  for (const name of image.keys()) mkdirSync(dirname(join(folder, name)), { recursive: true });
  for (const [name, bytes] of image) writeFileSync(join(folder, name), bytes);
}

function databasePaths(folder: string): string[] {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile() && entry.name.endsWith('.db'))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/** Pages before and after, by chance. */
function mixed(base: Uint8Array, moved: Uint8Array, random: Random): Uint8Array {
  const length = random.below(2) === 0 ? Math.max(base.length, moved.length) : moved.length;
  const bytes = new Uint8Array(length);
  bytes.set(base.subarray(0, length));
  for (let at = 0; at < moved.length; at += PAGE)
    if (random.below(2) === 0) bytes.set(moved.subarray(at, Math.min(at + PAGE, length)), at);
  return bytes;
}

/** The log as it was after commit `whole`, and of what was written after that any sectors. */
function tornLog(logs: readonly Uint8Array[], whole: number, random: Random): Uint8Array {
  const versions = logs.slice(whole);
  const first = versions[0] ?? new Uint8Array(0);
  const last = versions.at(-1) ?? first;
  if (versions.length === 1) return first;
  const sizes = versions.map((version) => version.length);
  const length = Math.max(first.length, sizes[random.below(sizes.length)] ?? 0, HEADER);
  const bytes = new Uint8Array(length);
  bytes.set(first);
  const share = random.below(3) === 0 ? 900 : 500;
  for (let at = 0; at < length; at += SECTOR) {
    if (random.below(1000) >= share) continue;
    const from = versions[1 + random.below(versions.length - 1)] ?? last;
    const part = from.subarray(at, Math.min(at + SECTOR, length));
    if (part.length > 0) bytes.set(part, at);
  }
  bytes.set(last.subarray(0, HEADER));
  return bytes;
}
