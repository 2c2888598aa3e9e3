/**
 * A build of pacsfs with a fault planted: dist/ copied, one place in it replaced, and joined anew. Tests of the test and comparisons use
 * it; the product itself has no switch for being wrong. Give `PACSFS_BIN` (or `pacsfsOf`) the path that comes back.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from './mount_harness.ts';

export interface Plant {
  /** Below dist/, e.g. 'fs/kernel/session.js'. */
  readonly file: string;
  /** Must be there exactly once: a plant that no longer fits is an error, not a fault that is not caught. */
  readonly find: string;
  readonly replace: string;
}

/** Makes the build in `folder`, which must not exist; returns its program. */
export function plantedBuild(folder: string, plants: readonly Plant[]): string {
  mkdirSync(join(folder, 'bin'), { recursive: true });
  for (const name of ['dist', 'package.json', 'bin/pacsfs'])
    cpSync(join(CHECKOUT, name), join(folder, name), { recursive: true });
  symlinkSync(join(CHECKOUT, 'node_modules'), join(folder, 'node_modules'));
  for (const { file, find, replace } of plants) {
    const path = join(folder, 'dist', file);
    const parts = readFileSync(path, 'utf8').split(find);
    if (parts.length !== 2)
      throw new Error(`Cannot plant a fault in ${file}: '${find}' found ${parts.length - 1} times, expected once`);
    writeFileSync(path, parts.join(replace));
  }
  execFileSync(process.execPath, [join(CHECKOUT, 'scripts', 'bundle.mjs'), join(folder, 'dist')], { stdio: 'inherit' });
  return join(folder, 'bin', 'pacsfs');
}
