/** A store with an erasure-coded volume that nothing is on yet: it is formatted, mounted and checked, with disks away too. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { pacsfs, TestStore } from '../support/mount_harness.ts';

let store: TestStore | undefined;
afterEach(async () => {
  await store?.destroy();
  store = undefined;
});

it('is formatted on devices of their own only, unless told otherwise', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pacsfs-ec-format-'));
  const cold = [0, 1, 2].map((i) => join(folder, `disk${i}`)).join(',');
  const args = ['format', join(folder, 'store'), '--volume', `hot=hot:dir:${folder}/hot`];
  const refused = await pacsfs([...args, '--volume', `cold=cold:ec:2+1:${cold}`]);
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/lie on one device.*--same-device/) as string,
  });
  expect(existsSync(join(folder, 'disk0'))).toBe(false);
  rmSync(folder, { recursive: true });
});

it('a store with one serves files from its hot volume, while disks of the other come and go', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pacsfs-ec-mount-'));
  const disks = Array.from({ length: 6 }, (_, i) => join(folder, `disk${i}`));
  const hot = `hot=hot:dir:${folder}/hot`;
  const cold = `cold=cold:ec:4+2:${disks.join(',')}`;
  store = await TestStore.create({ folder, formatArgs: ['--same-device', '--volume', hot, '--volume', cold] });
  for (const disk of disks) expect(existsSync(join(disk, 'pacsfs-volume.json'))).toBe(true);
  await store.shell('for i in 1 2 3; do head -c 300000 /dev/urandom > f$i; done; sha256sum f* > ../sums');
  await store.sync();
  const status = JSON.parse((await store.pacsfs(['status', store.path, '--json'])).stdout) as {
    spaces: readonly { volume: string; kind: string; total: number }[];
  };
  expect(status.spaces.map(({ volume, kind }) => `${volume} ${kind}`)).toEqual(['hot dir', 'cold ec']);
  expect(JSON.stringify(status)).not.toMatch(/degraded/);
  const moved = await store.pacsfs(['tier', 'move', join(store.mountPoint, 'f1'), '--to', 'cold']);
  expect(moved).toMatchObject({ code: 1, stderr: expect.stringContaining("'cold' is erasure-coded") });
  await store.unmount();
  expect((await store.fsck()).code).toBe(0);
  for (const disk of disks.slice(0, 3)) {
    rmSync(disk, { recursive: true });
    mkdirSync(disk);
    await store.mount();
    await store.shell('sha256sum --quiet -c ../sums');
    await store.shell('head -c 1000 /dev/zero > after; sync -f after; rm after');
    await store.unmount();
  }
  expect(store.log()).toMatch(/A directory of a volume is missing: the others stand in for it/);
  expect(store.log()).toMatch(/Volume is missing/);
  for (const disk of disks.slice(3)) expect(existsSync(join(disk, 'own'))).toBe(false);
});
