/**
 * What the rows of the metadata benchmark work on: populated stores with one directory, made when first asked for and, if a
 * folder for them was named, kept for the next run; and mounts of them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MemoryGroup } from './memory_group.ts';

const HERE = import.meta.dirname;
const PACSFS = join(HERE, '..', '..', '..', 'bin', 'pacsfs');
const POPULATE = join(HERE, '..', 'populate.js');
const COMMAND_MS = 120_000;
const POPULATE_MS = 4 * 3_600_000;
const SETTLE_MS = 500;
/** The directory that a store of one directory has. */
export const DIRECTORY = 'study-00000000';

/** Those of files that are there are below. */
const FIRST_NEW = 1_000_000_000;
const NEW_RUNS = 1_000_000;
const NEW_A_RUN = 8_000;

export interface StoreWanted {
  readonly files: number;
  readonly nameBytes: number;
  /** The files have no bytes, hence no extents in their rows. */
  readonly empty: boolean;
  /** Names above which a partition has split; default what a store has. */
  readonly splitAt?: number;
}

export interface Status {
  readonly supervisorPid: number;
  readonly daemonPid: number;
  readonly requests: Readonly<Record<string, number>>;
}

export class Workbench {
  /** For whatever a row needs; removed at the end. */
  readonly folder: string;
  readonly #stores: string;
  readonly #isKept: boolean;
  readonly #found = new Map<string, unknown>();
  #mounts = 0;
  /** Differs from run to run: one that was interrupted leaves names in a store that is kept. */
  #nextNew = FIRST_NEW + (Math.floor(Date.now() / 1000) % NEW_RUNS) * NEW_A_RUN;

  /** `kept`: folder of populated stores that outlive the run. */
  constructor(folder: string, kept: string | undefined) {
    this.folder = folder;
    this.#stores = kept ?? join(folder, 'stores');
    this.#isKept = kept !== undefined;
    mkdirSync(this.#stores, { recursive: true });
  }

  /** Path of a store with one directory of so many files. */
  store({ files, nameBytes, empty, splitAt }: StoreWanted): string {
    const kind = `${empty ? '-empty' : ''}${splitAt === undefined ? '' : `-split${splitAt}`}`;
    const path = join(this.#stores, `one-directory-${files}-names${nameBytes}${kind}`);
    if (existsSync(path)) return path;
    // Under another name until it is whole: a run that was interrupted leaves no half of one to the next.
    const making = `${path}.making`;
    rmSync(making, { recursive: true, force: true });
    const args = [POPULATE, making, '--files', `${files}`, '--directories', '1', '--name-bytes', `${nameBytes}`];
    if (empty) args.push('--empty');
    if (splitAt !== undefined) args.push('--split-at', `${splitAt}`);
    execFileSync(process.execPath, args, { timeout: POPULATE_MS, stdio: ['ignore', 'ignore', 'inherit'] });
    renameSync(making, path);
    return path;
  }

  /** Numbers of names that no populated store has. */
  newNumbers(count: number): number[] {
    const first = this.#nextNew;
    this.#nextNew += count;
    return Array.from({ length: count }, (_, at) => first + at);
  }

  /** What several rows ask for is measured once. */
  async once<Found>(what: string, measure: () => Promise<Found>): Promise<Found> {
    if (!this.#found.has(what)) this.#found.set(what, await measure());
    return this.#found.get(what) as Found;
  }

  /** For a store that a row changes for good. */
  drop(store: string): void {
    rmSync(store, { recursive: true, force: true });
  }

  mount(store: string, options: { readonly group?: MemoryGroup } = {}): Mount {
    const mountPoint = join(this.folder, `mnt${this.#mounts}`);
    this.#mounts += 1;
    mkdirSync(mountPoint, { recursive: true });
    const { group } = options;
    // Rows that kill daemons do so more often than a daemon may die by itself.
    const mount = ['mount', store, mountPoint, '-o', 'restarts=1000000'];
    if (group === undefined) pacsfs(mount);
    else group.run(PACSFS, mount);
    return new Mount(store, mountPoint);
  }

  remove(): void {
    if (this.#isKept) console.log(`Populated stores were left in ${this.#stores}`);
  }
}

export class Mount {
  readonly store: string;
  readonly mountPoint: string;

  constructor(store: string, mountPoint: string) {
    this.store = store;
    this.mountPoint = mountPoint;
  }

  get directory(): string {
    return join(this.mountPoint, DIRECTORY);
  }

  status(): Status {
    return JSON.parse(pacsfs(['status', this.mountPoint, '--json'])) as Status;
  }

  unmount(): void {
    pacsfs(['unmount', this.mountPoint]);
  }
}

export function pacsfs(args: readonly string[]): string {
  return execFileSync(PACSFS, args, { timeout: COMMAND_MS, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Databases of a store with their logs, in bytes. */
export function metadataBytes(store: string): number {
  return databasesOf(store).reduce((bytes, path) => bytes + statSync(path).size, 0);
}

/** The store's databases, `system.db` among them. */
export function databasesOf(store: string): string[] {
  const folder = join(store, 'meta');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.db')).map((name) => join(folder, name));
}

/** Reads them into the page cache. */
export function readOnce(store: string): void {
  const paths = databasesOf(store);
  execFileSync('sh', ['-c', 'cat "$@" > /dev/null', 'sh', ...paths], { timeout: POPULATE_MS });
}

/** What the kernel remembers: 2 names and inodes, 3 pages of files as well. As root only. */
export async function dropCaches(what: 2 | 3): Promise<void> {
  if (what === 3) execFileSync('sync', { timeout: COMMAND_MS });
  writeFileSync('/proc/sys/vm/drop_caches', `${what}`);
  await sleep(SETTLE_MS);
}

/** Bytes of memory of one process: now, and at most since `resetPeak`. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
