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
 * whatever state the store is in; an exit handler does the same for tests that never came to it.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MNT_DETACH, mount as mountCall, umount2 } from '../../base/libc.ts';
import { type RunOptions, type RunResult, run } from './processes.ts';

export interface TestStoreOptions {
  /** Further arguments of `pacsfs format`, e.g. ['--shards', '4']. */
  readonly formatArgs?: readonly string[];
  /** For `-o`, e.g. ['noacl', 'commit=1']. */
  readonly mountOptions?: readonly string[];
  /** Default true; false leaves it formatted. */
  readonly mounted?: boolean;
}

/** The checkout, found from the sources as well as from dist/. */
export const CHECKOUT: string = findCheckout(import.meta.dirname);
/** The program under test; PACSFS_BIN names another build of it. */
export const PACSFS: string = process.env['PACSFS_BIN'] ?? join(CHECKOUT, 'bin', 'pacsfs');

const live = new Set<TestStore>();
process.once('exit', () => {
  for (const store of live) store.abandon();
});

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
  /** Every process that ever served this store: the last resort of `destroy`. */
  readonly #pids = new Set<number>();

  private constructor(folder: string, options: TestStoreOptions) {
    this.folder = folder;
    this.path = join(folder, 'store');
    this.mountPoint = join(folder, 'mnt');
    this.#mountOptions = options.mountOptions ?? [];
  }

  static async create(options: TestStoreOptions = {}): Promise<TestStore> {
    const store = new TestStore(mkdtempSync(join(tmpdir(), 'pacsfs-test-')), options);
    live.add(store);
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

  /** Runs a program as a user of the mount: in a child, by default in the mount point, with a limit of 30 s. */
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
    await this.#mustSucceed(['mount', this.path, this.mountPoint, ...flags]);
    this.#notePids();
  }

  async unmount(): Promise<void> {
    await this.#mustSucceed(['unmount', this.mountPoint], 60_000);
  }

  async remount(mountOptions: readonly string[] = this.#mountOptions): Promise<void> {
    await this.unmount();
    await this.mount(mountOptions);
  }

  /** `pacsfs sync`, by default until everything that may be packed is. */
  async sync(options: { readonly packed?: boolean } = {}): Promise<void> {
    await this.#mustSucceed(['sync', this.path, ...(options.packed === false ? [] : ['--packed'])], 120_000);
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
    return this.#mountNumber() !== undefined;
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
    const number = this.#mountNumber();
    if (number === undefined) return;
    if (!existsSync('/sys/fs/fuse/connections/')) return;
    const control = `/sys/fs/fuse/connections/${number}/abort`;
    if (!existsSync(control)) {
      mountCall({ source: 'none', target: '/sys/fs/fuse/connections', type: 'fusectl', flags: 0, data: '' });
    }
    try {
      writeFileSync(control, '1');
    } catch {
      // The connection ended in between.
    }
  }

  /** Unmounts cleanly if that works within 20 s, else by force; removes everything. May be called twice. */
  async destroy(): Promise<void> {
    if (!live.has(this)) return;
    this.#notePids();
    if (this.isMounted()) await pacsfs(['unmount', this.mountPoint], { timeoutMs: 20_000 }).catch(() => undefined);
    await this.#waitForEnd(this.isMounted() ? 0 : 2_000);
    this.abandon();
    await this.#waitForEnd(5_000);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The forceful end, without a wait: abort, detach, kill by pid, remove. */
  abandon(): void {
    this.#notePids();
    this.abort();
    while (this.isMounted() && umount2(this.mountPoint, MNT_DETACH) === 0);
    for (const pid of this.#pids) if (this.#isOurs(pid)) tryKill(pid);
    const socket = this.#lockRecord()['adminSocket'];
    if (typeof socket === 'string') rmSync(socket, { force: true });
    live.delete(this);
    try {
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
    } catch {
      // A process that was killed a moment ago may still write; `destroy` tries again once it is gone.
    }
  }

  async #mustSucceed(args: readonly string[], timeoutMs = 30_000): Promise<void> {
    const result = await pacsfs(args, { timeoutMs, onTimeout: () => this.abort() });
    if (result.code === 0) return;
    const log = this.log().slice(-3_000);
    throw new Error(`pacsfs ${args.join(' ')} ended with ${result.code}: ${result.stderr}${log && `\nlog: ${log}`}`);
  }

  async #waitForEnd(timeoutMs: number): Promise<void> {
    const end = Date.now() + timeoutMs;
    while ([...this.#pids].some((pid) => this.#isOurs(pid)) && Date.now() < end) {
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

  #notePids(): void {
    const pids = this.daemonPids();
    for (const pid of [pids.supervisor, pids.daemon]) if (pid !== undefined) this.#pids.add(pid);
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

  /** The minor number of the mount's device, which is the FUSE connection's number; undefined when not mounted. */
  #mountNumber(): number | undefined {
    for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
      const fields = line.split(' ');
      if (fields[4] === this.mountPoint && line.includes(' - fuse.pacsfs ')) return Number(fields[2]?.split(':')[1]);
    }
    return undefined;
  }
}

/** Mounts, processes and folders of test stores that are left on this machine, for a check that there are none. */
export function leftovers(): readonly string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(' - fuse.pacsfs ') && line.includes('pacsfs-test-'));
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith('pacsfs-test-'));
  return [...mounts, ...folders];
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function findCheckout(from: string): string {
  for (let folder = from; folder !== '/'; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bin', 'pacsfs')) && existsSync(join(folder, 'package.json'))) return folder;
  }
  throw new Error(`Cannot find the checkout above ${from}: no folder there holds bin/pacsfs and package.json`);
}
