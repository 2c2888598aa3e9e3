/**
 * The kernel reads and writes open own files by itself, or not: nobody may notice. The other scripts about files run with the
 * default, pass-through, in posix_files.mount.ts.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { runChecks, unmountedFaults } from '../support/scripts.ts';

describe('pass-through', () => {
  let store: TestStore;
  afterEach(async () => {
    await store.destroy();
  });

  it.each([
    { script: 'passthrough.py', mode: 'passthrough', checks: 11 },
    { script: 'posix_data.py', mode: 'nopassthrough', checks: 28 },
    { script: 'posix_times.py', mode: 'nopassthrough', checks: 19 },
    { script: 'posix_locks.py', mode: 'nopassthrough', checks: 11 },
  ])('$script with $mode, then fsck finds nothing', { timeout: 320_000 }, async ({ script, mode, checks }) => {
    store = await TestStore.create({ mountOptions: [mode, 'restarts=100'] });
    const result = await runChecks(store, script);
    expect(result.failures).toEqual([]);
    expect(result.ran).toBe(checks);
    expect(await unmountedFaults(store)).toBe('');
  });
});
