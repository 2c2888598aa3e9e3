/**
 * A store of its own for one test, formatted and mounted by the real program:
 *
 *     let store: TestStore;
 *     beforeEach(async () => { store = await TestStore.create(); });
 *     afterEach(async () => { await store.destroy(); });
 *     it('...', async () => { expect((await store.run('touch', ['a'])).code).toBe(0); });
 *
 * `run` starts in the mount point. Never touch `store.mountPoint` by `node:fs` in the test's own process: when the daemon
 * hangs the test hangs with it, and no time limit of the runner helps. `destroy` leaves no mount, process or file behind,
 * whatever state the store is in; the reaper does the same for tests that never came to it, however they ended.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type MountEntry, pacsfsMounts } from '../../mountd/mount_table.ts';
import { staleSource } from './fresh_build.ts';
import { abortMount, clearAway, serversOf } from './leavings.ts';
import { type RunOptions, type RunResult, run } from './processes.ts';
import { guardFolder, releaseFolder } from './reaper.ts';

export interface TestStoreOptions {
  /** Further arguments of `pacsfs format`, e.g. ['--shards', '4']. */
  readonly formatArgs?: readonly string[];
  /** For `-o`, e.g. ['noacl', 'commit=1']. */
  readonly mountOptions?: readonly string[];
  /** Default true; false leaves it formatted. */
  readonly mounted?: boolean;
  /** Another build, for `mount` alone: see planted_build.ts. */
  readonly program?: string;
  /** An empty folder to live in, removed at the end; default a new one in the system's temporary folder. */
  readonly folder?: string;
}

/** The checkout, found from the sources as well as from dist/. */
export const CHECKOUT: string = findCheckout(import.meta.dirname);
/** The program under test; PACSFS_BIN names another build of it. */
export const PACSFS: string = process.env['PACSFS_BIN'] ?? join(CHECKOUT, 'bin', 'pacsfs');
if (process.env['PACSFS_BIN'] === undefined) {
  const stale = staleSource(CHECKOUT);
  if (stale !== undefined) throw new Error(`Cannot test what is in dist/: ${stale} is newer; run \`make build\` first`);
}

/** A supervisor whose mount is gone ends by itself, in this time. */
const END_MS = 2_000;

/** `./bin/pacsfs ARGS...` */
export function pacsfs(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(process.execPath, [PACSFS, ...args], options);
}

export class TestStore {
  /** Temporary folder that holds everything of this store; scratch files of the test may go there. */
  readonly folder: string;
  /** The STORE of the command line. */
  readonly path: string;
  readonly mountPoint: string;
  readonly #mountOptions: readonly string[];
  readonly #program: string;

  private constructor(folder: string, options: TestStoreOptions) {
    this.folder = folder;
    this.path = join(folder, 'store');
    this.mountPoint = join(folder, 'mnt');
    this.#mountOptions = options.mountOptions ?? [];
    this.#program = options.program ?? PACSFS;
  }

  static async create(options: TestStoreOptions = {}): Promise<TestStore> {
    const store = new TestStore(options.folder ?? mkdtempSync(join(tmpdir(), 'pacsfs-test-')), options);
    guardFolder(store.folder);
    try {
      mkdirSync(store.mountPoint);
      await store.#mustSucceed(['format', store.path, ...(options.formatArgs ?? [])]);
      if (options.mounted !== false) await store.mount();
      return store;
    } catch (error) {
      await store.destroy();
      throw error;
    }
  }

  /** Runs a program as a user of the mount: in a child, by default in the mount point, with a limit of 60 s. */
  run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
    return run(command, args, { cwd: this.mountPoint, onTimeout: () => this.abort(), ...options });
  }

  /** `run` of a shell script that must end with 0; returns what it printed. */
  async shell(script: string, options: RunOptions = {}): Promise<string> {
    const result = await this.run('bash', ['-euo', 'pipefail', '-c', script], options);
    if (result.code !== 0) {
      throw new Error(`'${script}' ended with ${result.code}: ${result.stderr}${result.stdout.slice(-2_000)}`);
    }
    return result.stdout;
  }

  async mount(mountOptions: readonly string[] = this.#mountOptions): Promise<void> {
    const flags = mountOptions.length > 0 ? ['-o', mountOptions.join(',')] : [];
    await this.#mustSucceed(['mount', this.path, this.mountPoint, ...flags], { program: this.#program });
  }

  async unmount(): Promise<void> {
    await this.#mustSucceed(['unmount', this.mountPoint], { timeoutMs: 60_000 });
  }

  async remount(mountOptions: readonly string[] = this.#mountOptions): Promise<void> {
    await this.unmount();
    await this.mount(mountOptions);
  }

  /** `pacsfs sync`, by default until everything that may be packed is. */
  async sync(options: { readonly packed?: boolean } = {}): Promise<void> {
    await this.#mustSucceed(['sync', this.path, ...(options.packed === false ? [] : ['--packed'])], {
      timeoutMs: 120_000,
    });
  }

  /** `pacsfs fsck` of the store, which must not be mounted. */
  fsck(args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
    return pacsfs(['fsck', this.path, ...args], { timeoutMs: 120_000, ...options });
  }

  /** Any other verb. */
  pacsfs(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return pacsfs(args, options);
  }

  /** Supervisor and daemon, as far as they are alive. */
  daemonPids(): { readonly supervisor: number | undefined; readonly daemon: number | undefined } {
    const record = this.#lockRecord();
    return { supervisor: this.#alivePid(record['supervisorPid']), daemon: this.#alivePid(record['daemonPid']) };
  }

  isMounted(): boolean {
    return this.#mount() !== undefined;
  }

  /** What the daemon logged, newest last. */
  log(): string {
    try {
      return readFileSync(join(this.path, 'meta', 'pacsfs.log'), 'utf8');
    } catch {
      return '';
    }
  }

  /** Ends every request that hangs on the mount with an error, as well as all that follow. */
  abort(): void {
    const mounted = this.#mount();
    if (mounted !== undefined) abortMount(mounted);
  }

  /** Unmounts cleanly if that works within 20 s, else by force; removes everything. May be called twice. */
  async destroy(): Promise<void> {
    if (this.isMounted()) await pacsfs(['unmount', this.mountPoint], { timeoutMs: 20_000 }).catch(() => undefined);
    if (!this.isMounted()) await this.#waitForEnd();
    if (!(await clearAway(this.folder))) throw new Error(`Cannot clear ${this.folder} away: something still uses it`);
    releaseFolder(this.folder);
  }

  async #mustSucceed(args: readonly string[], how: { timeoutMs?: number; program?: string } = {}): Promise<void> {
    const { timeoutMs = 60_000, program = PACSFS } = how;
    const result = await run(process.execPath, [program, ...args], { timeoutMs, onTimeout: () => this.abort() });
    if (result.code === 0) return;
    const log = this.log().slice(-3_000);
    throw new Error(`pacsfs ${args.join(' ')} ended with ${result.code}: ${result.stderr}${log && `\nlog: ${log}`}`);
  }

  async #waitForEnd(): Promise<void> {
    const end = Date.now() + END_MS;
    while (serversOf(this.folder).length > 0 && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #lockRecord(): Record<string, unknown> {
    try {
      return JSON.parse(readFileSync(join(this.path, 'meta', 'lock'), 'utf8')) as Record<string, unknown>;
    } catch {
      return {};
    }
  }

  #alivePid(value: unknown): number | undefined {
    return typeof value === 'number' && this.#isOurs(value) ? value : undefined;
  }

  /** Whether a process of that number is alive and serves this store: numbers are used again. */
  #isOurs(pid: number): boolean {
    try {
      const state = readFileSync(`/proc/${pid}/stat`, 'utf8');
      if (state.slice(state.lastIndexOf(')') + 2).startsWith('Z')) return false;
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.path);
    } catch {
      return false;
    }
  }

  #mount(): MountEntry | undefined {
    return pacsfsMounts().findLast(({ mountPoint }) => mountPoint === this.mountPoint);
  }
}

function findCheckout(from: string): string {
  for (let folder = from; folder !== '/'; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bin', 'pacsfs')) && existsSync(join(folder, 'package.json'))) return folder;
  }
  throw new Error(`Cannot find the checkout above ${from}: no folder there holds bin/pacsfs and package.json`);
}
