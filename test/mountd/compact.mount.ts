/** `pacsfs compact` on a real store: beside programs that read, remove, cut and copy, and over deaths of the daemon. */
import { afterEach, describe, expect, it } from 'vitest';
import { TestStore } from '../support/mount_harness.ts';

/** Files of a pattern that their number makes, in directories of 100. */
const WRITE = `
import os, sys
def bytes_of(i): return (b'%08d' % i) * (3000 + 97 * (i % 200))
for i in range(int(sys.argv[1])):
    if i % 100 == 0: os.makedirs(f'd{i // 100}', exist_ok=True)
    with open(f'd{i // 100}/{i}', 'wb') as f: f.write(bytes_of(i))
`;
/** Removes those whose number does not end in one of these digits. */
const THIN = `
import os, sys
for d in os.listdir('.'):
    for name in os.listdir(d):
        if name[-1] not in sys.argv[1]: os.unlink(f'{d}/{name}')
`;
/** Reads them over and over, removes one now and then, until it is told to stop; prints how many reads were right. */
const USE = `
import os, random, select, sys
random.seed(7)
def bytes_of(i): return (b'%08d' % i) * (3000 + 97 * (i % 200))
there = {}
for d in os.listdir('.'):
    for name in os.listdir(d): there[int(name)] = f'{d}/{name}'
reads = removed = copied = 0
print('going', flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    i = random.choice(list(there)); path = there[i]
    with open(path, 'rb') as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = f.read()
    want = bytes_of(i % 1000000)
    assert want.startswith(found) if i in (13, 27) else found == want, path
    reads += 1
    if reads % 40 == 0 and len(there) > 12: os.unlink(path); del there[i]; removed += 1
    elif reads % 25 == 0 and i < 1000000 and i + 1000000 not in there and copied < 20:
        to = path + '-copy'
        with open(path, 'rb') as a, open(to, 'wb') as b: os.copy_file_range(a.fileno(), b.fileno(), 1 << 30)
        there[i + 1000000] = to; copied += 1
for i, path in there.items(): assert open(path, 'rb').read() == bytes_of(i % 1000000), path
print('right', reads, 'removed', removed, 'copied', copied)
`;
const FILES = 120;
const LONG = { timeoutMs: 240_000 };

interface Compacted {
  readonly aggregates: number;
  readonly bytesCopied: number;
  readonly bytesGivenBack: number;
  readonly writeAmplification: number | null;
  readonly files: number;
  readonly damaged: number;
  readonly finished: boolean;
  readonly failed?: string;
}

let store: TestStore | undefined;
afterEach(async () => {
  await store?.destroy();
  store = undefined;
});

async function python(of: TestStore, script: string, argument: string): Promise<void> {
  const result = await of.run('python3', ['-c', script, argument], LONG);
  expect([result.code, result.stderr]).toEqual([0, '']);
}

async function fill(): Promise<TestStore> {
  store = await TestStore.create();
  await python(store, WRITE, `${FILES}`);
  await store.sync();
  return store;
}

async function compact(of: TestStore): Promise<Compacted> {
  const { pacsfs } = await import('../support/mount_harness.ts');
  const result = await pacsfs(['compact', of.path, '--wait', '--json'], { timeoutMs: 200_000 });
  expect([result.code, result.stderr.replaceAll(/pacsfs: compacting .*\n/g, '')]).toEqual([0, '']);
  return JSON.parse(result.stdout) as Compacted;
}

async function aggregates(of: TestStore): Promise<readonly string[]> {
  const found = await of.run('bash', ['-c', `find ${of.path}/volumes/hot/aggregates -type f`]);
  return found.stdout.split('\n').filter((path) => path !== '');
}

describe('pacsfs compact', { timeout: 600_000 }, () => {
  it('moves what is left, gives the rest back, and every byte is what it was', async () => {
    const mine = await fill();
    const before = await aggregates(mine);
    await python(mine, THIN, '0');
    await mine.sync();
    const sums = await mine.shell('sha256sum d*/*');
    const done = await compact(mine);
    console.log(`compacted: ${JSON.stringify(done)}, ${before.length} aggregates before`);
    expect(done).toMatchObject({ damaged: 0, finished: true });
    expect(done.aggregates).toBeGreaterThan(0);
    expect(done.files).toBeGreaterThan(6);
    expect(await mine.shell('sha256sum d*/*')).toBe(sums);
    await mine.remount();
    await mine.sync();
    const after = await aggregates(mine);
    expect(before.filter((path) => after.includes(path)).length).toBeLessThanOrEqual(before.length - done.aggregates);
    expect(await mine.shell('sha256sum d*/*')).toBe(sums);
    await mine.unmount();
    const checked = await mine.fsck();
    expect([checked.code, checked.stderr]).toEqual([0, '']);
  });

  it('beside readers, removals and copies', async () => {
    const mine = await fill();
    await python(mine, THIN, '09');
    await mine.sync();
    const using = mine.run(
      'bash',
      ['-c', `exec python3 -c '${USE.replaceAll("'", `'"'"'`)}' < <(sleep 12; echo)`],
      LONG,
    );
    let passes = 0;
    let files = 0;
    for (const end = Date.now() + 9_000; Date.now() < end; passes++) ({ files } = await compact(mine));
    const used = await using;
    console.log(`${passes} passes, ${files} files moved; ${used.stdout.trim().split('\n').at(-1)}`);
    expect([used.code, used.stderr]).toEqual([0, '']);
    await mine.sync();
    const done = await compact(mine);
    expect(done).toMatchObject({ damaged: 0, finished: true });
    expect(done.files).toBeGreaterThan(0);
    await mine.unmount();
    const checked = await mine.fsck();
    expect([checked.code, checked.stderr]).toEqual([0, '']);
  });

  it('what a rebuild brings back of what was moved', async () => {
    const mine = await fill();
    await python(mine, THIN, '0');
    await mine.shell('truncate -s 10000 d0/30');
    await mine.sync();
    expect((await compact(mine)).files).toBeGreaterThan(6);
    const sums = await mine.shell('sha256sum d*/*');
    await mine.unmount();
    await mine.run('bash', ['-c', `rm -r ${mine.path}/meta/shards ${mine.path}/meta/system.db*`], { cwd: mine.folder });
    const rebuilt = await mine.fsck(['--rebuild', '--force']);
    expect([rebuilt.code <= 1, rebuilt.stderr]).toEqual([true, rebuilt.stderr]);
    await mine.mount();
    expect(await mine.shell('sha256sum d*/*')).toBe(sums);
  });
});
