/** A virtual machine's disk: an image with ext4 on the place, attached as a loop device, and files on that. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { attachImage, makeImage } from '../disk/disk.ts';
import type { Job } from '../load/load_program.ts';
import { sync } from '../mount/place.ts';
import { dropCaches } from '../mount/places.ts';
import type { Row } from '../report/judge.ts';
import { nameOf, type Turn } from '../run/turn.ts';
import type { Stage, Workload } from '../run/workload.ts';
import { sizesOf } from '../studies/sizes.ts';

const GIB = 2 ** 30;
const BYTES = 3 * GIB;
const SHARE = 0.35;
const LARGE_SHARE = 0.3;
const WRITERS = 16;
const FILES = 1_600;
const MB = 1e6;
const RANDOM_READS = 10_000;
const RANDOM_BLOCK = 4_096;

const FIGURES = {
  files: 'virtual disk: 16 writers',
  fsync: 'virtual disk: 16 writers, fsync',
  filesCold: 'virtual disk: files read cold, 4 readers',
  write: 'virtual disk: large file, write',
  readCold: 'virtual disk: large file, read cold',
  random: 'virtual disk: 4 KiB random cold',
} as const;

function jobsIn(turn: Turn, root: string, name: string): Job[] {
  const each = turn.files(FILES, WRITERS) / WRITERS;
  return Array.from({ length: WRITERS }, (_, thread) => {
    const folder = join(root, name, `${thread}`);
    mkdirSync(folder, { recursive: true });
    return sizesOf(thread + 1, each).map((size, at): Job => ({ thread, size, path: join(folder, nameOf(at)) }));
  }).flat();
}

/** Until the virtual disk's filesystem and the one below it have everything. */
function settledRate(turn: Turn, root: string, of: { jobs: Job[]; fsync?: boolean }): { files: number; bytes: number } {
  const { files, bytes, seconds } = turn.run({ act: 'write', jobs: of.jobs, fsync: of.fsync ?? false });
  const start = performance.now();
  sync(root);
  turn.place.settle();
  const all = seconds + (performance.now() - start) / 1000;
  return { files: files / all, bytes: bytes / all / MB };
}

function measure(turn: Turn, root: string, imageBytes: number): Record<string, number> {
  const jobs = jobsIn(turn, root, 'files');
  const files = settledRate(turn, root, { jobs }).files;
  const fsync = settledRate(turn, root, { jobs: jobsIn(turn, root, 'synced'), fsync: true }).files;
  const size = Math.floor(Math.min(imageBytes * LARGE_SHARE, GIB * turn.machine.scale) / RANDOM_BLOCK) * RANDOM_BLOCK;
  const large = { path: join(root, 'large'), size };
  const write = settledRate(turn, root, { jobs: [large] }).bytes;
  dropCaches(root);
  const reading = jobs.map((job): Job => ({ ...job, thread: (job.thread ?? 0) % 4 }));
  const filesCold = turn.run({ act: 'read', jobs: reading });
  dropCaches(root);
  const random = { ...large, size: turn.files(RANDOM_READS) * RANDOM_BLOCK };
  const scattered = turn.run({ act: 'scatter', jobs: [random], block: RANDOM_BLOCK });
  dropCaches(root);
  const cold = turn.run({ act: 'read', jobs: [large] });
  return {
    [FIGURES.files]: files,
    [FIGURES.fsync]: fsync,
    [FIGURES.filesCold]: filesCold.files / filesCold.seconds,
    [FIGURES.write]: write,
    [FIGURES.readCold]: cold.bytes / cold.seconds / MB,
    [FIGURES.random]: scattered.bytes / RANDOM_BLOCK / scattered.seconds,
  };
}

const stage: Stage = {
  name: 'virtual disk',
  run: (turn) => {
    const folder = turn.folder('virtual');
    const bytes = Math.max(turn.bytes(BYTES, SHARE), GIB / 4);
    const image = makeImage(join(folder, 'image'), { mib: bytes / 2 ** 20, kind: 'ext4' });
    turn.place.settle();
    // The mount point is not on the place: it would keep that from being unmounted.
    const disk = attachImage(image, { mountPoint: turn.machine.scratch('virtual'), isDirect: false });
    let figures: Record<string, number>;
    try {
      figures = measure(turn, disk.folder, bytes);
    } finally {
      disk.detach();
    }
    turn.remove('virtual');
    return figures;
  },
};

const UNITS: Readonly<Record<string, string>> = {
  [FIGURES.write]: 'MB/s',
  [FIGURES.readCold]: 'MB/s',
  [FIGURES.random]: 'reads/s',
};

export const virtualDiskWorkload: Workload = {
  name: 'virtual-disk',
  what: 'an ext4 image on the mount, attached by losetup, against the same image on the filesystem below',
  gib: 10,
  stages: [stage],
  rows: Object.values(FIGURES).map((figure): Row => {
    return { title: figure, figure, unit: UNITS[figure] ?? 'files/s', against: 'plain', wanted: 'at least' };
  }),
};
