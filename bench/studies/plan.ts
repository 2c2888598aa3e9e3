/**
 * What a study holds before a byte of it is made: its patient, its series, and the size of each series' images. The mix is
 * that of a PACS: 63 % of the files have 200 to 300 KB, the others up to 1 MB.
 */
import { pick, seedOf, uidOf, xorshift32 } from './random.ts';
import { SMALL_SHARE } from './sizes.ts';

export interface StudyOptions {
  /** Same seed, same bytes. */
  readonly seed: number;
  /** Which study of that seed: 0, 1, ... */
  readonly index: number;
  /** How many images; 1,000 to 2,000 are usual. */
  readonly files: number;
}

export type Modality = 'CT' | 'MR';

export interface SeriesPlan {
  /** 1, 2, ... in the study. */
  readonly number: number;
  readonly uid: string;
  /** Rows and columns of its square images of 16-bit pixels. */
  readonly side: number;
  /** The study's file that is this series' first image. */
  readonly first: number;
  readonly files: number;
}

export interface StudyPlan extends StudyOptions {
  readonly patientId: string;
  readonly patientName: string;
  readonly modality: Modality;
  readonly uid: string;
  readonly series: readonly SeriesPlan[];
}

/** Sides of square 16-bit images of 205 to 295 KB ... */
const SMALL_SIDES = [320, 336, 352, 368, 384] as const;
/** ... and of 401 to 991 KB; the mean over all files is about 400 to 440 KB. */
const LARGE_SIDES = [448, 512, 576, 640, 704, 704] as const;
/** A series has 60 to 259 images, the last of its kind in a study perhaps fewer or up to 29 more. */
const SERIES_MINIMUM = 60;
const SERIES_SPREAD = 200;
const SERIES_REMAINDER = 30;

export function planStudy({ seed, index, files }: StudyOptions): StudyPlan {
  const random = xorshift32(seedOf('plan', seed, index));
  const small = Math.round(files * SMALL_SHARE);
  const lengths = [
    ...seriesLengths(small, random).map((count) => ({ count, side: pick(random, SMALL_SIDES), order: random() })),
    ...seriesLengths(files - small, random).map((count) => ({
      count,
      side: pick(random, LARGE_SIDES),
      order: random(),
    })),
  ].sort((a, b) => a.order - b.order);
  let first = 0;
  const series = lengths.map(({ count, side }, position): SeriesPlan => {
    const number = position + 1;
    const planned = { number, uid: uidOf('series', seed, index, number), side, first, files: count };
    first += count;
    return planned;
  });
  const patient = String(index + 1);
  return {
    seed,
    index,
    files,
    patientId: `DEMO${patient.padStart(4, '0')}`,
    patientName: `DEMO^PATIENT ${patient.padStart(3, '0')}`,
    modality: index % 2 === 0 ? 'CT' : 'MR',
    uid: uidOf('study', seed, index),
    series,
  };
}

function seriesLengths(files: number, random: () => number): number[] {
  const lengths: number[] = [];
  let left = files;
  while (left > 0) {
    const drawn = SERIES_MINIMUM + (random() % SERIES_SPREAD);
    const length = left - drawn < SERIES_REMAINDER ? left : drawn;
    lengths.push(Math.min(length, left));
    left -= length;
  }
  return lengths;
}
