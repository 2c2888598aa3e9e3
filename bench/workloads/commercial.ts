/** What sellers of such storage claim, checked as a user of it would: packing, studies, first access, training sets. */

import type { Job } from '../load/load_program.ts';
import { PLAIN, UNPACKED } from '../mount/place.ts';
import { type Figures, OURS, type Row } from '../report/judge.ts';
import { nameOf, seriesJobs, type Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';
import { seedOf, xorshift32 } from '../studies/random.ts';
import { sizesOf } from '../studies/sizes.ts';

const SMALL_BYTES = 128 * 1024;
const SMALL_FILES = 6_400;
const WRITERS = 16;
const STUDY_FILES = 2_000;
/** A volume of slices as CT scanners make them: 512 times 512 pixels of 16 bits and a header. */
const SLICE_BYTES = 526_000;
const SLICES = 800;
const MB = 1e6;
const READERS = 4;
const MIB = 2 ** 20;

const FIGURES = {
  small: '128 KB files, 16 writers',
  study: 'CT study of 2,000 files, cold',
  slices: '3D series of 800 slices, cold',
  first: 'first access, hot, p99',
  firstCold: 'first access, cold, p99',
} as const;

const smallStage: Stage = {
  name: FIGURES.small,
  run: (turn) => {
    const jobs = seriesJobs(turn, { name: 'small', writers: WRITERS, files: SMALL_FILES, size: SMALL_BYTES });
    const { loaded, seconds } = turn.settled({ act: 'write', jobs, block: SMALL_BYTES });
    turn.remove('small');
    return { [FIGURES.small]: loaded.files / seconds };
  },
};

/** Written by one modality while others write, too, as studies are; `seconds` is what a viewer waits for all of it. */
function coldRead(turn: Turn, of: { name: string; files: number; size?: number }): { files: number; seconds: number } {
  const folder = turn.folder(of.name);
  const count = turn.files(of.files);
  const sizes = sizesOf(seedOf(of.name, turn.round), count);
  const study = sizes.map((size, at): Job => ({ path: `${folder}/${nameOf(at)}`, size: of.size ?? size, thread: 0 }));
  const others = seriesJobs(turn, { name: `${of.name} others`, writers: READERS, files: of.files });
  const beside = others.map((job): Job => ({ ...job, thread: (job.thread ?? 0) + 1 }));
  turn.settled({ act: 'write', jobs: [...study, ...beside] });
  turn.place.forget();
  return turn.run({ act: 'read', jobs: study });
}

const studyStages: readonly Stage[] = [
  {
    name: FIGURES.study,
    run: (turn) => ({ [FIGURES.study]: coldRead(turn, { name: 'study', files: STUDY_FILES }).seconds }),
  },
  {
    name: FIGURES.slices,
    run: (turn) => {
      const { files, seconds } = coldRead(turn, { name: 'slices', files: SLICES, size: SLICE_BYTES });
      return { [FIGURES.slices]: files / seconds };
    },
  },
];

/** Of the study's files, of which nothing, and then all, is in memory. */
const firstStage: Stage = {
  name: 'first access',
  run: (turn) => {
    const folder = turn.path('study');
    const count = turn.files(STUDY_FILES);
    const jobs = Array.from({ length: count }, (_, at): Job => ({ path: `${folder}/${nameOf(at)}` }));
    turn.place.forget();
    const p99 = () => turn.run({ act: 'first', jobs }).microseconds.p99 / 1000;
    const cold = p99();
    turn.run({ act: 'read', jobs });
    p99();
    return { [FIGURES.firstCold]: cold, [FIGURES.first]: p99() };
  },
};

interface TrainingSet {
  readonly name: string;
  readonly bytes: number;
  readonly files: number;
}

/** Sizes of MLPerf Storage's samples. */
const TRAINING: readonly TrainingSet[] = [
  { name: '3D-UNet-like, files of 140 MB', bytes: 140e6, files: 24 },
  { name: 'CosmoFlow-like, files of 2.8 MB', bytes: 2.8e6, files: 900 },
];
const RAW = 'the disk itself, MB/s';

function trainingJobs(turn: Turn, { name, bytes, files }: TrainingSet): Job[] {
  const folder = turn.folder(name);
  const size = Math.max(MIB, Math.floor(bytes * Math.min(1, turn.machine.scale)));
  return Array.from({ length: Math.max(READERS, turn.files(files)) }, (_, at): Job => {
    return { path: `${folder}/${String(at).padStart(5, '0')}.npz`, size, thread: at % READERS };
  });
}

function shuffled(jobs: readonly Job[], seed: number): Job[] {
  const random = xorshift32(seed);
  const drawn = jobs.map((job) => ({ job, order: random() })).sort((a, b) => a.order - b.order);
  return drawn.map(({ job }, at): Job => ({ ...job, thread: at % READERS }));
}

function trainingStage(set: TrainingSet): Stage {
  return {
    name: set.name,
    run: (turn) => {
      const jobs = trainingJobs(turn, set);
      turn.settled({ act: 'write', jobs });
      turn.place.forget();
      const { bytes, seconds } = turn.run({ act: 'read', jobs: shuffled(jobs, seedOf(set.name, turn.round)) });
      const figures: Figures = { [set.name]: bytes / seconds / MB, ...raw(turn, set) };
      turn.remove(set.name);
      return figures;
    },
  };
}

/** What the device gives to four readers that pass by the cache, 4 MiB at a time. */
function raw(turn: Turn, set: TrainingSet): Figures {
  if (turn.place.name !== PLAIN) return {};
  const jobs = trainingJobs(turn, set);
  const { bytes, seconds } = turn.run({ act: 'read', jobs, block: 4 * MIB, direct: true });
  return { [`${RAW}, ${set.name}`]: bytes / seconds / MB };
}

export const commercialWorkload: Workload = {
  name: 'commercial',
  what: 'packing on against off, a CT study and a 3D series loaded cold, first access, training sets as in MLPerf Storage',
  gib: 20,
  hasUnpacked: true,
  stages: [smallStage, ...studyStages, firstStage, ...TRAINING.map(trainingStage)],
  rows: [
    {
      title: `${FIGURES.small}: packing on against off (claimed: 1.968 times)`,
      figure: FIGURES.small,
      unit: 'files/s',
      against: UNPACKED,
      wanted: 'at least',
      mustReach: 1.968,
    },
    row(FIGURES.small, { unit: 'files/s', against: PLAIN }),
    row(FIGURES.study, { title: `${FIGURES.study} (claimed: 15 s)`, unit: 's', wanted: 'at most', mustReach: 15 }),
    row(FIGURES.study, { unit: 's', wanted: 'at most', against: PLAIN }),
    row(FIGURES.slices, {
      title: `${FIGURES.slices} (claimed: 1.5 times)`,
      unit: 'files/s',
      against: PLAIN,
      mustReach: 1.5,
    }),
    row(FIGURES.first, { title: `${FIGURES.first} (claimed: 1 ms)`, unit: 'ms', wanted: 'at most', mustReach: 1 }),
    row(FIGURES.firstCold, { unit: 'ms', wanted: 'at most', against: PLAIN }),
    ...TRAINING.flatMap(({ name }) => [
      row(name, { unit: 'MB/s', against: PLAIN }),
      row(name, { title: `${name}: of the disk itself`, unit: 'MB/s', against: PLAIN, theirFigure: `${RAW}, ${name}` }),
    ]),
  ],
};

function row(figure: string, of: Partial<Row>): Row {
  return { title: figure, figure, of: OURS, wanted: 'at least', ...of };
}
