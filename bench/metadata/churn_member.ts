/**
 * A client that makes files for some seconds, as fast as it can, and unlinks the oldest of them once it has made so many:
 * see daemon_time.ts.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { type Amount, serveMember } from '../studies/crew.ts';

export interface ChurnTask {
  readonly folder: string;
  /** Names of several clients in one folder differ by it. */
  readonly part: number;
  readonly seconds: number;
  /** Of each file. */
  readonly bytes: number;
  /** Files that are there at a time; the others go. */
  readonly keep: number;
}

const WRITE_BYTES = 65_536;

function perform({ folder, part, seconds, bytes, keep }: ChurnTask): Amount {
  fs.mkdirSync(folder, { recursive: true });
  const buffer = Buffer.alloc(WRITE_BYTES, 0x5a);
  const endMs = performance.now() + seconds * 1000;
  const pathOf = (index: number) => join(folder, `1.2.840.113619.2.55.3.${part}.${index}.dcm`);
  let made = 0;
  for (; performance.now() < endMs; made++) {
    const fd = fs.openSync(pathOf(made), 'wx', 0o644);
    for (let at = 0; at < bytes; at += WRITE_BYTES) fs.writeSync(fd, buffer, 0, Math.min(WRITE_BYTES, bytes - at));
    fs.closeSync(fd);
    if (made >= keep) fs.unlinkSync(pathOf(made - keep));
  }
  return { files: made, bytes: made * bytes };
}

if (process.send !== undefined) serveMember<ChurnTask>((task) => async () => perform(task));
