/** One client process of the mount benchmark: does its share of one workload with plain system calls. */
import fs from 'node:fs';
import { join } from 'node:path';
import { type Amount, serveMember } from '../studies/crew.ts';

export type Workload = 'write' | 'write and fsync' | 'read' | 'create' | 'stat' | 'unlink';

export interface LoadTask {
  readonly workload: Workload;
  /** Folder of this process; it makes it for the writing workloads. */
  readonly folder: string;
  readonly files: number;
  /** Sizes are drawn from this seed: 63 % of 200 to 300 KB, the others to 1 MB. */
  readonly seed: number;
  readonly writeBytes: number;
}

const LARGEST = 1_000_000;

/** Sizes of a CT-like series; the same seed gives the same sizes. Mean about 420 KB. */
export function sizesOf(seed: number, count: number): number[] {
  let state = seed >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return Array.from({ length: count }, () =>
    Math.floor(next() < 0.63 ? 200_000 + next() * 100_000 : 300_000 + next() * (LARGEST - 300_000)),
  );
}

function nameOf(index: number): string {
  return `1.2.840.113619.2.55.3.604688119.971.${String(index).padStart(6, '0')}.dcm`;
}

function perform(task: LoadTask): Amount {
  let bytes = 0;
  if (task.workload === 'write' || task.workload === 'create' || task.workload === 'write and fsync') {
    fs.mkdirSync(task.folder, { recursive: true });
  }
  const buffer = Buffer.alloc(LARGEST, 0x5a);
  const sizes = sizesOf(task.seed, task.files);
  for (let index = 0; index < task.files; index++) {
    const path = join(task.folder, nameOf(index));
    buffer.writeUInt32LE(index, 0);
    bytes += one(task, path, buffer, sizes[index] ?? 0);
  }
  return { files: task.files, bytes };
}

/** Does one file and returns the bytes that were moved. */
function one(task: LoadTask, path: string, buffer: Buffer, size: number): number {
  switch (task.workload) {
    case 'write':
    case 'write and fsync': {
      const fd = fs.openSync(path, 'wx', 0o644);
      for (let at = 0; at < size; at += task.writeBytes) {
        fs.writeSync(fd, buffer, at, Math.min(task.writeBytes, size - at));
      }
      if (task.workload === 'write and fsync') fs.fsyncSync(fd);
      fs.closeSync(fd);
      return size;
    }
    case 'read': {
      const fd = fs.openSync(path, 'r');
      let total = 0;
      for (let count = 1; count > 0; total += count) count = fs.readSync(fd, buffer, 0, LARGEST, null);
      fs.closeSync(fd);
      return total;
    }
    case 'create':
      fs.closeSync(fs.openSync(path, 'wx', 0o644));
      return 0;
    case 'stat':
      fs.lstatSync(path);
      return 0;
    case 'unlink':
      fs.unlinkSync(path);
      return 0;
  }
}

if (process.send !== undefined) serveMember<LoadTask>((task) => async () => perform(task));
