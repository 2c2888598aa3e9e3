/** Programs that copy and survey trees: cp, rsync, tar, find, du, df. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { differences, SCRIPTS, snapshot, unmountedFaults } from '../support/scripts.ts';

/** Everything but what no copy keeps. */
const COPIED = ['--no-ctime'];

describe('programs that copy trees', () => {
  let store: TestStore;
  let source: string;
  let wanted: readonly string[];
  beforeEach(async () => {
    store = await TestStore.create();
    source = join(store.folder, 'source');
    await store.shell(`python3 -B ${SCRIPTS}/make_tree.py ${source}`);
    wanted = await snapshotOf(source);
  });
  afterEach(async () => {
    await store.destroy();
  });

  /** Inode numbers differ between a tree and its copy. */
  async function snapshotOf(path: string): Promise<readonly string[]> {
    const lines = await snapshot(store, path, COPIED);
    return lines.map((line) => line.replace(/"ino": \d+, /, ''));
  }

  it('cp -a copies in, within and out', { timeout: 120_000 }, async () => {
    await store.shell(`cp -a ${source} copy`);
    expect(differences(wanted, await snapshotOf(join(store.mountPoint, 'copy')))).toEqual([]);
    await store.sync();
    await store.shell('cp -a copy second');
    expect(differences(wanted, await snapshotOf(join(store.mountPoint, 'second')))).toEqual([]);
    await store.shell(`rm -rf copy; cp -a second ${store.folder}/back`);
    expect(differences(wanted, await snapshotOf(join(store.folder, 'back')))).toEqual([]);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('rsync -a copies, and a second run transfers nothing', { timeout: 120_000 }, async () => {
    await store.shell(`rsync -aHAXS ${source}/ copy/`);
    expect(differences(wanted, await snapshotOf(join(store.mountPoint, 'copy')))).toEqual([]);
    expect(await store.shell(`rsync -aHAXS --itemize-changes ${source}/ copy/`)).toBe('');
    await store.sync();
    await store.remount();
    expect(await store.shell(`rsync -aHAXS --itemize-changes ${source}/ copy/`)).toBe('');
    expect(await store.shell(`rsync -aHAXS --checksum --itemize-changes copy/ ${source}/`)).toBe('');
    await store.shell(`rsync -aHAXS --delete ${source}/level1/ copy/; test ! -e copy/sparse`);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('tar packs up and unpacks', { timeout: 120_000 }, async () => {
    const tar = 'tar --xattrs --xattrs-include=* --acls --sparse --numeric-owner';
    await store.shell(`${tar} -C ${source} -cf archive.tar .; mkdir copy; ${tar} -C copy -xpf archive.tar`);
    expect(differences(wanted, await snapshotOf(join(store.mountPoint, 'copy')))).toEqual([]);
    await store.sync();
    await store.shell(
      `mkdir ${store.folder}/back; ${tar} -C copy -c . | ${tar} -C ${store.folder}/back -xp; ${tar} -C copy -df archive.tar`,
    );
    expect(differences(wanted, await snapshotOf(join(store.folder, 'back')))).toEqual([]);
    expect(await unmountedFaults(store)).toBe('');
  });

  it('find, du and df tell what is there', { timeout: 120_000 }, async () => {
    const usedBefore = await usedBytes();
    await store.shell(`cp -a ${source} copy`);
    const find =
      "find . -printf '%y %m %U %G %n %s %T@ %l %p\\n' | sed 's/^d \\(.*\\) [0-9]* \\([0-9.]* \\)/d \\1 \\2/' | sort";
    const listed = await store.shell(`cd copy; ${find}`);
    expect(listed).toBe(await store.shell(`cd ${source}; ${find}`));
    for (const query of ['-type f -size +100k', '-links +1', '-newermt 2001-09-10', '-perm -4000', '-empty -type f']) {
      const count = (folder: string) => store.shell(`find ${folder} ${query} | wc -l`);
      expect(await count('copy'), query).toBe(await count(source));
    }
    const apparent = "find . -type f -printf '%i %s\\n' | sort -u | awk '{ sum += $2 } END { print sum }'";
    const bytes = Number(await store.shell(`cd copy; ${apparent}`));
    expect(bytes).toBe(Number(await store.shell(`cd ${source}; ${apparent}`)));
    await store.sync();
    const onDisk = Number(await store.shell('du -s --block-size=1 copy | cut -f1'));
    expect(onDisk).toBeGreaterThan(bytes - 3_100_000);
    expect(onDisk).toBeLessThan(bytes * 1.2 + 4_000_000);
    const usedAfter = await usedBytes();
    expect(usedAfter - usedBefore).toBeGreaterThan(bytes / 2);
    await store.shell('rm -rf copy; test -z "$(ls -A)"');
    expect(await unmountedFaults(store)).toBe('');
  });

  /** Bytes in use, by df. */
  async function usedBytes(): Promise<number> {
    return Number(await store.shell('df --block-size=1 --output=used . | tail -1'));
  }
});
