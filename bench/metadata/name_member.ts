/**
 * A client of one directory: does one kind of call on many names and tells how long they took. It lives as long as its
 * parent wants; see name_user.ts.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { mknod } from '../../base/libc.ts';
import { FileNames } from '../populate/names.ts';

export interface NameTask {
  readonly directory: string;
  readonly nameBytes: number;
}

/**
 * stat: lstat(2). create: open(2) with O_CREAT and O_EXCL, close(2). make: mknod(2) of a regular file, which needs no own
 * file. unlink: unlink(2). settle: fsync(2) of the directory, so that nothing is left to do of what came before.
 */
export type NameAct = 'stat' | 'create' | 'make' | 'unlink' | 'settle';

export interface NameStep {
  readonly act: NameAct;
  readonly numbers: readonly number[];
}

export interface NameReport {
  readonly microseconds: number;
  /** What the first call that failed said. */
  readonly failure?: string;
}

const MODE = 0o100644;

function act(kind: NameAct, path: string): void {
  switch (kind) {
    case 'stat':
      fs.lstatSync(path);
      return;
    case 'create':
      fs.closeSync(fs.openSync(path, 'wx', 0o644));
      return;
    case 'make':
      check(mknod(path, MODE));
      return;
    case 'unlink':
      fs.unlinkSync(path);
      return;
    case 'settle': {
      const fd = fs.openSync(path, 'r');
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    }
  }
}

function check(outcome: number): void {
  if (outcome < 0) throw new Error(`mknod fails: errno ${-outcome}`);
}

function perform({ directory, nameBytes }: NameTask, step: NameStep): NameReport {
  const names = new FileNames(nameBytes);
  const paths =
    step.act === 'settle' ? [directory] : step.numbers.map((number) => join(directory, names.textOf(number)));
  const start = process.hrtime.bigint();
  try {
    for (const path of paths) act(step.act, path);
  } catch (thrown) {
    return { microseconds: Number.NaN, failure: String(thrown) };
  }
  return { microseconds: Number(process.hrtime.bigint() - start) / 1000 };
}

const task = process.argv[2];
if (process.send !== undefined && task !== undefined) {
  const parsed = JSON.parse(task) as NameTask;
  process.on('message', (step: NameStep) => process.send?.(perform(parsed, step)));
  process.once('disconnect', () => process.exit());
}
