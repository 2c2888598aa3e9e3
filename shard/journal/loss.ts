/** Which records a journal lacks that neither a power cut nor the end of a process explains. */
import type { Lsn } from '../../base/units.ts';
import { type JournalScan, liveSegments } from './reader.ts';
import type { SegmentFolder } from './segments.ts';

/** For the operator; undefined when all are there. `reached`: the highest LSN that a database has committed. */
export function lossOf(
  folder: SegmentFolder,
  scan: JournalScan,
  of: { readonly isRebooted: boolean; readonly lastLsn: Lsn; readonly reached: Lsn },
): string | undefined {
  const { missing } = folder;
  if (missing !== undefined) return `segment file ${missing} is missing`;
  if (scan.damage !== undefined) return scan.damage;
  if (!of.isRebooted && scan.torn !== undefined) return scan.torn;
  // Segments that were wiped may have been needed no more; then they are there, and blank.
  const live = liveSegments(folder.used());
  const [first = 0, needed = 0] = [live[0]?.header?.sequence, live.at(-1)?.header?.oldest];
  if (first - needed > folder.blank) return `segments ${needed} to ${first - 1} are missing`;
  return of.lastLsn < of.reached ? `it ends with record ${of.lastLsn}, the databases have ${of.reached}` : undefined;
}
