/**
 * The journal in a folder that has outlived the metadata folder it mirrored: read whole, with the old segments that were
 * kept for a backup, to be applied on top of one.
 */
import type { Backing } from '../../base/backing.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { Lsn } from '../../base/units.ts';
import { granted } from './claim.ts';
import { isStale, mirrorPath } from './mirror.ts';
import { type JournalScan, readRecords, scanJournal } from './reader.ts';
import type { JournalRecord } from './record_codec.ts';
import { type Segment, SegmentFolder } from './segments.ts';

export interface SurvivorOptions {
  readonly backing: Backing;
  /** As it was given to `--journal`, or the folder of the segments themselves, such as a metadata folder's journal. */
  readonly path: string;
  readonly storeId: string;
  /** See `NamespaceOptions.bootId`. */
  readonly bootId: string;
}

export class SurvivingJournal {
  readonly path: string;
  /** Start and mount generation of the last daemon that wrote it. */
  readonly start: number;
  readonly generation: number;
  /** The machine was not booted since: what own files hold is what was written. */
  readonly isSameBoot: boolean;
  /** First and last record that it has; the last one is below the first where it has none. */
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** The last one that a barrier covers. */
  readonly durableLsn: Lsn;
  readonly #folder: SegmentFolder;
  readonly #segments: readonly Segment[];
  readonly #scan: JournalScan;

  private constructor(
    path: string,
    folder: SegmentFolder,
    run: { segments: readonly Segment[]; scan: JournalScan; isSameBoot: boolean },
  ) {
    this.path = path;
    this.#folder = folder;
    this.#segments = run.segments;
    this.#scan = run.scan;
    this.start = run.scan.state.start;
    this.generation = run.scan.state.generation;
    this.firstLsn = run.segments[0]?.header?.firstLsn ?? (0 as Lsn);
    this.isSameBoot = run.isSameBoot;
    this.durableLsn = run.scan.barrierLsn;
    this.lastLsn = run.isSameBoot ? run.scan.lastLsn : run.scan.barrierLsn;
  }

  /** ENOENT: no journal of that store there. ESTALE: the store went on without this folder. Changes nothing. */
  static open(options: SurvivorOptions): Result<SurvivingJournal> {
    const { backing, path, storeId, bootId } = options;
    if (isStale(backing, { path, storeId })) return E.ESTALE;
    const mirror = SegmentFolder.open(backing, { path: mirrorPath(path, storeId), storeId, readOnly: true });
    const folder = mirror === E.ENOENT ? SegmentFolder.open(backing, { path, storeId, readOnly: true }) : mirror;
    if (isErrno(folder)) return folder;
    try {
      let segments = folder.used();
      const last = segments.at(-1)?.header?.sequence;
      for (;;) {
        const scan = scanJournal(segments, folder.segmentBytes);
        if (scan === undefined) break;
        // What does not lead to the newest segment lies before a gap.
        const { sequence } = scan.end;
        if (sequence === last) {
          const isSameBoot = bootId !== '' && scan.state.bootId === bootId;
          // Nothing that was acknowledged is left out; bytes that are not there their own checksums tell.
          return new SurvivingJournal(path, folder, {
            segments,
            scan: isSameBoot ? scan : granted(scan),
            isSameBoot,
          });
        }
        segments = segments.filter(({ header }) => (header?.sequence ?? 0) > sequence);
      }
    } catch (thrown) {
      folder.close();
      throw thrown;
    }
    folder.close();
    return E.ENOENT;
  }

  /** Undefined in the place of a record that says nothing. */
  records(from: Lsn): Iterable<JournalRecord | undefined> {
    const { segmentBytes } = this.#folder;
    return readRecords(this.#segments, { segmentBytes, from, to: this.lastLsn, cuts: this.#scan.cuts });
  }

  close(): void {
    this.#folder.close();
  }
}
