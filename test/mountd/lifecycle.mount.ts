/** From format to unmount, and every way in which a mount may end. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serversOf } from '../support/leavings.ts';
import { PACSFS, pacsfs, TestStore } from '../support/mount_harness.ts';
import { isAlive, waitUntil } from '../support/processes.ts';
import { guardProcess } from '../support/reaper.ts';

let store: TestStore;
afterEach(async () => {
  await store.destroy();
});

/** Everything is over: no mount, no process, a free lock. */
async function hasEnded(): Promise<void> {
  await waitUntil(() => !store.isMounted() && store.daemonPids().supervisor === undefined, {
    what: 'the mount is gone',
  });
  expect(store.daemonPids().daemon).toBeUndefined();
}

function lockRecord(): { state: string; outcome?: { code: number }; adminSocket?: string } {
  return JSON.parse(readFileSync(join(store.path, 'meta', 'lock'), 'utf8'));
}

describe('a mount', () => {
  beforeEach(async () => {
    store = await TestStore.create();
  });

  it('tells who serves it, where a file lies, and keeps what was written', async () => {
    await store.shell('mkdir d && head -c 100000 /dev/urandom > d/f && sha256sum d/f > ../sum');
    const status = JSON.parse((await store.pacsfs(['status', store.mountPoint, '--json'])).stdout);
    expect(status).toMatchObject({
      mounted: true,
      binding: 'kernel',
      mountPoint: store.mountPoint,
      health: 'ok',
      supervisorPid: store.daemonPids().supervisor,
      daemonPid: store.daemonPids().daemon,
    });
    expect(status.spaces[0]).toMatchObject({ volume: 'hot' });
    expect(status.spaces[0].total).toBeGreaterThan(0);
    expect((await store.pacsfs(['sync', store.path, '--packed'])).code).toBe(0);
    const info = JSON.parse((await store.pacsfs(['info', join(store.mountPoint, 'd/f'), '--json'])).stdout);
    expect(info).toMatchObject({ layout: 'packed', tier: 'hot', volume: 'hot', extents: [{ volume: 'hot' }] });
    expect(info.slot).toBe(info.inode % 4096);
    expect(info).toHaveProperty('shard');
    expect(info).toHaveProperty('partition');
    await store.remount();
    expect(await store.shell('sha256sum -c ../sum')).toContain('OK');
    await store.unmount();
    expect(lockRecord()).toMatchObject({ state: 'free', outcome: { code: 0 } });
    await hasEnded();
  });

  it('is found by any path below it, and by its store', async () => {
    await store.shell('mkdir -p a/b && ln -s mnt/a ../link');
    for (const path of [
      store.path,
      store.mountPoint,
      join(store.mountPoint, 'a/b/none'),
      join(store.folder, 'link/b'),
    ]) {
      const status = await store.pacsfs(['status', path, '--json']);
      expect(JSON.parse(status.stdout)).toMatchObject({ mountPoint: store.mountPoint });
    }
  });

  it('reads ahead 1 MiB, and has an admin socket for its owner alone, which goes with it', async () => {
    const line = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .find((l) => l.includes(store.mountPoint));
    const device = line?.split(' ')[2];
    expect(readFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, 'utf8').trim()).toBe('1024');
    const socket = lockRecord().adminSocket ?? '';
    expect(statSync(socket).mode & 0o7777).toBe(0o600);
    await store.unmount();
    expect(existsSync(socket)).toBe(false);
  });

  it.each(['supervisor', 'daemon'] as const)('ends in order when the %s gets SIGTERM', async (who) => {
    await store.shell('echo kept > f');
    process.kill(store.daemonPids()[who] ?? 0, 'SIGTERM');
    await hasEnded();
    expect(lockRecord()).toMatchObject({ state: 'free', outcome: { code: 0 } });
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('ends in order when somebody else unmounts it', async () => {
    await store.shell('echo kept > f');
    expect((await store.run('umount', [store.mountPoint], { cwd: '/' })).code).toBe(0);
    await hasEnded();
    expect(lockRecord()).toMatchObject({ state: 'free', outcome: { code: 0 } });
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('refuses to unmount what is in use, and detaches it with --lazy', async () => {
    const user = spawn('sleep', ['1000'], { cwd: store.mountPoint, stdio: 'ignore' });
    guardProcess(user);
    try {
      await waitUntil(() => existsSync(`/proc/${user.pid}/cwd`), { what: 'sleep runs' });
      const busy = await store.pacsfs(['unmount', store.mountPoint]);
      expect(busy).toMatchObject({ code: 1, stdout: '' });
      expect(busy.stderr).toMatch(/^pacsfs: Cannot unmount .*: it is busy; .*fuser -vm .*--lazy\n$/);
      expect((await store.run('ls', ['/'])).code).toBe(0);
      expect((await store.pacsfs(['unmount', store.mountPoint, '--lazy'])).code).toBe(0);
      await hasEnded();
      expect(lockRecord()).toMatchObject({ state: 'free', outcome: { code: 0 } });
    } finally {
      user.kill('SIGKILL');
    }
  });

  it('is dead when its supervisor is killed: the daemon makes all durable and ends', async () => {
    await store.shell('echo kept > f');
    const all = serversOf(store.folder);
    process.kill(store.daemonPids().supervisor ?? 0, 'SIGKILL');
    await waitUntil(() => !all.some(isAlive), { what: 'all have ended' });
    expect(store.isMounted()).toBe(true);
    const user = await store.run('cat', [join(store.mountPoint, 'f')], { cwd: '/' });
    expect(user.stderr).toMatch(/not connected/);
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('leaves a dead mount, when both are killed, that unmount removes, and mount too', async () => {
    for (const removal of ['unmount', 'mount'] as const) {
      await store.shell('echo kept > f && sync f');
      const { supervisor, daemon } = store.daemonPids();
      // A spare holds the device too, until it has heard of its supervisor's end.
      const all = serversOf(store.folder);
      for (const pid of [supervisor, daemon]) process.kill(pid ?? 0, 'SIGSTOP');
      for (const pid of [supervisor, daemon]) process.kill(pid ?? 0, 'SIGKILL');
      await waitUntil(() => !all.some(isAlive), { what: 'all are gone' });
      expect(store.isMounted()).toBe(true);
      expect((await store.run('cat', [join(store.mountPoint, 'f')], { cwd: '/' })).stderr).toMatch(/not connected/);
      const status = JSON.parse((await store.pacsfs(['status', store.mountPoint, '--json'])).stdout);
      expect(status.health).toMatch(/^dead/);
      if (removal === 'unmount') {
        const unmounted = await store.pacsfs(['unmount', store.mountPoint]);
        expect(unmounted.code).toBe(0);
        expect(unmounted.stderr).toMatch(/no daemon serves/);
        expect(store.isMounted()).toBe(false);
      }
      await store.mount();
      expect(await store.shell('cat f')).toBe('kept\n');
    }
  });

  it('answers what hangs on no one: a status in the middle of many writers', async () => {
    const writers = store.shell(
      'for i in $(seq 8); do (for j in $(seq 50); do head -c 200000 /dev/zero > $i.$j; done) & done; wait',
    );
    for (let n = 0; n < 5; n++) {
      const status = JSON.parse((await store.pacsfs(['status', store.path, '--json'])).stdout);
      expect(status.health).toBe('ok');
    }
    await writers;
    expect((await store.shell('ls | wc -l')).trim()).toBe('400');
  });
});

describe('mount options', () => {
  it('reach the kernel and the daemon', async () => {
    store = await TestStore.create({
      mountOptions: ['nosuid', 'nodev', 'noexec', 'noatime', 'noacl', 'commit=0.1', 'allow_other'],
    });
    const line =
      readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .find((l) => l.includes(store.mountPoint)) ?? '';
    expect(line).toContain(' - fuse.pacsfs ');
    expect(line).toMatch(/nosuid,nodev,noexec,noatime/);
    expect(line).toContain(store.path);
    expect((await store.run('bash', ['-c', 'echo true > x && chmod +x x && ./x'])).code).toBe(126);
    await store.shell('head -c 10 /dev/zero > f');
    await store.pacsfs(['sync', store.path, '--packed']);
    expect((await store.run('getfattr', ['-d', '-m', '-', 'f'])).stdout).not.toContain('pacsfs');
    await store.remount(['layoutxattrs']);
    expect((await store.run('getfattr', ['-d', '-m', '-', 'f'])).stdout).toContain('user.pacsfs.layout="packed"');
    await store.remount(['ro']);
    expect((await store.run('touch', ['new'])).stderr).toContain('Read-only file system');
    expect((await store.run('wc', ['-c', 'f'])).stdout).toMatch(/^10 /);
  });
});

describe('in the foreground', () => {
  it('says when it is mounted, and ends with 0 on an interrupt', async () => {
    store = await TestStore.create({ mounted: false });
    const child = spawn(process.execPath, [PACSFS, 'mount', store.path, store.mountPoint, '--foreground'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    guardProcess(child);
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await waitUntil(() => said.includes('is mounted'), { what: `it is mounted; said: ${said}` });
    expect(store.daemonPids().supervisor).toBe(child.pid);
    await store.shell('echo kept > f');
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    await hasEnded();
  });
});

describe('several stores', () => {
  it('are mounted side by side', async () => {
    store = await TestStore.create();
    const other = await TestStore.create();
    try {
      await store.shell('echo one > f');
      await other.shell('echo two > f');
      expect(await store.shell('cat f')).toBe('one\n');
      expect((await pacsfs(['status', other.mountPoint, '--json'])).stdout).toContain(other.path);
    } finally {
      await other.destroy();
    }
    expect(readdirSync(store.folder)).toContain('store');
  });
});
