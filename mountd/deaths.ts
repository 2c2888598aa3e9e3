/** Counts the deaths of daemons: one now and then is replaced without a word to anybody, many in a row are a crash loop. */

/** Deaths within this time are one row. */
export const WINDOW_MS = 60_000;

export class Deaths {
  readonly #limit: number;
  /** Times of the deaths within the window, oldest first. */
  #recent: number[] = [];
  #total = 0;

  /** More than `limit` deaths within a minute are too many. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Since the mount began. */
  get total(): number {
    return this.#total;
  }

  /** Within the minute before the last one. */
  get recent(): number {
    return this.#recent.length;
  }

  get isLoop(): boolean {
    return this.#recent.length > this.#limit;
  }

  /** `nowMs`: a clock that never goes back. */
  note(nowMs: number): void {
    this.#recent = [...this.#recent.filter((ms) => nowMs - ms < WINDOW_MS), nowMs];
    this.#total += 1;
  }
}
