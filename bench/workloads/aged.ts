/** Series on a filesystem that has been in use: filled to 85 %, and ten times a part of it deleted and written anew. */
import { rmSync, statfsSync } from 'node:fs';
import type { Row } from '../report/judge.ts';
import { seriesJobs, type Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';
import { seedOf, xorshift32 } from '../studies/random.ts';
import { JUMPS, jumpsStage, readFigure, readSeriesStage, writeSeriesStage } from './series.ts';

const FULL_SHARE = 0.85;
const ROUNDS = 10;
const DELETED_SHARE = 0.3;
const WRITERS = 16;
/** Of the image: what is written before anybody looks how full the disk is. */
const BATCH_SHARE = 0.04;
const FILES = 1_600;
/** For the series that are read at last. */
const ROOM_FILES = 2_000;
const MEAN_BYTES = 430_000;
const BLOCK = 65_536;

function usedShare(turn: Turn): number {
  const { blocks, bavail } = statfsSync(turn.place.folder);
  return 1 - bavail / blocks;
}

/** Batches of series until the disk is as full as wanted. Returns the files that it wrote. */
function fill(turn: Turn, of: { age: number; until: number }): string[] {
  const { imageBytes, scale } = turn.machine;
  const files = (BATCH_SHARE * imageBytes) / MEAN_BYTES / scale;
  const paths: string[] = [];
  for (let batch = 0; usedShare(turn) < of.until; batch++) {
    const jobs = seriesJobs(turn, { name: `old/${of.age}-${batch}`, writers: WRITERS, files });
    turn.run({ act: 'write', jobs, block: BLOCK });
    turn.place.settle();
    paths.push(...jobs.map(({ path }) => path));
  }
  return paths;
}

const ageStage: Stage = {
  name: 'ageing',
  run: (turn) => {
    const room = (turn.files(ROOM_FILES, WRITERS) * MEAN_BYTES) / turn.machine.imageBytes;
    const until = FULL_SHARE - room;
    const random = xorshift32(seedOf('ageing', turn.round));
    let paths = fill(turn, { age: 0, until });
    for (let age = 1; age <= ROUNDS; age++) {
      // Single files, anywhere: the holes that they leave are what makes a filesystem old.
      const isGone = new Set(paths.filter(() => random() / 2 ** 32 < DELETED_SHARE));
      for (const path of isGone) rmSync(path);
      turn.place.settle();
      paths = [...paths.filter((path) => !isGone.has(path)), ...fill(turn, { age, until })];
    }
    return {};
  },
};

function against(figure: string, of: Partial<Row> = {}): Row {
  return { title: `aged: ${figure}`, figure, unit: 'files/s', against: 'plain', wanted: 'at least', ...of };
}

export const agedWorkload: Workload = {
  name: 'aged',
  what: 'series written to a disk that ten rounds of writing and deleting have filled to 85 %, read cold and warm',
  gib: 4,
  isAlone: true,
  stages: [
    ageStage,
    writeSeriesStage(FILES),
    jumpsStage(undefined, FILES),
    ...[true, false].flatMap((isCold) => [1, 4].map((readers) => readSeriesStage(readers, { isCold, files: FILES }))),
  ],
  rows: [
    against(JUMPS, { unit: '', wanted: 'at most' }),
    against(readFigure(1, true), { mustReach: 0.9, goal: 1.2 }),
    against(readFigure(4, true), { mustReach: 0.9, goal: 1.2 }),
    against(readFigure(1, false)),
    against(readFigure(4, false)),
  ],
};
