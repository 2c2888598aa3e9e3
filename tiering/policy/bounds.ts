/**
 * Whether a run need look into an aggregate at all. An aggregate is left out only when it is certain that no file in it
 * moves: what is not known never leaves one out.
 *
 * A row of `aggregates` has the newest mtime of what was packed into it, which says nothing of its oldest file, and not
 * even of its newest once somebody has set a file's times. So bounds come from the files themselves: a run that looks
 * into an aggregate notes them (`AggregateBounds.note`), and they hold until bytes of another file come into it (packed, or
 * shared by a copy) or the times or size of one in it are set; reads, writes and deletes only let them be wider than need
 * be.
 */
import type { AggregateRow, VolumeRow } from '../../base/layout.ts';
import type { Moment } from './decide.ts';
import { goesDownOnly } from './decide.ts';
import { type FileFacts, lastUse } from './facts.ts';
import type { AgeBy, Policy, Rule } from './policy.ts';
import { descent, includes, type Place } from './target.ts';

/** Of all files with bytes in the aggregate; -Infinity and Infinity where nothing is known. */
export interface TimeBounds {
  readonly oldestSec: number;
  readonly newestSec: number;
}

export interface KnownBounds {
  readonly mtime: TimeBounds;
  /** Of last uses, see `lastUse`; reads raise them, so that there is no newest. */
  readonly oldestUseSec: number;
  readonly smallest: number;
  readonly largest: number;
}

export const UNKNOWN: KnownBounds = Object.freeze({
  mtime: Object.freeze({ oldestSec: -Infinity, newestSec: Infinity }),
  oldestUseSec: -Infinity,
  smallest: 0,
  largest: Infinity,
});

/** Collects bounds while a run looks at every file of an aggregate. */
export class AggregateBounds {
  #oldest = Infinity;
  #newest = -Infinity;
  #oldestUse = Infinity;
  #smallest = Infinity;
  #largest = 0;

  note(file: Pick<FileFacts, 'mtimeSec' | 'atimeSec' | 'size'>): void {
    this.#oldest = Math.min(this.#oldest, file.mtimeSec);
    this.#newest = Math.max(this.#newest, file.mtimeSec);
    this.#oldestUse = Math.min(this.#oldestUse, lastUse(file, 'atime'));
    this.#smallest = Math.min(this.#smallest, file.size);
    this.#largest = Math.max(this.#largest, file.size);
  }

  known(): KnownBounds {
    return {
      mtime: { oldestSec: this.#oldest, newestSec: this.#newest },
      oldestUseSec: this.#oldestUse,
      smallest: this.#smallest,
      largest: this.#largest,
    };
  }
}

/** False only when no file's bytes in the aggregate would move now. */
export function mayHoldMoves(
  policy: Policy,
  aggregate: Pick<AggregateRow, 'live' | 'state'> & {
    readonly volume: Pick<VolumeRow, 'id' | 'name' | 'tier'>;
    readonly bounds?: KnownBounds;
  },
  moment: Moment,
): boolean {
  if (aggregate.state === 'dead' || aggregate.live === 0) return false;
  const bounds = aggregate.bounds ?? UNKNOWN;
  const pressure = moment.pressures?.get(aggregate.volume.id);
  if (pressure !== undefined && oldest(bounds, pressure.by) <= pressure.untilSec) return true;
  return policy.rules.some((rule) => mayMove(rule, aggregate.volume, { bounds, nowSec: moment.nowSec }));
}

function mayMove(rule: Rule, place: Place, at: { readonly bounds: KnownBounds; readonly nowSec: number }): boolean {
  const { bounds, nowSec } = at;
  const { when } = rule;
  if (includes(rule.to, place)) return false;
  if (goesDownOnly(rule) && descent(rule.to, place) < 0) return false;
  if (when.on !== undefined && !when.on.some((target) => includes(target, place))) return false;
  if (when.olderThanSec !== undefined && nowSec - oldest(bounds, when.by) < when.olderThanSec) return false;
  if (when.youngerThanSec !== undefined && nowSec - newest(bounds, when.by) >= when.youngerThanSec) return false;
  if (when.largerThan !== undefined && bounds.largest <= when.largerThan) return false;
  return when.smallerThan === undefined || bounds.smallest < when.smallerThan;
}

function oldest(bounds: KnownBounds, by: AgeBy): number {
  return by === 'mtime' ? bounds.mtime.oldestSec : bounds.oldestUseSec;
}

function newest(bounds: KnownBounds, by: AgeBy): number {
  return by === 'mtime' ? bounds.mtime.newestSec : Infinity;
}
