/**
 * Simulated power cuts: see `power_run.ts` for how states are made and `power_check.ts` for what holds in each. `make test`
 * checks some thousand, `make crash` as many as it is told (CRASH_STATES), from CRASH_SEED on.
 */
import { expect, test } from 'vitest';
import { LooseFilesystem } from '../support/loose_filesystem.ts';
import { cutPower, SEED, STATE_MS, STATES_A_RUN } from './power_runs.ts';

const STATES = Number(process.env['CRASH_STATES'] ?? 2_000);

test(
  `${STATES} power cuts from CRASH_SEED=${SEED} on: a prefix of what was done, all that was promised, no damage`,
  () => {
    const cuts = new Map<string, number>();
    const did = new Map<string, number>();
    const start = Date.now();
    let checked = 0;
    let lives = 0;
    let inRecovery = 0;
    let inSplit = 0;
    for (let seed = SEED; checked < STATES; seed++) {
      const run = cutPower({ seed, states: Math.min(STATES_A_RUN, STATES - checked) });
      checked += run.checked;
      lives += run.lives;
      inRecovery += run.inRecovery;
      inSplit += run.inSplit;
      addUp(cuts, run.cuts);
      addUp(did, run.did);
      expect(run.violation, `CRASH_SEED=${seed}`).toBeUndefined();
      if (checked % 1_000 > 0 && checked < STATES) continue;
      const rate = (checked * 1000) / (Date.now() - start);
      console.log(`power cuts: ${checked} states in ${lives} lives, 0 violations, ${rate.toFixed(0)} a second`);
    }
    console.log(
      `power cuts in a recovery from a power cut: ${inRecovery}, in a split or merge: ${inSplit}; at: ${table(cuts)}; programs did: ${table(did)}`,
    );
    const { held, refused } = LooseFilesystem.claims;
    console.log(`claims read: ${held} held, ${refused} refused`);
    expect(STATES < STATES_A_RUN || (held > STATES / 100 && refused > STATES / 250)).toBe(true);
    expect(STATES < STATES_A_RUN || inSplit > STATES / 50).toBe(true);
    for (const what of ['write', 'flush', 'commit', 'checkpoint', 'unlink', 'create'])
      expect([what, STATES < STATES_A_RUN || cuts.has(what)]).toEqual([what, true]);
  },
  60_000 + STATES * STATE_MS,
);

function addUp(sum: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [what, count] of counts) sum.set(what, (sum.get(what) ?? 0) + count);
}

function table(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([what, count]) => `${what} ${count}`).join(', ');
}
