/** A client process: reads small files that are in memory and makes new ones, in turn, and notes how long each takes. */
import fs from 'node:fs';
import { join } from 'node:path';
import { type Amount, serveMember } from '../studies/crew.ts';

export interface LatencyTask {
  /** 'hot': what is described above; 'cold': reads each file of `folder` from `first` on, and nothing else. */
  readonly kind: 'hot' | 'cold';
  readonly folder: string;
  /** Names of its files are numbers below this. */
  readonly files: number;
  readonly first: number;
  readonly seconds: number;
  /** Where new files go. */
  readonly made: string;
  /** Where the times go, outside of what is measured. */
  readonly output: string;
}

/** Milliseconds. */
export interface Latencies {
  readonly firstByte: readonly number[];
  readonly read: readonly number[];
  readonly create: readonly number[];
}

const BUFFER = Buffer.alloc(1_000_000);
const SMALL = Buffer.alloc(1_000, 0x5a);

function hot(task: LatencyTask): Latencies {
  const times = { firstByte: [] as number[], read: [] as number[], create: [] as number[] };
  fs.mkdirSync(task.made, { recursive: true });
  const end = performance.now() + task.seconds * 1000;
  for (let index = 0; performance.now() < end; index++) {
    const start = performance.now();
    let fd = fs.openSync(join(task.folder, String(index % task.files)), 'r');
    fs.readSync(fd, BUFFER, 0, 4096, 0);
    times.firstByte.push(performance.now() - start);
    fs.readSync(fd, BUFFER, 0, BUFFER.length, 0);
    fs.closeSync(fd);
    const read = performance.now();
    times.read.push(read - start);
    fd = fs.openSync(join(task.made, String(index)), 'wx', 0o644);
    fs.writeSync(fd, SMALL);
    fs.closeSync(fd);
    times.create.push(performance.now() - read);
  }
  return times;
}

function cold(task: LatencyTask): number {
  const end = performance.now() + task.seconds * 1000;
  let index = task.first;
  for (; index < task.files && performance.now() < end; index++) {
    const fd = fs.openSync(join(task.folder, String(index)), 'r');
    fs.readSync(fd, BUFFER, 0, BUFFER.length, 0);
    fs.closeSync(fd);
  }
  return index - task.first;
}

function perform(task: LatencyTask): Amount {
  if (task.kind === 'cold') return { files: cold(task), bytes: 0 };
  const times = hot(task);
  fs.writeFileSync(task.output, JSON.stringify(times));
  return { files: times.read.length, bytes: 0 };
}

if (process.send !== undefined) serveMember<LatencyTask>((task) => async () => perform(task));
