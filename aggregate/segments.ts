/**
 * The segment cache: segments of aggregates, as they lie on the disk, in memory that threads share. One thread keeps the
 * index (this class); reader threads fill the places and read from them. What lies here is checked against its checksums
 * each time that bytes of it are served, so that a place that holds anything else costs time and nothing more.
 *
 * Of each place two numbers are shared: bytes of the segment that are there, counted from its beginning (the first ones may
 * have been left out), and whether that will ever be more. The filling thread writes them, everyone reads them.
 */
import { sharedArena } from '../base/libc.ts';
import type { LentFile } from './lent_files.ts';
import { SEGMENT_BYTES } from './pack.ts';

const FILLED = 0;
const FAILED = 1;
const PLACE_WORDS = 2;
/** More than an aggregate of 512 MiB has. */
const SEGMENTS_OF_AGGREGATE = 256;

export interface SegmentMemory {
  readonly arena: Uint8Array;
  readonly words: Int32Array;
}

/** `bytes` are rounded down to whole segments. */
export function segmentMemory(bytes: number): SegmentMemory {
  const places = Math.floor(bytes / SEGMENT_BYTES);
  return {
    arena: sharedArena(places * SEGMENT_BYTES),
    words: new Int32Array(new SharedArrayBuffer(Math.max(1, places) * PLACE_WORDS * 4)),
  };
}

/** Bytes of a place that are there, from the segment's beginning; -1 when it cannot be filled. */
export function filledBytes({ words }: SegmentMemory, place: number): number {
  if (Atomics.load(words, place * PLACE_WORDS + FAILED) !== 0) return -1;
  return Atomics.load(words, place * PLACE_WORDS + FILLED);
}

export function noteFilled({ words }: SegmentMemory, place: number, bytes: number): void {
  Atomics.store(words, place * PLACE_WORDS + FILLED, bytes);
}

export function noteUnfillable({ words }: SegmentMemory, place: number): void {
  Atomics.store(words, place * PLACE_WORDS + FAILED, 1);
}

export interface CachedSegment {
  readonly key: number;
  readonly place: number;
  /** Bytes of the segment that are there, or will be. */
  readonly from: number;
  readonly to: number;
  /** The thread that fills it. */
  readonly filler: number;
  /** What it is filled from, until it is. */
  file: LentFile | undefined;
  /** Answers under way that read from it. */
  users: number;
}

export class Segments {
  readonly #memory: SegmentMemory;
  /** In the order of their last use. */
  readonly #cached = new Map<number, CachedSegment>();
  readonly #filling = new Set<CachedSegment>();
  readonly #free: number[] = [];
  readonly #giveBack: (file: LentFile) => void;
  /** Segments filled so far. */
  fills = 0;

  constructor(memory: SegmentMemory, giveBack: (file: LentFile) => void) {
    this.#memory = memory;
    this.#giveBack = giveBack;
    const places = Math.floor(memory.arena.length / SEGMENT_BYTES);
    for (let place = places - 1; place >= 0; place--) this.#free.push(place);
  }

  get bytes(): number {
    return this.#cached.size * SEGMENT_BYTES;
  }

  /** The segment of an aggregate that holds `from` to `to`, bytes of the segment, or is about to. */
  find(aggregate: number, segment: number, { from, to }: { readonly from: number; readonly to: number }) {
    const key = keyOf(aggregate, segment);
    const cached = this.#cached.get(key);
    if (cached === undefined || from < cached.from || to > cached.to) return undefined;
    if (filledBytes(this.#memory, cached.place) < 0) {
      this.drop(cached);
      return undefined;
    }
    this.#cached.delete(key);
    this.#cached.set(key, cached);
    return cached;
  }

  /** Whether all of it is there. */
  isWhole({ place, to }: CachedSegment): boolean {
    return filledBytes(this.#memory, place) >= to;
  }

  /**
   * A place for a segment, for `filler` to fill from `file`, which it keeps until that is done. What was used longest ago
   * makes room; undefined while all places are in use.
   */
  begin(
    at: { readonly aggregate: number; readonly segment: number },
    wanted: { readonly from: number; readonly to: number; readonly filler: number; readonly file: LentFile },
  ): CachedSegment | undefined {
    const key = keyOf(at.aggregate, at.segment);
    const former = this.#cached.get(key);
    if (former !== undefined && !this.drop(former)) return undefined;
    const place = this.#free.pop() ?? this.#evict();
    if (place === undefined) return undefined;
    Atomics.store(this.#memory.words, place * PLACE_WORDS + FAILED, 0);
    noteFilled(this.#memory, place, wanted.from);
    const cached: CachedSegment = { key, place, ...wanted, users: 0 };
    this.#cached.set(key, cached);
    this.#filling.add(cached);
    this.fills += 1;
    return cached;
  }

  /** Gives back the files of those that have been filled. */
  settle(): void {
    for (const cached of this.#filling) this.#isIdle(cached);
  }

  /** Those that are being filled, by one thread or by all. */
  filling(filler?: number): number {
    if (filler === undefined) return this.#filling.size;
    let count = 0;
    for (const cached of this.#filling) if (cached.filler === filler && !this.isWhole(cached)) count += 1;
    return count;
  }

  /** Forgets it; false while somebody fills it or reads from it. */
  drop(cached: CachedSegment): boolean {
    if (!this.#isIdle(cached)) return false;
    if (this.#cached.get(cached.key) === cached) {
      this.#cached.delete(cached.key);
      this.#free.push(cached.place);
    }
    return true;
  }

  #evict(): number | undefined {
    for (const cached of this.#cached.values()) if (this.drop(cached)) return this.#free.pop();
    return undefined;
  }

  /** Whether its place could be another's. */
  #isIdle(cached: CachedSegment): boolean {
    const filled = filledBytes(this.#memory, cached.place);
    if (filled >= 0 && filled < cached.to) return false;
    if (cached.file !== undefined) {
      this.#giveBack(cached.file);
      cached.file = undefined;
      this.#filling.delete(cached);
    }
    return cached.users === 0;
  }
}

/** Numbers of aggregates from 2^45 on may share keys: then checksums differ. */
function keyOf(aggregate: number, segment: number): number {
  return aggregate * SEGMENTS_OF_AGGREGATE + segment;
}
