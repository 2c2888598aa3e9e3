/**
 * How long the fsync of a small file takes while somebody writes a large one as fast as it goes: the mount and the plain
 * filesystem below it in turn, several rounds, so that both see the same hour of the disk.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from '../disk/disk.ts';
import { Places } from '../mount/places.ts';
import { quantile } from '../quantile.ts';
import { runCrew } from '../studies/crew.ts';
import type { FsyncTask, FsyncTimes } from './fsync_member.ts';
import { row } from './table.ts';

const HERE = import.meta.dirname;
const FILE_BYTES = 100_000;
const ROUNDS = 4;
const FILES_A_ROUND = 150;
/** A file that grows for as long as is measured: the writer is as fast as the disk. */
const GROWING_MIB = 12_288;
/** One that is removed and begun anew before the host has written much of it: as fast as memory. */
const CACHED_MIB = 1_024;
const TIMEOUT_MS = 300_000;

interface Measured {
  readonly fsync: number[];
  readonly whole: number[];
  streamed: number;
  seconds: number;
}

export async function fsyncBesideStream(disk: Disk): Promise<void> {
  await besideStream(disk, GROWING_MIB);
  await besideStream(disk, CACHED_MIB);
}

async function besideStream(disk: Disk, streamMib: number): Promise<void> {
  const places = new Places(disk.folder);
  try {
    const found = { plain: empty(), mounted: empty() };
    for (let round = 0; round < ROUNDS; round++)
      for (const place of ['plain', 'mounted'] as const)
        await measure(places, { place, round, streamMib, into: found[place] });
    const what = `one unbounded streaming writer (${streamMib / 1024} GiB, then anew)`;
    console.log(`\nfsync of a new file of 100 KB beside ${what}, on ${disk.name}\n`);
    console.log(row(['', 'fsync p50', 'p90', 'p99', 'max', 'whole p50', 'p99', 'streaming MB/s']));
    for (const [name, at] of [
      ['plain', found.plain],
      ['pacsfs', found.mounted],
    ] as const)
      console.log(
        row([
          name,
          ...[0.5, 0.9, 0.99, 1].map((share) => quantile(at.fsync, share).toFixed(2)),
          ...[0.5, 0.99].map((share) => quantile(at.whole, share).toFixed(2)),
          (at.streamed / at.seconds).toFixed(0),
        ]),
      );
    const ratio = (of: 'fsync' | 'whole'): string =>
      (quantile(found.mounted[of], 0.99) / quantile(found.plain[of], 0.99)).toFixed(2);
    console.log(`ratio of the p99: fsync ${ratio('fsync')}, create to close ${ratio('whole')} (target at most 1.5)`);
  } finally {
    places.remove();
  }
}

async function measure(
  places: Places,
  at: {
    readonly place: 'plain' | 'mounted';
    readonly round: number;
    readonly streamMib: number;
    readonly into: Measured;
  },
): Promise<void> {
  const root = at.place === 'plain' ? places.plain : places.mounted;
  const stream = new Stream(join(root, 'stream'), at.streamMib);
  await stream.ready;
  const output = join(places.folder, 'times.json');
  const folder = join(root, `fsync${at.round}`);
  const task: FsyncTask = { folder, files: FILES_A_ROUND, bytes: FILE_BYTES, output };
  const before = stream.written;
  const started = performance.now();
  await runCrew({ module: join(HERE, 'fsync_member.js'), tasks: [task], concurrency: 1, timeoutMs: TIMEOUT_MS });
  at.into.seconds += (performance.now() - started) / 1000;
  at.into.streamed += stream.written - before;
  await stream.end();
  const times = JSON.parse(readFileSync(output, 'utf8')) as FsyncTimes;
  at.into.fsync.push(...times.fsync);
  at.into.whole.push(...times.whole);
  rmSync(join(root, 'stream'), { force: true });
  places.settle(at.place);
}

function empty(): Measured {
  return { fsync: [], whole: [], streamed: 0, seconds: 0 };
}

class Stream {
  /** MiB so far. */
  written = 0;
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(path: string, mib: number) {
    this.#child = fork(join(HERE, 'stream.js'), [path, String(mib)]);
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    this.ready = new Promise((resolve) => {
      this.#child.on('message', (message) => {
        if (typeof message === 'number') this.written = message;
        // The page cache takes the first of it: what counts begins once the disk is busy.
        else setTimeout(resolve, 1_500);
      });
    });
  }

  end(): Promise<void> {
    this.#child.kill('SIGKILL');
    return this.#ended;
  }
}
