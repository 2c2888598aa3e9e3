/** A store of its own in a temporary folder, mounted by the real program, and gone afterwards. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MNT_DETACH, umount2 } from '../../base/libc.ts';

/** bin/ of the checkout, seen from dist/bench/conformance. */
const PACSFS = join(import.meta.dirname, '..', '..', '..', 'bin', 'pacsfs');
const COMMAND_TIMEOUT_MS = 60_000;

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export class ScratchMount {
  readonly mountPoint: string;
  readonly #folder: string;
  readonly #store: string;
  #isMounted = false;
  #isInterrupted = false;
  #running: ChildProcess | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#store = join(folder, 'store');
    this.mountPoint = join(folder, 'mnt');
  }

  static async create(): Promise<ScratchMount> {
    const mount = new ScratchMount(mkdtempSync(join(tmpdir(), 'pacsfs-conformance-')));
    process.once('exit', () => mount.#abandon());
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => mount.#interrupt());
    mkdirSync(mount.mountPoint);
    await mount.#pacsfs('format', mount.#store);
    await mount.#pacsfs('mount', mount.#store, mount.mountPoint);
    mount.#isMounted = true;
    return mount;
  }

  /** Runs a program in the mount point; past its time it is killed with all its children. Throws once interrupted. */
  async run(command: string, args: readonly string[], timeoutMs: number): Promise<Ended> {
    const onStart = (child: ChildProcess) => {
      this.#running = child;
    };
    const ended = await runChild(command, args, { cwd: this.mountPoint, timeoutMs, onStart });
    this.#running = undefined;
    if (this.#isInterrupted) throw new Error('Interrupted: the rest of the tests did not run');
    return ended;
  }

  /** Unmounts and says what fsck finds, '' for nothing. */
  async faults(): Promise<string> {
    await this.#pacsfs('unmount', this.mountPoint);
    this.#isMounted = false;
    const result = await runChild(process.execPath, [PACSFS, 'fsck', this.#store], { timeoutMs: COMMAND_TIMEOUT_MS });
    return result.code === 0 ? '' : `${result.stdout}${result.stderr}`.trim();
  }

  async destroy(): Promise<void> {
    if (this.#isMounted) await this.#pacsfs('unmount', this.mountPoint).catch((error) => console.error(String(error)));
    this.#abandon();
  }

  /** What runs is killed, so that `run` returns and the mount is taken down in order. */
  #interrupt(): void {
    this.#isInterrupted = true;
    killGroup(this.#running);
  }

  /** The end without a wait, for a process that is leaving: the supervisor goes when its mount has gone. */
  #abandon(): void {
    umount2(this.mountPoint, MNT_DETACH);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #pacsfs(...args: readonly string[]): Promise<void> {
    const result = await runChild(process.execPath, [PACSFS, ...args], { timeoutMs: COMMAND_TIMEOUT_MS });
    if (result.code !== 0) throw new Error(`pacsfs ${args.join(' ')} ended with ${result.code}: ${result.stderr}`);
  }
}

interface ChildOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly onStart?: (child: ChildProcess) => void;
}

function runChild(command: string, args: readonly string[], options: ChildOptions): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that a script's children die with it.
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    options.onStart?.(child);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, options.timeoutMs);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({
        code: code ?? 128,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
        timedOut,
      });
    });
  });
}

function killGroup(child: ChildProcess | undefined): void {
  if (child?.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended by itself in the meantime.
  }
}
