/** One large file: written and read from start to end, and read here and there, from the disk and from memory. */
import type { Row } from '../report/judge.ts';
import type { Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';

const GIB = 2 ** 30;

/** One of them at a time is on the disk. */
const SHARE = 0.6;
const MB = 1e6;
const RANDOM_BLOCK = 4_096;
const RANDOM_READS = 20_000;

export const LARGE_FIGURES = ['large file, write', 'large file, read cold', 'large file, read warm'] as const;
const RANDOM_FIGURES = ['large file, 4 KiB random cold', 'large file, 4 KiB random warm'] as const;

function rate(turn: Turn, path: string): number {
  const { bytes, seconds } = turn.run({ act: 'read', jobs: [{ path }] });
  return bytes / seconds / MB;
}

function randomRate(turn: Turn, path: string): number {
  const size = turn.files(RANDOM_READS) * RANDOM_BLOCK;
  const { bytes, seconds } = turn.run({ act: 'scatter', jobs: [{ path, size }], block: RANDOM_BLOCK });
  return bytes / RANDOM_BLOCK / seconds;
}

/** `gib`: its size. */
export function largeStage(of: { gib: number; isRandomToo: boolean }): Stage {
  return {
    name: 'large file',
    run: (turn) => {
      const path = turn.path('large');
      const size = turn.bytes(of.gib * GIB, SHARE);
      const written = turn.settled({ act: 'write', jobs: [{ path, size }] });
      turn.place.forget();
      const random: Record<string, number> = {};
      if (of.isRandomToo) {
        random[RANDOM_FIGURES[0]] = randomRate(turn, path);
        turn.place.forget();
      }
      const cold = rate(turn, path);
      const warm = rate(turn, path);
      if (of.isRandomToo) random[RANDOM_FIGURES[1]] = randomRate(turn, path);
      turn.remove('large');
      const [write, readCold, readWarm] = LARGE_FIGURES;
      return { [write]: size / written.seconds / MB, [readCold]: cold, [readWarm]: warm, ...random };
    },
  };
}

export function largeRows(gib: number): Row[] {
  return LARGE_FIGURES.map((figure) => ({
    title: `${gib} GiB: ${figure}`,
    figure,
    unit: 'MB/s',
    against: 'plain',
    wanted: 'at least',
    mustReach: 0.95,
    goal: 1,
  }));
}

export const largeWorkload: Workload = {
  name: 'large',
  what: 'one file of 8 GiB: sequential write and read, 4 KiB random read, cold and warm',
  gib: 16,
  stages: [largeStage({ gib: 8, isRandomToo: true })],
  rows: [
    ...largeRows(8),
    ...RANDOM_FIGURES.map((figure): Row => {
      return { title: figure, figure, unit: 'reads/s', against: 'plain', wanted: 'at least' };
    }),
  ],
};
