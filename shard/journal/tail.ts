/**
 * Follows a journal that another process is writing: from its oldest record on, each record once a barrier covers it. The
 * reader must come back before the writer has gone round the ring.
 */
import type { Backing } from '../../base/backing.ts';
import { viewOf } from '../../base/bytes.ts';
import { isErrno } from '../../base/errno.ts';
import type { Lsn } from '../../base/units.ts';
import { StoreError } from '../failure.ts';
import { BARRIER, CUT, FIRST, frameAt, HEADER_BYTES, LAST, MIDDLE, RECORD, START } from './frame_v1.ts';
import { liveSegments, type Place } from './reader.ts';
import { SegmentFolder } from './segments.ts';

/** A record as it stands in the journal; record_codec.ts tells what it says. */
export interface TailRecord {
  readonly lsn: Lsn;
  readonly payload: Uint8Array;
}

/** The writer has used a segment again that was not read to its end: whoever follows has to begin anew. */
export class Overtaken extends Error {}

interface TailOptions {
  readonly backing: Backing;
  readonly path: string;
  readonly storeId: string;
}

export class JournalTail {
  /** LSN of the first record that it gives. */
  readonly firstLsn: Lsn;
  readonly #options: TailOptions;
  #place: Place;
  #waiting: TailRecord[] = [];
  #parts: Uint8Array[] = [];
  #partLsn = -1;
  #lastLsn: Lsn;
  #covered: Lsn;

  private constructor(options: TailOptions, place: Place, firstLsn: Lsn) {
    this.#options = options;
    this.#place = place;
    this.firstLsn = firstLsn;
    this.#lastLsn = (firstLsn - 1) as Lsn;
    this.#covered = this.#lastLsn;
  }

  /** Throws `StoreError` when there is no journal of this store. */
  static open(backing: Backing, options: { readonly path: string; readonly storeId: string }): JournalTail {
    const folder = SegmentFolder.open(backing, { ...options, readOnly: true });
    if (isErrno(folder)) throw new StoreError('damaged', `Cannot read the journal in ${options.path}: ${folder.name}`);
    const header = liveSegments(folder.used())[0]?.header;
    folder.close();
    if (header === undefined) throw new StoreError('damaged', `There is no journal of this store in ${options.path}`);
    const place = { sequence: header.sequence, offset: HEADER_BYTES, chain: header.seed };
    return new JournalTail({ backing, ...options }, place, header.firstLsn);
  }

  /** LSN of the newest record, and of the newest one that a barrier covers. */
  get lastLsn(): Lsn {
    return this.#lastLsn;
  }

  get coveredLsn(): Lsn {
    return this.#covered;
  }

  /** Records that no barrier covers yet: they count where the machine was not booted since. */
  rest(): readonly TailRecord[] {
    return this.#waiting;
  }

  /** Records that came since and that a barrier covers. Throws `Overtaken`. */
  poll(): TailRecord[] {
    const folder = SegmentFolder.open(this.#options.backing, { ...this.#options, readOnly: true });
    if (isErrno(folder)) throw new StoreError('damaged', `Cannot read the journal: ${folder.name}`);
    const ready: TailRecord[] = [];
    try {
      for (;;) {
        const segment = folder.used().find(({ header }) => header?.sequence === this.#place.sequence);
        if (segment === undefined) throw new Overtaken('The journal has gone round');
        const bytes = new Uint8Array(folder.segmentBytes - this.#place.offset);
        const count = segment.file.read(bytes, this.#place.offset);
        if (count < 0) throw new StoreError('damaged', `Cannot read journal segment ${segment.file.path}`);
        this.#take(bytes.subarray(0, count), ready);
        const next = folder.used().find(({ header }) => header?.sequence === this.#place.sequence + 1);
        if (next?.header === undefined || next.header.seed !== this.#place.chain) return ready;
        this.#place = { sequence: next.header.sequence, offset: HEADER_BYTES, chain: next.header.seed };
      }
    } finally {
      folder.close();
    }
  }

  #take(bytes: Uint8Array, ready: TailRecord[]): void {
    const view = viewOf(bytes);
    const base = this.#place.offset;
    let at = 0;
    for (;;) {
      const frame = frameAt(bytes, view, { at, seed: this.#place.chain });
      if (frame === undefined) return;
      at = frame.end;
      this.#place = { ...this.#place, offset: base + at, chain: frame.checksum };
      const { type, lsn, payload } = frame;
      if (type === RECORD || type === FIRST || type === MIDDLE || type === LAST) this.#record(type, lsn, payload);
      else if (type === BARRIER || type === START || type === CUT) this.#barrier(type, lsn, ready);
    }
  }

  #record(type: number, lsn: Lsn, payload: Uint8Array): void {
    if (type === RECORD || type === FIRST || this.#partLsn !== lsn) this.#parts = [];
    // The end of a record that began before what is read here.
    if (this.#parts.length === 0 && (type === MIDDLE || type === LAST)) return;
    this.#partLsn = lsn;
    this.#parts.push(payload.slice());
    if (type === FIRST || type === MIDDLE) return;
    const [only] = this.#parts;
    this.#waiting.push({
      lsn,
      payload: this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts),
    });
    this.#parts = [];
    this.#partLsn = -1;
    this.#lastLsn = lsn;
  }

  /** Order as in the journal. What a CUT drops no barrier has covered. */
  #barrier(type: number, lsn: Lsn, ready: TailRecord[]): void {
    let count = 0;
    while (count < this.#waiting.length && (this.#waiting[count]?.lsn ?? 0) <= lsn) count += 1;
    ready.push(...this.#waiting.splice(0, count));
    if (type === CUT) {
      this.#waiting = [];
      this.#lastLsn = lsn;
    }
    if (lsn > this.#covered) this.#covered = lsn;
  }
}
