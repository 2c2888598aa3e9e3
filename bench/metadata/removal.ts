/** `rm -r` of a directory of a million files: whether its rate stays what it was; and rmdir of one that once was huge. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Figure, milliseconds, whole } from './figures.ts';
import { type Mount, sleep, type Workbench } from './workbench.ts';

const FILES = 1_000_000;
const NAME_BYTES = 64;
const SAMPLE_MS = 500;
const REMOVE_MS = 3_600_000;
const COMMAND_MS = 60_000;
const PARTS = 10;
/** What the slowest tenth may have of the rate of the whole. */
const STEADY = 0.5;
const RMDIR_MS = 50;

interface Sample {
  readonly ms: number;
  readonly left: number;
}

export async function removal(bench: Workbench): Promise<Figure[]> {
  const store = bench.store({ files: FILES, nameBytes: NAME_BYTES, empty: true });
  const mount = bench.mount(store);
  try {
    return await removed(mount);
  } finally {
    mount.unmount();
    bench.drop(store);
  }
}

async function removed(mount: Mount): Promise<Figure[]> {
  const row = 'rm';
  const samples = await removeAll(mount);
  const last = samples.at(-1) ?? { ms: 0, left: 0 };
  const rates = tenths(samples);
  const whole_ = FILES / (last.ms / 1000);
  const start = performance.now();
  rmdirSync(mount.directory);
  const rmdirMs = performance.now() - start;
  const slowest = Math.min(...rates) / whole_;
  return [
    { row, what: `rm -r of ${whole(FILES)} files`, found: `${whole(last.ms / 1000)} s, ${whole(whole_)} files/s` },
    { row, what: 'files/s in each tenth', found: rates.map((rate) => whole(rate)).join(' ') },
    {
      row,
      what: 'slowest tenth against the whole',
      found: `${slowest.toFixed(2)} times`,
      wanted: `at least ${STEADY}`,
      met: slowest >= STEADY,
    },
    {
      row,
      what: 'rmdir of the directory after it',
      found: milliseconds(rmdirMs),
      wanted: `under ${milliseconds(RMDIR_MS)}`,
      met: rmdirMs < RMDIR_MS,
    },
  ];
}

/** How many are left as time goes on; the directory itself stays, because something is mounted in it. */
async function removeAll({ directory }: Mount): Promise<Sample[]> {
  const kept = join(directory, 'kept');
  const call = (command: string, ...args: string[]) => execFileSync(command, args, { timeout: COMMAND_MS });
  mkdirSync(kept);
  call('mount', '--bind', kept, kept);
  const samples: Sample[] = [];
  try {
    const entryBytes = (await stat(directory)).size / (FILES + 1);
    const start = performance.now();
    let isRunning = true;
    const child = spawn('rm', ['-r', directory], { timeout: REMOVE_MS, stdio: 'ignore' });
    const ended = new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve());
    }).finally(() => {
      isRunning = false;
    });
    while (isRunning) {
      const left = Math.max(0, Math.round((await stat(directory)).size / entryBytes) - 1);
      samples.push({ ms: performance.now() - start, left });
      await Promise.race([ended, sleep(SAMPLE_MS)]);
    }
    await ended;
    samples.push({ ms: performance.now() - start, left: 0 });
  } finally {
    call('umount', kept);
  }
  rmdirSync(kept);
  return samples;
}

/** Files a second while each tenth of them went, between the samples that are nearest. */
function tenths(samples: readonly Sample[]): number[] {
  const at = (left: number): Sample => samples.find((sample) => sample.left <= left) ?? { ms: 0, left };
  return Array.from({ length: PARTS }, (_, part) => {
    const from = at(FILES - (FILES * part) / PARTS);
    const to = at(FILES - (FILES * (part + 1)) / PARTS);
    return (from.left - to.left) / ((to.ms - from.ms) / 1000);
  });
}
