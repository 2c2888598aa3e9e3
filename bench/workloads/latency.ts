/** How long one call takes: open, the first byte, a create; and what a file costs that is gone before it was packed. */
import type { Act, Job, Latency } from '../load/load_program.ts';
import type { Figures, Row } from '../report/judge.ts';
import { nameOf, seriesJobs, type Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';

const HOT_FILES = 400;
const HOT_TIMES = 20;
const CREATES = 5_000;
const BRIEF_FILES = 4_000;
const BRIEF_BYTES = 20_000;
const US = 1000;
const QUANTILES = ['p50', 'p99', 'p999'] as const;

function figuresOf(name: string, latency: Latency): Figures {
  return Object.fromEntries(QUANTILES.map((quantile) => [`${name}, ${quantile}`, latency[quantile] / US]));
}

function files(turn: Turn): Job[] {
  return seriesJobs(turn, { name: 'hot', writers: 4, files: HOT_FILES }).map(({ path, size = 0 }) => ({ path, size }));
}

function repeated(jobs: readonly Job[], times: number): Job[] {
  return Array.from({ length: times }, () => jobs).flat();
}

/** Makes what the others open; of packed files, that have been read before. */
const prepare: Stage = {
  name: 'files to open',
  run: (turn) => {
    turn.settled({ act: 'write', jobs: files(turn) });
    return {};
  },
};

function hotStage(name: string, act: Act): Stage {
  return {
    name,
    run: (turn) => {
      const jobs = files(turn);
      turn.run({ act: 'read', jobs });
      turn.run({ act, jobs });
      return figuresOf(name, turn.run({ act, jobs: repeated(jobs, HOT_TIMES) }).microseconds);
    },
  };
}

function coldStage(name: string, act: Act): Stage {
  return {
    name,
    run: (turn) => {
      turn.place.forget();
      return figuresOf(name, turn.run({ act, jobs: files(turn) }).microseconds);
    },
  };
}

function createStage(name: string): Stage {
  return {
    name,
    run: (turn) => {
      const folder = turn.folder('created');
      const jobs = Array.from({ length: turn.files(CREATES) }, (_, at) => ({ path: `${folder}/${nameOf(at)}` }));
      return figuresOf(name, turn.run({ act: 'create', jobs }).microseconds);
    },
  };
}

export const HOT_FIRST = 'hot first byte';
export const BRIEF = 'bytes at the disk of a file that is deleted before it is packed';

export const hotFirstStages: readonly Stage[] = [prepare, hotStage(HOT_FIRST, 'first')];

/** The host's own journal counts: all that reaches the disk until everything is there. */
export const briefStage: Stage = {
  name: 'written and deleted',
  run: (turn) => {
    const folder = turn.folder('brief');
    const length = turn.files(BRIEF_FILES);
    const jobs = Array.from({ length }, (_, at) => ({ path: `${folder}/${nameOf(at)}`, size: BRIEF_BYTES }));
    const { disk } = turn.settled({ act: 'brief', jobs, block: BRIEF_BYTES });
    return { [BRIEF]: disk.writtenBytes / length };
  },
};

export const LATENCY_ROWS: readonly Row[] = [
  row(`${HOT_FIRST}, p99`, { mustReach: 1, goal: 0.3 }),
  { title: BRIEF, figure: BRIEF, unit: 'bytes', wanted: 'at most', mustReach: 1_000, goal: 300 },
];

function row(figure: string, of: Partial<Row>): Row {
  return { title: figure, figure, unit: 'ms', wanted: 'at most', ...of };
}

const NAMES = ['hot open', HOT_FIRST, 'cold open', 'cold first byte', 'create'] as const;

export const latencyWorkload: Workload = {
  name: 'latency',
  what: 'open, first byte and create: p50, p99 and p99.9',
  gib: 6,
  stages: [
    prepare,
    hotStage('hot open', 'open'),
    hotStage(HOT_FIRST, 'first'),
    coldStage('cold open', 'open'),
    coldStage('cold first byte', 'first'),
    createStage('create'),
    briefStage,
  ],
  rows: [
    ...LATENCY_ROWS,
    ...NAMES.flatMap((name) => QUANTILES.map((quantile) => row(`${name}, ${quantile}`, { against: 'plain' }))),
  ],
};
