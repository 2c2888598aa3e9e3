/**
 * The journal's bytes, version 1; little-endian. A segment is a file of a fixed size: a header of one sector, frames, and
 * zeros or what an earlier use has left.
 *
 *     header:  0 "PACSJRNL"            frame:  0 u32 checksum of all that follows, seeded with that of the frame before
 *              8 u16 version = 1               4 u32 length of the whole frame; 0 = no frame
 *             12 u32 segment bytes             8 u8  type
 *             16 u48 sequence                  9 u48 LSN
 *             22 u48 first LSN                15 u32 mount generation
 *             28 u32 chain seed               19 payload
 *             32 u48 oldest sequence
 *             38 u8  length, store id
 *            508 u32 CRC32C of all before
 *
 * BARRIER has u48 the first record that a database may lack when nothing but the process ends.
 * CLAIM is a BARRIER that counts once a BARRIER follows it, or while these bytes of aggregates are on the disk: u16 count, and
 * of each u16 volume, u48 aggregate, u48 offset, u32 length, u32 CRC32C.
 *
 * START, CUT and RESTATED have the payload: u32 start, u8 length, boot id, u16 count, requests (record_codec.ts); their LSN and that
 * of BARRIER is the one up to which everything was durable. RECORD has a record's bytes; FIRST, MIDDLE and LAST have the
 * pieces of one that does not fit its segment.
 */
import { getU48, setU48, viewOf } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import type { WrittenRange } from '../../base/layout.ts';
import type { AggregateId, Lsn, VolumeId } from '../../base/units.ts';
import { type CompletedRequest, getRequest, REQUEST_BYTES, setRequest } from './record_codec.ts';

export const HEADER_BYTES = 512;
export const FRAME_BYTES = 19;
export const BARRIER_BYTES = FRAME_BYTES + 6;

/** State of the store, written at each start of a daemon. */
export const START = 1;
export const RECORD = 2;
export const BARRIER = 4;
/** As START; records above its LSN that stand before it never happened. */
export const CUT = 5;
/** As START, at the head of every segment but the first; the pieces of a record may stand around it. */
export const RESTATED = 6;
/** Pieces of a record that does not fit one segment. */
export const FIRST = 7;
export const MIDDLE = 8;
export const LAST = 9;
/** As BARRIER, of data that is flushed beside it: see `WrittenRange`. */
export const CLAIM = 10;

const MAGIC = Buffer.from('PACSJRNL');
const VERSION = 1;
const MAX_STORE_ID = 255;
const MAX_BOOT_ID = 255;

export interface SegmentHeader {
  readonly segmentBytes: number;
  readonly sequence: number;
  /** Of the record that was to come next; its first pieces may be in the segment before. */
  readonly firstLsn: Lsn;
  /** Checksum of the last frame of the segment before. */
  readonly seed: number;
  /** The first segment that recovery may need, as of when this one was begun. */
  readonly oldest: number;
  readonly storeId: string;
}

export function encodeHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  const storeId = Buffer.from(header.storeId).subarray(0, MAX_STORE_ID);
  bytes.set(MAGIC, 0);
  view.setUint16(8, VERSION, true);
  view.setUint32(12, header.segmentBytes, true);
  setU48(view, 16, header.sequence);
  setU48(view, 22, header.firstLsn);
  view.setUint32(28, header.seed, true);
  setU48(view, 32, header.oldest);
  view.setUint8(38, storeId.length);
  bytes.set(storeId, 39);
  view.setUint32(HEADER_BYTES - 4, crc32c(bytes.subarray(0, HEADER_BYTES - 4)), true);
  return bytes;
}

/** Undefined for a segment that holds nothing: never used, wiped, or not ours. */
export function decodeHeader(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < HEADER_BYTES || !MAGIC.equals(bytes.subarray(0, MAGIC.length))) return undefined;
  const view = viewOf(bytes);
  if (view.getUint16(8, true) !== VERSION) return undefined;
  const checksum = crc32c(bytes.subarray(0, HEADER_BYTES - 4));
  if (checksum !== view.getUint32(HEADER_BYTES - 4, true)) return undefined;
  return {
    segmentBytes: view.getUint32(12, true),
    sequence: getU48(view, 16),
    firstLsn: getU48(view, 22) as Lsn,
    seed: view.getUint32(28, true),
    oldest: getU48(view, 32),
    storeId: Buffer.from(bytes.subarray(39, 39 + view.getUint8(38))).toString(),
  };
}

export interface Frame {
  readonly type: number;
  readonly lsn: Lsn;
  readonly generation: number;
  /** Part of the segment's bytes. */
  readonly payload: Uint8Array;
  /** Where the frame ends in its segment. */
  readonly end: number;
  readonly checksum: number;
}

export interface FrameHead {
  readonly type: number;
  readonly lsn: Lsn;
  readonly generation: number;
}

/** Writes the head of the frame in `bytes` from `at` to `end`, whose payload is there; returns its checksum. */
export function sealFrame(
  bytes: Uint8Array,
  view: DataView,
  frame: FrameHead & { readonly at: number; readonly end: number; readonly seed: number },
): number {
  const { at, end } = frame;
  view.setUint32(at + 4, end - at, true);
  view.setUint8(at + 8, frame.type);
  setU48(view, at + 9, frame.lsn);
  view.setUint32(at + 15, frame.generation, true);
  const checksum = crc32c(bytes.subarray(at + 4, end), frame.seed);
  view.setUint32(at, checksum, true);
  return checksum;
}

/**
 * The frame at `at` that follows one with the checksum `seed`; undefined when there is none, or a torn one. Without a seed
 * it is known to be whole.
 */
export function frameAt(
  bytes: Uint8Array,
  view: DataView,
  place: { readonly at: number; readonly seed: number | undefined },
): Frame | undefined {
  const { at, seed } = place;
  if (at + FRAME_BYTES > bytes.length) return undefined;
  const length = view.getUint32(at + 4, true);
  if (length < FRAME_BYTES || at + length > bytes.length) return undefined;
  const end = at + length;
  const checksum = view.getUint32(at, true);
  if (seed !== undefined && crc32c(bytes.subarray(at + 4, end), seed) !== checksum) return undefined;
  return {
    type: view.getUint8(at + 8),
    lsn: getU48(view, at + 9) as Lsn,
    generation: view.getUint32(at + 15, true),
    payload: bytes.subarray(at + FRAME_BYTES, end),
    end,
    checksum,
  };
}

/** A BARRIER: `lackedFrom` is the first record that a database may lack when nothing but the process ends. */
export function encodeBarrier(lackedFrom: number): Uint8Array {
  const bytes = new Uint8Array(BARRIER_BYTES);
  setU48(viewOf(bytes), FRAME_BYTES, lackedFrom);
  return bytes;
}

/** Undefined where a BARRIER does not say it. */
export function lackedFromOf({ payload }: Frame): number | undefined {
  return payload.length < 6 ? undefined : getU48(viewOf(payload), 0);
}

const RANGE_BYTES = 22;

/** With room for a frame's head before it. */
export function encodeRanges(ranges: readonly WrittenRange[]): Uint8Array {
  const bytes = new Uint8Array(FRAME_BYTES + 2 + ranges.length * RANGE_BYTES);
  const view = viewOf(bytes);
  view.setUint16(FRAME_BYTES, ranges.length, true);
  for (const [i, range] of ranges.entries()) {
    const at = FRAME_BYTES + 2 + i * RANGE_BYTES;
    view.setUint16(at, range.volume, true);
    setU48(view, at + 2, range.aggregate);
    setU48(view, at + 8, range.offset);
    view.setUint32(at + 14, range.length, true);
    view.setUint32(at + 18, range.checksum, true);
  }
  return bytes;
}

/** Undefined for a payload that is none. */
export function decodeRanges({ payload }: Frame): WrittenRange[] | undefined {
  if (payload.length < 2) return undefined;
  const view = viewOf(payload);
  const count = view.getUint16(0, true);
  if (payload.length !== 2 + count * RANGE_BYTES) return undefined;
  return Array.from({ length: count }, (_, i) => {
    const at = 2 + i * RANGE_BYTES;
    return {
      volume: view.getUint16(at, true) as VolumeId,
      aggregate: getU48(view, at + 2) as AggregateId,
      offset: getU48(view, at + 8),
      length: view.getUint32(at + 14, true),
      checksum: view.getUint32(at + 18, true),
    };
  });
}

/** What START and CUT say. */
export interface JournalState {
  /** Number of the daemon's start. */
  readonly start: number;
  /** Mount generation. */
  readonly generation: number;
  readonly bootId: string;
  /** Requests that records have completed in this mount generation, oldest first. */
  readonly requests: readonly CompletedRequest[];
}

export function encodeState(state: JournalState, head: number): Uint8Array {
  const bootId = Buffer.from(state.bootId).subarray(0, MAX_BOOT_ID);
  const bytes = new Uint8Array(head + 7 + bootId.length + state.requests.length * REQUEST_BYTES);
  const view = viewOf(bytes);
  view.setUint32(head, state.start, true);
  view.setUint8(head + 4, bootId.length);
  bytes.set(bootId, head + 5);
  let at = head + 5 + bootId.length;
  view.setUint16(at, state.requests.length, true);
  at += 2;
  for (const request of state.requests) at = setRequest(view, at, request);
  return bytes;
}

export function decodeState(frame: Frame): JournalState | undefined {
  const { payload, generation } = frame;
  if (payload.length < 7) return undefined;
  const view = viewOf(payload);
  const length = view.getUint8(4);
  if (payload.length < 7 + length) return undefined;
  const bootId = Buffer.from(payload.subarray(5, 5 + length)).toString();
  const count = view.getUint16(5 + length, true);
  if (payload.length !== 7 + length + count * REQUEST_BYTES) return undefined;
  const requests: CompletedRequest[] = [];
  for (let i = 0; i < count; i++) requests.push(getRequest(view, 7 + length + i * REQUEST_BYTES));
  return { start: view.getUint32(0, true), generation, bootId, requests };
}
