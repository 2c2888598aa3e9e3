/** Directories of many partitions, which split at 64 names here: listings, links, handles, removal, kills of the daemon. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { differences, runChecks, snapshot, unmountedFaults } from '../support/scripts.ts';

const CHECKS = 6;

describe('huge directories', () => {
  let store: TestStore;
  beforeEach(async () => {
    store = await TestStore.create({ mounted: false });
    appendFileSync(join(store.path, 'store.yaml'), 'options:\n  splitAt: 64\n');
    await store.mount(['restarts=1000']);
  });
  afterEach(async () => {
    await store.destroy();
  });

  it('are listed, sought, linked, opened by handle and removed as small ones', { timeout: 320_000 }, async () => {
    const result = await runChecks(store, 'huge_directories.py');
    expect(result.failures).toEqual([]);
    expect(result.ran).toBe(CHECKS);
    const before = await snapshot(store, store.mountPoint);
    await store.remount();
    expect(differences(before, await snapshot(store, store.mountPoint))).toEqual([]);
    expect(await unmountedFaults(store)).toBe('');
  });
});
