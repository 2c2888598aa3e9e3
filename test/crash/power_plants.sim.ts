/** The test of the test: each build that is wrong on purpose is found by power cuts that find nothing in the true one. */
import { describe, expect, test } from 'vitest';
import { PLANTS } from './power_plants.ts';
import { cutPower, SEED, STATE_MS, STATES_A_RUN } from './power_runs.ts';

/** By so many states it must be found: fewer than `make test` checks of the true build. */
const STATES = 1_500;

describe('planted faults are found by power cuts', () => {
  for (const plant of PLANTS)
    test(
      plant.name,
      () => {
        let checked = 0;
        for (let seed = SEED; checked < STATES; seed++) {
          const run = cutPower({ seed, states: Math.min(STATES_A_RUN, STATES - checked), plant });
          checked += run.checked;
          if (run.violation === undefined) continue;
          console.log(`planted: ${plant.name}: found by state ${checked}: ${run.violation.what[0]?.split('\n')[0]}`);
          return;
        }
        expect.unreachable(`Not found in ${checked} states from CRASH_SEED=${SEED} on`);
      },
      60_000 + STATES * STATE_MS,
    );
});
