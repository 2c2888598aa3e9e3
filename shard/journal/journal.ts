/**
 * The redo journal: what makes a change of several databases one act, and an acknowledged one survive the process. Records
 * are appended before they are applied; a BARRIER says up to where everything, data included, is durable.
 *
 * Outcomes are 0 or -errno. After a failed write or flush the journal is broken and says -EIO to everything; no flush is
 * tried twice. ENOSPC (no free segment, no room for one more) breaks nothing.
 */
import { assert } from '../../base/assert.ts';
import type { Backing, FlushTarget } from '../../base/backing.ts';
import { viewOf } from '../../base/bytes.ts';
import { E, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import type { WrittenRange } from '../../base/layout.ts';
import type { Log } from '../../base/log.ts';
import { type Lsn, MIB } from '../../base/units.ts';
import { journalLost, StoreError } from '../failure.ts';
import { afterClaim } from './claim.ts';
import {
  BARRIER,
  BARRIER_BYTES,
  CLAIM,
  CUT,
  encodeBarrier,
  encodeRanges,
  encodeState,
  FIRST,
  FRAME_BYTES,
  HEADER_BYTES,
  type JournalState,
  LAST,
  MIDDLE,
  RECORD,
  RESTATED,
  type SegmentHeader,
  START,
  sealFrame,
} from './frame_v1.ts';
import { firstNeeded, Holds } from './holds.ts';
import type { JournalOptions } from './journal_options.ts';
import { lossOf } from './loss.ts';
import type { MirrorStatus } from './mirror.ts';
import { JournalMirrors } from './mirrors.ts';
import {
  type Cut,
  type JournalScan,
  type KeptSegments,
  liveSegments,
  type Place,
  readRecords,
  scanJournal,
  scanRecent,
} from './reader.ts';
import type { CompletedRequest, JournalRecord, Wants } from './record_codec.ts';
import { RecordEncoder } from './record_encoder.ts';
import { RequestTable } from './request_table.ts';
import {
  beginFirst,
  beginSegment,
  flushSegment,
  isDirty,
  type Segment,
  SegmentFolder,
  wipeSegment,
  wipeTail,
} from './segments.ts';
import { FIRST_SEGMENTS, type JournalShape, SEGMENTS, segmentBytesFor } from './shape.ts';

const RETAIN_BYTES = 16 * 1024 * MIB;
/** Kept free at the end of each segment, so that a BARRIER never needs a new one. */
const BARRIER_ROOM = 512;

export type { JournalOptions, Recovered } from './journal_options.ts';
export class Journal {
  readonly #folder: SegmentFolder;
  readonly #log: Log;
  readonly #storeId: string;
  readonly #limit: number;
  readonly #encoder = new RecordEncoder(FRAME_BYTES);
  readonly #requests = new RequestTable();
  #current: Segment;
  #place: Place;
  #state: JournalState;
  #lastLsn: Lsn;
  #durable: Lsn;
  #oldest: number;
  #cuts: readonly Cut[];
  #failed: number | undefined;
  /** LSN of the barrier appended last, and what is being flushed for each: segments and their writes until then. */
  #barrier = 0 as Lsn;
  /** The last one, if it is a claim that nothing has confirmed; what the last one says of the databases. */
  #claimed: Lsn | undefined;
  #lackedFrom = 0;
  readonly #taken = new Map<Lsn, ReadonlyMap<Segment, number>>();
  readonly #mirrors: JournalMirrors;
  /** The newest complete backup has everything below. */
  #backupLsn = 0;
  readonly #holds = new Holds();
  /** Records that were dropped by this open, and whether the machine was booted since the last START. */
  readonly dropped: number;
  readonly rebooted: boolean;
  /** Which records are missing, for the operator; undefined when all are there. */
  readonly lost: string | undefined;
  /** What the scan has read, for the first who reads records: the databases, which are brought up to it. */
  #kept: KeptSegments | undefined;

  private constructor(folder: SegmentFolder, scan: JournalScan, options: JournalOptions) {
    const { state } = scan;
    this.#folder = folder;
    this.#log = options.log;
    this.#storeId = options.storeId;
    this.#limit = options.segments ?? SEGMENTS;
    this.#state = state;
    const { backing, storeId, retainBytes = RETAIN_BYTES } = options;
    this.#mirrors = new JournalMirrors(options.log, { backing, storeId, retainBytes });
    this.rebooted = options.bootId === '' || options.bootId !== state.bootId;
    this.#lastLsn = this.rebooted ? scan.barrierLsn : scan.lastLsn;
    this.dropped = scan.lastLsn - this.#lastLsn;
    this.#durable = scan.barrierLsn;
    this.#place = this.rebooted ? scan.barrierEnd : scan.end;
    this.#cuts = scan.cuts;
    const used = folder.used();
    this.#oldest = liveSegments(used)[0]?.header?.sequence ?? 0;
    const current = used.find(({ header }) => header?.sequence === this.#place.sequence);
    assert(current !== undefined, 'The journal has no current segment');
    this.#current = current;
    for (const request of state.requests) this.#requests.add(request);
    const { reached = 0 as Lsn } = options;
    this.lost = lossOf(folder, scan, { isRebooted: this.rebooted, lastLsn: this.#lastLsn, reached });
  }

  /** Makes the journal of a new store, whose databases are at `lsn`; durable when it returns 0. */
  static create(backing: Backing, options: { path: string; storeId: string; lsn: Lsn; shape?: JournalShape }): number {
    const segmentBytes = options.shape?.segmentBytes ?? segmentBytesFor(backing, options.path);
    const { path, storeId, lsn } = options;
    const count = Math.min(FIRST_SEGMENTS, options.shape?.segments ?? SEGMENTS);
    const made = SegmentFolder.create(backing, { path, segmentBytes, count });
    if (made < 0) return made;
    const folder = SegmentFolder.open(backing, { path, storeId, readOnly: false });
    if (isErrno(folder)) return -folder.number;
    const begun = beginFirst(folder, { storeId, lsn, sequence: 1 });
    folder.close();
    return begun;
  }

  /**
   * Opens a journal and decides what of it counts: under the boot id of its last START every whole record, else those up
   * to the last BARRIER. Unless `readOnly`, what does not count is wiped, and what does is durable when this returns.
   * ENOENT: there is none. Throws `StoreError`: cannot be read or written, or ('journal-lost', first) lacks records.
   */
  static open(options: JournalOptions): Result<Journal> {
    const { backing, path, storeId, readOnly } = options;
    const folder = SegmentFolder.open(backing, { path, storeId, readOnly });
    if (isErrno(folder)) return folder;
    try {
      const live = liveSegments(folder.used());
      const { segmentBytes } = folder;
      const { recentFrom: from = 0 as Lsn, reached: trusted = 0 as Lsn, bootId } = options;
      const kept: KeptSegments = { bytes: new Map(), from, trusted, start: undefined, end: undefined };
      const recent = from === 0 ? undefined : scanRecent(live, { segmentBytes, from, bootId, kept });
      const found = recent ?? scanJournal(live, segmentBytes);
      if (found === undefined) {
        folder.close();
        return E.ENOENT;
      }
      const scan = afterClaim(found, options);
      const journal = new Journal(folder, scan, options);
      if (recent !== undefined) journal.#kept = kept;
      if (journal.lost !== undefined && !readOnly && options.isRepair !== true) throw journalLost(path, journal.lost);
      if (!readOnly) journal.#settle();
      if (journal.lost !== undefined && !readOnly) journal.#mend();
      return journal;
    } catch (thrown) {
      folder.close();
      throw thrown;
    }
  }

  get lsn(): Lsn {
    return this.#lastLsn;
  }

  /** LSN of the last barrier that it tells of, whose data was flushed before. */
  get barrierLsn(): Lsn {
    return this.#durable;
  }

  get start(): number {
    return this.#state.start;
  }

  get generation(): number {
    return this.#state.generation;
  }

  executed(unique: bigint): CompletedRequest | undefined {
    return this.#requests.find(unique);
  }

  /** Wipes what follows the cut, so that nothing of it ever follows anything again. Changes nothing when done twice. */
  #settle(): void {
    const { segmentBytes } = this.#folder;
    const { sequence, offset } = this.#place;
    // Another daemon of this boot has flushed each segment before it began the next one.
    if (this.#kept === undefined) this.#check(this.#folder.flushAll(), 'flush');
    // Later segments first, the last one first of all: what is left is always a journal without a gap.
    for (const segment of this.#folder.used().reverse()) {
      if ((segment.header?.sequence ?? 0) <= sequence) break;
      // All of it: under the same mount its frames would look like some that come after what is written there next.
      this.#check(wipeTail(segment, HEADER_BYTES, segmentBytes), 'wipe');
      this.#check(segment.file.flush(), 'flush');
      this.#check(wipeSegment(segment, 0, HEADER_BYTES), 'wipe');
      segment.header = undefined;
    }
    // Without a power cut there is half a frame at most.
    const isTorn = this.rebooted || this.lost !== undefined;
    this.#check(wipeTail(this.#current, offset, isTorn ? segmentBytes : Math.min(segmentBytes, offset + MIB)), 'wipe');
    // On a takeover too: a long replay commits what the last BARRIER covers, which nobody may have flushed yet.
    this.#check(this.#current.file.flush(), 'flush');
    if (this.dropped === 0) return;
    // Records may stand before the barrier that does not cover them: from here on they never happened.
    this.#log.warn({ dropped: this.dropped, lsn: this.#lastLsn }, 'Dropped records behind the last barrier');
    this.#check(this.#appendState(CUT, this.#lastLsn), 'cut');
    this.#check(this.flush(), 'flush');
    this.#cuts = [...this.#cuts, { place: this.#place, lsn: this.#lastLsn }];
  }

  /** What is missing is given up: a segment is begun that asks for nothing before what there is. */
  #mend(): void {
    while (this.#folder.missing !== undefined) {
      const made = this.#folder.grow();
      if (isErrno(made)) this.#check(-made.number, 'mend');
    }
    this.#check(this.#nextSegment(), 'mend');
    this.#check(this.flush(), 'flush');
  }

  /** `path` as it was given, or as a flush target names a file below it. */
  dropMirror(path: string, outcome: number): void {
    this.#mirrors.drop(path, outcome, (this.#durable + 1) as Lsn);
  }

  /** Every folder besides the store's own that the journal was to be written to. */
  mirrors(): MirrorStatus[] {
    return this.#mirrors.status();
  }

  /** Opens the mirrors; `known` are those of them that it was written to before, `onChange` as in `JournalMirrors`. */
  follow(
    folders: { readonly paths: readonly string[]; readonly known: readonly string[] },
    onChange: JournalMirrors['onChange'],
  ): void {
    this.#mirrors.onChange = onChange;
    const live = liveSegments(this.#folder.used());
    const to = { live, segmentBytes: this.#folder.segmentBytes, lsn: this.#lastLsn };
    for (const path of folders.paths) this.#mirrors.attach({ path, isKnown: folders.known.includes(path) }, to);
  }

  /** A backup is complete that has everything below `lsn`: mirrors need not keep it. */
  noteBackup(lsn: Lsn): void {
    this.#backupLsn = Math.max(this.#backupLsn, lsn);
  }

  /** Keeps all records from `lsn` on until the returned function is called. */
  hold(lsn: Lsn): () => void {
    return this.#holds.add(lsn);
  }

  #check(outcome: number, action: string): void {
    if (outcome >= 0) return;
    const { name } = errnoOf(-outcome);
    const code = outcome === -E.ENOSPC.number ? 'disk-full' : 'journal-lost';
    throw new StoreError(code, `Cannot ${action} the journal in ${this.#folder.path}: ${name}`);
  }

  /** Appends one record; when it returns 0 it survives the process. LSNs ascend by one. */
  append(record: JournalRecord): number {
    assert(record.lsn === this.#lastLsn + 1, `Record ${record.lsn} after ${this.#lastLsn}`);
    const end = this.#encoder.encode(record);
    const room = this.#folder.segmentBytes - BARRIER_ROOM - this.#place.offset;
    const outcome = end <= room ? this.#write(RECORD, record.lsn, { at: 0, end }) : this.#appendElsewhere(record, end);
    if (outcome < 0) return outcome;
    this.#noteRequest(record);
    this.#lastLsn = record.lsn;
    return 0;
  }

  #noteRequest({ completes }: JournalRecord): void {
    if (completes !== undefined) this.#requests.add(completes);
  }

  /**
   * In the next segment, or, if it does not fit one, in pieces. Pieces behind which there was no room are passed over by
   * who reads: the record begins anew, or another one does.
   */
  #appendElsewhere(record: JournalRecord, end: number): number {
    const { lsn } = record;
    const most = this.#folder.segmentBytes - BARRIER_ROOM - HEADER_BYTES - this.#stateBytes();
    if (end <= most) {
      const next = this.#nextSegment();
      return next < 0 ? next : this.#write(RECORD, lsn, { at: 0, end });
    }
    let at = 0;
    for (;;) {
      const room = this.#folder.segmentBytes - BARRIER_ROOM - this.#place.offset;
      if (end - at <= room) return this.#write(at === 0 ? RECORD : LAST, lsn, { at, end });
      // The first piece has room for the request that the record completes.
      if (room > FRAME_BYTES + 64) {
        const outcome = this.#write(at === 0 ? FIRST : MIDDLE, lsn, { at, end: at + room });
        if (outcome < 0) return outcome;
        // A segment that begins within the record has to know; one that begins before it must not.
        this.#noteRequest(record);
        // The head of the next piece takes the place of bytes that are written.
        at += room - FRAME_BYTES;
      }
      const next = this.#nextSegment();
      if (next < 0) return next;
    }
  }

  #stateBytes(): number {
    return encodeState({ ...this.#state, requests: this.#requests.all() }, FRAME_BYTES).length;
  }

  #write(type: number, lsn: Lsn, part: { readonly at: number; readonly end: number }): number {
    return this.#writeFrame(this.#encoder, { type, lsn, ...part });
  }

  #writeFrame(
    from: { readonly bytes: Uint8Array; readonly view: DataView },
    frame: { readonly type: number; readonly lsn: Lsn; readonly at: number; readonly end: number },
  ): number {
    if (this.#failed !== undefined) return -E.EIO.number;
    const { at, end } = frame;
    const { sequence, offset, chain } = this.#place;
    const head = { ...frame, generation: this.#state.generation, seed: chain };
    const checksum = sealFrame(from.bytes, from.view, head);
    const segment = this.#current;
    const outcome = segment.file.write(from.bytes.subarray(at, end), offset);
    if (outcome < 0) return this.#fail(outcome);
    segment.writes += 1;
    if (!this.#mirrors.isEmpty)
      this.#mirrors.each(frame.lsn, (mirror) => mirror.write(from.bytes.subarray(at, end), offset));
    this.#place = { sequence, offset: offset + end - at, chain: checksum };
    return 0;
  }

  #fail(outcome: number): number {
    if (outcome === -E.ENOSPC.number) return outcome;
    this.#failed ??= -outcome;
    return -E.EIO.number;
  }

  /**
   * Order of durability: the whole old segment, so that a gap before a later segment is damage and nothing else; then the
   * new one's header, before any of its frames.
   */
  #nextSegment(): number {
    const next = this.#folder.free(this.#oldest) ?? this.#folder.grow();
    if (isErrno(next)) return this.#fail(-next.number);
    if (this.#folder.count > this.#limit)
      this.#log.warn({ segments: this.#folder.count }, 'The journal is over its size');
    const flushed = this.flush();
    if (flushed < 0) return flushed;
    const sequence = this.#place.sequence + 1;
    const header: SegmentHeader = {
      segmentBytes: this.#folder.segmentBytes,
      sequence,
      firstLsn: (this.#lastLsn + 1) as Lsn,
      seed: this.#place.chain,
      oldest: this.#oldest,
      storeId: this.#storeId,
    };
    const begun = beginSegment(next, header);
    if (begun < 0) return this.#fail(begun);
    this.#mirrors.each(header.firstLsn, (mirror) => mirror.next(header, this.#backupLsn));
    this.#current = next;
    this.#place = { sequence, offset: HEADER_BYTES, chain: this.#place.chain };
    return this.#appendState(RESTATED, this.#durable);
  }

  #appendState(type: number, lsn: Lsn): number {
    const bytes = encodeState({ ...this.#state, requests: this.#requests.all() }, FRAME_BYTES);
    if (bytes.length > this.#folder.segmentBytes - this.#place.offset) {
      const next = this.#nextSegment();
      if (next < 0) return next;
    }
    return this.#writeFrame({ bytes, view: viewOf(bytes) }, { type, lsn, at: 0, end: bytes.length });
  }

  /** The next daemon's; durable when it returns 0. It claims nothing of what came before it. */
  raiseStart(next: { readonly start: number; readonly generation: number; readonly bootId: string }): number {
    if (next.generation !== this.#state.generation) this.#requests.clear();
    this.#state = { ...next, requests: [] };
    const outcome = this.#appendState(START, this.#durable);
    return outcome < 0 ? outcome : this.flush();
  }

  /**
   * Says that everything up to `lsn`, data included, is durable once what `takeFlushTargets` names has been flushed, and
   * `ranges`, if any; and from which record on a database may lack some (`StoreDatabases.lackedFrom`; 0: nobody knows).
   */
  appendBarrier(lsn: Lsn, lackedFrom: number = 0, ranges?: readonly WrittenRange[]): number {
    assert(lsn <= this.#lastLsn, `Barrier up to ${lsn}, the last record is ${this.#lastLsn}`);
    // Recovery looks at the last claim only.
    if (ranges !== undefined && this.#claimed !== undefined) return -E.ENOSPC.number;
    this.#lackedFrom = Math.min(lackedFrom, this.#lastLsn + 1);
    const bytes = ranges === undefined ? encodeBarrier(this.#lackedFrom) : encodeRanges(ranges);
    // Behind a claim there is room for the barrier that confirms it: no record takes the last bytes of a segment.
    const needed = bytes.length + (ranges === undefined ? 0 : BARRIER_BYTES);
    if (this.#place.offset + needed > this.#folder.segmentBytes) {
      const next = this.#nextSegment();
      if (next < 0) return next;
    }
    this.#barrier = lsn;
    const type = ranges === undefined ? BARRIER : CLAIM;
    const written = this.#writeFrame({ bytes, view: viewOf(bytes) }, { type, lsn, at: 0, end: bytes.length });
    if (written === 0) this.#claimed = ranges === undefined ? undefined : lsn;
    return written;
  }

  /** What has to be flushed for the last barrier; whoever takes them reports with `flushed`. */
  takeFlushTargets(): FlushTarget[] {
    const dirty = this.#folder.used().filter(isDirty);
    dirty.push(...this.#mirrors.dirty());
    // They stay dirty until they are reported: another flush meanwhile must not rely on one that is under way.
    this.#taken.set(this.#barrier, new Map(dirty.map((segment) => [segment, segment.writes])));
    return dirty.map(({ file }) => ({ kind: 'file', path: file.path }));
  }

  /** The barrier up to `lsn` has been flushed with that outcome (0 or -errno). */
  flushed(lsn: Lsn, outcome: number): number {
    if (outcome < 0) return this.#fail(outcome === -E.ENOSPC.number ? -E.EIO.number : outcome);
    for (const [segment, writes] of this.#taken.get(lsn) ?? []) segment.flushed = Math.max(segment.flushed, writes);
    for (const taken of this.#taken.keys()) if (taken <= lsn) this.#taken.delete(taken);
    if (lsn > this.#durable) this.#durable = lsn;
    // A claim was true: confirmed, durably with the next barrier, before which no byte of its ranges is let go.
    const confirmed = this.#claimed === lsn ? this.appendBarrier(lsn, this.#lackedFrom) : 0;
    return confirmed === -E.ENOSPC.number ? 0 : confirmed;
  }

  /** Makes what was appended durable, here and now. */
  flush(): number {
    if (this.#failed !== undefined) return -E.EIO.number;
    for (const segment of this.#folder.used()) {
      if (!isDirty(segment)) continue;
      const outcome = flushSegment(segment);
      if (outcome < 0) return this.flushed(this.#durable, outcome);
    }
    this.#mirrors.each((this.#durable + 1) as Lsn, (mirror) => mirror.flush());
    return 0;
  }

  /**
   * Records from `from` on, in order; of slots that are not wanted, not all. Throws `StoreError` for one that its checksum
   * calls whole and that is none.
   */
  *readFrom(from: Lsn, wants?: Wants): Generator<JournalRecord> {
    const kept = this.#kept;
    this.#kept = undefined;
    const { segmentBytes } = this.#folder;
    const options = { segmentBytes, from, to: this.#lastLsn, cuts: this.#cuts, kept, wants };
    const live = liveSegments(this.#folder.used());
    const segments = kept === undefined ? live : live.filter(({ header }) => kept.bytes.has(header?.sequence ?? 0));
    for (const record of readRecords(segments, options)) {
      if (record === undefined)
        throw new StoreError('damaged', `The journal in ${this.#folder.path} has a record that says nothing`);
      yield record;
    }
  }

  /** Records below `lsn` are no longer needed: their segments may be used again. */
  release(needed: Lsn): void {
    this.#oldest = firstNeeded(this.#folder.used(), { lsn: this.#holds.lowest(needed), oldest: this.#oldest });
  }

  /**
   * Bytes that can be appended before a segment must be let go, as a part of all: 0 to 1. Segments not made yet count only
   * where there is room to make them.
   */
  free(canGrow: boolean): number {
    const { segmentBytes, count } = this.#folder;
    const used = this.#place.sequence - this.#oldest + 1;
    const total = (canGrow ? Math.max(this.#limit, count) : count) * segmentBytes;
    return 1 - Math.min(1, ((used - 1) * segmentBytes + this.#place.offset) / total);
  }

  /** Drops everything and begins anew behind `lsn`, which the databases have reached and the journal has not. */
  reset(lsn: Lsn): void {
    const { sequence } = this.#place;
    this.#lastLsn = lsn;
    this.#durable = lsn;
    this.#oldest = sequence + 1;
    this.#check(this.#nextSegment(), 'reset');
    this.#check(this.flush(), 'flush');
  }

  close(): void {
    this.#mirrors.close();
    this.#folder.close();
  }
}
