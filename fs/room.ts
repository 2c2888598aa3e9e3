/** What is done before a program is told that a disk is full. */
import type { DataStore } from '../aggregate/store.ts';
import { E, isErrno } from '../base/errno.ts';
import type { Barriers } from './barriers.ts';
import type { OwnAhead } from './own_ahead.ts';

/**
 * Tries an operation, and once more from its beginning after room was made: first what was made or written ahead of its use
 * goes, then what was deleted, which takes up room until a barrier makes its end durable.
 */
export function withRoom<T>(
  from: { readonly data: DataStore; readonly barriers: Barriers; readonly ownAhead: OwnAhead },
  act: () => T,
): T {
  const isFull = (outcome: T) => outcome === E.ENOSPC || outcome === -E.ENOSPC.number;
  let outcome = act();
  if (!isFull(outcome)) return outcome;
  const hasOwns = from.ownAhead.giveBack();
  if (from.data.giveBackAhead() || hasOwns) outcome = act();
  if (!isFull(outcome) || from.data.removals === 0 || isErrno(from.barriers.make())) return outcome;
  return act();
}
