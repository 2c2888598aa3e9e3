/** What POSIX promises of files: opening, their bytes, their times, and locks, all on one mount. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { differences, runChecks, snapshot, unmountedFaults } from '../support/scripts.ts';

describe('files by the rules of POSIX', () => {
  let store: TestStore;
  beforeAll(async () => {
    store = await TestStore.create();
  });
  afterAll(async () => {
    await store.destroy();
  });

  it.each([
    { script: 'posix_open.py', checks: 28 },
    { script: 'posix_data.py', checks: 28 },
    { script: 'posix_times.py', checks: 19 },
    { script: 'posix_locks.py', checks: 11 },
  ])('$script', { timeout: 320_000 }, async ({ script, checks }) => {
    const result = await runChecks(store, script);
    expect(result.failures).toEqual([]);
    expect(result.ran).toBe(checks);
  });

  it('shows the same tree after a remount, and fsck finds nothing', { timeout: 320_000 }, async () => {
    const before = await snapshot(store, store.mountPoint);
    await store.remount();
    const after = await snapshot(store, store.mountPoint);
    expect(differences(before, after)).toEqual([]);
    expect(await unmountedFaults(store)).toBe('');
  });
});
