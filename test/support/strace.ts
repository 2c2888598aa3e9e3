/** strace(1) on a live process and its threads: what it calls, and calls that fail on request. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { guardProcess } from './reaper.ts';

const ATTACH_MS = 15_000;

export class Strace {
  readonly #child: ChildProcess;
  readonly #output: string;

  private constructor(child: ChildProcess, output: string) {
    this.#child = child;
    this.#output = output;
  }

  /** Resolves once it is attached. `expressions` are its -e. */
  static async attach(pid: number, options: { output: string; expressions: readonly string[] }): Promise<Strace> {
    const { output, expressions } = options;
    const args = ['-f', '-y', '-o', output, ...expressions.flatMap((each) => ['-e', each]), '-p', String(pid)];
    const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    guardProcess(child);
    let said = '';
    child.stderr?.on('data', (data: Buffer) => {
      said += data.toString();
    });
    const end = Date.now() + ATTACH_MS;
    while (!said.includes('attached') && Date.now() < end && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (!said.includes('attached')) throw new Error(`strace of ${pid} did not attach: ${said}`);
    return new Strace(child, output);
  }

  /** Lines so far, a call each. */
  lines(): string[] {
    return existsSync(this.#output) ? readFileSync(this.#output, 'utf8').split('\n') : [];
  }

  /** When the process was killed: strace lets nobody see its end before the delays are over that it was told to make. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async detach(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGINT');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  }
}
