/** How long something takes, over and over: a histogram whose buckets are 6 % wide, from 1 µs to over an hour. */

const BUCKETS_AN_OCTAVE = 12;
const OCTAVES = 32;
const FIRST_MS = 0.001;

/** All in milliseconds; quantiles are upper ends of buckets, so never too low. */
export interface DurationSummary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly p9999: number;
  readonly longest: number;
}

export class Durations {
  readonly #buckets = new Float64Array(BUCKETS_AN_OCTAVE * OCTAVES);
  #count = 0;
  #longest = 0;

  record(ms: number): void {
    const octaves = ms > FIRST_MS ? Math.log2(ms / FIRST_MS) : 0;
    const index = Math.min(this.#buckets.length - 1, Math.floor(octaves * BUCKETS_AN_OCTAVE));
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count += 1;
    if (ms > this.#longest) this.#longest = ms;
  }

  get count(): number {
    return this.#count;
  }

  /** The duration that this part (0 to 1) of all stays under; 0 when there is none. */
  quantile(part: number): number {
    let left = Math.ceil(this.#count * part);
    if (left === 0) return 0;
    for (const [index, count] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0) return Math.min(this.#longest, FIRST_MS * 2 ** ((index + 1) / BUCKETS_AN_OCTAVE));
    }
    return this.#longest;
  }

  summary(): DurationSummary {
    const rounded = (ms: number) => Number(ms.toPrecision(3));
    return {
      count: this.#count,
      p50: rounded(this.quantile(0.5)),
      p99: rounded(this.quantile(0.99)),
      p999: rounded(this.quantile(0.999)),
      p9999: rounded(this.quantile(0.9999)),
      longest: rounded(this.#longest),
    };
  }
}
