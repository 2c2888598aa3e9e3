/** What the suites of power cuts share: seeds, bounds, and where runs have their folders. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstSeed } from '../support/seed.ts';
import { type PowerOptions, PowerRun } from './power_run.ts';

export const SEED = firstSeed('CRASH_SEED');
/** A run is as many lives as it takes to check so many states; then the next seed begins with an empty store. */
export const STATES_A_RUN = 250;
/** A state may take so long on a machine that has other things to do. */
export const STATE_MS = 1_500;

/** One run in memory, where there is a place for that. */
export function cutPower(options: Omit<PowerOptions, 'folder'>): PowerRun {
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const run = new PowerRun({ ...options, folder: join(parent, `pacsfs-power-${process.pid}`) });
  run.run();
  return run;
}
