/** What POSIX promises of names: directories, renames, links, permissions and attributes, all on one mount. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { differences, runChecks, snapshot, unmountedFaults } from '../support/scripts.ts';

describe('names by the rules of POSIX', () => {
  let store: TestStore;
  beforeAll(async () => {
    store = await TestStore.create();
  });
  afterAll(async () => {
    await store.destroy();
  });

  it.each([
    { script: 'posix_directories.py', checks: 17 },
    { script: 'posix_rename.py', checks: 19 },
    { script: 'posix_links.py', checks: 17 },
    { script: 'posix_permissions.py', checks: 19 },
    { script: 'posix_xattrs.py', checks: 12 },
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
