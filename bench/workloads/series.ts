/** Reading whole series that were written side by side, and how they lie on the disk. */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { jumps } from '../disk/jumps.ts';
import type { Job } from '../load/load_program.ts';
import type { Row } from '../report/judge.ts';
import { seriesJobs, type Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';

const WRITERS = 16;
const FILES = 4_000;
const BLOCK = 65_536;
/** Folders for each of 256 first bytes of a hash: 4,000 files are a few in each of 1,024. */
const SUBFOLDERS = 4;

const SERIES = 'series';
const HASHED = 'hashed';

/** Whole series, readers taking turns at them. */
function readSeries(turn: Turn, readers: number, of: { name: string; files: number }): number {
  const jobs = seriesJobs(turn, { name: of.name, writers: WRITERS, files: of.files });
  const reading = jobs.map(({ path, thread = 0 }): Job => ({ path, thread: thread % readers }));
  const { files, seconds } = turn.run({ act: 'read', jobs: reading });
  return files / seconds;
}

export function writeSeriesStage(files = FILES): Stage {
  return {
    name: 'write 16 series',
    run: (turn) => {
      const jobs = seriesJobs(turn, { name: SERIES, writers: WRITERS, files });
      turn.settled({ act: 'write', jobs, block: BLOCK });
      return {};
    },
  };
}

export function readSeriesStage(readers: number, of: { isCold: boolean; name?: string; files?: number }): Stage {
  const { isCold, name = SERIES, files = FILES } = of;
  const figure = readFigure(readers, isCold);
  return {
    name: figure,
    run: (turn) => {
      if (isCold) turn.place.forget();
      else readSeries(turn, readers, { name, files });
      return { [figure]: readSeries(turn, readers, { name, files }) };
    },
  };
}

export function readFigure(readers: number, isCold: boolean): string {
  return `series ${isCold ? 'cold' : 'warm'}, ${readers} reader${readers === 1 ? '' : 's'}`;
}

/** A series by itself: jumps between series do not count. */
function jumpsOf(turn: Turn, jobs: readonly Job[]): number {
  const spans = turn.place.spans(jobs.map(({ path }) => path));
  let count = 0;
  for (let thread = 0; thread < WRITERS; thread++) {
    count += jumps(jobs.flatMap((job, at) => (job.thread === thread ? (spans[at] ?? []) : [])));
  }
  return (count / jobs.length) * 1000;
}

export const JUMPS = 'jumps a 1,000 files';
export const HASHED_JUMPS = 'jumps a 1,000 files, hashed folders';

export function jumpsStage(name = SERIES, files = FILES): Stage {
  return {
    name: JUMPS,
    run: (turn) => ({ [JUMPS]: jumpsOf(turn, seriesJobs(turn, { name, writers: WRITERS, files })) }),
  };
}

/** As Orthanc lays files out: by a hash, a few in each folder; a series is read in the order in which it was written. */
export function hashedStage(files = FILES): Stage {
  return {
    name: HASHED_JUMPS,
    run: (turn) => {
      const root = turn.path(HASHED);
      const series = seriesJobs(turn, { name: SERIES, writers: WRITERS, files });
      const jobs = series.map((job): Job => ({ ...job, path: hashedPath(root, job.path.slice(turn.path().length)) }));
      for (const folder of new Set(jobs.map(({ path }) => dirname(path)))) mkdirSync(folder, { recursive: true });
      turn.settled({ act: 'write', jobs, block: BLOCK });
      const figures = { [HASHED_JUMPS]: jumpsOf(turn, jobs) };
      turn.remove(HASHED);
      return figures;
    },
  };
}

function hashedPath(root: string, name: string): string {
  const hash = createHash('sha1').update(name).digest('hex');
  return join(root, hash.slice(0, 2), String(Number.parseInt(hash.slice(2, 4), 16) % SUBFOLDERS), hash);
}

const RECENT = 'series just arrived, 1 reader';

/** Read at once by somebody who waits for it: some of it is packed by then and some is not. */
const recentStage: Stage = {
  name: RECENT,
  run: (turn) => {
    const files = FILES / 4;
    turn.run({ act: 'write', jobs: seriesJobs(turn, { name: 'recent', writers: WRITERS, files }), block: BLOCK });
    return { [RECENT]: readSeries(turn, 1, { name: 'recent', files }) };
  },
};

function against(figure: string, of: Partial<Row> = {}): Row {
  return { title: figure, figure, unit: 'files/s', against: 'plain', wanted: 'at least', ...of };
}

export const SERIES_ROWS: readonly Row[] = [
  { title: JUMPS, figure: JUMPS, wanted: 'at most', mustReach: 65, goal: 20 },
  { title: JUMPS, figure: JUMPS, against: 'plain', wanted: 'at most' },
  {
    title: HASHED_JUMPS,
    figure: HASHED_JUMPS,
    against: 'plain',
    wanted: 'at most',
    mustReach: 1 / 3,
    goal: 1 / 10,
  },
  against(readFigure(1, true), { mustReach: 0.9, goal: 1.2 }),
  against(readFigure(4, true), { mustReach: 0.9, goal: 1.2 }),
];

export const seriesWorkload: Workload = {
  name: 'series',
  what: 'series written side by side, read cold, warm and just arrived by 1 and 4 readers; jumps on the disk',
  gib: 16,
  stages: [
    writeSeriesStage(),
    jumpsStage(),
    hashedStage(),
    ...[true, false].flatMap((isCold) => [1, 4].map((readers) => readSeriesStage(readers, { isCold }))),
    recentStage,
  ],
  rows: [
    ...SERIES_ROWS,
    against(readFigure(1, false)),
    against(readFigure(4, false)),
    against(RECENT, { title: 'series within 10 s of its arrival, 1 reader' }),
  ],
};
