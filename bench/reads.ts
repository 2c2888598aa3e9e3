/**
 * `make bench-reads`: what reads from a slow disk (one that takes 50 ms for each) do to those who read what is in memory, and
 * to those who make files. PACSFS_BENCH_DIR says where (default /var/tmp).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TEST_HOOKS, TEST_READ_DELAY } from '../mountd/messages.ts';
import { Places } from './mount/places.ts';
import type { Latencies, LatencyTask } from './reads/latency_member.ts';
import { runCrew } from './studies/crew.ts';

const MEMBER = join(import.meta.dirname, 'reads', 'latency_member.js');
const DELAY_MS = 50;
const ROUNDS = 5;
const SECONDS = 3;
const HOT_FILES = 100;
/** Each is read once. */
const COLD_FILES = 400;
const COLD_READERS = 4;
const FILE = Buffer.alloc(100_000, 0xa5);

function at(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** One reader each to a folder of its own, so that nothing is fetched ahead; one process that waits for no disk. */
async function round(places: Places, number: number, isSlow: boolean): Promise<{ times: Latencies; cold: number }> {
  const output = join(places.folder, 'times.json');
  const common = { seconds: SECONDS, output, made: join(places.mounted, `made${number}${isSlow}`) };
  const hot: LatencyTask = { kind: 'hot', folder: join(places.mounted, 'hot'), files: HOT_FILES, first: 0, ...common };
  const first = (COLD_FILES / ROUNDS) * number;
  const cold = Array.from({ length: isSlow ? COLD_READERS : 0 }, (_, reader): LatencyTask => {
    return { kind: 'cold', folder: join(places.mounted, `cold${reader}`), files: COLD_FILES, first, ...common };
  });
  const report = await runCrew({ module: MEMBER, tasks: [hot, ...cold], concurrency: 1, timeoutMs: 60_000 });
  const times = JSON.parse(readFileSync(output, 'utf8')) as Latencies;
  return { times, cold: report.files - times.read.length };
}

/** Made before the delay is there, read by nobody but for the hot ones. */
function make(places: Places): void {
  for (const [folder, files] of [
    ['hot', HOT_FILES],
    ...Array.from({ length: COLD_READERS }, (_, reader) => [`cold${reader}`, COLD_FILES] as const),
  ] as const) {
    mkdirSync(join(places.mounted, folder));
    for (let index = 0; index < files; index++) writeFileSync(join(places.mounted, folder, String(index)), FILE);
  }
  places.settle('mounted');
  for (let index = 0; index < 2 * HOT_FILES; index++)
    readFileSync(join(places.mounted, 'hot', String(index % HOT_FILES)));
}

async function main(): Promise<void> {
  process.env[TEST_HOOKS] = '1';
  process.env[TEST_READ_DELAY] = String(DELAY_MS);
  const places = new Places(process.env['PACSFS_BENCH_DIR'] ?? '/var/tmp');
  try {
    make(places);
    const found = { alone: [] as Latencies[], beside: [] as Latencies[] };
    let cold = 0;
    for (let number = 0; number < ROUNDS; number++) {
      found.alone.push((await round(places, number, false)).times);
      const beside = await round(places, number, true);
      found.beside.push(beside.times);
      cold += beside.cold;
    }
    console.log(`Milliseconds, alone and beside ${COLD_READERS} readers of a disk that takes ${DELAY_MS} ms a read`);
    console.log(`(${cold} of those in ${ROUNDS} rounds of ${SECONDS} s; medians of the rounds)\n`);
    for (const kind of ['firstByte', 'read', 'create'] as const) {
      const median = (rounds: readonly Latencies[], share: number) => {
        const values = rounds.map((times) => at(times[kind], share)).sort((a, b) => a - b);
        return values[Math.floor(values.length / 2)] ?? 0;
      };
      const [alone, beside] = [median(found.alone, 0.99), median(found.beside, 0.99)];
      const halves = `p50 ${median(found.alone, 0.5).toFixed(2)} ${median(found.beside, 0.5).toFixed(2)}`;
      console.log(
        `${kind.padEnd(10)} ${halves}   p99 ${alone.toFixed(2)} ${beside.toFixed(2)}   ratio ${(beside / alone).toFixed(2)}`,
      );
    }
  } finally {
    places.remove();
  }
}

await main();
