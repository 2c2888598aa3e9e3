/** Which segments of a journal are still needed. */
import type { Lsn } from '../../base/units.ts';
import type { Segment } from './segments.ts';

/** Records that somebody is reading. */
export class Holds {
  readonly #from = new Set<{ readonly lsn: Lsn }>();

  /** Those from `lsn` on, until the returned function is called. */
  add(lsn: Lsn): () => void {
    const held = { lsn };
    this.#from.add(held);
    return () => void this.#from.delete(held);
  }

  /** The first record that is held, or `needed`. */
  lowest(needed: Lsn): Lsn {
    let lowest = needed;
    for (const { lsn } of this.#from) if (lsn < lowest) lowest = lsn;
    return lowest;
  }
}

/** Sequence of the first segment that has records from `lsn` on; not before `oldest`, which was the first by now. */
export function firstNeeded(
  used: readonly Segment[],
  { lsn, oldest }: { readonly lsn: Lsn; readonly oldest: number },
): number {
  let first = oldest;
  for (let i = 0; i + 1 < used.length; i++) {
    const header = used[i]?.header;
    const next = used[i + 1]?.header;
    if (header === undefined || next === undefined || header.sequence < first) continue;
    // The record with that LSN may begin in the segment before it.
    if (next.firstLsn >= lsn) break;
    first = next.sequence;
  }
  return first;
}
