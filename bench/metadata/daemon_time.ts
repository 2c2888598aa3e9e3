/**
 * How long the daemon takes for a request under load, commits, checkpoints, barriers and splits included; and how long the
 * logs of the databases get. PACSFS_BENCH_SECONDS: of each load, default 30, of the row `wal` 600.
 */
import { appendFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DurationSummary } from '../../base/durations.ts';
import { runCrew } from '../studies/crew.ts';
import type { ChurnTask } from './churn_member.ts';
import { atMost, type Figure, mebibytes, milliseconds, whole } from './figures.ts';
import { type Mount, pacsfs, sleep, type Workbench } from './workbench.ts';

const MEMBER = join(import.meta.dirname, 'churn_member.js');
const CLIENTS = 16;
const WANTED_MS = 5;
const LOOK_MS = 500;
const WAL_LIMIT = 4 * 2 ** 20;

interface Load {
  readonly what: string;
  readonly bytes: number;
  readonly keep: number;
  /** All clients in one directory, which splits and merges all the time, or each in its own. */
  readonly isShared: boolean;
}

const LOADS: readonly Load[] = [
  { what: 'empty files, 16 directories', bytes: 0, keep: 500, isShared: false },
  { what: 'empty files, one directory that splits', bytes: 0, keep: 2_000, isShared: true },
  { what: '300 KB files, 16 directories', bytes: 300_000, keep: 20, isShared: false },
];

function secondsOr(standard: number): number {
  return Number(process.env['PACSFS_BENCH_SECONDS'] ?? standard);
}

interface Times {
  readonly serving: DurationSummary;
  readonly puttingOff: DurationSummary;
  readonly between: DurationSummary;
}

async function churn(mount: Mount, load: Omit<Load, 'what'>, seconds: number): Promise<number> {
  const { bytes, keep, isShared } = load;
  const tasks = Array.from({ length: CLIENTS }, (_, part): ChurnTask => {
    return { folder: join(mount.mountPoint, isShared ? 'all' : `part${part}`), part, seconds, bytes, keep };
  });
  const report = await runCrew({ module: MEMBER, tasks, concurrency: 1, timeoutMs: (seconds + 120) * 1000 });
  return report.files / report.seconds;
}

/** A row of `make bench-metadata`. */
export async function daemonTime(bench: Workbench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [index, load] of LOADS.entries()) {
    const store = join(bench.folder, `time-${index}`);
    pacsfs(['format', store]);
    if (load.isShared) appendFileSync(join(store, 'store.yaml'), 'options:\n  splitAt: 2000\n');
    const mount = bench.mount(store);
    try {
      const rate = await churn(mount, load, secondsOr(30));
      figures.push(...timesOf(load, mount.status() as unknown as { readonly times: Times }, rate));
    } finally {
      mount.unmount();
      bench.drop(store);
    }
  }
  return figures;
}

function timesOf({ what }: Load, { times }: { readonly times: Times }, rate: number): Figure[] {
  const row = 'daemon-time';
  const { serving, between, puttingOff } = times;
  const shown = ({ count, p50, p99, p999, longest }: DurationSummary) =>
    `${[p50, p99, p999, longest].map(milliseconds).join(', ')} (${whole(count)})`;
  return [
    { row, what: `${what}: creates a second`, found: whole(rate) },
    atMost(WANTED_MS, {
      row,
      what: `${what}: a request, 99.99th percentile`,
      found: serving.p9999,
      show: milliseconds,
    }),
    { row, what: '  median, 99th, 99.9th, longest (number)', found: shown(serving) },
    { row, what: '  between two looks at requests: the same', found: shown(between) },
    ...(puttingOff.count === 0 ? [] : [{ row, what: '  answered later: the same', found: shown(puttingOff) }]),
  ];
}

/** A row of `make bench-metadata`. */
export async function walBound(bench: Workbench): Promise<Figure[]> {
  const row = 'wal';
  const store = join(bench.folder, 'wal');
  pacsfs(['format', store]);
  const mount = bench.mount(store);
  const seconds = secondsOr(600);
  try {
    let longest = 0;
    let isDone = false;
    const watching = (async () => {
      while (!isDone) {
        longest = Math.max(longest, ...logsOf(store));
        await sleep(LOOK_MS);
      }
    })();
    const rate = await churn(mount, { bytes: 0, keep: Number.MAX_SAFE_INTEGER, isShared: false }, seconds).finally(
      () => {
        isDone = true;
      },
    );
    await watching;
    return [
      { row, what: `creates a second, ${seconds} s, 16 clients`, found: whole(rate) },
      atMost(WAL_LIMIT, { row, what: 'longest log of a database (walLimit)', found: longest, show: mebibytes }),
    ];
  } finally {
    mount.unmount();
    bench.drop(store);
  }
}

/** Bytes of the databases' logs, as files. */
function logsOf(store: string): number[] {
  const folder = join(store, 'meta');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('-wal')).map((name) => statSync(join(folder, name)).size);
}
