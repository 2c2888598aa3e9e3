/** Mounts with `-o passthrough`: the kernel reads and writes open own files by itself, and nobody may notice. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { runChecks, unmountedFaults } from '../support/scripts.ts';

describe('pass-through', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create({ mountOptions: ['passthrough', 'restarts=100'] });
  });
  afterEach(async () => {
    await store.destroy();
  });

  it.each([
    { script: 'passthrough.py', checks: 11 },
    { script: 'posix_data.py', checks: 28 },
    { script: 'posix_times.py', checks: 19 },
    { script: 'posix_locks.py', checks: 11 },
  ])('$script, then fsck finds nothing', { timeout: 320_000 }, async ({ script, checks }) => {
    const result = await runChecks(store, script);
    expect(result.failures).toEqual([]);
    expect(result.ran).toBe(checks);
    expect(await unmountedFaults(store)).toBe('');
  });
});
