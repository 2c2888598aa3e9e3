/**
 * A daemon that dies is replaced on the live mount: whoever uses the mount waits a moment and gets what it asked for. When
 * that does not help, whoever uses it gets an error, and nobody hangs.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { askDaemon } from '../../mountd/admin_client.ts';
import { TEST_HOOKS, TEST_THREADS } from '../../mountd/messages.ts';
import { CHECKOUT, pacsfs, TestStore } from '../support/mount_harness.ts';
import { isAlive, type RunResult, suspend, waitUntil } from '../support/processes.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { Strace } from '../support/strace.ts';

const USERS = join(CHECKOUT, 'test', 'mountd', 'scripts', 'users.py');
const LOAD_SECONDS = Number(process.env['PACSFS_LOAD_SECONDS'] ?? 20);

// Waits within have shorter limits of their own.
vi.setConfig({ testTimeout: 180_000 });

let store: TestStore;
let strace: Strace | undefined;
afterEach(async () => {
  await store.destroy();
  await strace?.detach();
  strace = undefined;
});

interface Record {
  readonly state: string;
  readonly daemonPid: number;
  readonly supervisorPid: number;
  readonly restarts?: number;
  readonly health?: string;
  readonly reason?: string;
  readonly adminSocket: string;
  readonly outcome?: { readonly code: number; readonly reason?: string };
}

function record(): Record {
  return JSON.parse(readFileSync(join(store.path, 'meta', 'lock'), 'utf8'));
}

interface Status {
  readonly health: string;
  readonly daemonPid: number;
  readonly restarts: number;
  readonly lastRestart: string;
}

async function status(): Promise<Status> {
  const asked = await store.pacsfs(['status', store.path, '--json']);
  expect(asked).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(asked.stdout);
}

function kill(pid: number): void {
  process.kill(pid, 'SIGKILL');
  strace?.kill();
}

/** Processes that serve the store, the spare among them. */
function family(): number[] {
  const pid = record().supervisorPid;
  const children = `/proc/${pid}/task/${pid}/children`;
  return readFileSync(children, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** Kills the daemon and waits until another one answers. */
async function replaceDaemon(): Promise<void> {
  const dead = record().daemonPid;
  kill(dead);
  await waitUntil(() => record().daemonPid !== dead && record().health === undefined, {
    what: `daemon ${dead} has been replaced`,
  });
}

/** Kills every daemon until there are too many deaths. */
async function exhaust(): Promise<void> {
  for (let dead = 0; record().health !== 'failed'; ) {
    await waitUntil(() => record().daemonPid !== dead || record().health === 'failed', { what: 'there is another' });
    if (record().health === 'failed') break;
    dead = record().daemonPid;
    kill(dead);
  }
}

/** A shell that starts outside, because entering a mount that refuses everything fails; $0 is the mount point. */
function user(script: string): Promise<RunResult> {
  return store.run('bash', ['-c', script, store.mountPoint], { cwd: '/', timeoutMs: 10_000 });
}

async function hasEnded(): Promise<void> {
  await waitUntil(() => !store.isMounted() && store.daemonPids().supervisor === undefined, {
    what: 'the mount is gone',
  });
}

/**
 * Sixteen users who wait for the disk most of their time, and end with their first failure. It prints what each had to
 * say: in one pipe their messages would mix, for each is written in pieces.
 */
const SYNCING = `for i in $(seq 16); do (for j in $(seq 40); do echo $j > $i.$j && sync $i.$j || exit 1; done) 2> ../said.$i & done
  wait; cat ../said.*`;
const SYNCING_USERS = 16;

/** SYNCING on a daemon whose flushes last longer than the test: returns once it has read an fsync of every user. */
async function syncInVain(): Promise<{ readonly load: Promise<RunResult> }> {
  const { daemonPid, adminSocket } = record();
  const expressions = ['trace=fdatasync,fsync', 'inject=fdatasync,fsync:delay_enter=300000000'];
  strace = await Strace.attach(daemonPid, { output: join(store.folder, 'strace'), expressions });
  const load = store.run('bash', ['-c', SYNCING], { timeoutMs: 120_000 });
  for (let count = 0; count !== SYNCING_USERS; ) {
    const answer = await askDaemon(adminSocket, { method: 'GET', path: '/status', timeoutMs: 30_000 });
    count = (answer as { requests: { FSYNC?: number } }).requests.FSYNC ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { load };
}

/** What SYNCING prints when each of its users has met this error in the fsync under way. */
function eachFailed(message: string): unknown {
  return expect.stringMatching(new RegExp(`^(sync: error syncing '\\d+\\.\\d+': ${message}\\n){${SYNCING_USERS}}$`));
}

/** Programs for the mount's users; each prints what went wrong and nothing otherwise. */
const HOLDER = `
import os, sys, time
f = os.open('held', os.O_RDWR | os.O_CREAT)
os.write(f, b'before')
os.fsync(f)
d = os.open('.', os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
os.pwrite(f, b'AFTER!', 6)
assert os.pread(f, 100, 0) == b'beforeAFTER!', os.pread(f, 100, 0)
os.ftruncate(f, 6)
assert os.fstat(f).st_size == 6
os.fsync(f)
assert 'held' in os.listdir(d)
print('done', flush=True)
`;

describe('a daemon that dies is replaced', () => {
  beforeAll(() => {
    process.env[TEST_HOOKS] = '1';
  });

  it('and the log, status and the lock tell of it', async () => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    expect((await status()).restarts).toBe(0);
    const before = record();
    await replaceDaemon();
    expect(await store.shell('cat f; echo new > g; cat g')).toBe('kept\nnew\n');
    const now = await status();
    expect(now).toMatchObject({ health: 'ok', restarts: 1, daemonPid: record().daemonPid });
    expect(now.lastRestart).toMatch(/^\d{4}-.*Z: killed by SIGKILL$/);
    expect(now.daemonPid).not.toBe(before.daemonPid);
    expect(record()).toMatchObject({ state: 'held', supervisorPid: before.supervisorPid, restarts: 1 });
    expect(store.log()).toMatch(/The daemon \d+ has died \(killed by SIGKILL\); \d+ takes over/);
    expect(store.log()).toMatch(/Daemon \d+ answers, \d+ ms after its predecessor's end/);
    await store.remount();
    expect(await store.shell('cat f g')).toBe('kept\nnew\n');
    expect((await status()).restarts).toBe(0);
  });

  it('under handles, which go on', async () => {
    store = await TestStore.create();
    const script = `mkfifo ../go; exec 3<>../go; python3 -c "$1" <&3 > ../said & pid=$!
      while ! grep -qs ready ../said; do sleep 0.02; done; kill -9 "$2"
      echo >&3; wait $pid; cat ../said`;
    const result = await store.run('bash', ['-c', script, 'x', HOLDER, `${record().daemonPid}`], { timeoutMs: 20_000 });
    expect(result).toMatchObject({ stdout: 'ready\ndone\n', stderr: '', code: 0 });
    expect((await status()).restarts).toBe(1);
  });

  it.each(TEST_THREADS)('when its %s thread crashes, with the stack in the log', async (thread) => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    const dead = record().daemonPid;
    const socketPath = record().adminSocket;
    await askDaemon(socketPath, { method: 'POST', path: '/crash', body: { thread }, timeoutMs: 5_000 }).catch(() => {});
    await waitUntil(() => record().daemonPid !== dead, { what: 'it has been replaced' });
    expect(await store.shell('cat f')).toBe('kept\n');
    const { lastRestart, restarts } = await status();
    expect({ lastRestart, restarts }).toEqual({
      lastRestart: expect.stringMatching(/: ended with code 70$/),
      restarts: 1,
    });
    expect(store.log()).toMatch(/Crash: the daemon ends/);
    expect(store.log()).toMatch(/AssertionError.*unreachable.*at /);
  });

  it('also when there is no spare, or the spare dies', async () => {
    store = await TestStore.create();
    await waitUntil(() => family().length === 2, { what: 'there is a spare' });
    const spare = family().find((pid) => pid !== record().daemonPid) ?? 0;
    kill(spare);
    await waitUntil(() => !isAlive(spare), { what: 'the spare is gone' });
    expect((await status()).restarts).toBe(0);
    await replaceDaemon();
    await replaceDaemon();
    expect((await status()).restarts).toBe(2);
    await waitUntil(() => family().length === 2, { what: 'there is a spare again' });
    const all = [record().supervisorPid, ...family()];
    await store.unmount();
    expect(all.filter((pid) => isAlive(pid))).toEqual([]);
  });

  it('and `pacsfs sync`, `info` and `status` wait for the next', async () => {
    store = await TestStore.create();
    await store.shell('echo x > f; sync f');
    const asked = ['sync', 'status'].map((verb) => store.pacsfs([verb, store.path]));
    const info = store.pacsfs(['info', join(store.mountPoint, 'f')]);
    for (let n = 0; n < 4; n++) await replaceDaemon();
    for (const { code, stderr } of await Promise.all([...asked, info])) {
      // What a sync says after ten seconds is no error.
      expect({ code, stderr: stderr.replaceAll(/^.*is still making everything durable\n/gm, '') }).toEqual({
        code: 0,
        stderr: '',
      });
    }
  });
});

describe('under load', () => {
  /** Kills the daemon again and again while users do everything and check everything. */
  it('no user sees an error, nothing that was answered is lost, and the store is whole', async () => {
    store = await TestStore.create({ mountOptions: ['restarts=1000'] });
    let isOver = false;
    const load = store.run('python3', ['-B', USERS, `${LOAD_SECONDS}`, '8'], { timeoutMs: 120_000 }).finally(() => {
      isOver = true;
    });
    const chance = new Random(firstSeed('PACSFS_SEED'));
    let kills = 0;
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, 300 + chance.below(2_000)));
      if (isOver) break;
      await replaceDaemon();
      kills += 1;
    }
    const { stdout } = await load;
    console.log(`${kills} kills; calls and the longest in ms: ${stdout.trim()}`);
    expect(stdout).toMatch(/^\d+ \d+\n$/);
    expect((await status()).restarts).toBe(kills);
    await store.unmount();
    const checked = await store.fsck();
    expect(checked).toMatchObject({ code: 0 });
  });

  it('requests that the daemon had read come again: fsyncs in flight', async () => {
    store = await TestStore.create();
    const { load } = await syncInVain();
    for (let n = 0; n < 4; n++) {
      await replaceDaemon();
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    expect(await load).toMatchObject({ stdout: '', stderr: '', code: 0 });
    expect(await store.shell('ls | wc -l')).toBe('640\n');
  });
});

describe('an end in the middle of a restart is in order', () => {
  const ends: readonly (readonly [string, () => Promise<void>])[] = [
    ['SIGTERM', async () => void process.kill(record().supervisorPid, 'SIGTERM')],
    ['unmount', async () => expect(await store.pacsfs(['unmount', store.mountPoint])).toMatchObject({ code: 0 })],
    ['unmount --lazy', async () => expect((await pacsfs(['unmount', store.path, '--lazy'])).code).toBe(0)],
    ['umount', async () => expect((await store.run('umount', [store.mountPoint], { cwd: '/' })).code).toBe(0)],
  ];
  it.each(ends)('by %s', async (_, end) => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    kill(record().daemonPid);
    await end();
    await hasEnded();
    expect(record()).toMatchObject({ state: 'free', outcome: { code: 0 } });
    expect((await store.fsck()).code).toBe(0);
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('when the daemon is killed while it makes everything durable', async () => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    const { daemonPid } = record();
    await suspend(daemonPid);
    process.kill(record().supervisorPid, 'SIGTERM');
    await waitUntil(() => !store.isMounted(), { what: 'it is unmounted' });
    kill(daemonPid);
    await hasEnded();
    expect(record()).toMatchObject({ state: 'free', outcome: { code: 0 } });
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });
});

describe('a mount that cannot be served any more answers EIO', () => {
  /** What every user of it meets, and how it ends. */
  async function isRefused(reason: RegExp): Promise<void> {
    const failed = await status();
    expect(failed.health).toMatch(/^failed: every access gets an input\/output error, because/);
    expect(failed.health).toMatch(reason);
    expect(store.log()).toMatch(reason);
    const users = await Promise.all(
      ['stat $0/nothing', 'ls -l $0', 'mkdir $0/d', 'cat $0/f', 'df $0'].map((line) => user(line)),
    );
    for (const { code, stderr } of users) {
      expect(stderr).toContain('Input/output error');
      expect(code).not.toBe(0);
    }
    const synced = await store.pacsfs(['sync', store.path]);
    expect(synced.code).toBe(1);
    expect(synced.stderr).toMatch(/input\/output error, because/);
    const unmounted = await store.pacsfs(['unmount', store.mountPoint]);
    expect(unmounted.code).toBe(1);
    expect(unmounted.stderr).toMatch(reason);
    await hasEnded();
    expect(record()).toMatchObject({ state: 'free', outcome: { code: 70, reason: expect.stringMatching(reason) } });
  }

  it('after more than 5 deaths within a minute; what hung is freed', async () => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    for (let n = 0; n < 5; n++) await replaceDaemon();
    expect(await store.shell('cat f')).toBe('kept\n');
    const { daemonPid } = record();
    await suspend(daemonPid);
    const hanging = store.run('bash', ['-c', 'mkdir made'], { timeoutMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    kill(daemonPid);
    expect((await hanging).stderr).toContain('Input/output error');
    await isRefused(/the daemon died 6 times within a minute, at last killed by SIGKILL/);
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('after as many as `-o restarts` says', async () => {
    store = await TestStore.create({ mountOptions: ['restarts=0'] });
    await store.shell('touch f; sync f');
    await exhaust();
    await isRefused(/the daemon died 1 times within a minute/);
  });

  it('when the next one cannot open the store; until somebody detaches it', async () => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    const system = join(store.path, 'meta', 'system.db');
    renameSync(system, `${system}.away`);
    kill(record().daemonPid);
    await waitUntil(() => record().health === 'failed', { what: 'the supervisor has given up' });
    expect((await user('ls $0')).stderr).toContain('Input/output error');
    expect((await status()).health).toMatch(/system\.db/);
    renameSync(`${system}.away`, system);
    const lazy = await store.pacsfs(['unmount', store.mountPoint, '--lazy']);
    expect(lazy.stderr).toMatch(/system\.db/);
    await hasEnded();
    await store.mount();
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('whoever waits in a request that the last daemon had read gets it too', async () => {
    store = await TestStore.create({ mountOptions: ['restarts=0'] });
    const { load } = await syncInVain();
    await exhaust();
    expect(await load).toMatchObject({ stdout: eachFailed('Input/output error'), stderr: '', code: 0 });
  });

  it('also on a signal, while its users stay', async () => {
    store = await TestStore.create({ mountOptions: ['restarts=0'] });
    await exhaust();
    process.kill(record().supervisorPid, 'SIGTERM');
    await hasEnded();
    expect(record()).toMatchObject({ state: 'free', outcome: { code: 70 } });
  });
});

describe('without NOTIFY_RESEND', () => {
  it('what was being served fails, what waited is served by the next daemon', async () => {
    store = await TestStore.create({ mountOptions: ['noresend'] });
    expect(store.log()).toMatch(/serving fail with ECONNABORTED: mounted with noresend/);
    await store.shell('echo kept > f && sync f');
    const { daemonPid } = record();
    await suspend(daemonPid);
    const waiting = store.run('bash', ['-c', 'cat f; mkdir made'], { timeoutMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    kill(daemonPid);
    expect(await waiting).toMatchObject({ stdout: 'kept\n', stderr: '', code: 0 });
    expect((await status()).restarts).toBe(1);
    await exhaust();
    expect((await user('stat $0/nothing')).stderr).toContain('Input/output error');
  });
});

describe('without NOTIFY_RESEND, under load', () => {
  it('what was being served fails with ECONNABORTED, nobody hangs, and all goes on', async () => {
    store = await TestStore.create({ mountOptions: ['noresend'] });
    const { load } = await syncInVain();
    await replaceDaemon();
    expect(await load).toMatchObject({ stdout: eachFailed('Software caused connection abort'), stderr: '', code: 0 });
    expect((await status()).health).toBe('ok');
    await store.shell('echo new > new; sync new');
  });
});

describe('the store is whole', () => {
  it('when supervisor and daemon are killed: the next mount removes what is left of theirs', async () => {
    store = await TestStore.create();
    await store.shell('echo kept > f && sync f');
    const all = [record().supervisorPid, ...family()];
    for (const pid of all) process.kill(pid, 'SIGSTOP');
    for (const pid of all) kill(pid);
    await waitUntil(() => all.every((pid) => !isAlive(pid)), { what: 'all are gone' });
    expect((await user('cat $0/f')).code).not.toBe(0);
    const mounted = await store.pacsfs(['mount', store.path, store.mountPoint]);
    expect(mounted).toMatchObject({ code: 0, stderr: expect.stringMatching(/unmounted what was left of it/) });
    expect(await store.shell('cat f')).toBe('kept\n');
  });

  it('and nobody else may touch it while a daemon is replaced', async () => {
    store = await TestStore.create();
    const elsewhere = join(store.folder, 'elsewhere');
    mkdirSync(elsewhere);
    const { daemonPid } = record();
    kill(daemonPid);
    const [mounted, repaired] = await Promise.all([
      store.pacsfs(['mount', store.path, elsewhere]),
      store.fsck(['--repair']),
    ]);
    expect(mounted).toMatchObject({ code: 1, stderr: expect.stringMatching(/^pacsfs: Store in use: /) });
    expect(repaired).toMatchObject({ code: 8, stderr: expect.stringMatching(/^pacsfs: Store in use: /) });
    await store.shell('touch f');
    writeFileSync(join(store.folder, 'done'), '');
  });
});
