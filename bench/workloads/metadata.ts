/** Empty files by the thousand: made, asked for, listed and removed, from memory and from the disk. */
import { execFileSync } from 'node:child_process';
import type { Act, Job } from '../load/load_program.ts';
import type { Row } from '../report/judge.ts';
import { nameOf, type Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';

const THREADS = 4;
const COMMAND_MS = 600_000;
const FILES = 10_000;

function jobsOf(turn: Turn, name: string, files: number): Job[] {
  const each = turn.files(files, THREADS) / THREADS;
  return Array.from({ length: THREADS }, (_, thread) => {
    const folder = turn.folder(name, `${thread}`);
    return Array.from({ length: each }, (_, at): Job => ({ thread, path: `${folder}/${nameOf(at)}` }));
  }).flat();
}

/** `name`: the folder, so that what is removed is something else than what was made for the others. */
function actStage(figure: string, act: Act, of: { files: number; name?: string; isCold?: boolean }): Stage {
  const { files, name = 'empty', isCold = false } = of;
  return {
    name: figure,
    isForPeers: true,
    run: (turn) => {
      const jobs = jobsOf(turn, name, files);
      if (isCold) turn.place.forget();
      else if (act === 'stat') turn.run({ act, jobs });
      const loaded = turn.run({ act, jobs });
      turn.place.settle();
      return { [figure]: loaded.files / loaded.seconds };
    },
  };
}

function commandStage(figure: string, command: readonly string[], of: { files: number; isCold: boolean }): Stage {
  const [program = '', ...args] = command;
  return {
    name: figure,
    isForPeers: true,
    run: (turn) => {
      const folder = turn.path('empty');
      const list = () =>
        execFileSync(program, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], timeout: COMMAND_MS });
      if (of.isCold) turn.place.forget();
      else list();
      // The program itself is not to come from the disk.
      execFileSync(program, ['--version'], { stdio: 'ignore', timeout: COMMAND_MS });
      const start = performance.now();
      list();
      return { [figure]: turn.files(of.files, THREADS) / ((performance.now() - start) / 1000) };
    },
  };
}

const LS = ['ls', '-lR'] as const;
const FIND = ['find', '.', '-size', '-1'] as const;

/** The stages of the short benchmark. */
export function metadataStages(files: number): Stage[] {
  return [
    actStage('empty create', 'create', { files }),
    actStage('stat warm', 'stat', { files }),
    actStage('stat cold', 'stat', { files, isCold: true }),
    commandStage('ls -l cold', LS, { files, isCold: true }),
    actStage('unlink', 'unlink', { files }),
  ];
}

const PEER_FIGURES = ['stat cold', 'ls -l cold', 'empty create', 'unlink'] as const;

export const METADATA_ROWS: readonly Row[] = [
  row('stat warm', { against: 'plain', mustReach: 0.9, goal: 1 }),
  ...PEER_FIGURES.map((figure) => row(figure, { against: 'peers', mustReach: 2, goal: 4 })),
];

function row(figure: string, of: Partial<Row>): Row {
  return { title: figure, figure, unit: 'files/s', wanted: 'at least', ...of };
}

const FULL_FILES = 2 * FILES;

export const metadataWorkload: Workload = {
  name: 'metadata',
  what: 'empty creates, stat, find, ls -l and unlink storms, cold and warm',
  gib: 4,
  hasPeers: true,
  stages: [
    actStage('empty create', 'create', { files: FULL_FILES }),
    actStage('create for a cold unlink', 'create', { files: FULL_FILES, name: 'other' }),
    actStage('stat warm', 'stat', { files: FULL_FILES }),
    actStage('stat cold', 'stat', { files: FULL_FILES, isCold: true }),
    ...[true, false].flatMap((isCold) => [
      commandStage(`ls -l ${isCold ? 'cold' : 'warm'}`, LS, { files: FULL_FILES, isCold }),
      commandStage(`find ${isCold ? 'cold' : 'warm'}`, FIND, { files: FULL_FILES, isCold }),
    ]),
    actStage('unlink', 'unlink', { files: FULL_FILES }),
    actStage('unlink cold', 'unlink', { files: FULL_FILES, name: 'other', isCold: true }),
  ],
  rows: [
    ...METADATA_ROWS,
    ...['empty create', 'stat cold', 'ls -l cold', 'ls -l warm', 'find cold', 'find warm', 'unlink', 'unlink cold'].map(
      (figure) => row(figure, { against: 'plain' }),
    ),
    ...['ls -l warm', 'find cold', 'find warm', 'unlink cold'].map((figure) => row(figure, { against: 'peers' })),
  ],
};
