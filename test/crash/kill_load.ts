/**
 * The clients of a kill test (scripts/kill_clients.py), as the test sees them: writers and readers in processes of their
 * own, which check every answer and tell at once of a wrong one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { CHECKOUT, type TestStore } from '../support/mount_harness.ts';
import { guardProcess } from '../support/reaper.ts';

export const WRITERS = 32;
export const READERS = 8;
/** Files above this stay own files; small, so that both kinds come often. */
export const PACK_BELOW = 262_144;
const SCRIPT = join(CHECKOUT, 'test', 'crash', 'scripts', 'kill_clients.py');
const STOP_MS = 180_000;

export interface LoadOptions {
  readonly seed: number;
  /** The mount is taken away with its processes: then clients end without a complaint. */
  readonly ends: boolean;
  /** Mean pause of a client between two operations. */
  readonly pauseMs: number;
}

export interface ClientError {
  readonly client: number;
  readonly doing: string;
  readonly error: string;
  /** When it was told, nanoseconds of CLOCK_MONOTONIC. */
  readonly at: number;
}

/** Start and length of a call that took over 20 ms, nanoseconds of CLOCK_MONOTONIC. */
export type SlowCall = readonly [start: number, length: number];

export interface ClientReport {
  readonly client: number;
  /** Operations done, by name. */
  readonly done: Readonly<Record<string, number>>;
  readonly slow: readonly SlowCall[];
}

export interface LoadReport {
  /** Operations that were acknowledged. */
  readonly operations: number;
  /** Answers that were held against what had been acknowledged. */
  readonly checks: number;
  readonly reports: readonly ClientReport[];
}

type Message =
  | ClientError
  | { readonly counts: readonly number[] }
  | { readonly done: LoadReport }
  | { readonly verified: number; readonly wrong: readonly string[] };

export class KillLoad {
  readonly errors: ClientError[] = [];
  readonly #child: ChildProcess;
  #counts: ((counts: readonly number[]) => void) | undefined;
  #report: LoadReport | undefined;
  #hasEnded = false;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    let rest = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#hear(JSON.parse(line) as Message);
    });
    child.stdin?.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      child.once('close', () => {
        this.#hasEnded = true;
        resolve();
      });
    });
  }

  static start(store: TestStore, options: LoadOptions): KillLoad {
    const args = ['-B', SCRIPT, 'run', JSON.stringify(scriptOptions(store, options))];
    const stdio = ['pipe', 'pipe', 'inherit'] as const;
    const child = spawn('python3', args, { cwd: store.mountPoint, stdio: [...stdio], detached: true });
    guardProcess(child);
    return new KillLoad(child);
  }

  /** Waits until every client that has not ended has done another operation; throws when that takes too long. */
  async progress(timeoutMs: number): Promise<void> {
    const end = Date.now() + timeoutMs;
    const before = await this.#ask(timeoutMs);
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const failed = new Set(this.errors.map(({ client }) => client));
      const now = await this.#ask(timeoutMs);
      if (now.every((count, client) => failed.has(client) || count > (before[client] ?? 0))) return;
      if (Date.now() < end) continue;
      const waiting = now.flatMap((count, client) => (count > (before[client] ?? 0) ? [] : [client]));
      throw new Error(`Clients ${waiting.join(', ')} did nothing for ${timeoutMs} ms`);
    }
  }

  /** Has all clients check everything they know and end. */
  async stop(store: TestStore): Promise<LoadReport> {
    this.#child.stdin?.write('stop\n');
    const timer = setTimeout(() => store.abort(), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
    if (this.#report === undefined) throw new Error('The clients ended without a report');
    return this.#report;
  }

  /** After a failure: nothing of it stays. */
  kill(store: TestStore): void {
    if (this.#hasEnded || this.#child.pid === undefined) return;
    store.abort();
    process.kill(-this.#child.pid, 'SIGKILL');
  }

  #hear(message: Message): void {
    if ('error' in message) this.errors.push(message);
    else if ('counts' in message) this.#counts?.(message.counts);
    else if ('done' in message) this.#report = message.done;
  }

  #ask(timeoutMs: number): Promise<readonly number[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('The clients do not answer')), timeoutMs);
      this.#counts = (counts) => {
        clearTimeout(timer);
        resolve(counts);
      };
      this.#child.stdin?.write('counts\n');
    });
  }
}

/** Holds all that the clients were promised against a new mount. Returns how much was checked and what was not right. */
export async function verify(store: TestStore, options: LoadOptions): Promise<{ verified: number; wrong: string[] }> {
  const args = ['-B', SCRIPT, 'verify', JSON.stringify(scriptOptions(store, options))];
  const result = await store.run('python3', args, { timeoutMs: STOP_MS });
  if (result.code !== 0) throw new Error(`The check ended with ${result.code}: ${result.stderr}`);
  return JSON.parse(result.stdout) as { verified: number; wrong: string[] };
}

function scriptOptions(store: TestStore, options: LoadOptions): object {
  const state = join(store.folder, 'state');
  return { ...options, writers: WRITERS, readers: READERS, state, packBelow: PACK_BELOW };
}

/** Nanoseconds of CLOCK_MONOTONIC, as the clients' times are. */
export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}
