/** Reads that wait for a slow disk: nobody else waits for them, and they are answered though the daemon dies meanwhile. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TEST_HOOKS, TEST_READ_DELAY } from '../../mountd/messages.ts';
import { pacsfs, TestStore } from '../support/mount_harness.ts';

/** What a read of the volume takes: far more than all that others do meanwhile. */
const DELAY_MS = 2_500;
const FILES = 3;
const WAIT_MS = 30_000;

/** One process: starting many takes longer than what they do. */
const MEANWHILE = `
import hashlib, os
for i in range(20):
    with open(f"new{i}", "wb") as file: file.write(bytes(1000))
    os.rename(f"new{i}", f"old{i}")
    assert open(f"old{i}", "rb").read() == bytes(1000)
print(hashlib.sha256(open("hot", "rb").read()).hexdigest())
`;

interface ReadsStatus {
  readonly readers: number;
  readonly byReaders: number;
}

describe('a slow read', () => {
  let store: TestStore;
  let digests: string;

  beforeEach(async () => {
    process.env[TEST_HOOKS] = '1';
    process.env[TEST_READ_DELAY] = `${DELAY_MS}`;
    store = await TestStore.create({ mountOptions: ['restarts=10'] });
    // Each of another directory, so that nothing is read ahead.
    digests = await store.shell(
      `for i in $(seq ${FILES}); do mkdir d$i; head -c 300000 /dev/urandom > d$i/f; sha256sum < d$i/f; done; head -c 300000 /dev/urandom > hot`,
    );
    await store.sync();
    // Until then READs are answered as if there were none.
    await eventually(async () => (await reads()).readers >= 2);
  });

  afterEach(async () => {
    delete process.env[TEST_HOOKS];
    delete process.env[TEST_READ_DELAY];
    await store.destroy();
  });

  async function reads(): Promise<ReadsStatus> {
    const status = await pacsfs(['status', store.path, '--json']);
    return (JSON.parse(status.stdout) as { reads: ReadsStatus }).reads;
  }

  async function eventually(check: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + WAIT_MS;
    while (!(await check())) {
      if (Date.now() > end) throw new Error(`Waited ${WAIT_MS} ms in vain`);
    }
  }

  /** Reads of so many files, one process each, all of them under way when this returns. */
  async function begin(count: number): Promise<readonly Promise<string>[]> {
    const { byReaders } = await reads();
    const begun = Array.from({ length: count }, (_, i) =>
      store.shell(`dd if=d${i + 1}/f bs=1M status=none | sha256sum`),
    );
    await eventually(async () => (await reads()).byReaders >= byReaders + count);
    return begun;
  }

  it('keeps nobody waiting who creates, writes, or reads what is in memory', { timeout: 60_000 }, async () => {
    // In the kernel's memory from here on, though packed.
    const digest = await store.shell('dd if=hot bs=1M status=none | sha256sum | cut -d" " -f1');
    const begun = await begin(FILES);
    let isFirstBack = false;
    for (const read of begun) read.then(() => (isFirstBack = true)).catch(() => undefined);
    const done = await store.run('python3', ['-c', MEANWHILE]);
    expect(isFirstBack).toBe(false);
    expect(done.stdout).toBe(digest);
    expect((await Promise.all(begun)).join('')).toBe(digests);
  });

  it('is answered by the next daemon', { timeout: 60_000 }, async () => {
    const begun = await begin(2);
    const { daemon } = store.daemonPids();
    if (daemon === undefined) throw new Error('No daemon');
    process.kill(daemon, 'SIGKILL');
    expect((await Promise.all(begun)).join('')).toBe(digests.split('\n').slice(0, 2).join('\n').concat('\n'));
  });
});
