/** Ranges of aggregates that nobody names any more: from their death, over the barrier behind it, to the punch. */
import type { AggregateId } from '../base/units.ts';

export interface DeadRange {
  readonly aggregate: AggregateId;
  readonly offset: number;
  readonly length: number;
}

export class DeadRanges {
  /** Died since the last barrier, by aggregate: offset, length, offset, length ... */
  readonly #dying = new Map<AggregateId, number[]>();
  /** Died before the barrier under way began. */
  #passing: DeadRange[] = [];
  #ready: DeadRange[] = [];

  /** Whether some died since the last barrier began. */
  get hasDying(): boolean {
    return this.#dying.size > 0;
  }

  /** Whether some of it goes with the barrier that has begun. */
  isPassing(range: DeadRange): boolean {
    const end = range.offset + range.length;
    return this.#passing.some(
      ({ aggregate, offset, length }) =>
        aggregate === range.aggregate && offset < end && offset + length > range.offset,
    );
  }

  add(range: DeadRange): void {
    const list = this.#dying.get(range.aggregate);
    if (list === undefined) this.#dying.set(range.aggregate, [range.offset, range.length]);
    else list.push(range.offset, range.length);
  }

  /** The aggregate goes as a whole: its ranges need no punching. */
  forget(id: AggregateId): void {
    this.#dying.delete(id);
    this.#passing = this.#passing.filter((range) => range.aggregate !== id);
    this.#ready = this.#ready.filter((range) => range.aggregate !== id);
  }

  /** A barrier begins: it covers what has died by now, but in aggregates whose record is yet to come. */
  barrierBegins(isUnrecorded: (id: AggregateId) => boolean): void {
    for (const [aggregate, list] of this.#dying) {
      if (isUnrecorded(aggregate)) continue;
      this.#dying.delete(aggregate);
      for (const { offset, length } of merge(list)) this.#passing.push({ aggregate, offset, length });
    }
  }

  /** It has passed: what died before it began may be punched. */
  barrierDone(): void {
    this.#ready = this.#ready.concat(this.#passing);
    this.#passing = [];
  }

  take(): readonly DeadRange[] {
    const taken = this.#ready;
    this.#ready = [];
    return taken;
  }
}

/** Sorted, and neighbours joined. */
function merge(pairs: readonly number[]): { offset: number; length: number }[] {
  const ranges: { offset: number; length: number }[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) ranges.push({ offset: pairs[i] ?? 0, length: pairs[i + 1] ?? 0 });
  ranges.sort((a, b) => a.offset - b.offset);
  const merged: { offset: number; length: number }[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && last.offset + last.length >= range.offset) {
      last.length = Math.max(last.length, range.offset + range.length - last.offset);
    } else merged.push(range);
  }
  return merged;
}
