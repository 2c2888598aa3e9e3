/** How many flushes 64 writers cost that fsync every file at the same time: one barrier serves all who wait. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Places } from '../mount/places.ts';
import { runCrew } from '../studies/crew.ts';
import type { FsyncTask } from './fsync_member.ts';
import { row } from './table.ts';

const WRITERS = 64;
const FILES = 20;
const FILE_BYTES = 100_000;
const TIMEOUT_MS = 300_000;
const FLUSHES = ['fdatasync', 'fsync', 'sync_file_range'] as const;

export async function flushCounts(folder: string): Promise<void> {
  const places = new Places(folder);
  try {
    const output = join(places.folder, 'strace.txt');
    const tracer = await trace(places.daemonPid(), output);
    const started = performance.now();
    const tasks = Array.from({ length: WRITERS }, (_, writer): FsyncTask => {
      const times = join(places.folder, `times${writer}.json`);
      return { folder: join(places.mounted, `w${writer}`), files: FILES, bytes: FILE_BYTES, output: times };
    });
    const module = join(import.meta.dirname, 'fsync_member.js');
    const report = await runCrew({ module, tasks, concurrency: 1, timeoutMs: TIMEOUT_MS });
    const seconds = (performance.now() - started) / 1000;
    await ended(tracer);
    const calls = countsOf(readFileSync(output, 'utf8'));
    console.log(
      `\n${WRITERS} writers, each fsyncs every of its ${FILES} files of 100 KB (the daemon traced, hence slow)\n`,
    );
    console.log(row(['', 'files', ...FLUSHES, 'seconds']));
    const cells = [report.files, ...FLUSHES.map((name) => calls.get(name) ?? 0)].map(String);
    console.log(row(['pacsfs', ...cells, seconds.toFixed(1)]));
    const flushes = (calls.get('fdatasync') ?? 0) + (calls.get('fsync') ?? 0);
    console.log(`flushes a file: ${(flushes / report.files).toFixed(2)}`);
  } finally {
    places.remove();
  }
}

async function trace(pid: number, output: string): Promise<ChildProcess> {
  execFileSync('strace', ['--version'], { stdio: 'ignore' });
  const args = ['-c', '-f', '-e', `trace=${FLUSHES.join(',')}`, '-o', output, '-p', String(pid)];
  const tracer = spawn('strace', args, { stdio: 'ignore' });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  return tracer;
}

async function ended(tracer: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => tracer.once('exit', resolve));
  tracer.kill('SIGINT');
  await exit;
}

/** Calls by name, from the table that strace -c prints. */
function countsOf(table: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of table.split('\n')) {
    const fields = line.trim().split(/\s+/);
    const name = fields.at(-1) ?? '';
    if (fields.length >= 5 && name !== 'total') counts.set(name, Number(fields[3]));
  }
  return counts;
}
