/**
 * The checksummed ranges that inodes name, by aggregate: 25 bytes for each extent, in typed arrays that are sorted one
 * aggregate at a time.
 */
import type { Extent } from '../../base/layout.ts';
import type { AggregateId, Ino } from '../../base/units.ts';

const FIRST_CAPACITY = 16;

/** One inode's naming of one range. */
export interface NamedRange {
  readonly start: number;
  readonly length: number;
  readonly ino: Ino;
  readonly shared: boolean;
}

export class AggregateRanges {
  count = 0;
  #starts = new Float64Array(FIRST_CAPACITY);
  #inos = new Float64Array(FIRST_CAPACITY);
  #lengths = new Uint32Array(FIRST_CAPACITY);
  #shared = new Uint8Array(FIRST_CAPACITY);

  add(ino: Ino, extent: Extent): void {
    if (this.count === this.#starts.length) this.#resize(this.count * 2, (at) => at);
    const at = this.count;
    this.#starts[at] = extent.rangeStart;
    this.#lengths[at] = extent.rangeLength;
    this.#inos[at] = ino;
    this.#shared[at] = extent.shared ? 1 : 0;
    this.count = at + 1;
  }

  /** By start, then inode. */
  sort(): void {
    const order = Uint32Array.from({ length: this.count }, (_, at) => at);
    const starts = this.#starts;
    const inos = this.#inos;
    order.sort((a, b) => (starts[a] ?? 0) - (starts[b] ?? 0) || (inos[a] ?? 0) - (inos[b] ?? 0));
    this.#resize(Math.max(this.count, 1), (at) => order[at] ?? 0);
  }

  *[Symbol.iterator](): Generator<NamedRange> {
    for (let at = 0; at < this.count; at++) {
      yield {
        start: this.#starts[at] ?? 0,
        length: this.#lengths[at] ?? 0,
        ino: (this.#inos[at] ?? 0) as Ino,
        shared: this.#shared[at] === 1,
      };
    }
  }

  /** New arrays whose element `at` is what `from(at)` was. */
  #resize(capacity: number, from: (at: number) => number): void {
    const starts = new Float64Array(capacity);
    const inos = new Float64Array(capacity);
    const lengths = new Uint32Array(capacity);
    const shared = new Uint8Array(capacity);
    for (let at = 0; at < this.count; at++) {
      const source = from(at);
      starts[at] = this.#starts[source] ?? 0;
      inos[at] = this.#inos[source] ?? 0;
      lengths[at] = this.#lengths[source] ?? 0;
      shared[at] = this.#shared[source] ?? 0;
    }
    this.#starts = starts;
    this.#inos = inos;
    this.#lengths = lengths;
    this.#shared = shared;
  }
}

export class RangeTable {
  readonly #aggregates = new Map<AggregateId, AggregateRanges>();
  /** Bytes of all distinct namings, for progress. */
  bytes = 0;

  add(ino: Ino, extent: Extent): void {
    let ranges = this.#aggregates.get(extent.aggregate);
    if (ranges === undefined) {
      ranges = new AggregateRanges();
      this.#aggregates.set(extent.aggregate, ranges);
    }
    ranges.add(ino, extent);
    this.bytes += extent.rangeLength;
  }

  of(id: AggregateId): AggregateRanges | undefined {
    return this.#aggregates.get(id);
  }

  /** In ascending order. */
  ids(): AggregateId[] {
    return [...this.#aggregates.keys()].sort((a, b) => a - b);
  }

  sort(): void {
    for (const ranges of this.#aggregates.values()) ranges.sort();
  }
}
