/**
 * Where a real mount syncs: the journal once a barrier, by a worker; SQLite at checkpoints and where it begins a log anew,
 * by workers too. The control thread, which alone writes the journal, flushes no database while it serves.
 */
import { appendFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';
import { waitUntil } from '../support/processes.ts';
import { Strace } from '../support/strace.ts';

const FSYNC_FOLDER = "import os; os.fsync(os.open('.', os.O_RDONLY))";

const QUIET_MS = 2_000;

let store: TestStore | undefined;
let strace: Strace | undefined;
afterEach(async () => {
  await strace?.detach();
  await store?.destroy();
});

const JOURNAL = /(fdatasync|fsync)\([^)]*\/meta\/journal\//;
const SHARD = /(fdatasync|fsync)\([^)]*\/\d{3}\.db/;
const DATABASE = /(fdatasync|fsync)\([^)]*\.db/;
const APPEND = /pwrite64\([^,]*\/meta\/journal\//;

function threadOf(line: string): string {
  return line.split(' ')[0] ?? '';
}

async function watch(): Promise<void> {
  const { daemon } = store?.daemonPids() ?? {};
  strace = await Strace.attach(daemon ?? 0, {
    output: join(store?.folder ?? '', 'strace'),
    expressions: ['trace=fdatasync,fsync,sync_file_range,pwrite64'],
  });
}

/** Nothing is flushed any more that nobody has asked for. */
async function quiet(): Promise<void> {
  for (let before = -1; ; ) {
    const now = synced(/(fdatasync|fsync)\(/);
    if (now === before) return;
    before = now;
    await sleep(QUIET_MS);
  }
}

function synced(pattern: RegExp): number {
  return strace?.lines().filter((line) => pattern.test(line)).length ?? 0;
}

it('a commit syncs nothing, a barrier the journal', { timeout: 120_000 }, async () => {
  // No barrier comes by itself meanwhile.
  store = await TestStore.create({ formatArgs: ['--shards', '2'], mountOptions: ['commit=60'], mounted: false });
  // Nor is anything packed, whose record would want one.
  appendFileSync(join(store.path, 'store.yaml'), 'options:\n  packDelayMs: 600000\n');
  await store.mount();
  // Logs that are empty are begun by workers, however long these take to start: a head and a page.
  const logs = ['000', '001'].map((name) => join(store?.path ?? '', 'meta', 'shards', `${name}.db-wal`));
  const size = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  await waitUntil(() => logs.every((path) => size(path) > 8_192), { what: 'workers have begun the logs' });
  await watch();
  await quiet();
  const seen = [JOURNAL, SHARD, DATABASE].map(synced);
  const since = () => [JOURNAL, SHARD, DATABASE].map((pattern, i) => synced(pattern) - (seen[i] ?? 0));
  await store.shell('mkdir d; for i in $(seq 20); do echo $i > d/$i; done; rm d/1; mv d/2 d/3');
  expect(since()).toEqual([0, 0, 0]);
  await store.shell(`python3 -c "${FSYNC_FOLDER}"`);
  expect(since().slice(0, 2)).toEqual([1, 0]);
  // Nothing is left to be made durable.
  await store.shell(`python3 -c "${FSYNC_FOLDER}"`);
  expect(since()[0]).toBe(1);
  // Transactions of this age are committed with the barrier.
  await store.shell(`sleep 6; mkdir e; python3 -c "${FSYNC_FOLDER}"; mkdir f; python3 -c "${FSYNC_FOLDER}"`);
  await store.shell(`sleep 6; mkdir g; python3 -c "${FSYNC_FOLDER}"; mkdir h; python3 -c "${FSYNC_FOLDER}"`);
  expect(since()[0]).toBe(5);
  expect(synced(/pwrite64\([^,]*\.db-wal/)).toBeGreaterThan(0);
  expect(since()[1]).toBe(0);
  // system.db notes the start before workers work: its log alone begins with a commit.
  expect(since()[2]).toBeLessThanOrEqual(1);
  // The logs are moved into the databases when these are closed.
  await store.unmount();
  expect(synced(DATABASE)).toBeGreaterThan(1);
});

it('logs that have become long are moved by workers', { timeout: 120_000 }, async () => {
  store = await TestStore.create({ formatArgs: ['--shards', '1'], mounted: false });
  appendFileSync(join(store.path, 'store.yaml'), 'options:\n  walLimit: 1 MiB\n');
  await store.mount();
  await store.shell('mkdir d; sync -f d; sleep 1.2');
  await watch();
  await store.shell('for i in $(seq 6000); do : > d/$i; done; rm -r d', { timeoutMs: 60_000 });
  const lines = strace?.lines() ?? [];
  const control = new Set(lines.filter((line) => APPEND.test(line)).map(threadOf));
  expect(control.size).toBe(1);
  const [at] = control;
  const moved = lines.filter((line) => DATABASE.test(line) && /000\.db/.test(line));
  expect(moved.length).toBeGreaterThan(2);
  expect(moved.filter((line) => threadOf(line) === at)).toEqual([]);
});
