/**
 * What the journal costs a create that nobody fsyncs: this build against one whose journal appends nothing, in turn, on
 * the same disk, each on a store of its own. All else is the same code, so the difference is the append.
 */
import { join } from 'node:path';
import { type Plant, plantedBuild } from '../../test/support/planted_build.ts';
import type { LoadTask, Workload } from '../mount/load_member.ts';
import { Places } from '../mount/places.ts';
import { quantile } from '../quantile.ts';
import { runCrew } from '../studies/crew.ts';
import type { Disk } from './disk.ts';
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
const PROCESSES = 4;
const TIMEOUT_MS = 300_000;
const KINDS: readonly { workload: Workload; title: string; files: number }[] = [
  { workload: 'create', title: 'empty files', files: 6_000 },
  { workload: 'write', title: 'files of 420 KB', files: 800 },
];

interface Cost {
  /** Creates a second. */
  readonly rate: number;
  /** Processor microseconds of the mount's processes a create. */
  readonly cpuUs: number;
}

/** `folder`: where the other build goes. */
export async function journalCost(folder: string, disk: Disk): Promise<void> {
  const without = plantedBuild(join(folder, 'without-journal'), [WITHOUT_APPEND]);
  console.log(`\ncreates without fsync, ${PROCESSES} writers, medians of ${ROUNDS} rounds in turn, on ${disk.name}\n`);
  console.log(row(['', 'files/s', 'without', 'cost', 'CPU us a file', 'without', 'cost']));
  for (const { workload, title, files } of KINDS) {
    const found: { with: Cost[]; without: Cost[] } = { with: [], without: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const order = round % 2 === 0 ? (['with', 'without'] as const) : (['without', 'with'] as const);
      for (const build of order) {
        const program = build === 'with' ? undefined : without;
        found[build].push(await costOf(disk.folder, { workload, files, program }));
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

async function costOf(
  folder: string,
  of: { workload: Workload; files: number; program: string | undefined },
): Promise<Cost> {
  const places = new Places(folder, of.program);
  try {
    const tasks = Array.from({ length: PROCESSES }, (_, part): LoadTask => {
      const files = Math.floor(of.files / PROCESSES);
      const at = join(places.mounted, `part${part}`);
      return { workload: of.workload, folder: at, files, seed: part + 1, writeBytes: 65_536 };
    });
    const module = join(import.meta.dirname, '..', 'mount', 'load_member.js');
    const before = places.costs().cpuSeconds;
    const report = await runCrew({ module, tasks, concurrency: 1, timeoutMs: TIMEOUT_MS });
    const cpuUs = ((places.costs().cpuSeconds - before) * 1e6) / report.files;
    return { rate: report.files / report.seconds, cpuUs };
  } finally {
    places.remove();
  }
}
