/**
 * Child processes for tests: every wait has a limit, and what overruns it is killed with its whole group. Whoever touches
 * a mount does so in such a child, because a process that waits for the mount it serves (or whose test server it is)
 * hangs for ever.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { startTicks } from '../../mountd/lock.ts';
import { guardProcess } from './reaper.ts';

export interface RunOptions {
  /** Default 60,000: for what hangs, not for what is slow. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** On top of the test's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input; without it there is none. */
  readonly input?: string | Uint8Array;
  readonly uid?: number;
  readonly gid?: number;
  /** Called when the limit passes, before the kill: a process that waits for a dead mount dies only once it is aborted. */
  readonly onTimeout?: () => void;
}

export interface RunResult {
  /** Exit code, or 128 + the signal's number. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** Runs a program to its end. Rejects when it cannot be started or overruns its time, never for an exit code. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      // A group of its own, so that the children of a shell script die with it.
      detached: true,
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    guardProcess(child);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    const timer = setTimeout(() => {
      options.onTimeout?.();
      killGroup(child.pid);
      const said = Buffer.concat(stderr).toString().slice(-2_000);
      reject(
        new Error(`'${[command, ...args].join(' ').slice(0, 300)}' ran over its ${timeoutMs} ms; stderr: ${said}`),
      );
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code: code ?? 128 + (SIGNALS[signal ?? ''] ?? 0),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
    if (options.input !== undefined) {
      child.stdin?.on('error', () => {});
      child.stdin?.end(options.input);
    }
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself in the meantime.
  }
}

/** Waits until `check` holds, asking every 20 ms; default limit 60 s, for machines with much else to do. */
export async function waitUntil(check: () => boolean, options: { what: string; timeoutMs?: number }): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const end = Date.now() + timeoutMs;
  while (!check()) {
    if (Date.now() > end) throw new Error(`Waited ${timeoutMs} ms in vain until ${options.what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Stops a process: when it settles none of its threads runs. The signal alone lets them go on until the first has taken it. */
export async function suspend(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const tasks = `/proc/${pid}/task`;
  const isStopped = (task: string) => /\) [Tt] /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8'));
  await waitUntil(() => readdirSync(tasks).every(isStopped), { what: `process ${pid} has stopped` });
}

/** Not so for one that only its parent has not taken note of yet. */
export function isAlive(pid: number | undefined): boolean {
  return pid !== undefined && startTicks(pid) !== undefined;
}
