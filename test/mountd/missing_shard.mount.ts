/** Mounts of stores that lack a shard's file, or lose it while they are mounted. */
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

/** Forty directories of two packed files each; prints the sums of all. */
const FILL = `
for i in $(seq 40); do mkdir d$i; for j in 1 2; do head -c 20000 /dev/urandom > d$i/f$j; done; done
sha256sum d*/f* > ../sums`;
/** What of it can be read, a directory that cannot as 'lost NAME'; any error but EIO ends it. */
const LOOK = `
import os, errno
for name in sorted(os.listdir('.')):
    try:
        for file in sorted(os.listdir(name)): open(os.path.join(name, file), 'rb').read()
        print('whole', name)
    except OSError as e:
        assert e.errno == errno.EIO, e
        print('lost', name)
`;

let store: TestStore | undefined;
afterEach(async () => {
  await store?.destroy();
  store = undefined;
});

async function filled(): Promise<{ readonly made: TestStore; readonly path: string }> {
  const made = await TestStore.create({ formatArgs: ['--shards', '4'] });
  store = made;
  await made.shell(FILL);
  await made.sync();
  return { made, path: join(made.path, 'meta', 'shards', '002.db') };
}

async function status(made: TestStore): Promise<Record<string, unknown>> {
  return JSON.parse((await made.pacsfs(['status', made.path, '--json'])).stdout) as Record<string, unknown>;
}

describe('a store without one of its shards', () => {
  it('mounts degraded: read-only, EIO for what lay there, and says so', async () => {
    const { made, path } = await filled();
    await made.unmount();
    const kept = join(made.folder, 'kept');
    renameSync(path, kept);
    const mounted = await made.pacsfs(['mount', made.path, made.mountPoint]);
    expect([mounted.code, mounted.stderr]).toEqual([0, expect.stringMatching(/degraded: Shard 2 .* is missing/)]);
    expect(made.log()).toMatch(/Shard 2 of the store is missing: expected .*002\.db/);
    expect(await status(made)).toMatchObject({
      health: expect.stringMatching(/^degraded: Shard 2 of the store is missing/),
      missingShards: [{ shard: 2, path, slots: 1024 }],
    });
    const look = await made.run('python3', ['-c', LOOK]);
    expect([look.code, look.stderr]).toEqual([0, '']);
    const lines = look.stdout.trim().split('\n');
    const lost = lines.filter((line) => line.startsWith('lost'));
    expect(lines).toHaveLength(40);
    expect(lost.length).toBeGreaterThan(2);
    expect(lost.length).toBeLessThan(25);
    const [whole = ''] = lines.filter((line) => line.startsWith('whole')).map((line) => line.slice(6));
    const refused = await made.run('bash', ['-c', `mkdir new; rm ${whole}/f1; echo x >> ${whole}/f2`]);
    expect(refused.stderr.match(/Read-only file system/g)).toHaveLength(3);
    expect(await made.shell('sha256sum -c --quiet ../sums 2>/dev/null || true')).not.toContain('FAILED\n');
    // A backup of what is left would take the place of a whole one; a dump likewise.
    const backup = join(made.folder, 'backup');
    expect((await made.pacsfs(['backup', made.path, backup])).code).toBe(1);
    expect(existsSync(backup)).toBe(false);
    // The next daemon finds the same.
    const { daemon } = made.daemonPids();
    process.kill(daemon ?? 0, 'SIGKILL');
    expect((await made.run('python3', ['-c', LOOK])).stdout).toBe(look.stdout);
    await made.unmount();
    expect(existsSync(path)).toBe(false);
    renameSync(kept, path);
    await made.mount();
    await made.shell('sha256sum -c --quiet ../sums; echo new > new');
  });

  it('is not mounted without the shard of the root', async () => {
    const made = await TestStore.create({ formatArgs: ['--shards', '4'], mounted: false });
    store = made;
    rmSync(join(made.path, 'meta', 'shards', '001.db'));
    const mounted = await made.pacsfs(['mount', made.path, made.mountPoint]);
    expect([mounted.code, mounted.stderr]).toEqual([1, expect.stringContaining('Shard 1 of the store is missing')]);
  });
});

describe('a shard that goes while the store is mounted', () => {
  async function untilBroken(made: TestStore): Promise<string> {
    const mark = join(made.path, 'meta', 'BROKEN');
    const text = () => (existsSync(mark) ? readFileSync(mark, 'utf8') : '');
    for (const endMs = Date.now() + 15_000; text() === '' && Date.now() < endMs; )
      await new Promise((resolve) => setTimeout(resolve, 100));
    return text();
  }

  it.each([
    ['deleted', /002\.db was deleted while it was in use/, (path: string) => rmSync(path)],
    [
      'replaced by a copy',
      /002\.db was replaced by another file while it was in use/,
      (path: string) => {
        copyFileSync(path, `${path}.copied`);
        copyFileSync(path, `${path}.copy`);
        renameSync(`${path}.copy`, path);
      },
    ],
  ] as const)('%s is noticed: what can be read is, nothing is changed any more', async (_, reason, spoil) => {
    const { made, path } = await filled();
    spoil(path);
    expect(await untilBroken(made)).toMatch(reason);
    // Open as it is, it can be read: whoever hurries saves everything.
    await made.shell('sha256sum -c --quiet ../sums');
    const refused = await made.run('bash', ['-c', 'mkdir new; rm d1/f1']);
    expect(refused.stderr.match(/Input\/output error/g)).toHaveLength(2);
    expect(await status(made)).toMatchObject({ health: expect.stringMatching(/^broken: Database/) });
    await made.pacsfs(['unmount', made.mountPoint]);
    const repaired = await made.fsck(['--repair']);
    expect([repaired.code, repaired.stdout]).toEqual([1, expect.stringContaining('repaired')]);
    if (!existsSync(`${path}.copied`)) expect(repaired.stdout).toContain('everything is back');
    await made.mount();
    await made.shell('sha256sum -c --quiet ../sums; echo new > new');
  });
});
