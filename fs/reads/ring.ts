/**
 * READs on their way to a thread that answers them: a ring of jobs in memory that both threads share. Jobs are done in their
 * order. All numbers are doubles, so that no field needs a width of its own:
 *
 *     0 kind      1 unique, low half   2 unique, high half   3 descriptor of the device   4 outcome   5 pieces
 *     then pieces of 8 numbers and their checksums:
 *     0 source   1 descriptor   2 offset   3 bytes   4 skip   5 length   6 place   7 checksums (so many follow)
 *
 *     a fill:  0 kind   1 descriptor   2 place   3 start   4 from   5 to
 *
 * Words that both sides look at (Int32): jobs posted, jobs done (both wrap), whether the reader sleeps, whether it is up.
 * Who posts wakes a sleeping reader and no other; the reader looks at the count once more after it has said that it sleeps.
 */

/** Jobs posted and not collected, at most: beyond it whoever posts does the work himself. */
export const RING_JOBS = 128;
const JOB_NUMBERS = 256;
const HEADER_NUMBERS = 6;
const PIECE_NUMBERS = 8;

const POSTED = 0;
const DONE = 1;
const ASLEEP = 2;
const IS_UP = 3;
const WORDS = 4;

const READ = 1;
const FILL = 2;
const SOURCES = ['zeros', 'file', 'segment'] as const;

/** Memory of one ring, for `new ReadRing` on both sides. */
export interface RingMemory {
  readonly words: Int32Array;
  readonly numbers: Float64Array;
}

export function ringMemory(): RingMemory {
  return {
    words: new Int32Array(new SharedArrayBuffer(WORDS * 4)),
    numbers: new Float64Array(new SharedArrayBuffer(RING_JOBS * JOB_NUMBERS * 8)),
  };
}

/** A part of an answer, in the order of the file. */
export interface ReadPiece {
  readonly source: (typeof SOURCES)[number];
  /** Of 'file'. */
  readonly descriptor: number;
  /** First of the bytes that are looked at: in the file, or in the segment. */
  readonly offset: number;
  /** So many are looked at, and checked where there are checksums: one for each 64 KiB. */
  readonly bytes: number;
  /** Of these so many are left out at the beginning. */
  readonly skip: number;
  /** Bytes of the answer. */
  readonly length: number;
  /** Of 'segment'. */
  readonly place: number;
  readonly checksums: Uint32Array;
}

export interface ReadJob {
  readonly kind: 'read';
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly device: number;
  readonly pieces: readonly ReadPiece[];
}

/** Fills a place of the segment cache; a READ behind it may want some of that at once. */
export interface FillJob {
  readonly kind: 'fill';
  readonly descriptor: number;
  readonly place: number;
  /** Where the segment begins in the aggregate. */
  readonly start: number;
  /** Bytes of the segment. */
  readonly from: number;
  readonly to: number;
}

export const DONE_WELL = 0;
/** Not answered: whoever posted it has to. */
export const NOT_ANSWERED = 1;

export class ReadRing {
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  /** Jobs whose outcome the posting side knows; where the reading side is. */
  #collected: number;
  #taken: number;

  constructor({ words, numbers }: RingMemory) {
    this.#words = words;
    this.#numbers = numbers;
    this.#collected = Atomics.load(words, DONE);
    this.#taken = this.#collected;
  }

  // The posting side

  /** Whether a reader has begun to look. */
  get isUp(): boolean {
    return Atomics.load(this.#words, IS_UP) !== 0;
  }

  /** Jobs that are not done. */
  get pending(): number {
    return (Atomics.load(this.#words, POSTED) - Atomics.load(this.#words, DONE)) | 0;
  }

  /** Room for so many jobs. */
  hasRoom(jobs: number): boolean {
    return ((Atomics.load(this.#words, POSTED) - this.#collected) | 0) + jobs <= RING_JOBS;
  }

  /** False when it has too many pieces. There must be room. */
  postRead(job: ReadJob): boolean {
    const at = this.#slot(Atomics.load(this.#words, POSTED));
    const numbers = this.#numbers;
    const end = at + JOB_NUMBERS;
    let next = at + HEADER_NUMBERS;
    for (const piece of job.pieces) {
      if (next + PIECE_NUMBERS + piece.checksums.length > end) return false;
      numbers[next] = SOURCES.indexOf(piece.source);
      numbers[next + 1] = piece.descriptor;
      numbers[next + 2] = piece.offset;
      numbers[next + 3] = piece.bytes;
      numbers[next + 4] = piece.skip;
      numbers[next + 5] = piece.length;
      numbers[next + 6] = piece.place;
      numbers[next + 7] = piece.checksums.length;
      numbers.set(piece.checksums, next + PIECE_NUMBERS);
      next += PIECE_NUMBERS + piece.checksums.length;
    }
    numbers[at] = READ;
    numbers[at + 1] = job.uniqueLow;
    numbers[at + 2] = job.uniqueHigh;
    numbers[at + 3] = job.device;
    numbers[at + 4] = DONE_WELL;
    numbers[at + 5] = job.pieces.length;
    this.#post();
    return true;
  }

  /** There must be room. */
  postFill(job: FillJob): void {
    const at = this.#slot(Atomics.load(this.#words, POSTED));
    this.#numbers.set([FILL, job.descriptor, job.place, job.start, DONE_WELL, job.from, job.to], at);
    this.#post();
  }

  /** Hands over the outcomes of jobs that were done since, in the order in which they were posted. */
  collect(take: (outcome: number) => void): void {
    const done = Atomics.load(this.#words, DONE);
    while (this.#collected !== done) {
      const outcome = this.#numbers[this.#slot(this.#collected) + 4] ?? NOT_ANSWERED;
      this.#collected = (this.#collected + 1) | 0;
      take(outcome);
    }
  }

  // The reading side

  begin(): void {
    Atomics.store(this.#words, IS_UP, 1);
  }

  /** The next job, if there is one; `finish` it before the next is taken. */
  take(): ReadJob | FillJob | undefined {
    if (Atomics.load(this.#words, POSTED) === this.#taken) return undefined;
    const at = this.#slot(this.#taken);
    const number = (index: number) => this.#numbers[at + index] ?? 0;
    if (number(0) === FILL) {
      const place = { descriptor: number(1), place: number(2), start: number(3) };
      return { kind: 'fill', ...place, from: number(5), to: number(6) };
    }
    const pieces: ReadPiece[] = [];
    let next = HEADER_NUMBERS;
    for (let left = number(5); left > 0; left -= 1) {
      const first = at + next + PIECE_NUMBERS;
      const checksums = Uint32Array.from(this.#numbers.subarray(first, first + number(next + 7)));
      pieces.push({
        source: SOURCES[number(next)] ?? 'zeros',
        descriptor: number(next + 1),
        offset: number(next + 2),
        bytes: number(next + 3),
        skip: number(next + 4),
        length: number(next + 5),
        place: number(next + 6),
        checksums,
      });
      next += PIECE_NUMBERS + checksums.length;
    }
    return { kind: 'read', uniqueLow: number(1), uniqueHigh: number(2), device: number(3), pieces };
  }

  finish(outcome: number): void {
    this.#numbers[this.#slot(this.#taken) + 4] = outcome;
    this.#taken = (this.#taken + 1) | 0;
    Atomics.store(this.#words, DONE, this.#taken);
  }

  /** Sleeps until something is posted, or a while. */
  wait(timeoutMs: number): void {
    Atomics.store(this.#words, ASLEEP, 1);
    Atomics.wait(this.#words, POSTED, this.#taken, timeoutMs);
    Atomics.store(this.#words, ASLEEP, 0);
  }

  #slot(job: number): number {
    return (job & (RING_JOBS - 1)) * JOB_NUMBERS;
  }

  #post(): void {
    Atomics.add(this.#words, POSTED, 1);
    if (Atomics.load(this.#words, ASLEEP) !== 0) Atomics.notify(this.#words, POSTED);
  }
}
