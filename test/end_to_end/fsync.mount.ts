/** fsync on a real mount: how many share a barrier, and what the kernel sends for each way of syncing. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { SCRIPTS } from '../support/scripts.ts';

const SCRIPT = join(SCRIPTS, 'fsync_load.py');

interface Counts {
  readonly barriers: number;
  readonly fsyncs: number;
  readonly flushes: number;
  readonly copies: number;
  readonly requests: Readonly<Record<string, number>>;
}

describe('fsync', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create();
  });
  afterEach(async () => {
    await store.destroy();
  });

  async function counts(): Promise<Counts> {
    const asked = await store.pacsfs(['status', store.path, '--json']);
    return JSON.parse(asked.stdout) as Counts;
  }

  it.each(['passthrough', 'nopassthrough'])(
    'of 64 writers at a time costs far fewer flushes than files: %s',
    { timeout: 120_000 },
    async (mode) => {
      await store.remount([mode]);
      const before = await counts();
      await store.run('python3', ['-B', SCRIPT, '64', '15', '20000'], { timeoutMs: 100_000 });
      const after = await counts();
      const files = after.fsyncs - before.fsyncs;
      const barriers = after.barriers - before.barriers;
      const flushes = after.flushes - before.flushes;
      console.info(`${files} files fsynced: ${barriers} barriers, ${flushes} flushes, ${after.copies} copies`);
      expect(files).toBe(64 * 15);
      expect(barriers * 3).toBeLessThan(files);
      expect(flushes * 3).toBeLessThan(files * 2);
      expect(await store.shell('cat f0_0 f63_14 | wc -c')).toBe('40000\n');
    },
  );

  /**
   * Of WRITEs with O_DSYNC the daemon takes care itself; the others depend on the kernel's own fsync. What is passed through
   * the host makes durable.
   */
  for (const [kind, mode, sent] of [
    ['dsync', 'nopassthrough', 1],
    ['rwf', 'nopassthrough', 1],
    ['msync', 'nopassthrough', 1],
    ['syncfs', 'nopassthrough', 0],
    ['dsync', 'passthrough', 0],
    ['rwf', 'passthrough', 0],
    ['msync', 'passthrough', 0],
    ['syncfs', 'passthrough', 0],
  ] as const)
    it(`sends ${sent} FSYNC for ${kind} with ${mode}`, { timeout: 60_000 }, async () => {
      await store.remount([mode]);
      const before = await counts();
      const done = await store.run('python3', ['-B', SCRIPT, 'kernel', kind]);
      expect([done.code, done.stderr]).toEqual([0, '']);
      const after = await counts();
      expect((after.requests['FSYNC'] ?? 0) - (before.requests['FSYNC'] ?? 0)).toBe(sent);
    });
});
