/**
 * Inode sequences of the slots, reserved in blocks: the row of a slot is written once a block, and a crash leaves at
 * most the rest of a block unused. The reservation travels in the record that first needs it; until that record is
 * committed nothing here counts on it.
 */
import { assert } from '../base/assert.ts';
import { FIRST_FREE_SEQUENCE, SLOT_COUNT, type Slot } from '../base/units.ts';
import { SEQUENCE_LIMIT } from './row_id.ts';

export const SEQUENCE_BLOCK = 1024;

export class Sequences {
  /** Next free sequence of each slot; 0 = not asked for yet. */
  readonly #next = new Float64Array(SLOT_COUNT);
  /** One past the last reserved sequence of each slot. */
  readonly #reserved = new Float64Array(SLOT_COUNT);
  readonly #load: (slot: Slot) => number | undefined;

  /** `load` gives the slot's row: the first sequence that was never reserved. */
  constructor(load: (slot: Slot) => number | undefined) {
    this.#load = load;
  }

  take(slot: Slot): number {
    this.#loadOnce(slot);
    const sequence = this.#next[slot] ?? 0;
    assert(sequence < SEQUENCE_LIMIT, `Slot ${slot} has used up its sequences`);
    this.#next[slot] = sequence + 1;
    return sequence;
  }

  /** None below `next` is given out any more. */
  skipTo(slot: Slot, next: number): void {
    this.#loadOnce(slot);
    this.#next[slot] = Math.max(next, this.#next[slot] ?? 0);
  }

  #loadOnce(slot: Slot): void {
    if (this.#next[slot] !== 0) return;
    const first = this.#load(slot) ?? FIRST_FREE_SEQUENCE;
    this.#next[slot] = first;
    this.#reserved[slot] = first;
  }

  reserved(slot: Slot): number {
    return this.#reserved[slot] ?? 0;
  }

  /** What the slot's row has to say so that `sequence` is reserved. */
  blockAfter(sequence: number): number {
    return Math.min(sequence + SEQUENCE_BLOCK, SEQUENCE_LIMIT);
  }

  /** A record that reserves up to `next` has been committed. */
  committed(slot: Slot, next: number): void {
    this.#reserved[slot] = Math.max(next, this.reserved(slot));
  }
}
