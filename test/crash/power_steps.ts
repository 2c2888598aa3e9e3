/** What a program of a simulation does, and how often in proportion. */
import { O_RDWR, O_WRONLY } from '../support/loose_user.ts';

/** Of open(2): writes return once they are durable. */
export const O_DSYNC = 0o10000;

/** Whether writes by such a handle, and its name, are durable when they are answered. */
export function isSynchronous(flags: number): boolean {
  return (flags & O_DSYNC) !== 0 && (flags & (O_WRONLY | O_RDWR)) !== 0;
}

export const STEPS = [
  ['create', 12],
  ['write', 10],
  ['append', 5],
  ['rewrite', 4],
  ['touch up', 3],
  ['empty', 2],
  ['truncate', 5],
  ['close', 5],
  ['read', 3],
  ['fsync', 6],
  ['fsync of an open file', 7],
  ['fsync of new files', 8],
  ['fsync of a directory', 2],
  ['sync', 1],
  ['rename', 5],
  ['publish', 3],
  ['link', 3],
  ['unlink', 6],
  ['mkdir', 2],
  ['rmdir', 1],
  ['symlink', 2],
  ['copy', 3],
  ['attributes', 5],
  ['xattr', 4],
  ['tick', 10],
  ['split', 6],
  ['crowd', 4],
  ['work', 8],
  ['pack', 1],
  ['compact', 3],
  ['migrate', 3],
  ['kill', 1],
  ['replace', 1],
  ['more shards', 1],
  ['move slots', 6],
] as const;

export type Step = (typeof STEPS)[number][0];
