/**
 * Files that settled without a byte in a segment (dedicated own files, empty ones, copies that share the bytes of others)
 * and those that were renamed after an index told of them. The next segments' indexes describe them, for the rebuild of a
 * store. Kept in memory only: what a crash drops comes back from a rebuild without its name, or by its old one.
 */
import type { PackMention } from '../aggregate/pack.ts';
import type { Ino } from '../base/units.ts';
import type { Describer } from './describer.ts';

/** Files that wait at most; what comes on top is not mentioned. */
const WAITING_MAX = 65_536;
/** Of one job: each costs the control thread a look-up. */
const JOB_MENTIONS = 64;

export class Mentions {
  readonly #waiting = new Set<Ino>();

  get count(): number {
    return this.#waiting.size;
  }

  add(ino: Ino): void {
    if (this.#waiting.size < WAITING_MAX) this.#waiting.add(ino);
  }

  /** Takes some out, described as they are now. Those that are not yet what they will be stay. */
  take(describer: Describer, staysFor: (ino: Ino) => boolean): PackMention[] {
    const mentions: PackMention[] = [];
    for (const ino of this.#waiting) {
      if (mentions.length >= JOB_MENTIONS) break;
      if (staysFor(ino)) continue;
      this.#waiting.delete(ino);
      const mention = describer.mention(ino);
      if (mention !== undefined) mentions.push(mention);
    }
    return mentions;
  }
}
