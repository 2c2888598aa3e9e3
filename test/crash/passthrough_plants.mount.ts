/**
 * Faults of which pass-through is in danger: pages from another time, a count that is too low, files that the kernel keeps
 * for nobody. Each is planted and seen, so that the same steps mean something where they find nothing.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CHECKOUT, PACSFS, TestStore } from '../support/mount_harness.ts';
import { type Plant, plantedBuild } from '../support/planted_build.ts';
import { waitUntil } from '../support/processes.ts';
import { SmallDisk } from '../support/small_disk.ts';

const SCRIPT = join(CHECKOUT, 'test', 'crash', 'scripts', 'passthrough_plants.py');
const DISK_MIB = 192;
const LARGE_MIB = 48;

const KEEPS_ANY_PAGES: Plant = {
  file: 'fs/operations/files.js',
  find: 'const isKnown = core.noteCachedOpen(inode);',
  replace: 'const isKnown = core.noteCachedOpen(inode) || true;',
};
const COUNTS_BEFORE_ITS_ANSWER: Plant = {
  file: 'fs/kernel/file_handlers.js',
  find: 'x.whenSent(() => x.operations.releaseAnswered?.(ino, handle));',
  replace: 'x.operations.releaseAnswered?.(ino, handle);',
};
const NEVER_ASKS: Plant = { file: 'fs/doubts.js', find: 'this.#drop(inode.parent, name);', replace: ';' };
const ASKS_ON_AND_ON: readonly Plant[] = [
  { file: 'fs/doubts.js', find: 'const RETRY_MS_LEAST =', replace: 'const RETRY_MS_LEAST = 20, SOON =' },
  { file: 'fs/doubts.js', find: 'const RETRY_MS_MOST =', replace: 'const RETRY_MS_MOST = 20, LATE =' },
];
const KEEPS_LOST_IDS: Plant = {
  file: 'fs/takeover.js',
  find: 'core.passthrough?.giveBackLost() ?? 0',
  replace: '0',
};

describe('pass-through', { timeout: 200_000 }, () => {
  let folder: string;
  let trigger: string;
  let disk: SmallDisk | undefined;
  let store: TestStore | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-plant-'));
    trigger = join(folder, 'die');
  });
  afterEach(async () => {
    await store?.destroy();
    store = undefined;
    await disk?.remove();
    disk = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  /** Dies at this place, once, when the trigger is there; what follows it is `rest`. */
  function dies(plant: Plant): Plant {
    const fs = "process.getBuiltinModule('node:fs')";
    const path = JSON.stringify(trigger);
    const death = `if (${fs}.existsSync(${path})) { ${fs}.unlinkSync(${path}); process.kill(process.pid, 'SIGKILL'); }`;
    return { ...plant, replace: plant.replace.replace('DIES', death) };
  }

  async function mount(plants: readonly Plant[], at?: string): Promise<TestStore> {
    const program = plants.length === 0 ? PACSFS : plantedBuild(join(folder, 'build'), plants);
    const mountOptions = ['passthrough', 'noatime', 'restarts=100'];
    store = await TestStore.create({ mountOptions, program, ...(at === undefined ? {} : { folder: at }) });
    return store;
  }

  /** What the script has found to be wrong. */
  async function play(at: TestStore, which: string, ...more: string[]): Promise<string> {
    const args = ['-B', SCRIPT, which, ...(which === 'cache' ? [] : [trigger]), ...more];
    const done = await at.run('python3', args, { env: { ...process.env, PACSFS_COMMAND: PACSFS }, timeoutMs: 120_000 });
    return done.code === 0 ? done.stdout : `${done.stdout}${done.stderr.split('\n').slice(-2).join('')}`;
  }

  it('shows no pages that were read ahead before the last write', async () => {
    const at = await mount([]);
    expect(await play(at, 'cache')).toBe('');
  });

  it('is caught showing them, when the first cached open keeps what the kernel has', async () => {
    const at = await mount([KEEPS_ANY_PAGES]);
    expect(await play(at, 'cache')).toContain('differ at 0');
  });

  const diesInRelease = () =>
    dies({
      file: 'fs/kernel/file_handlers.js',
      find: '        return fail(E.EBADF);\n    const { ino } = x;\n    x.operations.release(ino, handle);',
      replace: '        return fail(E.EBADF);\n    const { ino } = x;\n    x.operations.release(ino, handle); DIES',
    });
  const diesAfterCounting = () =>
    dies({ ...COUNTS_BEFORE_ITS_ANSWER, replace: `${COUNTS_BEFORE_ITS_ANSWER.replace} DIES` });

  it('knows of every handle, though the daemon dies as one is closed', async () => {
    const at = await mount([diesInRelease()]);
    expect(await play(at, 'handles')).toBe('');
  });

  it('is caught when it takes a handle off the count before the answer', async () => {
    const at = await mount([diesAfterCounting()]);
    expect(await play(at, 'handles')).not.toBe('');
  });

  const diesBeforeCounting = () =>
    dies({ ...COUNTS_BEFORE_ITS_ANSWER, replace: `x.whenSent(() => { DIES ${COUNTS_BEFORE_ITS_ANSWER.replace} });` });

  it('settles a file whose last close was answered and not counted any more', async () => {
    const at = await mount([diesBeforeCounting()]);
    expect(await play(at, 'doubt')).toBe('');
  });

  it('is caught when it waits for the kernel to forget by itself', async () => {
    const at = await mount([diesBeforeCounting(), NEVER_ASKS]);
    expect(await play(at, 'doubt')).toContain('layout');
  });

  /** Dies in a CREATE once the script has seen enough, by itself or with its supervisor. */
  function hangs(victims: string): Plant {
    const file = 'fs/kernel/file_handlers.js';
    const find = 'const name = entryName(x.request, BODY + createInBytes, x.end);';
    const fs = "process.getBuiltinModule('node:fs')";
    const [path, mark] = [JSON.stringify(trigger), JSON.stringify(`${trigger}-hangs`)];
    const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)';
    const steps = `${fs}.renameSync(${path}, ${mark}); while (${fs}.existsSync(${mark})) ${wait}; ${victims}`;
    return { file, find, replace: `if (${fs}.existsSync(${path})) { ${steps} } ${find}` };
  }
  const ITSELF = "process.kill(process.pid, 'SIGKILL');";

  it('is replaced though a notification waits for what it was serving', async () => {
    const at = await mount([diesBeforeCounting(), ...ASKS_ON_AND_ON, hangs(ITSELF)]);
    expect(await play(at, 'stuck', 'made')).toBe('');
  });

  it('leaves nobody hanging when its supervisor is killed too while a notification waits', async () => {
    const at = await mount([
      diesBeforeCounting(),
      ...ASKS_ON_AND_ON,
      hangs(`process.kill(process.ppid, 'SIGKILL'); ${ITSELF}`),
    ]);
    expect(await play(at, 'stuck', 'E')).toBe('');
  });

  /** Bytes that a removed file has left on the disk, after a daemon died that had just registered it. */
  async function leftAfterRemoval(plants: readonly Plant[]): Promise<number> {
    disk = new SmallDisk(DISK_MIB);
    const place = join(disk.path, 'test');
    mkdirSync(place);
    const registering = 'this.#ids.register(file.descriptor);\n        file.close();\n        if (id <= 0) {';
    const plant = {
      file: 'fs/passthrough.js',
      find: registering,
      replace: registering.replace('file.close();', 'DIES file.close();'),
    };
    const at = await mount([dies(plant), ...plants], place);
    const before = disk.available();
    await at.shell(`head -c ${LARGE_MIB}M /dev/urandom > large`);
    await at.sync();
    expect(before - disk.available()).toBeGreaterThan(LARGE_MIB * 1_000_000);
    expect(await play(at, 'ids')).toBe('');
    const small = disk;
    const isFree = () => before - small.available() < (LARGE_MIB * 1_000_000) / 2;
    await waitUntil(isFree, { what: 'the space is free', timeoutMs: plants.length === 0 ? 20_000 : 5_000 }).catch(
      () => {},
    );
    return before - small.available();
  }

  it('keeps no space for a file that a dead daemon had registered', async () => {
    expect(await leftAfterRemoval([])).toBeLessThan((LARGE_MIB * 1_000_000) / 2);
  });

  it('is caught when it does', async () => {
    expect(await leftAfterRemoval([KEEPS_LOST_IDS])).toBeGreaterThan(LARGE_MIB * 1_000_000);
  });
});
