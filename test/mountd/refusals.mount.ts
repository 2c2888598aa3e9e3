/** Each thing that format and mount cannot do ends with one line that says what to do, and with the right exit code. */
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PACSFS, pacsfs, TestStore } from '../support/mount_harness.ts';
import { run } from '../support/processes.ts';

const NOBODY = 65_534;
const NODE = process.execPath;

/** Expects a failure of exactly one line. */
async function refused(args: readonly string[], code: number, message: RegExp): Promise<void> {
  const result = await pacsfs(args);
  expect(result.stderr).toMatch(message);
  expect(result.stderr).toMatch(/^pacsfs: [^\n]+\n$/);
  expect(result).toMatchObject({ code, stdout: '' });
}

it('wrong usage ends with 2, of fsck with 16, and what is right with 0', async () => {
  await refused([], 2, /no verb given/);
  await refused(['mount', '/a', '/b', '-o', 'bogus'], 2, /'bogus': unknown option, expected .*nosuid/);
  await refused(['fsck', '/', '--bogus'], 16, /unknown option/);
  expect(await pacsfs(['--help'])).toMatchObject({ code: 0, stderr: '' });
  expect((await pacsfs(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

it('output that nobody reads, or that finds no room, is no crash', async () => {
  const program = `"${PACSFS}" --help`;
  const piped = await run('bash', ['-c', `{ sleep 0.3; ${program}; } 2>&1 > >(true)`]);
  expect(piped).toMatchObject({ code: 0, stdout: '' });
  const full = await run('bash', ['-c', `${program} > /dev/full`]);
  expect(full).toMatchObject({ code: 1, stderr: expect.stringMatching(/^pacsfs: Cannot write the output: [^\n]+\n$/) });
});

describe('without a mount', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
    mkdirSync(join(folder, 'mnt'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const at = (name: string) => join(folder, name);

  it('there is no such store, or it is none', async () => {
    await refused(['mount', at('none'), at('mnt')], 1, /^pacsfs: No such store: .*none does not exist/);
    await refused(['mount', at('mnt'), at('mnt')], 1, /^pacsfs: Not a store: .*store\.yaml/);
    await refused(['status', at('none')], 1, /^pacsfs: No such store or mount: /);
    for (const verb of ['status', 'unmount', 'sync', 'info'])
      await refused([verb, folder], 1, /^pacsfs: Not a store: /);
  });

  it('a folder that is not empty is not formatted, one with lost+found is', async () => {
    mkdirSync(at('full'));
    writeFileSync(at('full/precious'), 'x');
    await refused(['format', at('full')], 1, /1 entries found, expected an empty directory/);
    writeFileSync(at('file'), '');
    await refused(['format', at('file')], 1, /^pacsfs: Cannot format .*file/);
    mkdirSync(at('disk/lost+found'), { recursive: true });
    expect((await pacsfs(['format', at('disk')])).code).toBe(0);
    await refused(['format', at('disk')], 1, /it is a store already/);
    await refused(['status', at('disk/lost+found/x/y'), '--bogus'], 2, /bogus/);
    const status = await pacsfs(['status', at('disk'), '--json']);
    expect(status.code).toBe(0);
    expect(JSON.parse(status.stdout)).toMatchObject({ mounted: false });
  });

  it('format makes nothing when it cannot make all', async () => {
    mkdirSync(at('used'));
    writeFileSync(at('used/precious'), 'x');
    mkdirSync(at('empty'));
    const volumes = ['--volume', `hot=hot:dir:${at('empty')}`, '--volume', `b=warm:dir:${at('used')}`];
    await refused(['format', at('new/store'), ...volumes], 1, /used: 1 entries found, expected an empty/);
    expect(await readdir(folder)).toEqual(expect.arrayContaining(['empty', 'mnt', 'used']));
    expect(await readdir(folder)).toHaveLength(3);
    expect(await readdir(at('empty'))).toEqual([]);
    expect(readFileSync(at('used/precious'), 'utf8')).toBe('x');
  });

  it('format puts volumes where it is told, and knows its directories again', async () => {
    const volumes = ['--volume', `hot=hot:dir:${at('flash')}`, '--volume', `disk=warm:dir:${at('hdd')}`];
    const formatted = await pacsfs(['format', at('store'), '--shards', '3', ...volumes]);
    expect(formatted).toMatchObject({ code: 0, stderr: '' });
    expect(formatted.stdout).toMatch(/3 shards, volumes hot .* disk/);
    expect(await readdir(at('store/meta/shards'))).toHaveLength(3);
    await refused(['format', at('second'), '--volume', `hot=hot:dir:${at('flash')}`], 1, /flash: 1 entries found/);
    const shown = await pacsfs(['config', 'show', at('store'), '--json']);
    expect(JSON.parse(shown.stdout)).toMatchObject({ shards: 3, options: { packBelow: 8388608 } });
  });

  it('a newer format, an error in store.yaml and damaged metadata are named', async () => {
    expect((await pacsfs(['format', at('store')])).code).toBe(0);
    const yaml = readFileSync(at('store/store.yaml'), 'utf8');
    writeFileSync(at('store/store.yaml'), yaml.replace('version: 1', 'version: 7'));
    await refused(
      ['mount', at('store'), at('mnt')],
      1,
      /newer format, version 7 found, this pacsfs knows up to 1; update/,
    );
    writeFileSync(at('store/store.yaml'), `${yaml}options:\n  packBelow: huge\n`);
    await refused(['mount', at('store'), at('mnt')], 1, /line \d+: options.packBelow: 'huge' is no size/);
    writeFileSync(at('store/store.yaml'), yaml);
    rmSync(at('store/meta/system.db'));
    await refused(['mount', at('store'), at('mnt')], 1, /system\.db/);
    rmSync(at('store/meta'), { recursive: true });
    await refused(['mount', at('store'), at('mnt')], 1, /meta/);
  });

  it('a mount point is missing, no directory, or in the store', async () => {
    expect((await pacsfs(['format', at('store')])).code).toBe(0);
    await refused(['mount', at('store'), at('none')], 1, /^pacsfs: No such mount point: .*mkdir -p/);
    writeFileSync(at('file'), '');
    await refused(['mount', at('store'), at('file')], 1, /it is not a directory/);
    await refused(['mount', at('store'), at('store/volumes')], 1, /it lies in .*store, which is the store's own/);
    // The daemon would look for its files through its own mount, and wait for itself for ever.
    await refused(['mount', at('store'), folder], 1, /it would hide .*store, which is the store's own/);
    mkdirSync(at('store/deep\nname'));
    await refused(['mount', at('store'), at('store/deep\nname')], 1, /deep\\nname: it lies in/);
    await refused(['format', at(`${'x'.repeat(200)}/`.repeat(3))], 1, /a path of 6\d\d bytes found, .* at most 480/);
    await refused(['mount', at('store'), at('mnt'), '--binding', 'libfuse'], 1, /'kernel' binding only/);
    await refused(['unmount', at('store')], 1, /^pacsfs: Not mounted/);
    await refused(['sync', at('store')], 1, /^pacsfs: Not mounted/);
    await refused(['info', at('store')], 1, /^pacsfs: Not in a mount/);
  });

  it('it needs root', async () => {
    chmodSync(folder, 0o777);
    const asNobody = (args: string[]) => run(NODE, [PACSFS, ...args], { uid: NOBODY, gid: NOBODY, cwd: '/' });
    expect(await asNobody(['format', at('store')])).toMatchObject({ code: 0 });
    const mounted = await asNobody(['mount', at('store'), at('mnt')]);
    expect(mounted.code).toBe(1);
    expect(mounted.stderr).toMatch(
      /^pacsfs: Cannot mount at .*: no permission; mounting needs root, this is user 65534; use sudo\n$/,
    );
    chmodSync(folder, 0o755);
    const formatted = await asNobody(['format', at('other')]);
    expect(formatted.code).toBe(1);
    expect(formatted.stderr).toMatch(/^pacsfs: Cannot format .*: no permission; run it as root \(sudo\)\n$/);
  });

  /** In a mount namespace of its own, so that what the script mounts goes with it. */
  const unshared = (script: string) => run('unshare', ['-m', '--propagation', 'private', 'bash', '-c', script]);

  it('there is no /dev/fuse', async () => {
    expect((await pacsfs(['format', at('store')])).code).toBe(0);
    const script = `mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9
      exec ${NODE} ${PACSFS} mount ${at('store')} ${at('mnt')}`;
    const result = await unshared(script);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/^pacsfs: Cannot mount: .*no \/dev\/fuse; .*modprobe fuse.*\n$/);
  });

  it('the disk is full', async () => {
    mkdirSync(at('disk'));
    const tooSmall = `mount -t tmpfs -o size=256k none ${at('disk')} && ${NODE} ${PACSFS} format ${at('disk/store')}
      code=$?; ls -A ${at('disk')}; exit $code`;
    const formatted = await unshared(tooSmall);
    expect(formatted.stderr).toMatch(/^pacsfs: Cannot .*: the disk is full \(ENOSPC\); free some space[^\n]*\n$/);
    expect(formatted).toMatchObject({ code: 1, stdout: '' });
    const filled = `mount -t tmpfs -o size=64m none ${at('disk')} && ${NODE} ${PACSFS} format ${at('disk/store')} >&2 &&
      rm ${at('disk/store/meta/ballast')} && touch ${at('disk/store/meta/')}{lock,pacsfs.log}
      cat /dev/zero > ${at('disk/fill')} 2>/dev/null
      ${NODE} ${PACSFS} mount ${at('disk/store')} ${at('mnt')}`;
    const mounted = await unshared(filled);
    expect(mounted.stderr).toMatch(/the disk is full \(ENOSPC\)/);
    expect(mounted.code).toBe(1);
  });
});

it('an option that is empty means nothing', async () => {
  await refused(['format', '/tmp/pacsfs-none', '--journal', ''], 2, /--journal of format: it is empty/);
});

describe('while it is mounted', () => {
  let store: TestStore;
  afterEach(() => store.destroy());

  it('a copy of it is not mounted beside it', async () => {
    store = await TestStore.create({ mounted: false });
    const copy = join(store.folder, 'copy');
    const other = join(store.folder, 'other');
    cpSync(store.path, copy, { recursive: true });
    mkdirSync(other);
    await store.mount();
    await refused(
      ['mount', copy, other],
      1,
      /^pacsfs: Cannot mount \S+copy: a copy of it with the same id \S+ is mounted/,
    );
    await store.sync();
    await store.unmount();
    expect(await pacsfs(['mount', copy, other])).toMatchObject({ code: 0 });
    expect(await pacsfs(['unmount', other])).toMatchObject({ code: 0 });
  });

  it('a lock file that was deleted lets nobody in', async () => {
    store = await TestStore.create();
    rmSync(join(store.path, 'meta', 'lock'));
    await refused(
      ['fsck', store.path, '--repair'],
      8,
      /^pacsfs: Store in use: \S+ is mounted at \S+ and its lock file/,
    );
    expect(await store.shell('echo x > f; cat f')).toBe('x\n');
  });

  it('a backup replaces no device, and does not go into what it is for', async () => {
    store = await TestStore.create();
    const device = join(store.folder, 'device');
    expect(await run('mknod', [device, 'c', '1', '7'])).toMatchObject({ code: 0 });
    await refused(['backup', store.path, device], 1, /Cannot back up to \S+device: it is there and no regular file/);
    expect(lstatSync(device).isCharacterDevice()).toBe(true);
    await refused(['backup', store.path, join(store.mountPoint, 'b')], 1, /Cannot back up to \S+: it is in \S+ itself/);
    await refused(
      ['backup', store.path, join(store.folder, 'none', 'b')],
      1,
      /Cannot back up to \S+: \S+ is no folder/,
    );
  });

  it('the store and the mount point are in use', async () => {
    store = await TestStore.create();
    const { supervisor } = store.daemonPids();
    const elsewhere = join(store.folder, 'elsewhere');
    mkdirSync(elsewhere);
    await refused(
      ['mount', store.path, elsewhere],
      1,
      new RegExp(
        `^pacsfs: Store in use: .* is mounted at ${store.mountPoint} by process ${supervisor}; .*pacsfs unmount`,
      ),
    );
    await refused(['mount', store.path, store.mountPoint], 1, /^pacsfs: Mount point busy: /);
    symlinkSync(store.mountPoint, join(store.folder, 'link'));
    await refused(['mount', store.path, join(store.folder, 'link')], 1, /^pacsfs: Mount point busy: /);
    await refused(['format', store.path], 1, /it is a store already/);
    await refused(['info', join(store.mountPoint, 'none')], 1, /^pacsfs: Cannot look at .*none: it does not exist/);
    await refused(['info', store.path], 1, /^pacsfs: Not in a mount/);
    expect(store.isMounted()).toBe(true);
  });

  it('a journal folder whose own disk is not mounted is told', async () => {
    store = await TestStore.create({ mounted: false });
    const journal = join(store.folder, 'journal');
    rmSync(store.path, { recursive: true });
    expect(await pacsfs(['format', store.path, '--journal', journal])).toMatchObject({ code: 0 });
    const mounted = await pacsfs(['mount', store.path, store.mountPoint]);
    expect(mounted).toMatchObject({ code: 0, stderr: expect.stringMatching(/journal is on the disk of the metadata/) });
  });

  it('a directory that is not empty may be covered', async () => {
    store = await TestStore.create({ mounted: false });
    writeFileSync(join(store.mountPoint, 'covered'), '');
    await store.mount();
    expect(await store.shell('ls -A')).toBe('');
    await store.unmount();
    expect((await store.run('ls', [])).stdout).toBe('covered\n');
  });
});
