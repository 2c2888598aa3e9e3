/** How far a backup is: a line now and then on standard error, of a number of rows that nobody knows beforehand. */
const QUIET_MS = 2_000;

export class BackupProgress {
  readonly #stream: NodeJS.WriteStream;
  #shownMs = Date.now();

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  rows(count: number): void {
    const nowMs = Date.now();
    if (nowMs - this.#shownMs < (this.#stream.isTTY ? 500 : 5 * QUIET_MS)) return;
    this.#shownMs = nowMs;
    const line = `pacsfs: ${count.toLocaleString('en')} rows read`;
    this.#stream.write(this.#stream.isTTY ? `\r${line}` : `${line}\n`);
  }

  end(): void {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[K');
  }
}
