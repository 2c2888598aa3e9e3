/** The reaper: test processes that are killed in the middle of their work leave nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { staleSource } from './fresh_build.ts';
import { clearAway, loopDevicesOf, mountsBelow, serversOf } from './leavings.ts';
import { CHECKOUT } from './mount_harness.ts';
import { waitUntil } from './processes.ts';
import { Random } from './random.ts';

const SUPPORT = join(CHECKOUT, 'dist', 'test', 'support');
/** Two stores, one of them on a disk of its own, with users who hang in one; then one mount after another, for ever. */
const WORKER = `
  const { TestStore } = await import('${SUPPORT}/mount_harness.js');
  const { SmallDisk } = await import('${SUPPORT}/small_disk.js');
  const { mkdirSync } = await import('node:fs');
  console.log('step');
  const disk = new SmallDisk(300);
  console.log('step');
  mkdirSync(disk.path + '/lives');
  const onDisk = await TestStore.create({ folder: disk.path + '/lives' });
  console.log('step');
  const store = await TestStore.create();
  console.log('step');
  void store.run('bash', ['-c', 'exec 5> open; sleep 1000 & sleep 1000'], { timeoutMs: 1e6 });
  void onDisk.run('sleep', ['1000'], { timeoutMs: 1e6 });
  await store.shell('sleep 0.2');
  console.log('ready');
  if (process.env.WORKER_ENDS === 'yes') process.exit(0);
  for (;;) {
    await store.unmount().catch(() => {});
    await onDisk.remount();
    await store.mount().catch(() => {});
    await new SmallDisk(16).remove();
  }
`;

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });

/** Everything that the worker makes lies below. */
let folder: string;
let worker: ChildProcess | undefined;
let said: string;

function start(env: Readonly<Record<string, string>> = {}): void {
  worker = spawn(process.execPath, ['--input-type=module', '-e', WORKER], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env, TMPDIR: folder },
  });
  said = '';
  worker.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
}

/** Processes that work in the folder, or were told of it. */
function processes(): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TMPDIR=${folder}\0`);
    } catch {
      return false;
    }
  });
}

const isEmpty = () => mountsBelow(folder).length + loopDevicesOf(folder).length + processes().length === 0;

beforeEach(() => {
  expect(staleSource(CHECKOUT, ['test/support'])).toBeUndefined();
  folder = mkdtempSync(join(tmpdir(), 'pacsfs-reaped-'));
});
afterEach(async () => {
  worker?.kill('SIGKILL');
  await clearAway(folder);
  for (const pid of processes()) process.kill(Number(pid), 'SIGKILL');
});

describe('a worker that is killed', () => {
  for (const signal of ['SIGKILL', 'SIGTERM'] as const)
    it(`by ${signal}, with mounts, a disk and users who hang, leaves nothing`, async () => {
      start();
      await waitUntil(() => said.includes('ready'), { what: 'the worker has its stores', timeoutMs: 120_000 });
      expect(loopDevicesOf(folder)).not.toEqual([]);
      expect(mountsBelow(folder).length).toBeGreaterThan(1);
      expect(serversOf(folder).length).toBeGreaterThan(1);
      worker?.kill(signal);
      await waitUntil(isEmpty, { what: 'nothing of the worker is left', timeoutMs: 40_000 });
      expect(readdirSync(folder)).toEqual([]);
    });

  it('at any moment of making a disk and mounts leaves nothing', async () => {
    const random = new Random(Date.now());
    for (let round = 0; round < 6; round++) {
      start();
      const isThere = () => said.split('\n').length > round;
      await waitUntil(isThere, { what: `the worker has done step ${round}`, timeoutMs: 120_000 });
      await new Promise((resolve) => setTimeout(resolve, random.below(500)));
      worker?.kill('SIGKILL');
      await waitUntil(isEmpty, { what: `nothing is left of round ${round}`, timeoutMs: 40_000 });
      expect([round, readdirSync(folder)]).toEqual([round, []]);
    }
  });
});

describe('a worker that ends by itself', () => {
  it('leaves nothing either, whatever it forgot', async () => {
    start({ WORKER_ENDS: 'yes' });
    await waitUntil(() => said.includes('ready'), { what: 'the worker has its stores', timeoutMs: 120_000 });
    await waitUntil(isEmpty, { what: 'nothing of the worker is left', timeoutMs: 40_000 });
    expect(readdirSync(folder)).toEqual([]);
  });
});
