/**
 * A hundred thousand random operations on the mount and on a model of it, with a remount between phases. The seed is
 * printed; PACSFS_SEED=... repeats the same operations (what the daemon packs when is its own affair).
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PhaseOptions, PhaseResult } from '../support/model/run.ts';
import { CHECKOUT, PACSFS, TestStore } from '../support/mount_harness.ts';
import { unmountedFaults } from '../support/scripts.ts';
import { firstSeed } from '../support/seed.ts';

const PHASES = 5;
const OPERATIONS_PER_PHASE = 20_000;
const PACK_EVERY = 2_500;
const AGENT = join(CHECKOUT, 'dist', 'test', 'support', 'model', 'agent.js');

describe('random operations', () => {
  const seed = String(firstSeed('PACSFS_SEED'));
  let store: TestStore;
  beforeAll(async () => {
    store = await TestStore.create({ mounted: false });
    // Low enough that some files of the run are too large to be packed.
    appendFileSync(join(store.path, 'store.yaml'), 'options:\n  packBelow: 512 KiB\n');
    await store.mount();
  });
  afterAll(async () => {
    await store.destroy();
  });

  it(`do on the mount what they do in memory (seed ${seed})`, { timeout: 600_000 }, async () => {
    console.info(`random operations: PACSFS_SEED=${seed}`);
    const counts = new Map<string, number>();
    for (let phase = 0; phase < PHASES; phase++) {
      if (phase > 0) await store.remount();
      const result = await runAgent({ phase, operations: OPERATIONS_PER_PHASE });
      expect(result, `phase ${phase} of seed ${seed}`).toMatchObject({ difference: null });
      expect(result.operations).toBe(OPERATIONS_PER_PHASE);
      for (const [kind, count] of Object.entries(result.counts)) counts.set(kind, (counts.get(kind) ?? 0) + count);
    }
    for (const kind of [
      'file in layout packed',
      'file in layout own',
      'write',
      'append',
      'read',
      'truncate',
      'store',
      'load',
      'punch',
      'copy',
      'pack',
    ]) {
      expect(counts.get(kind) ?? 0, `operations of the kind '${kind}'`).toBeGreaterThan(30);
    }
    await store.remount();
    expect(await runAgent({ phase: PHASES, operations: 0 })).toMatchObject({ difference: null });
    expect(await unmountedFaults(store)).toBe('');
  });

  async function runAgent(run: { readonly phase: number; readonly operations: number }): Promise<PhaseResult> {
    const options: PhaseOptions = {
      root: store.mountPoint,
      seed: `${seed}/${run.phase}`,
      operations: run.operations,
      state: join(store.folder, 'model'),
      first: run.phase === 0,
      pack: [process.execPath, PACSFS, 'sync', '--packed', store.mountPoint],
      packEvery: PACK_EVERY,
    };
    // Not from inside the mount: a working directory there would keep it busy.
    const result = await store.run(process.execPath, [AGENT, JSON.stringify(options)], {
      cwd: store.folder,
      timeoutMs: 240_000,
    });
    if (result.code !== 0) throw new Error(`The agent ended with ${result.code}: ${result.stderr.slice(-3_000)}`);
    return JSON.parse(result.stdout) as PhaseResult;
  }
});
