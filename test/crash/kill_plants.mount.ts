/**
 * Tests of the kill test: a daemon that dies at the worst moment, between the record of a change and its answer, is
 * replaced without anybody noticing; one whose look-up of what was executed has been taken out is caught.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { type Plant, plantedBuild } from '../support/planted_build.ts';
import { firstSeed } from '../support/seed.ts';
import { KillLoad, verify } from './kill_load.ts';

const SEED = firstSeed('CRASH_SEED');
const OPTIONS = { seed: SEED, ends: false, pauseMs: 15 };
/** Changes that a daemon carries out before it dies of the next one. */
const CHANGES = 120;
const DEATHS = 8;
const DEADLINE_MS = 60_000;

const DIES_BEFORE_ANSWERING: Plant = {
  file: 'fs/kernel/dispatch.js',
  find: 'return exchange.finish(handleOnce(exchange, row.handle, row.again));',
  replace: `const answer = handleOnce(exchange, row.handle, row.again);
    globalThis.changes = (globalThis.changes ?? 0) + 1;
    if (globalThis.changes > ${CHANGES} && !exchange.isResent) process.kill(process.pid, 'SIGKILL');
    return exchange.finish(answer);`,
};
const FORGETS_WHAT_WAS_EXECUTED: Plant = {
  file: 'fs/kernel/dispatch.js',
  find: 'const executed = operations.executed?.(unique);',
  replace: 'const executed = undefined;',
};

describe('a daemon that dies before it answers', { timeout: 200_000 }, () => {
  let folder: string;
  let store: TestStore | undefined;
  let load: KillLoad | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-plant-'));
  });
  afterEach(async () => {
    if (store !== undefined) load?.kill(store);
    await store?.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Lets the clients work until so many daemons have died, or one of them was told something wrong. */
  async function suffer(plants: readonly Plant[]): Promise<{ store: TestStore; load: KillLoad }> {
    const program = plantedBuild(join(folder, 'build'), plants);
    store = await TestStore.create({ mountOptions: ['restarts=1000000'], program });
    load = KillLoad.start(store, OPTIONS);
    const daemons = new Set<number>();
    const end = Date.now() + DEADLINE_MS;
    while (daemons.size <= DEATHS && load.errors.length === 0 && Date.now() < end) {
      const { daemon } = store.daemonPids();
      if (daemon !== undefined) daemons.add(daemon);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (load.errors.length === 0) expect(daemons.size).toBeGreaterThan(DEATHS);
    return { store, load };
  }

  it(`is noticed by nobody (seed ${SEED})`, async () => {
    const at = await suffer([DIES_BEFORE_ANSWERING]);
    const report = await at.load.stop(at.store);
    expect(at.load.errors).toEqual([]);
    expect(report.checks).toBeGreaterThan(100);
    await at.store.remount();
    expect((await verify(at.store, OPTIONS)).wrong).toEqual([]);
  });

  it(`is noticed when what was executed is forgotten (seed ${SEED})`, async () => {
    const at = await suffer([DIES_BEFORE_ANSWERING, FORGETS_WHAT_WAS_EXECUTED]);
    expect(at.load.errors.length).toBeGreaterThan(0);
    console.info(`caught: ${at.load.errors[0]?.doing}: ${at.load.errors[0]?.error}`);
  });
});
