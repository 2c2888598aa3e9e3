/** A barrier whose data was flushed beside it: whether it counts the data tells. */
import type { WrittenRange } from '../../base/layout.ts';
import type { Lsn } from '../../base/units.ts';
import type { JournalOptions } from './journal_options.ts';
import { isBefore, type JournalScan, type Place } from './reader.ts';

/** All up to `lsn` is durable if these bytes are. */
export interface Claim {
  readonly lsn: Lsn;
  readonly end: Place;
  readonly ranges: readonly WrittenRange[];
}

/** The scan of a journal whose claim holds. */
export function granted(scan: JournalScan): JournalScan {
  const { claim, barrierEnd } = scan;
  if (claim === undefined) return scan;
  // A START behind it stays, whatever it says of barriers.
  const end = isBefore(barrierEnd, claim.end) ? claim.end : barrierEnd;
  return { ...scan, barrierLsn: claim.lsn, barrierEnd: end, claim: undefined };
}

/** On another boot a claim counts if its bytes are there; on the same one nobody knows whether they were flushed. */
export function afterClaim(scan: JournalScan, options: JournalOptions): JournalScan {
  const { bootId, holds, log, reached = 0 } = options;
  const { claim, state } = scan;
  if (claim === undefined || (bootId !== '' && bootId === state.bootId)) return scan;
  // No database commits what a barrier covers before it is complete: one that is beyond the last one has seen this one.
  const isTrue = reached > scan.barrierLsn || (holds?.(claim.ranges) ?? true);
  if (!isTrue) log.warn({ lsn: claim.lsn }, 'The last barrier does not count: what it covers had not reached the disk');
  return isTrue ? granted(scan) : scan;
}
