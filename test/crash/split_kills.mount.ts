/** kill -9 of the daemon while a crowded directory splits and merges: its user sees every name, and none twice. */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';

const KILLS = 6;
const PAUSE_MS = 1_000;
const USER = `
import os, random, time
random.seed(5)
os.mkdir('d')
names, number, end = set(), 0, time.monotonic() + ${((KILLS + 2) * PAUSE_MS) / 1000}
while time.monotonic() < end:
    grows = len(names) < 200 or (number // 600) % 2 == 0 and len(names) < 1500
    for _ in range(50):
        if grows:
            number += 1
            os.mknod(f'd/n{number}'); names.add(f'n{number}')
        elif names:
            number += 1
            name = names.pop(); os.unlink(f'd/{name}')
    listed = os.listdir('d')
    assert len(listed) == len(set(listed)) and set(listed) == names, (len(listed), len(names), set(listed) ^ names)
    for name in random.sample(sorted(names), 10): os.lstat(f'd/{name}')
print(len(names))
`;

let store: TestStore;
beforeEach(async () => {
  store = await TestStore.create({ mounted: false, mountOptions: ['restarts=1000'] });
  appendFileSync(join(store.path, 'store.yaml'), 'options:\n  splitAt: 64\n');
  await store.mount();
});
afterEach(() => store.destroy());

it('a daemon that dies in the middle of splits and merges is not noticed', { timeout: 90_000 }, async () => {
  const user = store.run('python3', ['-c', USER], { timeoutMs: 60_000 });
  let kills = 0;
  for (let round = 0; round < KILLS; round++) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const { daemon } = store.daemonPids();
    if (daemon === undefined) continue;
    process.kill(daemon, 'SIGKILL');
    kills += 1;
  }
  const result = await user;
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(kills).toBeGreaterThan(KILLS / 2);
  const left = Number(result.stdout);
  expect((await store.shell('ls -f d | wc -l')).trim()).toBe(String(left + 2));
  const info = await store.pacsfs(['info', join(store.mountPoint, 'd'), '--json']);
  expect(JSON.parse(info.stdout)).toMatchObject({ entries: left });
  expect((JSON.parse(info.stdout) as { partitions: number }).partitions).toBeGreaterThan(1);
  await store.unmount();
  expect(await store.fsck()).toMatchObject({ code: 0 });
});
