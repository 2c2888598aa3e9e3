/**
 * What the journal costs a create that nobody fsyncs: this build against one whose journal appends nothing, in turn, on
 * the same disk, each on a store of its own. All else is the same code, so the difference is the append.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Plant, plantedBuild } from '../../test/support/planted_build.ts';
import type { Disk } from '../disk/disk.ts';
import { type Job, LoadProgram } from '../load/load_program.ts';
import { Places } from '../mount/places.ts';
import { quantile } from '../quantile.ts';
import { nameOf } from '../run/turn.ts';
import { sizesOf } from '../studies/sizes.ts';
import { row } from './table.ts';

const WITHOUT_APPEND: Plant = {
  file: 'shard/journal/journal.js',
  find: 'const end = this.#encoder.encode(record);',
  replace: `if (record !== undefined) {
            this.#lastLsn = record.lsn;
            return 0;
        }
        const end = 0;`,
};
const ROUNDS = 8;
const WRITERS = 4;
const WRITE_BYTES = 65_536;
type Act = 'create' | 'write';
const KINDS: readonly { act: Act; title: string; files: number }[] = [
  { act: 'create', title: 'empty files', files: 6_000 },
  { act: 'write', title: 'files of 430 KB', files: 800 },
];

interface Cost {
  /** Creates a second. */
  readonly rate: number;
  /** Processor microseconds of the mount's processes a create. */
  readonly cpuUs: number;
}

/** `folder`: where the other build goes. */
export function journalCost(folder: string, disk: Disk): void {
  const load = new LoadProgram();
  try {
    compare(folder, { disk, load });
  } finally {
    load.remove();
  }
}

function compare(folder: string, { disk, load }: { disk: Disk; load: LoadProgram }): void {
  const without = plantedBuild(join(folder, 'without-journal'), [WITHOUT_APPEND]);
  console.log(`\ncreates without fsync, ${WRITERS} writers, medians of ${ROUNDS} rounds in turn, on ${disk.name}\n`);
  console.log(row(['', 'files/s', 'without', 'cost', 'CPU us a file', 'without', 'cost']));
  for (const { act, title, files } of KINDS) {
    const found: { with: Cost[]; without: Cost[] } = { with: [], without: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const order = round % 2 === 0 ? (['with', 'without'] as const) : (['without', 'with'] as const);
      for (const build of order) {
        const program = build === 'with' ? undefined : without;
        found[build].push(costOf(disk.folder, { load, act, files, program }));
      }
    }
    const median = (build: 'with' | 'without', of: keyof Cost): number =>
      quantile(
        found[build].map((cost) => cost[of]),
        0.5,
      );
    const rates = [median('with', 'rate'), median('without', 'rate')] as const;
    const cpu = [median('with', 'cpuUs'), median('without', 'cpuUs')] as const;
    const share = (ratio: number): string => `${((ratio - 1) * 100).toFixed(1)} %`;
    const shown = (pair: readonly number[]): string[] => pair.map((value) => value.toFixed(0));
    console.log(row([title, ...shown(rates), share(rates[1] / rates[0]), ...shown(cpu), share(cpu[0] / cpu[1])]));
    console.log(
      `  rates by round: ${found.with.map(({ rate }, at) => `${rate.toFixed(0)}/${found.without[at]?.rate.toFixed(0)}`).join(' ')}`,
    );
  }
  console.log('cost: how much longer a create takes, or more of the processor, with the journal (target under 15 %)');
}

function costOf(folder: string, of: { load: LoadProgram; act: Act; files: number; program: string | undefined }): Cost {
  const places = new Places(folder, of.program === undefined ? {} : { program: of.program });
  try {
    const jobs = Array.from({ length: WRITERS }, (_, thread) => {
      const at = join(places.mounted, `part${thread}`);
      mkdirSync(at);
      const sizes = sizesOf(thread + 1, Math.floor(of.files / WRITERS));
      return sizes.map((size, index): Job => ({ thread, size, path: join(at, nameOf(index)) }));
    }).flat();
    const before = places.costs().cpuSeconds;
    const { files, seconds } = of.load.run({ act: of.act, jobs, block: WRITE_BYTES });
    return { rate: files / seconds, cpuUs: ((places.costs().cpuSeconds - before) * 1e6) / files };
  } finally {
    places.remove();
  }
}
