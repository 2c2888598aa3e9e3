/**
 * Records of a journal that a database has committed, passed over without a look at their checksums: they were appended
 * before they were applied, and nothing but a process has ended since.
 */
import { getU48 } from '../../base/bytes.ts';
import type { Lsn } from '../../base/units.ts';
import { BARRIER, BARRIER_BYTES, FRAME_BYTES, RECORD } from './frame_v1.ts';
import { type CompletedRequest, getRequest } from './record_codec.ts';
import { MAX_REQUESTS } from './request_table.ts';

/** Bytes of a record's payload up to the end of the request that it completes. */
const REQUEST_END = 29;

/** What was passed over ends with a record. */
export interface Passed {
  readonly offset: number;
  readonly chain: number;
  readonly lastLsn: Lsn;
  /** Of the barriers between; 0 where there was none. */
  readonly barrierLsn: Lsn;
  readonly lackedFrom: number;
  /** The newest that the records have completed. */
  readonly requests: readonly CompletedRequest[];
}

/** Where the records of a scan begin, in the order of the journal. */
export class RecordPlaces {
  #lsns: number[] = [];
  #sequences: number[] = [];
  #offsets: number[] = [];

  add(lsn: number, sequence: number, offset: number): void {
    this.#lsns.push(lsn);
    this.#sequences.push(sequence);
    this.#offsets.push(offset);
  }

  /** Records above `lsn` never happened. */
  cut(lsn: number): void {
    const kept = this.#lsns.findIndex((each) => each > lsn);
    if (kept < 0) return;
    this.#lsns.length = kept;
    this.#sequences.length = kept;
    this.#offsets.length = kept;
  }

  /** Of the first one from `lsn` on. */
  first(lsn: number): { readonly sequence: number; readonly offset: number } | undefined {
    const found = this.#lsns.findIndex((each) => each >= lsn);
    const [sequence, offset] = [this.#sequences[found], this.#offsets[found]];
    return sequence === undefined || offset === undefined ? undefined : { sequence, offset };
  }
}

/** From `offset` of a segment on, whole records that follow `lastLsn`, up to `trusted`; undefined where there is none. */
export function passOver(
  bytes: Uint8Array,
  view: DataView,
  from: {
    readonly sequence: number;
    readonly offset: number;
    readonly lastLsn: number;
    readonly trusted: number;
    readonly places: RecordPlaces;
  },
): Passed | undefined {
  const { sequence, trusted, places } = from;
  const asked: number[] = [];
  let { lastLsn } = from;
  let at = from.offset;
  // Barriers count once a record is found behind them.
  let [seenLsn, seenLacked, barrierLsn, lackedFrom] = [0, 0, 0, 0];
  let passed: { readonly end: number; readonly chain: number } | undefined;
  while (at + FRAME_BYTES <= bytes.length) {
    const length = view.getUint32(at + 4, true);
    if (length < FRAME_BYTES || at + length > bytes.length) break;
    const type = view.getUint8(at + 8);
    const lsn = getU48(view, at + 9);
    if (type === RECORD) {
      if (lsn !== lastLsn + 1 || lsn > trusted) break;
      lastLsn = lsn;
      places.add(lsn, sequence, at);
      const payload = at + FRAME_BYTES;
      if (length >= FRAME_BYTES + REQUEST_END && (view.getUint8(payload) & 1) !== 0) asked.push(payload + 1);
      barrierLsn = seenLsn;
      lackedFrom = seenLacked;
      passed = { end: at + length, chain: view.getUint32(at, true) };
    } else if (type === BARRIER && lsn <= lastLsn) {
      seenLsn = Math.max(seenLsn, lsn);
      if (length >= BARRIER_BYTES) seenLacked = Math.max(seenLacked, getU48(view, at + FRAME_BYTES));
    } else break;
    at += length;
  }
  if (passed === undefined) return undefined;
  return {
    offset: passed.end,
    chain: passed.chain,
    lastLsn: lastLsn as Lsn,
    barrierLsn: barrierLsn as Lsn,
    lackedFrom,
    requests: asked.slice(-MAX_REQUESTS).map((place) => getRequest(view, place)),
  };
}
