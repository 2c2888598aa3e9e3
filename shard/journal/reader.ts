/** Walks over a journal's frames in order, from its oldest segment to the first frame that is not whole. */
import type { BackingFile } from '../../base/backing.ts';
import { viewOf } from '../../base/bytes.ts';
import { errnoOf } from '../../base/errno.ts';
import type { Lsn } from '../../base/units.ts';
import { StoreError } from '../failure.ts';
import type { Claim } from './claim.ts';
import {
  BARRIER,
  CLAIM,
  CUT,
  decodeRanges,
  decodeState,
  FIRST,
  FRAME_BYTES,
  type Frame,
  frameAt,
  HEADER_BYTES,
  type JournalState,
  LAST,
  lackedFromOf,
  MIDDLE,
  RECORD,
  RESTATED,
} from './frame_v1.ts';
import { type Passed, passOver, RecordPlaces } from './passing.ts';
import { type CompletedRequest, decodeRecord, getRequest, type JournalRecord, type Wants } from './record_codec.ts';
import type { Segment } from './segments.ts';

/** A place between two frames. */
export interface Place {
  readonly sequence: number;
  /** Byte of the segment. */
  readonly offset: number;
  /** Checksum of the frame before. */
  readonly chain: number;
}

export interface WalkedFrame {
  readonly frame: Frame;
  /** Behind the frame. */
  readonly after: Place;
}

/** In the place of many frames: what was passed over. */
export interface WalkedOver {
  readonly passed: Passed;
  readonly after: Place;
}

/** The segments that recovery looks at: those from the newest one's `oldest` on, without a gap. */
export function liveSegments(used: readonly Segment[]): Segment[] {
  const newest = used.at(-1)?.header;
  if (newest === undefined) return [];
  // One that was wiped may have been used anew, from the middle of those that it calls superfluous.
  const live = used.filter(
    ({ header }, i) => header !== undefined && newest.sequence - header.sequence === used.length - 1 - i,
  );
  return live.filter(({ header }) => (header?.sequence ?? 0) >= newest.oldest);
}

/** Segments as a scan has read and checked them, so that the walk right after it does neither again. */
export interface KeptSegments {
  /** By sequence. */
  readonly bytes: Map<number, Uint8Array>;
  /** The first record that is wanted, and the last one that a database has. */
  readonly from: Lsn;
  readonly trusted: Lsn;
  /** Where what is wanted begins. */
  start: Omit<Place, 'chain'> | undefined;
  /** Frames up to here are whole; undefined while the scan goes on. */
  end: Place | undefined;
}

/** A frame's payload is good until the next frame is asked for. Throws `StoreError` for a segment that cannot be read. */
export function* walk(segments: readonly Segment[], segmentBytes: number, kept?: KeptSegments): Generator<WalkedFrame> {
  for (const step of walkOver(segments, segmentBytes, { kept })) if ('frame' in step) yield step;
}

/** As `walk`; with `places`, which gets those of all records, what may be passed over is. */
export function* walkOver(
  segments: readonly Segment[],
  segmentBytes: number,
  { kept, places }: { readonly kept: KeptSegments | undefined; readonly places?: RecordPlaces | undefined },
): Generator<WalkedFrame | WalkedOver> {
  const shared = kept === undefined ? new Uint8Array(segmentBytes) : undefined;
  let chain: number | undefined;
  let last = -1;
  let lastLsn = -1;
  for (const { file, header } of segments) {
    if (header === undefined) return;
    const { sequence, seed } = header;
    // Of what was scanned, where to begin is known.
    const start = kept?.end === undefined ? undefined : kept.start;
    if (start !== undefined && sequence < start.sequence) continue;
    if (chain !== undefined && (sequence !== last + 1 || seed !== chain)) return;
    if (chain === undefined) lastLsn = header.firstLsn - 1;
    const before = kept?.bytes.get(sequence);
    const bytes = before ?? shared ?? new Uint8Array(segmentBytes);
    if (before === undefined) readSegment(file, bytes);
    kept?.bytes.set(sequence, bytes);
    const view = viewOf(bytes);
    // Of one that was scanned, what counts is known.
    const end = before === undefined ? undefined : kept?.end;
    chain = seed;
    last = sequence;
    let offset = start?.sequence === sequence ? start.offset : HEADER_BYTES;
    for (;;) {
      if (end !== undefined && !isBefore({ sequence, offset }, end)) return;
      const trusted = kept?.trusted ?? 0;
      const passed = places && passOver(bytes, view, { sequence, offset, lastLsn, trusted, places });
      if (passed !== undefined) {
        ({ offset, chain, lastLsn } = passed);
        yield { passed, after: { sequence, offset, chain } };
      }
      const frame = frameAt(bytes, view, { at: offset, seed: end === undefined ? chain : undefined });
      if (frame === undefined) break;
      const { type, lsn } = frame;
      if (places !== undefined && (type === RECORD || type === FIRST)) places.add(lsn, sequence, offset);
      if (type === RECORD || type === LAST || type === CUT) lastLsn = lsn;
      offset = frame.end;
      chain = frame.checksum;
      yield { frame, after: { sequence, offset, chain } };
    }
  }
}

function readSegment(file: BackingFile, into: Uint8Array): void {
  const count = file.read(into, 0);
  if (count < 0) throw new StoreError('damaged', `Cannot read journal segment ${file.path}: ${errnoOf(-count).name}`);
  into.fill(0, count);
}

export interface JournalScan {
  readonly state: JournalState;
  /** Of the last whole record, and up to which everything was durable by the last barrier. */
  readonly lastLsn: Lsn;
  readonly barrierLsn: Lsn;
  /** Behind the last whole frame, and behind the last of those that tell of a barrier. */
  readonly end: Place;
  readonly barrierEnd: Place;
  /** A barrier behind that one whose data may not have been flushed. */
  readonly claim: Claim | undefined;
  readonly cuts: readonly Cut[];
  /** What no power cut leaves: something is missing, or has changed. The second: what nothing but a power cut leaves. */
  readonly damage: string | undefined;
  readonly torn: string | undefined;
}

/** Records above `lsn` that stand before this place never happened. */
export interface Cut {
  readonly place: Place;
  readonly lsn: Lsn;
}

export function isBefore(a: Omit<Place, 'chain'>, b: Omit<Place, 'chain'>): boolean {
  return a.sequence < b.sequence || (a.sequence === b.sequence && a.offset < b.offset);
}

/**
 * What the end of a journal tells, from the segment on in which the record `from` stands: enough where the databases have
 * everything before it, and where nothing but a daemon has ended. Undefined when that does not hold.
 */
export function scanRecent(
  segments: readonly Segment[],
  options: { readonly segmentBytes: number; readonly from: Lsn; readonly bootId: string; readonly kept: KeptSegments },
): JournalScan | undefined {
  const { segmentBytes, from, bootId, kept } = options;
  // Pieces of the record that was to come first in a segment may be in those before.
  const holding = segments.findLastIndex(({ header }) => header !== undefined && header.firstLsn < from);
  const recent = segments.slice(Math.max(0, holding));
  const scan = scanJournal(recent, segmentBytes, kept);
  const isEnough = scan !== undefined && scan.damage === undefined && scan.torn === undefined;
  if (isEnough && bootId !== '' && scan.state.bootId === bootId) return scan;
  kept.bytes.clear();
  kept.start = undefined;
  kept.end = undefined;
  return undefined;
}

/** One pass over everything. Undefined when there is no journal. */
export function scanJournal(
  segments: readonly Segment[],
  segmentBytes: number,
  kept?: KeptSegments,
): JournalScan | undefined {
  const first = segments[0]?.header;
  if (first === undefined) return undefined;
  let state: JournalState = { start: 0, generation: 0, bootId: '', requests: [] };
  let requests: CompletedRequest[] = [];
  let lastLsn = first.firstLsn - 1;
  let barrierLsn = lastLsn;
  let end: Place = { sequence: first.sequence, offset: HEADER_BYTES, chain: first.seed };
  let barrierEnd = end;
  // Where the frames end, be they a record's or half of one's.
  let reached = end;
  const cuts: Cut[] = [];
  let claim: Claim | undefined;
  let inPieces = false;
  let piece: { readonly lsn: number; readonly request: CompletedRequest | undefined } | undefined;
  const places = kept === undefined ? undefined : new RecordPlaces();
  let lackedFrom = 0;
  for (const step of walkOver(segments, segmentBytes, { kept, places })) {
    const { after } = step;
    reached = after;
    if ('passed' in step) {
      const { passed } = step;
      lastLsn = passed.lastLsn;
      barrierLsn = Math.max(barrierLsn, passed.barrierLsn);
      lackedFrom = Math.max(lackedFrom, passed.lackedFrom);
      if (claim !== undefined && claim.lsn <= barrierLsn) claim = undefined;
      requests.push(...passed.requests);
      inPieces = false;
      end = after;
      continue;
    }
    const { frame } = step;
    const { type, lsn, payload } = frame;
    const isPiece = type === FIRST || type === MIDDLE;
    if (type === RECORD || isPiece || type === LAST) {
      if (lsn !== lastLsn + 1) break;
      if (type === RECORD || type === FIRST) piece = { lsn, request: requestOf(payload) };
      // What was asked for by a record that began before the first segment, the segment's head says.
      if (!isPiece && piece?.lsn === lsn && piece.request !== undefined) requests.push(piece.request);
      if (!isPiece) lastLsn = lsn;
    } else if (type === CLAIM) {
      const ranges = decodeRanges(frame);
      if (ranges === undefined) break;
      claim = { lsn, end: after, ranges };
    } else if (type !== RESTATED || !inPieces) {
      if (type === BARRIER) lackedFrom = Math.max(lackedFrom, lackedFromOf(frame) ?? 0);
      else {
        const found = decodeState(frame);
        if (found === undefined) break;
        state = found;
        requests = [...found.requests];
      }
      if (type === CUT) {
        cuts.push({ place: after, lsn });
        lastLsn = lsn;
        places?.cut(lsn);
      }
      // One at the head of a segment may know of less than a barrier just before it.
      barrierLsn = type === CUT ? lsn : Math.max(barrierLsn, lsn);
      barrierEnd = after;
      if (claim !== undefined && (type === CUT || claim.lsn <= barrierLsn)) claim = undefined;
    }
    // A record of which pieces are missing is none.
    if (type !== RESTATED) inPieces = isPiece;
    if (!inPieces) end = after;
  }
  if (kept !== undefined) {
    // What no barrier covers is wanted in any case: what it names is to be flushed.
    const wanted = Math.min(Math.max(kept.from, lackedFrom), barrierLsn + 1);
    kept.start = places?.first(wanted) ?? end;
    kept.end = end;
  }
  return {
    state: { ...state, requests },
    lastLsn: lastLsn as Lsn,
    barrierLsn: barrierLsn as Lsn,
    end,
    barrierEnd,
    claim,
    cuts,
    damage: segmentBehind(segments, reached),
    torn: frameBehind(segments, { segmentBytes, reached, after: { ...state, lastLsn } }),
  };
}

/** A segment is whole before the next one is begun: one that does not follow the last frame has lost what came before. */
function segmentBehind(segments: readonly Segment[], reached: Place): string | undefined {
  const last = segments.at(-1)?.header;
  // The last one may have been begun and hold nothing yet.
  if (last === undefined || last.sequence === reached.sequence) return undefined;
  if (last.sequence === reached.sequence + 1 && last.seed === reached.chain) return undefined;
  return `segment ${last.sequence} does not follow what segment ${reached.sequence} holds up to byte ${reached.offset}`;
}

/** Whether the frame that is not whole is followed by one that is. */
function frameBehind(
  segments: readonly Segment[],
  options: { segmentBytes: number; reached: Place; after: { readonly lastLsn: number; readonly generation: number } },
): string | undefined {
  const { segmentBytes, reached, after } = options;
  const segment = segments.find(({ header }) => header?.sequence === reached.sequence);
  const head = new Uint8Array(FRAME_BYTES);
  if (segment === undefined || segment.file.read(head, reached.offset) < FRAME_BYTES) return undefined;
  const view = viewOf(head);
  const length = view.getUint32(4, true);
  const next = reached.offset + length;
  if (length < FRAME_BYTES || next + FRAME_BYTES > segmentBytes) return undefined;
  const rest = new Uint8Array(segmentBytes - next);
  const count = segment.file.read(rest, next);
  if (count < FRAME_BYTES) return undefined;
  const found = frameAt(rest, viewOf(rest), { at: 0, seed: view.getUint32(0, true) });
  // What an earlier use has left is older, or, if it was dropped, of an earlier mount.
  if (found === undefined || found.lsn <= after.lastLsn || found.generation !== after.generation) return undefined;
  return `there is no whole record at byte ${reached.offset} of segment ${reached.sequence}, but one behind it`;
}

/** The records from `from` to `to`, without those that a later CUT has dropped. */
export function* readRecords(
  segments: readonly Segment[],
  options: {
    readonly segmentBytes: number;
    readonly from: number;
    readonly to: number;
    readonly cuts: JournalScan['cuts'];
    readonly kept?: KeptSegments | undefined;
    readonly wants?: Wants | undefined;
  },
): Generator<JournalRecord | undefined> {
  const { from, to, cuts, kept, wants } = options;
  let pieces: Uint8Array[] = [];
  let pieceLsn = -1;
  for (const { frame, after } of walk(segments, options.segmentBytes, kept)) {
    const { type, lsn, payload } = frame;
    if (type === RESTATED) continue;
    if (type === FIRST) pieces = [];
    if (type === FIRST || (type === MIDDLE && pieceLsn === lsn)) {
      pieces.push(payload.slice());
      pieceLsn = lsn;
      continue;
    }
    const isWhole = type === RECORD || (type === LAST && pieceLsn === lsn);
    pieceLsn = -1;
    const isDropped = lsn < from || lsn > to || cuts.some((cut) => cut.lsn < lsn && isBefore(after, cut.place));
    if (!isWhole || isDropped) continue;
    yield decodeRecord(lsn, type === RECORD ? payload : Buffer.concat([...pieces, payload]), wants);
  }
}

function requestOf(payload: Uint8Array): CompletedRequest | undefined {
  return ((payload[0] ?? 0) & 1) !== 0 && payload.length >= 29 ? getRequest(viewOf(payload), 1) : undefined;
}
