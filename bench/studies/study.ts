/**
 * Studies of valid DICOM Part 10 files, seeded: the same options give the same bytes, in the tree
 * `PatientID/StudyUID/SeriesUID/SOPUID.dcm`. Any file can be made alone, so that many processes share one study.
 */
import { assert } from '../../base/assert.ts';
import { fillPixels, makeNoise, makePhantom } from './pixels.ts';
import { planStudy, type SeriesPlan, type StudyOptions, type StudyPlan } from './plan.ts';
import { seedOf, uidOf } from './random.ts';
import { encodeTemplate, patchHeader, type Template } from './template.ts';

/** Enough for the largest generated file. */
export const LARGEST_FILE_BYTES = 1 << 20;

export interface StudyFile {
  /** Relative, with forward slashes. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

interface PreparedSeries {
  readonly plan: SeriesPlan;
  readonly template: Template;
  readonly phantom: Uint32Array;
}

/** All files of one study in order, each made when it is asked for. */
export function* generateStudy(options: StudyOptions): Iterable<StudyFile> {
  const study = new Study(options);
  for (let index = 0; index < options.files; index++) yield study.file(index);
}

export class Study {
  readonly plan: StudyPlan;
  readonly #noise: Uint32Array;
  readonly #prepared = new Map<number, PreparedSeries>();

  constructor(options: StudyOptions) {
    this.plan = planStudy(options);
    this.#noise = makeNoise(options.seed);
  }

  /** `PatientID/StudyUID`. */
  get folder(): string {
    return `${this.plan.patientId}/${this.plan.uid}`;
  }

  /** Encodes all series' headers and phantoms now instead of at each one's first file. */
  prepare(): void {
    for (const series of this.plan.series) this.#seriesOf(series.first);
  }

  /**
   * File `index` of the study, 0 to files - 1. With `scratch`, of `LARGEST_FILE_BYTES`, the bytes lie in it and are good
   * until it is used again: fresh memory for every file costs as much as its pixels.
   */
  file(index: number, scratch?: ArrayBuffer): StudyFile {
    const { plan, template, phantom } = this.#seriesOf(index);
    const image = index - plan.first;
    const uid = uidOf('instance', this.plan.seed, this.plan.index, plan.number, image);
    const { header, pixelBytes, places } = template;
    // The pixels are filled as 32-bit words, so the file begins where that puts them on a multiple of four.
    const padding = (4 - (header.length % 4)) % 4;
    const length = header.length + pixelBytes;
    const buffer = scratch ?? new ArrayBuffer(padding + length);
    const bytes = Buffer.from(buffer, padding, length);
    header.copy(bytes);
    patchHeader(bytes, places, { uid, number: image });
    const pixels = new Uint32Array(buffer, padding + header.length, pixelBytes / 4);
    fillPixels(pixels, { phantom, noise: this.#noise, side: plan.side, image });
    return { path: `${this.folder}/${plan.uid}/${uid}.dcm`, bytes };
  }

  #seriesOf(index: number): PreparedSeries {
    const plan = this.plan.series.find((series) => index >= series.first && index < series.first + series.files);
    assert(plan !== undefined, `study file ${index}, expected 0 to ${this.plan.files - 1}`);
    const known = this.#prepared.get(plan.number);
    if (known !== undefined) return known;
    const phantom = makePhantom(plan.side, seedOf('series', this.plan.seed, this.plan.index, plan.number));
    const prepared = { plan, template: encodeTemplate(this.plan, plan), phantom };
    this.#prepared.set(plan.number, prepared);
    return prepared;
  }
}
