/**
 * `make bench`: the mount against a plain folder of the same filesystem, each workload on both in turn, in one run.
 * Compare the ratios: absolute figures differ from machine to machine and hour to hour. PACSFS_BENCH_DIR says where
 * (default /var/tmp), PACSFS_BENCH_OPTIONS how to mount (`-o`); arguments are parts of the titles of rows, for some of them.
 */
import { join } from 'node:path';
import type { LoadTask, Workload } from './mount/load_member.ts';
import { Places } from './mount/places.ts';
import { type CrewReport, runCrew } from './studies/crew.ts';

const LOAD_MEMBER = join(import.meta.dirname, 'mount', 'load_member.js');
const TIMEOUT_MS = 300_000;

interface Row {
  readonly title: string;
  readonly workload: Workload;
  readonly processes: number;
  readonly files: number;
  readonly writeBytes?: number;
  /** Folder name; rows that work on what another row left name the same. */
  readonly folder: string;
  /** Drop all caches first. */
  readonly isCold?: boolean;
  /** Wait until all is on disk, within the time measured. */
  readonly isSettled?: boolean;
}

const ROWS: readonly Row[] = [
  {
    title: 'write, 16 writers, 64 KiB',
    workload: 'write',
    processes: 16,
    files: 4_000,
    folder: 'w16',
    isSettled: true,
  },
  { title: 'write, 64 writers, 1 MiB', workload: 'write', processes: 64, files: 4_000, folder: 'w64', isSettled: true },
  { title: 'write + fsync each, 16', workload: 'write and fsync', processes: 16, files: 1_600, folder: 'f16' },
  { title: 'read, warm, 4 readers', workload: 'read', processes: 4, files: 1_000, folder: 'w16' },
  { title: 'read, warm again, 4', workload: 'read', processes: 4, files: 1_000, folder: 'w16' },
  { title: 'read, cold, 4 readers', workload: 'read', processes: 4, files: 1_000, folder: 'w16', isCold: true },
  { title: 'create, empty, 4', workload: 'create', processes: 4, files: 20_000, folder: 'c4' },
  { title: 'stat, warm, 4', workload: 'stat', processes: 4, files: 20_000, folder: 'c4' },
  { title: 'stat, cold, 4', workload: 'stat', processes: 4, files: 20_000, folder: 'c4', isCold: true },
  { title: 'unlink, 4', workload: 'unlink', processes: 4, files: 20_000, folder: 'c4' },
];

async function measure(places: Places, row: Row, place: 'plain' | 'mounted'): Promise<number> {
  const root = place === 'plain' ? places.plain : places.mounted;
  const files = Math.floor(row.files / row.processes);
  const tasks = Array.from({ length: row.processes }, (_, part): LoadTask => {
    const folder = join(root, row.folder, `part${part}`);
    const writeBytes = row.writeBytes ?? (row.title.includes('1 MiB') ? 1_048_576 : 65_536);
    return { workload: row.workload, folder, files, seed: part + 1, writeBytes };
  });
  if (row.isCold === true) places.forget();
  const report: CrewReport = await runCrew({ module: LOAD_MEMBER, tasks, concurrency: 1, timeoutMs: TIMEOUT_MS });
  const before = performance.now();
  if (row.isSettled === true) places.settle(place);
  return report.files / (report.seconds + (performance.now() - before) / 1000);
}

function shown(rate: number): string {
  return Math.round(rate).toLocaleString('en-US').padStart(10);
}

/** What one row sent to the daemon, per file. */
function perFile(before: object, after: object, files: number): string {
  const earlier = new Map<string, number>(Object.entries(before));
  return Object.entries(after)
    .map(([name, count]) => ({ name, share: (Number(count) - (earlier.get(name) ?? 0)) / files }))
    .filter(({ share }) => share >= 0.05)
    .map(({ name, share }) => `${name} ${share.toFixed(share < 10 ? 2 : 0)}`)
    .join(', ');
}

async function main(): Promise<void> {
  const parent = process.env['PACSFS_BENCH_DIR'] ?? '/var/tmp';
  const places = new Places(parent);
  try {
    console.log(`Files a second, the mount against a plain folder in ${parent} (PACS mix: mean 420 KB)\n`);
    console.log(
      `${''.padEnd(28)}${'plain'.padStart(10)}${'pacsfs'.padStart(10)}   ratio  daemon CPU ms/file   messages per file`,
    );
    const wanted = process.argv.slice(2);
    for (const row of ROWS) {
      if (wanted.length > 0 && !wanted.some((part) => row.title.includes(part))) continue;
      const plain = await measure(places, row, 'plain');
      const { cpuSeconds } = row.isCold === true ? { cpuSeconds: 0 } : places.costs();
      const messages = row.isCold === true ? {} : places.messages();
      const mounted = await measure(places, row, 'mounted');
      const cpu = ((places.costs().cpuSeconds - cpuSeconds) * 1000) / row.files;
      const sent = perFile(messages, places.messages(), row.files);
      const ratio = (mounted / plain).toFixed(2).padStart(7);
      console.log(
        `${row.title.padEnd(28)}${shown(plain)}${shown(mounted)} ${ratio}  ${cpu.toFixed(2).padStart(18)}   ${sent}`,
      );
    }
    console.log(`\nMemory of the mount's processes: ${Math.round(places.costs().memory / 2 ** 20)} MiB`);
  } finally {
    places.remove();
  }
}

await main();
