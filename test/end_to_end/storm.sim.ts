/** Eight processes at random on the same names while files are packed under them; the seed is printed. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { SCRIPTS, unmountedFaults } from '../support/scripts.ts';
import { firstSeed } from '../support/seed.ts';

const SECONDS = 12;

describe('a storm of processes on a few names', () => {
  const seed = String(firstSeed('PACSFS_SEED'));
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create();
  });
  afterEach(async () => {
    await store.destroy();
  });

  it(`breaks nothing (seed ${seed})`, { timeout: 120_000 }, async () => {
    console.info(`storm: PACSFS_SEED=${seed}`);
    const storm = store.shell(`python3 -B ${join(SCRIPTS, 'storm.py')} storm ${SECONDS} ${seed}`, {
      timeoutMs: 90_000,
    });
    const syncs = (async () => {
      for (let round = 0; round < SECONDS / 2; round++) {
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        await store.sync({ packed: false });
      }
    })();
    const [output] = await Promise.all([storm, syncs]);
    expect((JSON.parse(output) as { operations: number }).operations).toBeGreaterThan(500);
    await store.sync();
    expect(await unmountedFaults(store)).toBe('');
  });
});
