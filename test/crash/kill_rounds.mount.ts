/**
 * kill -9 at random moments while 32 writers and 8 readers work. A daemon that dies is replaced under the live mount: no
 * client may see an error, and everything acknowledged is there, at once, at the end, and after the next mount. When
 * the supervisor dies with it the mount is gone: clients get errors, and the next mount has all that was acknowledged.
 *
 * CRASH_ROUNDS: kills a test (default 20; `make crash`: 200). CRASH_SEED: another run's choices, a number or `random`.
 * CRASH_FILES: the store has so many files before the clients come, made by bench/populate. CRASH_GAP_MS: least time
 * between two kills of a test's first kind (default 0: the spare daemon is seldom there yet; 4,000 and it mostly is).
 */
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT, TestStore } from '../support/mount_harness.ts';
import { run, waitUntil } from '../support/processes.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { KillLoad, type LoadOptions, type LoadReport, monotonicNs, PACK_BELOW, verify } from './kill_load.ts';
import { describePauses, pausesOf } from './pauses.ts';

const ROUNDS = Number(process.env['CRASH_ROUNDS'] ?? 20);
/** A mount that ends has to be made again each time, which takes most of the time. */
const ENDING_ROUNDS = Math.max(4, Math.floor(ROUNDS / 10));
const FIRST_SEED = firstSeed('CRASH_SEED');
const FILES = Number(process.env['CRASH_FILES'] ?? 0);
const POPULATE_MS = 900_000;
const ROUND_MS = 20_000;
/** Within this every client must have had an answer again. */
const RECOVERY_MS = 30_000;
const LOAD_MS = 1_200;
const GAP_MS = Number(process.env['CRASH_GAP_MS'] ?? 0);
const PAUSE_MS = 15;
/** Restarts a minute that are no crash loop. */
const RESTARTS = 'restarts=1000000';

describe('a kill', () => {
  let store: TestStore;
  let load: KillLoad | undefined;
  beforeEach(async () => {
    store = await TestStore.create({ mounted: false, mountOptions: [RESTARTS] });
    if (FILES > 0) await populate(store);
    appendFileSync(join(store.path, 'store.yaml'), `options:\n  packBelow: ${PACK_BELOW}\n  packDelayMs: 200\n`);
    await store.mount();
  }, POPULATE_MS);
  afterEach(async () => {
    load?.kill(store);
    await store.destroy();
  });

  const timeout = 60_000 + ROUNDS * (ROUND_MS + GAP_MS);

  it.each(['passthrough', 'nopassthrough'])(
    `of the daemon is noticed by nobody: %s (seed ${FIRST_SEED})`,
    { timeout },
    async (mode) => {
      await store.remount([RESTARTS, mode]);
      const chance = new Random(FIRST_SEED);
      const options = { seed: FIRST_SEED, ends: false, pauseMs: PAUSE_MS };
      const started = startLoad(options);
      const kills: number[] = [];
      await started.progress(RECOVERY_MS);
      for (let round = 0; round < ROUNDS && started.errors.length === 0; round++) {
        await sleep(GAP_MS + chance.below(LOAD_MS));
        kills.push(killDaemon());
        await started.progress(RECOVERY_MS);
      }
      await endLoad(started, { options, kills });
    },
  );

  it(`of the daemon and of its replacements as they start (seed ${FIRST_SEED + 1})`, { timeout }, async () => {
    const chance = new Random(FIRST_SEED + 1);
    const options = { seed: FIRST_SEED + 1, ends: false, pauseMs: PAUSE_MS };
    const started = startLoad(options);
    const kills: number[] = [];
    await started.progress(RECOVERY_MS);
    for (let round = 0; round < ROUNDS / 2 && started.errors.length === 0; ) {
      await sleep(chance.below(LOAD_MS));
      for (let again = chance.below(4); again >= 0; again--, round++) {
        kills.push(await killWhenThere());
        await sleep(chance.below(again === 0 ? 1 : 250));
      }
      await started.progress(RECOVERY_MS);
    }
    await endLoad(started, { options, kills });
  });

  it(`of supervisor and daemon loses nothing acknowledged (seed ${FIRST_SEED + 2})`, { timeout }, async () => {
    const chance = new Random(FIRST_SEED + 2);
    let checks = 0;
    let operations = 0;
    for (let round = 0; round < ENDING_ROUNDS; round++) {
      const options = { seed: FIRST_SEED + 1_000 * round, ends: true, pauseMs: PAUSE_MS };
      const started = startLoad(options);
      await started.progress(RECOVERY_MS);
      await sleep(chance.below(2 * LOAD_MS));
      const killedAt = await killBoth();
      const report = await started.stop(store);
      // Before or after the kill, and whether it was lost: both are to be known of whatever was told wrong.
      const told = started.errors.map((error) => ({ ...error, afterKillMs: (error.at - killedAt) / 1e6 }));
      await store.pacsfs(['unmount', store.mountPoint]);
      await waitUntil(() => !store.isMounted() && !isServed(), { what: 'the mount is gone' });
      await store.mount();
      const { verified, wrong } = await verify(store, options);
      expect({ told, wrong }).toEqual({ told: [], wrong: [] });
      expect(verified).toBeGreaterThan(100);
      operations += report.operations;
      checks += report.checks + verified;
    }
    await unmountClean();
    console.info(
      `kill of both: ${ENDING_ROUNDS} rounds, 0 bytes lost; ${operations} operations acknowledged, ${checks} checks`,
    );
  });

  it(`that does not come finds nothing either (seed ${FIRST_SEED + 3})`, { timeout: 120_000 }, async () => {
    const options = { seed: FIRST_SEED + 3, ends: false, pauseMs: PAUSE_MS };
    const started = startLoad(options);
    await started.progress(RECOVERY_MS);
    await sleep(3_000);
    await endLoad(started, { options, kills: [] });
  });

  function startLoad(options: LoadOptions): KillLoad {
    console.info(`kill: CRASH_SEED=${FIRST_SEED}`);
    load = KillLoad.start(store, options);
    return load;
  }

  /** All that clients know is checked by them on the live mount, by fsck, and again on a new mount. */
  async function endLoad(started: KillLoad, of: { options: LoadOptions; kills: readonly number[] }): Promise<void> {
    expect(started.errors).toEqual([]);
    const report: LoadReport = await started.stop(store);
    expect(started.errors).toEqual([]);
    await unmountClean();
    await store.mount();
    const { verified, wrong } = await verify(store, of.options);
    expect(wrong).toEqual([]);
    expect(verified).toBeGreaterThan(100);
    await unmountClean();
    console.info(
      `${of.kills.length} kills: 0 client errors, 0 bytes lost; ${report.operations} operations acknowledged, ` +
        `${report.checks + verified} checks; ${describePauses(pausesOf(of.kills, report.reports))}`,
    );
  }

  async function unmountClean(): Promise<void> {
    await store.unmount();
    // Contents of a populated store are holes, whose reading takes long and tells nothing.
    const checked = await store.fsck(FILES > 0 ? ['--metadata-only'] : []);
    expect(checked.stdout + checked.stderr).toContain('clean');
    expect(checked.code).toBe(0);
  }

  /** Returns when it was, nanoseconds of CLOCK_MONOTONIC. */
  function killDaemon(): number {
    const { daemon } = store.daemonPids();
    expect(daemon, 'the daemon').toBeDefined();
    const now = monotonicNs();
    if (daemon !== undefined) process.kill(daemon, 'SIGKILL');
    return now;
  }

  /** The replacement may be a few milliseconds away. */
  async function killWhenThere(): Promise<number> {
    await waitUntil(() => store.daemonPids().daemon !== undefined, { what: 'there is a daemon' });
    return killDaemon();
  }

  /** Returns when it was, as `killDaemon`. */
  async function killBoth(): Promise<number> {
    const isThere = () => Object.values(store.daemonPids()).every((pid) => pid !== undefined);
    await waitUntil(isThere, { what: 'there are a supervisor and a daemon' });
    const { supervisor, daemon } = store.daemonPids();
    const now = monotonicNs();
    for (const pid of [supervisor, daemon]) if (pid !== undefined) process.kill(pid, 'SIGKILL');
    return now;
  }

  function isServed(): boolean {
    const { supervisor, daemon } = store.daemonPids();
    return supervisor !== undefined || daemon !== undefined;
  }
});

async function populate(store: TestStore): Promise<void> {
  rmSync(store.path, { recursive: true });
  const program = join(CHECKOUT, 'dist', 'bench', 'populate.js');
  const args = [program, store.path, '--files', String(FILES)];
  const made = await run(process.execPath, args, { timeoutMs: POPULATE_MS });
  if (made.code !== 0) throw new Error(`Cannot populate the store: ${made.stderr}`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
