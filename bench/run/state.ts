/** What an interrupted run has measured, so that the next one goes on: a file of JSON, replaced after each round. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Round } from '../report/judge.ts';

/** What must be the same for rounds to belong together. */
export interface RunKey {
  readonly workload: string;
  readonly options: string;
  readonly scale: number;
  readonly kernel: string;
  readonly program: string;
}

interface Content {
  readonly key: RunKey;
  /** By the kind of filesystem. */
  readonly rounds: Record<string, Round[]>;
}

export class RunState {
  readonly path: string;
  readonly #content: Content;

  /** Rounds of another key are forgotten. */
  constructor(folder: string, key: RunKey) {
    this.path = join(folder, `pacsfs-bench-${key.workload}.json`);
    this.#content = readContent(this.path, key) ?? { key, rounds: {} };
  }

  rounds(kind: string): readonly Round[] {
    return this.#content.rounds[kind] ?? [];
  }

  add(kind: string, round: Round): void {
    this.#content.rounds[kind] = [...this.rounds(kind), round];
    writeFileSync(`${this.path}.new`, JSON.stringify(this.#content));
    renameSync(`${this.path}.new`, this.path);
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}

function readContent(path: string, key: RunKey): Content | undefined {
  try {
    const content = JSON.parse(readFileSync(path, 'utf8')) as Content;
    return JSON.stringify(content.key) === JSON.stringify(key) ? content : undefined;
  } catch {
    return undefined;
  }
}
