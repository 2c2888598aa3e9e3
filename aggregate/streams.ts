/**
 * Who reads the files of a directory one after the other, as they lie on the disk. A series is packed in name order, a
 * segment's worth at a time, so whoever goes on where the last read of the directory ended will want the rest of the segment;
 * after a whole segment the next one is somewhere else, and goes on at its beginning.
 */
import { KIB, MIB } from '../base/units.ts';
import { SEGMENT_BYTES } from './pack.ts';

/** Directories remembered; the one that was read longest ago is forgotten first. */
const STREAMS_MAX = 1_024;
/** So near to the end of the last read somebody reads on: readers of one series overtake each other, some files are left out. */
const NEAR_BYTES = MIB;
/** The first file of a segment lies behind the first index block. */
const SEGMENT_HEAD_BYTES = 256 * KIB;

export interface ReadPlace {
  /** Any number that tells files apart. */
  readonly file: number;
  readonly aggregate: number;
  /** Bytes of the aggregate. */
  readonly start: number;
  readonly end: number;
}

interface Stream {
  file: number;
  aggregate: number;
  end: number;
  /** Files that went on where the one before had ended. */
  run: number;
}

export class Streams {
  readonly #streams = new Map<number, Stream>();

  /**
   * Notes a read of a file in `directory`; whether it goes on where that of another file was. The parts of one file are no
   * series: what lies behind it may never be wanted.
   */
  note(directory: number, { file, aggregate, start, end }: ReadPlace): boolean {
    const stream = this.#streams.get(directory);
    if (stream === undefined) {
      this.#forgetOne();
      this.#streams.set(directory, { file, aggregate, end, run: 0 });
      return false;
    }
    const isNear = stream.aggregate === aggregate && Math.abs(start - stream.end) <= NEAR_BYTES;
    const goesOn = isNear || (stream.run > 0 && start % SEGMENT_BYTES < SEGMENT_HEAD_BYTES);
    if (stream.file !== file) stream.run = goesOn ? stream.run + 1 : 0;
    stream.file = file;
    stream.aggregate = aggregate;
    stream.end = end;
    this.#streams.delete(directory);
    this.#streams.set(directory, stream);
    return goesOn && stream.run > 0;
  }

  #forgetOne(): void {
    if (this.#streams.size < STREAMS_MAX) return;
    const [oldest] = this.#streams.keys();
    if (oldest !== undefined) this.#streams.delete(oldest);
  }
}
