/**
 * A daemon process that is started ahead of its need and waits: most of the time from a daemon's death to the next answer
 * would otherwise go into starting Node and loading modules.
 */
import type { DaemonProcess } from './daemon_process.ts';

/** After a daemon has begun to serve: what waited for it comes first. */
const FIRST_DELAY_MS = 500;
/** After the first one, whose mount may be a short one, as scripts make them: a spare takes a second of processor time. */
export const MOUNT_DELAY_MS = 10_000;
/** After a spare has died of itself: something is wrong with this machine, and the next one may fare no better. */
const AGAIN_DELAY_MS = 10_000;

export class Spare {
  readonly #start: () => DaemonProcess;
  #process: DaemonProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(start: () => DaemonProcess) {
    this.#start = start;
  }

  /** Has one ready soon. */
  prepare(delayMs: number = FIRST_DELAY_MS): void {
    if (this.#isOver || this.#process !== undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#keep(this.#start());
    }, delayMs);
    this.#timer.unref();
  }

  /** The spare, or where there is none a new daemon. */
  take(): DaemonProcess {
    const spare = this.#process;
    this.#process = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return spare === undefined || spare.isGone ? this.#start() : spare;
  }

  /** No more spares; resolves when the last one is gone. */
  async end(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    const spare = this.#process;
    this.#process = undefined;
    if (spare === undefined) return;
    spare.kill();
    await spare.ended;
  }

  #keep(spare: DaemonProcess): void {
    this.#process = spare;
    void spare.ended.then(() => {
      if (this.#process !== spare) return;
      this.#process = undefined;
      this.prepare(AGAIN_DELAY_MS);
    });
  }
}
