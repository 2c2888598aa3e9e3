/**
 * How far a long check is: a bar on a terminal, a line now and then elsewhere, and nothing at all before a second has
 * passed. All of it on standard error.
 */
import cliProgress from 'cli-progress';

const QUIET_MS = 1_000;
const LINE_MS = 10_000;
/** The clock is looked at once in so many steps. */
const STEPS_A_LOOK = 64;

export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedMs = Date.now();
  #bar: cliProgress.SingleBar | undefined;
  #stage = '';
  #total = 0;
  #done = 0;
  #steps = 0;
  #lineMs = Date.now();

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** A new stage of so many steps, of whatever size the caller likes. */
  begin(stage: string, total: number): void {
    this.end();
    this.#stage = stage;
    this.#total = total;
    this.#done = 0;
    this.#look();
  }

  advance(count: number): void {
    this.#done += count;
    this.#steps += 1;
    if (this.#steps % STEPS_A_LOOK === 0 || this.#total < STEPS_A_LOOK) this.#look();
  }

  /** Takes the bar away, so that lines can be printed. */
  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #look(): void {
    const nowMs = Date.now();
    if (nowMs - this.#startedMs < QUIET_MS || this.#total === 0) return;
    if (!this.#stream.isTTY) {
      if (nowMs - this.#lineMs < LINE_MS) return;
      this.#lineMs = nowMs;
      this.#stream.write(`pacsfs: checking ${this.#stage}: ${Math.floor((100 * this.#done) / this.#total)} %\n`);
      return;
    }
    if (this.#bar === undefined) {
      const format = 'checking {stage} [{bar}] {percentage} %';
      this.#bar = new cliProgress.SingleBar({ format, stream: this.#stream, clearOnComplete: true, hideCursor: true });
      this.#bar.start(this.#total, this.#done, { stage: this.#stage });
    }
    // Draws at once, no more often than ten times a second: a check never waits, so no timer of the bar would fire.
    this.#bar.update(this.#done);
  }
}
