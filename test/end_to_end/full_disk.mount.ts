/** Disks filled to the last byte, by users of the mount and by others: what is refused, what is kept, how it comes back. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { BALLAST_BYTES } from '../../shard/ballast.ts';
import { TestStore } from '../support/mount_harness.ts';
import { SCRIPTS, unmountedFaults } from '../support/scripts.ts';
import { SmallDisk } from '../support/small_disk.ts';

const MIB = 2 ** 20;
const LONG = { timeout: 300_000 };
const MODES = ['passthrough', 'nopassthrough'];

describe('a full disk', () => {
  let store: TestStore | undefined;
  let disk: SmallDisk | undefined;
  afterEach(async () => {
    disk?.empty();
    await store?.destroy();
    await disk?.remove();
    store = undefined;
    disk = undefined;
  });

  /** A store on a disk of its own. */
  async function onDisk(sizeMib: number, { mode = 'passthrough', formatArgs = [] as readonly string[] } = {}) {
    const small = new SmallDisk(sizeMib);
    disk = small;
    const folder = join(small.path, 'test');
    mkdirSync(folder);
    const made = await TestStore.create({ folder, formatArgs, mountOptions: [mode] });
    store = made;
    return { small, made, act: (...args: string[]) => act(made, args) };
  }

  async function act(on: TestStore, args: readonly string[]): Promise<Record<string, unknown>> {
    const result = await on.run('python3', ['-B', join(SCRIPTS, 'full_disk.py'), ...args], { timeoutMs: 60_000 });
    if (result.code !== 0) throw new Error(`full_disk.py ${args.join(' ')}: ${result.stderr.slice(-2_000)}`);
    return JSON.parse(result.stdout) as Record<string, unknown>;
  }

  it.each(MODES)('filled by its users tears nothing, and takes again what is deleted: %s', LONG, async (mode) => {
    const { small, made, act } = await onDisk(64, { mode });
    const first = await act('fill', 'a', '200000');
    expect(first['made']).toBeGreaterThan(80);
    // What is left is for the rows: a hundredth of the disk, but for what they have taken of it by now. From those who
    // write unheard it is kept as bytes.
    const kept = mode === 'passthrough' ? BALLAST_BYTES * Number(existsSync(join(made.path, 'meta', 'ballast'))) : 0;
    expect(small.available() + kept).toBeGreaterThan(MIB / 4);
    expect(await act('check', 'a')).toMatchObject({ wrong: [] });
    expect(await made.shell('echo x > new || echo refused')).toBe('refused\n');
    await made.shell('mv a b && chmod 700 b && ! cp b/open-0-* c');
    const { deleted } = await act('thin', 'b');
    expect(deleted).toBeGreaterThan(40);
    // At once: nobody has to know of barriers.
    expect((await act('fill', 'a', '100000'))['made']).toBeGreaterThan(30);
    for (const folder of ['a', 'b']) expect(await act('check', folder)).toMatchObject({ wrong: [] });
    await made.shell('rm -r a');
    await made.sync();
    expect(
      await made.shell("find . -type f -exec getfattr --only-values -n user.pacsfs.layout {} + | tr -d '\\0'"),
    ).not.toContain('own');
    expect(await unmountedFaults(made)).toBe('');
  });

  it.each(MODES)('filled to the last byte by others still takes deletes, ends and starts: %s', LONG, async (mode) => {
    const { small, made, act } = await onDisk(64, { mode });
    await made.shell(
      'mkdir a; for i in $(seq 30); do head -c 300000 /dev/urandom > a/$i; done; sha256sum a/* > ../sums',
    );
    await made.sync();
    await made.shell('for i in $(seq 10); do head -c 100000 /dev/zero > a/late$i; done');
    small.fill();
    expect(small.available()).toBeLessThan(MIB / 8);
    expect(await made.shell('echo x 2>/dev/null > new || echo refused')).toBe('refused\n');
    expect(await made.shell('sha256sum --quiet -c ../sums; rm a/1 a/2 a/late*; ls a | wc -l')).toBe('28\n');
    await made.sync({ packed: false });
    await made.shell(
      'head -n 1 ../sums > ../one; rm a/3; sed -i -E "/a.(1|2|3)$/d" ../sums; sha256sum --quiet -c ../sums',
    );
    // The ballast is gone by now: with room it comes back, and then opens a store on a full disk.
    await made.unmount();
    small.fill();
    // Without its ballast a store may find no room to open.
    const mounted = await made.pacsfs(['mount', made.path, made.mountPoint]);
    if (mounted.code !== 0) expect(mounted.stderr).toContain('full');
    small.empty();
    if (mounted.code !== 0) await made.mount();
    await made.shell('touch a');
    await made.sync({ packed: false });
    await made.unmount();
    small.fill();
    await made.mount();
    expect(await made.shell('sha256sum --quiet -c ../sums; rm a/4; ls a | wc -l')).toBe('26\n');
    small.empty();
    await made.sync();
    expect((await act('fill', 'b', '100000'))['made']).toBeGreaterThan(30);
    expect(await act('check', 'b')).toMatchObject({ wrong: [] });
    expect(await unmountedFaults(made)).toBe('');
  });

  it(
    "is nobody's whose handles are passed through: deletes find room beside writers that never stop",
    LONG,
    async () => {
      // So large that many are passed through before it is nearly full.
      const { made, act } = await onDisk(96);
      const first = await act('fill', 'a', '200000');
      expect(first['made']).toBeGreaterThan(80);
      const opened = async (): Promise<number> =>
        JSON.parse((await made.pacsfs(['status', made.path, '--json'])).stdout).passedThrough;
      const before = await opened();
      expect(before).toBeGreaterThan(80);
      // Handles from before go on; those of now are served by this process, which leaves the rows their room.
      expect(await act('hungry', 'a')).toMatchObject({ wrong: [] });
      expect(await act('check', 'a')).toMatchObject({ wrong: [] });
      await made.shell('rm -r a');
      await made.sync({ packed: false });
      expect((await act('fill', 'b', '100000'))['made']).toBeGreaterThan(30);
      expect(await act('check', 'b')).toMatchObject({ wrong: [] });
      expect(await unmountedFaults(made)).toBe('');
    },
  );

  it('for metadata only: names are refused, contents are not; deletes make room', { timeout: 300_000 }, async () => {
    const data = join('/tmp', `pacsfs-test-data-${process.pid}`);
    const { small, made, act } = await onDisk(40, {
      formatArgs: ['--shards', '4', '--volume', `hot=hot:dir:${data}`],
    });
    try {
      await made.shell('head -c 3000000 /dev/urandom > kept; sha256sum kept > ../sum');
      const first = await act('names', 'a');
      expect(first['made']).toBeGreaterThan(500);
      expect(small.available()).toBeGreaterThan(MIB);
      expect(await made.shell('sha256sum --quiet -c ../sum; mkdir d || echo refused')).toBe('refused\n');
      // Over and over: databases keep the pages that deletes leave, and the ballast is not back yet.
      for (let round = 0; round < 2; round++) {
        await made.shell('rm -r a', { timeoutMs: 120_000 });
        await made.sync({ packed: false });
        expect((await act('names', 'a'))['made']).toBeGreaterThan(100);
      }
      await made.shell('rm -r a', { timeoutMs: 120_000 });
      await made.sync({ packed: false });
      await made.shell('touch again; sha256sum --quiet -c ../sum; rm again');
      expect(await unmountedFaults(made)).toBe('');
    } finally {
      await made.destroy();
      await import('node:fs').then(({ rmSync }) => rmSync(data, { recursive: true, force: true }));
    }
  });
});
