/** How far a long command is: a bar on a terminal, a line now and then elsewhere; all of it on standard error. */
import cliProgress from 'cli-progress';

const QUIET_MS = 1_000;
const LINE_MS = 10_000;
/** The clock is looked at no more often. */
const LOOK_EVERY = 32;

export class Bar {
  readonly #what: string;
  readonly #stream: NodeJS.WriteStream;
  readonly #startedMs = Date.now();
  #bar: cliProgress.SingleBar | undefined;
  #lineMs = Date.now();
  #calls = 0;

  /** `what` is being done, as in 'moving slots'. */
  constructor(what: string, stream: NodeJS.WriteStream = process.stderr) {
    this.#what = what;
    this.#stream = stream;
  }

  show(done: number, total: number): void {
    this.#calls += 1;
    if (total === 0 || this.#calls % LOOK_EVERY !== 1) return;
    this.draw(done, total);
  }

  /** As `show`, whenever it is called. */
  draw(done: number, total: number): void {
    const nowMs = Date.now();
    if (nowMs - this.#startedMs < QUIET_MS) return;
    if (!this.#stream.isTTY) {
      if (nowMs - this.#lineMs < LINE_MS) return;
      this.#lineMs = nowMs;
      this.#stream.write(`pacsfs: ${this.#what}: ${done.toLocaleString('en')} of ${total.toLocaleString('en')}\n`);
      return;
    }
    if (this.#bar === undefined) {
      const format = `${this.#what} [{bar}] {value} of {total}`;
      this.#bar = new cliProgress.SingleBar({ format, stream: this.#stream, clearOnComplete: true, hideCursor: true });
      this.#bar.start(total, done);
    }
    this.#bar.setTotal(total);
    this.#bar.update(done);
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
