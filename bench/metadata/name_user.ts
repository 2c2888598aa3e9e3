/** A process that uses one directory on behalf of a row, one kind of call at a time. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { NameReport, NameStep, NameTask } from './name_member.ts';

const MEMBER = join(import.meta.dirname, 'name_member.js');
const STEP_MS = 120_000;

export class NameUser {
  readonly #child: ChildProcess;
  #settle: ((outcome: NameReport | Error) => void) | undefined;

  constructor(task: NameTask) {
    this.#child = fork(MEMBER, [JSON.stringify(task)]);
    this.#child.on('message', (report) => this.#settle?.(report as NameReport));
    this.#child.on('exit', () => this.#settle?.(new Error('A client ended early')));
  }

  /** Microseconds a call. */
  async each(step: NameStep): Promise<number> {
    const { microseconds, failure } = await this.#answer(step);
    if (failure !== undefined) throw new Error(`Cannot ${step.act}: ${failure}`);
    return microseconds / Math.max(1, step.numbers.length);
  }

  end(): void {
    this.#settle = undefined;
    this.#child.kill('SIGKILL');
  }

  #answer(step: NameStep): Promise<NameReport> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`'${step.act}' is not done after ${STEP_MS} ms`)), STEP_MS);
      this.#settle = (outcome) => {
        clearTimeout(timer);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      this.#child.send(step);
    });
  }
}
