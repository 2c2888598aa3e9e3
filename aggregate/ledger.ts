/**
 * Who owns how much of each aggregate: the rows of `aggregates` in memory. The rows on disk change only by the caller's
 * records: whatever changes a row here must be followed by `takeChangedRows` for the record of the same change.
 */
import { type AggregateRow, type Extent, occupied, type WrittenRange } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import { DeadRanges } from './dead_ranges.ts';

const SECONDS_PER_DAY = 86400;

export interface ReleaseOptions {
  /** Asked once for each range whose extent has the SHARED bit: whether another inode still names it. */
  readonly stillShared: (extent: Extent) => boolean;
  /** Extents that the same inode keeps: a cut extent leaves its range alive. */
  readonly kept?: readonly Extent[];
}

/** What a scan of the inodes found of one aggregate. */
export interface FoundAggregate {
  readonly id: AggregateId;
  readonly volume: VolumeId;
  /** Bytes of distinct checksummed ranges, each rounded up to 4 KiB. */
  readonly live: number;
  /** Where the last of them ends. */
  readonly end: number;
}

export class Ledger {
  readonly #rows = new Map<AggregateId, AggregateRow>();
  readonly #changed = new Set<AggregateId>();
  /** State 'dead', file still there. */
  readonly #dying = new Set<AggregateId>();
  /** Those of them that the barrier under way covers. */
  readonly #passing = new Set<AggregateId>();
  /** State 'dead', file removed: the row may go. */
  readonly #deletable = new Set<AggregateId>();
  readonly #ranges = new DeadRanges();
  readonly #log: Log;
  #newest = 0;

  constructor(rows: readonly AggregateRow[], log: Log) {
    this.#log = log;
    for (const row of rows) {
      this.#rows.set(row.id, row);
      this.#newest = Math.max(this.#newest, row.id);
      if (row.state === 'dead') this.#dying.add(row.id);
    }
  }

  row(id: AggregateId): AggregateRow | undefined {
    return this.#rows.get(id);
  }

  rows(): Iterable<AggregateRow> {
    return this.#rows.values();
  }

  /** Highest id that any row has, 0 without rows. */
  get newestId(): number {
    return this.#newest;
  }

  /** Dead aggregates whose files are still there. */
  get dying(): number {
    return this.#dying.size;
  }

  /** A new aggregate whose file the worker has made. */
  add(id: AggregateId, volume: VolumeId): void {
    this.#newest = Math.max(this.#newest, id);
    this.#put({ id, volume, state: 'open', written: 0, live: 0, newestMtimeSec: 0, lastReadDay: 0 });
  }

  /** Batches up to here are in the file. */
  wrote(id: AggregateId, written: number): void {
    const row = this.#rows.get(id);
    if (row !== undefined && written > row.written) this.#put({ ...row, written });
  }

  /** Ranges that an inode now names and none named before. */
  claim(id: AggregateId, extents: readonly Extent[], newestMtimeSec: number): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    let live = row.live;
    for (const range of distinctRanges(extents).values()) live += occupied(range.rangeLength);
    this.#put({ ...row, live, newestMtimeSec: Math.max(row.newestMtimeSec, newestMtimeSec) });
  }

  /** Ranges that were written and that no inode came to name. */
  abandon(extents: readonly Extent[]): void {
    for (const range of distinctRanges(extents).values()) this.#bury(range);
  }

  /**
   * An inode lets go of extents. Ranges that nobody names any more are dead: they count as live no longer, and are
   * punched behind the next barrier.
   */
  release(extents: readonly Extent[], options: ReleaseOptions): void {
    const kept = options.kept === undefined ? undefined : distinctRanges(options.kept);
    for (const [key, extent] of distinctRanges(extents)) {
      if (kept?.has(key) === true) continue;
      if (extent.shared && options.stillShared(extent)) continue;
      const row = this.#rows.get(extent.aggregate);
      if (row === undefined) continue;
      const live = row.live - occupied(extent.rangeLength);
      if (live < 0) this.#log.error({ aggregate: row.id, live }, 'Live bytes of an aggregate below 0, kept at 0');
      this.#put({ ...row, live: Math.max(live, 0) });
      this.#bury(extent);
      this.#killIfEmpty(row.id);
    }
  }

  /** Nothing is appended to it from here on. */
  seal(id: AggregateId): void {
    const row = this.#rows.get(id);
    if (row === undefined || row.state !== 'open') return;
    this.#put({ ...row, state: 'sealed' });
    this.#killIfEmpty(id);
  }

  noteRead(id: AggregateId, nowSec: number): void {
    const row = this.#rows.get(id);
    const day = Math.floor(nowSec / SECONDS_PER_DAY);
    if (row !== undefined && day > row.lastReadDay) this.#put({ ...row, lastReadDay: day });
  }

  /** Whether the barrier that has begun lets go of some of these bytes. */
  letsGoOf(ranges: readonly WrittenRange[]): boolean {
    return ranges.some((range) => this.#passing.has(range.aggregate) || this.#ranges.isPassing(range));
  }

  /** Rows that differ from those of the last record; they belong in the record that is being built. */
  takeChangedRows(): readonly AggregateRow[] {
    const rows: AggregateRow[] = [];
    for (const id of this.#changed) {
      const row = this.#rows.get(id);
      if (row !== undefined) rows.push(row);
    }
    this.#changed.clear();
    return rows;
  }

  /**
   * Rows of removed aggregates, to be deleted by the record that is being built; they are forgotten here. The newest id
   * is never among them: it is what keeps ids from being used twice.
   */
  deletableAggregates(): readonly AggregateId[] {
    const ids = [...this.#deletable].filter((id) => id !== this.#newest && !this.#changed.has(id));
    for (const id of ids) {
      this.#deletable.delete(id);
      this.#rows.delete(id);
    }
    return ids;
  }

  /** Whether a barrier would free room. */
  get hasDead(): boolean {
    return this.#dying.size > 0 || this.#ranges.hasDying;
  }

  /** A barrier begins: it covers the deaths that records tell of by now. */
  barrierBegins(): void {
    for (const id of this.#dying) if (!this.#changed.has(id)) this.#passing.add(id);
    this.#ranges.barrierBegins((id) => this.#changed.has(id));
  }

  /**
   * It has passed. `remove` is called for each dead aggregate whose record lies behind it; 0 or -errno, and one that could
   * not be removed is tried again at the next barrier.
   */
  barrierDone(remove: (row: AggregateRow) => number): void {
    const passing = [...this.#passing];
    this.#passing.clear();
    for (const id of passing) {
      const row = this.#rows.get(id);
      if (row === undefined || !this.#dying.has(id)) continue;
      const outcome = remove(row);
      if (outcome < 0) {
        this.#log.warn({ aggregate: id, error: -outcome }, 'Cannot remove a dead aggregate, will try again');
        continue;
      }
      this.#dying.delete(id);
      this.#deletable.add(id);
    }
    this.#ranges.barrierDone();
  }

  /** Dead ranges that may be punched now, neighbours merged; each is handed out once. */
  takeDeadRanges(): ReturnType<DeadRanges['take']> {
    return this.#ranges.take();
  }

  /**
   * Takes the counts of a full scan of the inodes, after an end that left rows behind each other. What some inode names is
   * live whatever the row said, and has a row; what none names is not, unless the scan is `partial`: an inode that it could
   * not read may name it, and counts only rise. No id that was seen is given again.
   */
  recount(found: readonly FoundAggregate[], options: { readonly partial: boolean }): void {
    const named = new Set(found.map(({ id }) => id));
    for (const { id, volume, live: counted, end } of found) {
      const live = options.partial ? Math.max(counted, this.#rows.get(id)?.live ?? 0) : counted;
      const row = this.#rows.get(id) ?? {
        id,
        volume,
        state: 'sealed',
        written: 0,
        live,
        newestMtimeSec: 0,
        lastReadDay: 0,
      };
      const state = row.state === 'dead' ? 'sealed' : row.state;
      this.#dying.delete(id);
      this.#newest = Math.max(this.#newest, id);
      if (row.live === live && row.state === state && row.written >= end && this.#rows.has(id)) continue;
      this.#put({ ...row, state, live, written: Math.max(row.written, end) });
    }
    if (options.partial) return;
    for (const row of [...this.#rows.values()]) if (!named.has(row.id)) this.correctLive(row.id, 0);
  }

  /** Corrects a row to what a full count found (`fsck --repair`); the caller takes the changed row. */
  correctLive(id: AggregateId, live: number): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    if (row.live !== live) this.#put({ ...row, live });
    this.#killIfEmpty(id);
  }

  #put(row: AggregateRow): void {
    this.#rows.set(row.id, row);
    this.#changed.add(row.id);
  }

  #bury(extent: Extent): void {
    this.#ranges.add({
      aggregate: extent.aggregate,
      offset: extent.rangeStart,
      length: occupied(extent.rangeLength),
    });
  }

  #killIfEmpty(id: AggregateId): void {
    const row = this.#rows.get(id);
    if (row === undefined || row.state !== 'sealed' || row.live > 0) return;
    this.#put({ ...row, state: 'dead' });
    this.#dying.add(id);
    this.#ranges.forget(id);
  }
}

/** One extent for each checksummed range that they name, by aggregate and start. */
function distinctRanges(extents: readonly Extent[]): Map<string, Extent> {
  const ranges = new Map<string, Extent>();
  for (const extent of extents) ranges.set(`${extent.aggregate}/${extent.rangeStart}`, extent);
  return ranges;
}
