/** A client process that makes small files, each durable before the next: times of every part go to a file as JSON. */
import fs from 'node:fs';
import { join } from 'node:path';
import { type Amount, serveMember } from '../studies/crew.ts';

export interface FsyncTask {
  readonly folder: string;
  readonly files: number;
  readonly bytes: number;
  /** Where the times go, outside of what is measured. */
  readonly output: string;
}

/** Milliseconds, one of each for every file. */
export interface FsyncTimes {
  readonly fsync: readonly number[];
  /** Create, write, fsync, close. */
  readonly whole: readonly number[];
}

function perform(task: FsyncTask): Amount {
  fs.mkdirSync(task.folder, { recursive: true });
  const data = Buffer.alloc(task.bytes, 0xa5);
  const times: { fsync: number[]; whole: number[] } = { fsync: [], whole: [] };
  for (let index = 0; index < task.files; index++) {
    data.writeUInt32LE(index, 0);
    const start = performance.now();
    const fd = fs.openSync(join(task.folder, `f${index}`), 'wx', 0o644);
    fs.writeSync(fd, data);
    const before = performance.now();
    fs.fsyncSync(fd);
    times.fsync.push(performance.now() - before);
    fs.closeSync(fd);
    times.whole.push(performance.now() - start);
  }
  fs.writeFileSync(task.output, JSON.stringify(times));
  return { files: task.files, bytes: task.files * task.bytes };
}

if (process.send !== undefined) serveMember<FsyncTask>((task) => async () => perform(task));
