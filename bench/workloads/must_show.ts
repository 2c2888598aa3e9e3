/** The short benchmark: what the data path has to show, on one ext4 image in under 15 minutes. */
import type { Row } from '../report/judge.ts';
import type { Workload } from '../run/workload.ts';
import { type Ingest, ingestStage, titleOf } from './ingest.ts';
import { largeRows, largeStage } from './large.ts';
import { briefStage, hotFirstStages, LATENCY_ROWS } from './latency.ts';
import { METADATA_ROWS, metadataStages } from './metadata.ts';
import { hashedStage, jumpsStage, readSeriesStage, SERIES_ROWS } from './series.ts';

const FILES = 4_800;
const FSYNC_FILES = 1_280;
const EMPTY_FILES = 8_000;
/** Eight would take more than their share of the time; `make bench-full WORKLOAD=large` has them. */
const LARGE_GIB = 4;
const BLOCK = 65_536;

const SIXTEEN: Ingest = { writers: 16, files: FILES, block: BLOCK, fsync: false };
const SIXTY_FOUR: Ingest = { writers: 64, files: FILES, block: BLOCK, fsync: false };
const FSYNC: Ingest = { writers: 64, files: FSYNC_FILES, block: BLOCK, fsync: true };
/** What sixteen wrote side by side is what is read as series. */
const SERIES = { name: titleOf(SIXTEEN), files: FILES };

function rate(ingest: Ingest, of: Partial<Row>): Row {
  const figure = `${titleOf(ingest)}, files/s`;
  return { title: titleOf(ingest), figure, unit: 'files/s', wanted: 'at least', ...of };
}

const INGEST_ROWS: readonly Row[] = [
  rate(SIXTEEN, { against: 'plain', mustReach: 0.9, goal: 1.1 }),
  rate(SIXTY_FOUR, { against: 'plain', mustReach: 0.9, goal: 1.1 }),
  rate(SIXTEEN, { against: 'peers', mustReach: 1.5, goal: 2.5 }),
  rate(SIXTY_FOUR, { against: 'peers', mustReach: 1.5, goal: 2.5 }),
  rate(FSYNC, { against: 'plain', mustReach: 0.8, goal: 1.2 }),
  rate(FSYNC, { against: 'peers', mustReach: 2, goal: 3 }),
  {
    title: `${titleOf(FSYNC)}: requests and flushes a file`,
    figure: `${titleOf(FSYNC)}, requests a file`,
    against: 'plain',
    wanted: 'at most',
    mustReach: 1 / 3,
    goal: 1 / 8,
  },
  {
    title: `${titleOf(FSYNC)}: on the modelled hard disk`,
    figure: `${titleOf(FSYNC)}, hard disk files/s`,
    unit: 'files/s',
    against: 'plain',
    wanted: 'at least',
    mustReach: 3,
    goal: 10,
  },
];

export const mustShow: Workload = {
  name: 'must-show',
  what: 'what the data path has to show',
  gib: 16,
  hasPeers: true,
  stages: [
    ingestStage(SIXTEEN, { isKept: true }),
    jumpsStage(SERIES.name, SERIES.files),
    readSeriesStage(1, { isCold: true, ...SERIES }),
    readSeriesStage(4, { isCold: true, ...SERIES }),
    ingestStage(SIXTY_FOUR),
    ingestStage(FSYNC),
    hashedStage(FILES),
    ...metadataStages(EMPTY_FILES),
    ...hotFirstStages,
    briefStage,
    largeStage({ gib: LARGE_GIB, isRandomToo: false }),
  ],
  rows: [...INGEST_ROWS, ...SERIES_ROWS, ...largeRows(LARGE_GIB), ...METADATA_ROWS, ...LATENCY_ROWS],
};
