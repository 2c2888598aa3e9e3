/** Transfers of 512 bytes to 1 MiB, in sequence and at random, from the disk, from memory, and past the cache. */
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { median } from '../metadata/figures.ts';
import { PLAIN } from '../mount/place.ts';
import { OURS, type Round } from '../report/judge.ts';
import { type Curve, plot } from '../report/plot.ts';
import { markdownTable, shown } from '../report/table.ts';
import type { Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';

const MIB = 2 ** 20;
const FILE_BYTES = 1024 * MIB;
const SHARE = 0.2;
const MB = 1e6;
const SMALLEST = 512;
const BLOCKS = Array.from({ length: 12 }, (_, at) => SMALLEST * 2 ** at);
/** Random transfers: at most so many, and at most so many bytes. */
const MOST_TRANSFERS = 8_000;
const MOST_BYTES = 256 * MIB;

const MODES = ['miss', 'hit', 'direct'] as const;
const ORDERS = ['sequential', 'random'] as const;
const VERBS = ['read', 'write'] as const;
type Mode = (typeof MODES)[number];
type Order = (typeof ORDERS)[number];
type Verb = (typeof VERBS)[number];
type Kind = { readonly mode: Mode; readonly order: Order; readonly verb: Verb };

const KINDS: readonly Kind[] = VERBS.flatMap((verb) =>
  ORDERS.flatMap((order) => MODES.map((mode): Kind => ({ mode, order, verb }))),
);

const ACTS = {
  read: { sequential: 'read', random: 'scatter' },
  write: { sequential: 'overwrite', random: 'strew' },
} as const;

function titleOf({ mode, order, verb }: Kind): string {
  return `${order} ${verb}, ${mode === 'direct' ? 'direct' : `cache ${mode}`}`;
}

function figureOf(kind: Kind, block: number): string {
  return `${titleOf(kind)}, ${block}`;
}

/** MB/s; writes until they are on the disk, but for hits: those are what memory takes. */
function transfer(turn: Turn, kind: Kind, of: { path: string; size: number; block: number }): number {
  const { path, size, block } = of;
  const { mode, order, verb } = kind;
  if (mode === 'miss') turn.place.forget();
  if (mode === 'hit') turn.run({ act: 'read', jobs: [{ path }] });
  const most = order === 'random' ? Math.min(MOST_BYTES, MOST_TRANSFERS * block) : size;
  const load = {
    act: ACTS[verb][order],
    jobs: [{ path, size: Math.min(size, most) }],
    block,
    direct: mode === 'direct',
  };
  const fsync = verb === 'write' && mode !== 'hit';
  const { bytes, seconds } = turn.run({ ...load, fsync });
  if (verb === 'write') turn.place.settle();
  return bytes / seconds / MB;
}

function sweepStage(kind: Kind): Stage {
  return {
    name: titleOf(kind),
    run: (turn) => {
      const path = turn.path('sweep');
      const size = turn.bytes(FILE_BYTES, SHARE);
      turn.settled({ act: 'overwrite', jobs: [{ path, size }] });
      return Object.fromEntries(
        BLOCKS.map((block) => [figureOf(kind, block), transfer(turn, kind, { path, size, block })]),
      );
    },
  };
}

function values(rounds: readonly Round[], of: { place: string; kind: Kind }): number[] {
  return BLOCKS.map((block) =>
    median(rounds.map((round) => round[of.place]?.[figureOf(of.kind, block)] ?? Number.NaN)),
  );
}

function blockName(block: number): string {
  return block < 1024 ? `${block} B` : block < MIB ? `${block / 1024} KiB` : `${block / MIB} MiB`;
}

function appendix(rounds: readonly Round[], to: { kind: string; folder: string }): string {
  const head = ['MB/s', '', ...BLOCKS.map(blockName)];
  const lines = KINDS.flatMap((kind) =>
    [PLAIN, OURS].map((place) => [titleOf(kind), place, ...values(rounds, { place, kind }).map(shown)]),
  );
  const panels = KINDS.map((kind) => {
    const curves = [PLAIN, OURS].map((name): Curve => ({ name, values: values(rounds, { place: name, kind }) }));
    return { title: titleOf(kind), curves };
  });
  const file = join(to.folder, `sweep-${to.kind}.svg`);
  writeFileSync(file, plot({ panels, labels: BLOCKS.map(blockName), unit: 'MB/s' }));
  const image = `![Transfers of 512 B to 1 MiB, MB/s](${basename(file)})`;
  return `${markdownTable([head, ...lines], (column) => column > 1)}\n\n${image}`;
}

export const sweepWorkload: Workload = {
  name: 'sweep',
  what: 'transfers of 512 B to 1 MiB: sequential and random, cache miss, cache hit and direct; table and plot',
  gib: 8,
  stages: KINDS.map(sweepStage),
  rows: KINDS.flatMap((kind) =>
    [SMALLEST, MIB].map((block) => {
      const title = `${titleOf(kind)}, ${blockName(block)}`;
      return { title, figure: figureOf(kind, block), unit: 'MB/s', against: PLAIN, wanted: 'at least' } as const;
    }),
  ),
  appendix,
};
