/**
 * A client that uses a mount as people do in a quiet hour: looks at files, reads one, makes one and removes it, every 20 ms.
 * Ends when told to, and then sends the calls that took long. `node light_member.js TASK-JSON`.
 */
import fs from 'node:fs';
import { join } from 'node:path';

export interface LightTask {
  /** Folders with files, to look at. */
  readonly folders: readonly string[];
  /** Where new files go. */
  readonly folder: string;
  readonly seed: number;
}

/** Start and length, nanoseconds of CLOCK_MONOTONIC. */
export type SlowCall = readonly [start: number, length: number];

export interface LightReport {
  readonly calls: number;
  readonly errors: readonly string[];
  readonly slow: readonly SlowCall[];
}

const EVERY_MS = 20;
const SLOW_NS = 5_000_000;
const READ_BYTES = 65_536;

class LightClient {
  readonly #task: LightTask;
  readonly #slow: SlowCall[] = [];
  readonly #errors: string[] = [];
  readonly #buffer = Buffer.alloc(READ_BYTES);
  #calls = 0;
  #state: number;

  constructor(task: LightTask) {
    this.#task = task;
    this.#state = task.seed;
    fs.mkdirSync(task.folder, { recursive: true });
  }

  step(): void {
    const start = process.hrtime.bigint();
    try {
      this.#act();
    } catch (thrown) {
      this.#errors.push(String(thrown));
    }
    const length = Number(process.hrtime.bigint() - start);
    this.#calls += 1;
    if (length > SLOW_NS) this.#slow.push([Number(start), length]);
  }

  report(): LightReport {
    return { calls: this.#calls, errors: this.#errors, slow: this.#slow };
  }

  #act(): void {
    const { folders, folder } = this.#task;
    const at = folders[this.#next(folders.length)] ?? '';
    switch (this.#calls % 4) {
      case 0: {
        const names = fs.readdirSync(at);
        fs.lstatSync(join(at, names[this.#next(names.length)] ?? ''));
        break;
      }
      case 1: {
        const file = fs.readdirSync(at, { withFileTypes: true }).find((entry) => entry.isFile());
        const fd = fs.openSync(join(at, file?.name ?? ''), 'r');
        fs.readSync(fd, this.#buffer, 0, READ_BYTES, 0);
        fs.closeSync(fd);
        break;
      }
      case 2:
        fs.writeFileSync(join(folder, `f${this.#calls}`), this.#buffer);
        break;
      default:
        fs.unlinkSync(join(folder, `f${this.#calls - 1}`));
    }
  }

  #next(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * below);
  }
}

const task = process.argv[2];
if (process.send !== undefined && task !== undefined) {
  const client = new LightClient(JSON.parse(task) as LightTask);
  const timer = setInterval(() => client.step(), EVERY_MS);
  process.once('message', () => {
    clearInterval(timer);
    process.send?.(client.report(), () => process.disconnect());
  });
  process.once('disconnect', () => process.exit());
  client.step();
  process.send('ready');
}
