/**
 * A thread that answers READs: it fetches what has to be fetched, checks it, and writes the reply to the device itself. What
 * it cannot answer well it leaves to the thread that posted it. Between jobs it fills segments that will be wanted.
 */
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { filledBytes, noteFilled, noteUnfillable, type SegmentMemory } from '../../aggregate/segments.ts';
import { addressOf, alignedBuffer } from '../../base/libc.ts';
import { readDescriptor } from '../../base/posix_backing.ts';
import { KIB, MIB } from '../../base/units.ts';
import { Answer, isIntact, type WriteGathered } from './answer.ts';
import { DONE_WELL, type FillJob, NOT_ANSWERED, type ReadJob, type ReadPiece, type ReadRing } from './ring.ts';

/** What one READ fetches from files, at most: 1 MiB, and the rest of the blocks that it touches at both ends. */
export const FETCH_BYTES = 2 * MIB;
const BLOCK_BYTES = 4096;
/** A segment is filled in parts: others do not wait for all of it. */
const FILL_BYTES = MIB;
/** The least that is filled for a READ that waits. */
const FILL_AT_LEAST = 256 * KIB;
/** A lost wake-up would cost no more than this. */
const SLEEP_MS = 1_000;

/** Fills `into` from a file that is open; the count, fewer only at its end, or -errno. */
export type Fetch = (descriptor: number, into: Uint8Array, offset: number) => number;

export interface ReadServerParts {
  readonly ring: ReadRing;
  readonly segments: SegmentMemory;
  /** Tells the thread that posts that something is left to it. */
  readonly ringBell: () => void;
  readonly fetch?: Fetch;
  readonly write?: WriteGathered;
}

interface Fill extends FillJob {
  /** Bytes of the segment that are there. */
  filled: number;
}

export class ReadServer {
  readonly #ring: ReadRing;
  readonly #segments: SegmentMemory;
  readonly #ringBell: () => void;
  readonly #fetch: Fetch;
  readonly #answer: Answer;
  readonly #arenaAddress: number;
  readonly #buffer = alignedBuffer(FETCH_BYTES);
  readonly #bufferAddress = addressOf(this.#buffer);
  /** Under way, in their order. */
  #fills: Fill[] = [];

  constructor(parts: ReadServerParts) {
    this.#ring = parts.ring;
    this.#segments = parts.segments;
    this.#ringBell = parts.ringBell;
    this.#fetch = parts.fetch ?? readDescriptor;
    this.#answer = new Answer(parts.write);
    this.#arenaAddress = addressOf(parts.segments.arena);
    this.#ring.begin();
  }

  run(): never {
    for (;;) if (!this.turn()) this.#ring.wait(SLEEP_MS);
  }

  /** One job, or a part of a segment; false when there is nothing to do. */
  turn(): boolean {
    const job = this.#ring.take();
    if (job === undefined) {
      const [fill] = this.#fills;
      if (fill === undefined) return false;
      this.#fillOn(fill, Math.min(fill.to, fill.filled + FILL_BYTES));
      return true;
    }
    if (job.kind === 'fill') {
      this.#fills.push({ ...job, filled: job.from });
      this.#ring.finish(DONE_WELL);
      return true;
    }
    const isAnswered = this.#serve(job);
    this.#ring.finish(isAnswered ? DONE_WELL : NOT_ANSWERED);
    if (!isAnswered) this.#ringBell();
    return true;
  }

  #serve(job: ReadJob): boolean {
    this.#answer.begin();
    let used = 0;
    for (const piece of job.pieces) {
      if (piece.source === 'zeros') this.#answer.addZeros(piece.length);
      else if (piece.source === 'segment') {
        if (!this.#addFromSegment(piece)) return false;
      } else {
        if (!this.#addFromFile(piece, used)) return false;
        used += roundedUp(piece.bytes);
      }
    }
    return this.#answer.send(job);
  }

  #addFromSegment({ place, offset, bytes, skip, length, checksums }: ReadPiece): boolean {
    const end = offset + bytes;
    if (!this.#awaitFilled(place, end)) return false;
    const at = place * SEGMENT_BYTES + offset;
    if (!isIntact(this.#segments.arena.subarray(at, at + bytes), checksums)) return false;
    this.#answer.add(this.#arenaAddress + at + skip, length);
    return true;
  }

  /** Whole blocks of the disk, since the file may have been opened with O_DIRECT. */
  #addFromFile({ descriptor, offset, bytes, skip, length, checksums }: ReadPiece, at: number): boolean {
    const wanted = roundedUp(bytes);
    if (at + wanted > this.#buffer.length) return false;
    const count = this.#fetch(descriptor, this.#buffer.subarray(at, at + wanted), offset);
    if (count < bytes) return false;
    if (!isIntact(this.#buffer.subarray(at, at + bytes), checksums)) return false;
    this.#answer.add(this.#bufferAddress + at + skip, length);
    return true;
  }

  /** Fills a place up to `end` if it is this thread's to fill. */
  #awaitFilled(place: number, end: number): boolean {
    const filled = filledBytes(this.#segments, place);
    if (filled >= end) return true;
    const fill = filled < 0 ? undefined : this.#fills.find((each) => each.place === place);
    if (fill === undefined) return false;
    this.#fillOn(fill, Math.min(fill.to, Math.max(end, fill.filled + FILL_AT_LEAST)));
    return filledBytes(this.#segments, place) >= end;
  }

  #fillOn(fill: Fill, wanted: number): void {
    const end = Math.min(fill.to, roundedUp(wanted));
    const at = fill.place * SEGMENT_BYTES;
    const into = this.#segments.arena.subarray(at + fill.filled, at + end);
    const count = this.#fetch(fill.descriptor, into, fill.start + fill.filled);
    if (count < into.length) {
      this.#fills = this.#fills.filter((each) => each !== fill);
      noteUnfillable(this.#segments, fill.place);
      return;
    }
    fill.filled = end;
    if (end === fill.to) this.#fills = this.#fills.filter((each) => each !== fill);
    // Last: from here on the place may be another's.
    noteFilled(this.#segments, fill.place, end);
  }
}

function roundedUp(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
