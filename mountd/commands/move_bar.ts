/** How far migrations are, with their rate and the time that is left: a bar on a terminal, a line now and then elsewhere. */
import cliProgress from 'cli-progress';
import { approximateSize } from '../../base/sizes.ts';
import type { ShownMigration } from '../migrations.ts';

const QUIET_MS = 1_000;
const LINE_MS = 10_000;

export class MoveBar {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedMs = Date.now();
  #lineMs = Date.now();
  #firstBytes: number | undefined;
  #bar: cliProgress.SingleBar | undefined;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  draw(migrations: readonly ShownMigration[]): void {
    const nowMs = Date.now();
    const sum = (of: (each: ShownMigration) => number) => migrations.reduce((total, each) => total + of(each), 0);
    const bytes = sum(({ bytesMoved }) => bytesMoved);
    this.#firstBytes ??= bytes;
    if (nowMs - this.#startedMs < QUIET_MS) return;
    const total = sum(({ bytesToDo }) => bytesToDo);
    const rate = ((bytes - this.#firstBytes) * 1_000) / (nowMs - this.#startedMs);
    const isCounting = migrations.some(({ state }) => state === 'planned');
    const left = isCounting || rate === 0 ? 'time left unknown' : `${timeText((total - bytes) / rate)} left`;
    const files = `${count(sum(({ filesMoved }) => filesMoved))} of ${count(sum(({ filesToDo }) => filesToDo))} files`;
    const text = `${files}, ${approximateSize(bytes)} of ${approximateSize(total)}, ${approximateSize(rate)}/s, ${left}`;
    if (this.#stream.isTTY) this.#drawBar(text, { bytes, total });
    else if (nowMs - this.#lineMs >= LINE_MS) {
      this.#lineMs = nowMs;
      this.#stream.write(`pacsfs: moving: ${text}\n`);
    }
  }

  #drawBar(text: string, { bytes, total }: { readonly bytes: number; readonly total: number }): void {
    const most = Math.max(1, total);
    if (this.#bar === undefined) {
      const format = 'moving [{bar}] {text}';
      this.#bar = new cliProgress.SingleBar({ format, stream: this.#stream, clearOnComplete: true, hideCursor: true });
      this.#bar.start(most, bytes, { text });
    }
    this.#bar.setTotal(most);
    this.#bar.update(bytes, { text });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 120) return `${whole} s`;
  return whole < 7_200 ? `${Math.round(whole / 60)} min` : `${Math.round(whole / 3_600)} h`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
