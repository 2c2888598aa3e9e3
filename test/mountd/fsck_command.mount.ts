/** `pacsfs fsck` as scripts and people use it: exit codes, refusals, what it prints. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { pacsfs, TestStore } from '../support/mount_harness.ts';
import { PlantedStore } from '../support/planted_store.ts';

const CLEAN = 0;
const REPAIRED = 1;
const DAMAGE_LEFT = 4;
const OPERATIONAL = 8;
const USAGE = 16;

let store: TestStore;
afterEach(async () => {
  await store.destroy();
});

async function filledStore(): Promise<PlantedStore> {
  store = await TestStore.create({ formatArgs: ['--shards', '2'] });
  await store.shell('mkdir Mueller && head -c 100000 /dev/urandom > Mueller/scan && touch empty && ln empty again');
  await store.sync();
  await store.unmount();
  return new PlantedStore(store.path, join(store.folder, 'copy'));
}

describe('exit codes', () => {
  it('0 for clean, 4 for damage, 1 for repaired, then 0 again', async () => {
    const copy = await filledStore();
    expect(await pacsfs(['fsck', copy.path])).toMatchObject({ code: CLEAN, stderr: '' });
    copy.changeInode('empty', { nlink: 5 });
    const found = await pacsfs(['fsck', copy.path]);
    expect(found).toMatchObject({ code: DAMAGE_LEFT, stderr: '' });
    expect(found.stdout).toMatch(/^wrong-nlink: inode \d+: found 5, expected 2$/m);
    expect(found.stdout).toMatch(/^Damage: 1 wrong-nlink$/m);
    const repaired = await pacsfs(['fsck', copy.path, '--repair']);
    expect(repaired).toMatchObject({ code: REPAIRED, stderr: '' });
    expect(repaired.stdout).toMatch(/: repaired \(/);
    expect((await pacsfs(['fsck', copy.path])).code).toBe(CLEAN);
  });

  it('4 when a repair leaves damage, and says which', async () => {
    const copy = await filledStore();
    const [extent] = copy.inode('Mueller/scan').extents;
    if (extent === undefined) throw new Error('Not packed');
    copy.flipByte(copy.aggregatePath(extent.aggregate), extent.offset + 5);
    copy.changeInode('empty', { nlink: 5 });
    const result = await pacsfs(['fsck', copy.path, '--repair']);
    expect(result.code).toBe(DAMAGE_LEFT);
    expect(result.stdout).toMatch(/damage left: 1 bad-data-checksum/);
    expect((await pacsfs(['fsck', copy.path, '--metadata-only'])).code).toBe(CLEAN);
    expect((await pacsfs(['fsck', copy.path])).code).toBe(DAMAGE_LEFT);
  });

  it('4 for a system.db that cannot be read', async () => {
    const copy = await filledStore();
    const path = copy.databasePath('system');
    const root = copy.query('system', "SELECT rootpage FROM sqlite_master WHERE name = 'aggregates'") as number;
    const bytes = readFileSync(path);
    bytes.fill(0xa5, (root - 1) * 8192, root * 8192);
    writeFileSync(path, bytes);
    const result = await pacsfs(['fsck', copy.path, '--repair']);
    expect(result.code).toBe(DAMAGE_LEFT);
    expect(result.stderr).toMatch(/system.db is damaged/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  it('8 for a mounted store, with mount point and process', async () => {
    store = await TestStore.create();
    const result = await store.fsck();
    expect(result.code).toBe(OPERATIONAL);
    const { supervisor } = store.daemonPids();
    expect(result.stderr).toContain(`is mounted at ${store.mountPoint} by process ${supervisor}`);
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
    expect((await pacsfs(['fsck', store.mountPoint])).code).toBe(OPERATIONAL);
  });

  it('8 for no store, and for a newer format', async () => {
    store = await TestStore.create({ mounted: false });
    const none = await pacsfs(['fsck', join(store.folder, 'nowhere')]);
    expect(none.code).toBe(OPERATIONAL);
    expect(none.stderr).toMatch(/^pacsfs: No such store/);
    const config = join(store.path, 'store.yaml');
    writeFileSync(config, readFileSync(config, 'utf8').replace(/^version: .*$/m, 'version: 99'));
    const newer = await store.fsck();
    expect(newer.code).toBe(OPERATIONAL);
    expect(newer.stderr).toMatch(/newer format/);
  });

  it('8 for a database of a newer format, 4 for a missing shard', async () => {
    const copy = await filledStore();
    copy.sql('system', 'PRAGMA user_version = 99');
    expect(await pacsfs(['fsck', copy.path])).toMatchObject({ code: OPERATIONAL });
    copy.sql('system', 'PRAGMA user_version = 1');
    rmSync(join(copy.meta, 'shards', '001.db'));
    const missing = await pacsfs(['fsck', copy.path]);
    expect(missing.code).toBe(DAMAGE_LEFT);
    expect(missing.stdout).toMatch(/^missing-shard: shard 1, database 001.db: found it is not there, expected/);
  });

  it('16 for wrong usage', async () => {
    store = await TestStore.create({ mounted: false });
    expect((await pacsfs(['fsck'])).code).toBe(USAGE);
    expect((await store.fsck(['--nonsense'])).code).toBe(USAGE);
    expect((await store.fsck(['--rebuild', '--repair'])).code).toBe(USAGE);
    expect((await store.fsck(['--backup', 'file'])).code).toBe(USAGE);
  });
});

describe('a repaired store', () => {
  it('mounts, and what had lost its name can be read in lost+found', async () => {
    const copy = await filledStore();
    const before = copy.inode('Mueller/scan');
    copy.removeDentry('Mueller');
    const [extent] = before.extents;
    if (extent === undefined) throw new Error('Not packed');
    const packed = readFileSync(copy.aggregatePath(extent.aggregate));
    const contents = packed.subarray(extent.offset, extent.offset + extent.length);
    const directory = before.parent;
    expect((await pacsfs(['fsck', copy.path, '--repair'])).code).toBe(REPAIRED);
    rmSync(store.path, { recursive: true });
    renameSync(copy.path, store.path);
    await store.mount();
    const read = await store.shell(`base64 -w0 'lost+found/#${directory}/scan'`);
    expect(Buffer.from(read, 'base64').equals(contents)).toBe(true);
    await store.shell(
      'stat -c "%a %u" lost+found | grep -qx "700 0" && rmdir lost+found 2>/dev/null && exit 1; rm -r lost+found',
    );
    await store.unmount();
    expect((await store.fsck()).code).toBe(CLEAN);
  });
});

describe('output', () => {
  it('shows file names only when they are asked for', async () => {
    const copy = await filledStore();
    const { slot, dentry } = copy.dentry('Mueller');
    copy.putDentry({ slot, dentry: { ...dentry, type: 8 } });
    expect((await pacsfs(['fsck', copy.path])).stdout).not.toContain('Mueller');
    expect((await pacsfs(['fsck', copy.path, '--json'])).stdout).not.toContain('Mueller');
    expect((await pacsfs(['fsck', copy.path, '--names'])).stdout).toContain('name "Mueller"');
  });

  it('is one JSON document with --json', async () => {
    const copy = await filledStore();
    copy.changeInode('empty', { nlink: 5 });
    const { code, stdout } = await pacsfs(['fsck', copy.path, '--json', '--repair']);
    expect(code).toBe(REPAIRED);
    expect(JSON.parse(stdout)).toMatchObject({
      store: copy.path,
      exitCode: REPAIRED,
      clean: false,
      repaired: true,
      damage: { 'wrong-nlink': 1 },
      damageLeft: {},
      findings: [{ kind: 'wrong-nlink', found: 5, expected: 2, repairable: true }],
      left: [],
    });
  });
});

describe('a store after a crash', () => {
  it('is whole: what the crash left is noted, the lock keeps saying how the mount ended, and the next mount settles it', async () => {
    store = await TestStore.create();
    await store.shell(
      'head -c 300000 /dev/urandom > kept; sync kept; exec 5> open; echo unsaved >&5; rm open; echo x >&5',
    );
    await store.shell('for i in $(seq 50); do head -c 20000 /dev/urandom > f$i; done');
    const { daemon, supervisor } = store.daemonPids();
    if (daemon === undefined || supervisor === undefined) throw new Error('Not mounted');
    process.kill(supervisor, 'SIGKILL');
    process.kill(daemon, 'SIGKILL');
    store.abort();
    await pacsfs(['unmount', store.mountPoint]);
    const first = await store.fsck();
    const second = await store.fsck();
    expect(first).toMatchObject({ code: CLEAN });
    expect(second).toMatchObject({ code: CLEAN });
    await store.mount();
    await store.shell('test $(stat -c %s kept) = 300000');
    await store.unmount();
    const after = await store.fsck();
    expect(after).toMatchObject({ code: CLEAN });
    expect(after.stdout).not.toMatch(/unsettled-file|waiting-orphan|leftover/);
  });
});
