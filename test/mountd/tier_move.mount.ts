/** `pacsfs tier move` on a real store: there and back, beside programs that change what moves, and over deaths of the daemon. */
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { pacsfs, TestStore } from '../support/mount_harness.ts';

/** Files of a pattern that their number makes, in directories of 100. */
const WRITE = `
import os, sys
def bytes_of(i): return (b'%08d' % i) * (3000 + 97 * (i % 200))
for i in range(int(sys.argv[1])):
    if i % 100 == 0: os.makedirs(f'study/d{i // 100}', exist_ok=True)
    with open(f'study/d{i // 100}/{i}', 'wb') as f: f.write(bytes_of(i))
`;
/** Changes files in every way, over and over, until it is told to stop; then every one has to be what it should. */
const USE = `
import os, random, select, sys
random.seed(int(sys.argv[1]))
def bytes_of(i): return (b'%08d' % i) * (3000 + 97 * (i % 200))
want = {}
for d in os.listdir('study'):
    for name in os.listdir('study/' + d): want[f'study/{d}/{name}'] = bytes_of(int(name))
did = dict(read=0, removed=0, cut=0, written=0, renamed=0, linked=0, copied=0)
def check(path):
    with open(path, 'rb') as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = f.read()
    assert found == want[path], (path, len(found), len(want[path]))
n = 0
print('going', flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    path = random.choice(list(want)); what = random.randrange(12); n += 1
    if what < 6: check(path); did['read'] += 1
    elif what == 6 and len(want) > 200: os.unlink(path); del want[path]; did['removed'] += 1
    elif what == 7 and os.stat(path).st_nlink == 1:
        size = random.randrange(len(want[path]) + 1); os.truncate(path, size); want[path] = want[path][:size]; did['cut'] += 1
    elif what == 8 and os.stat(path).st_nlink == 1:
        at = random.randrange(len(want[path]) + 1)
        with open(path, 'r+b') as f: f.seek(at); f.write(b'changed')
        want[path] = want[path][:at] + b'changed' + want[path][at + 7:]; did['written'] += 1
    elif what == 9: to = f'study/d0/r{n}'; os.rename(path, to); want[to] = want.pop(path); did['renamed'] += 1
    elif what == 10: to = f'study/d1/l{n}'; os.link(path, to); want[to] = want[path]; did['linked'] += 1
    elif what == 11 and did['copied'] < 60:
        to = f'study/d0/c{n}'
        with open(path, 'rb') as a, open(to, 'wb') as b:
            while os.copy_file_range(a.fileno(), b.fileno(), 1 << 30) > 0: pass
        want[to] = want[path]; did['copied'] += 1
for path in want: check(path)
print(did)
`;
const FILES = 400;
/** Of them all. */
const BYTES = 40_484_800;
const KILLS = Number(process.env['TIER_KILLS'] ?? 20);
const LONG = { timeoutMs: 240_000 };

interface Moved {
  readonly migrations: readonly {
    readonly id: number;
    readonly state: string;
    readonly filesMoved: number;
    readonly filesToDo: number;
    readonly reason: string | null;
  }[];
}

let store: TestStore | undefined;
afterEach(async () => {
  await store?.destroy();
  store = undefined;
});

async function python(of: TestStore, script: string, argument: string): Promise<string> {
  const result = await of.run('python3', ['-c', script, argument], LONG);
  expect([result.code, result.stderr]).toEqual([0, '']);
  return result.stdout;
}

async function fill(files = FILES): Promise<TestStore> {
  const folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
  const formatArgs = ['--volume', `flash=hot:dir:${folder}/flash`, '--volume', `disk=warm:dir:${folder}/disk`];
  store = await TestStore.create({ folder, formatArgs });
  await python(store, WRITE, `${files}`);
  await store.sync();
  return store;
}

function moveTo(of: TestStore, to: string) {
  return pacsfs(['tier', 'move', `${of.mountPoint}/study`, '--to', to, '--wait', '--json'], { timeoutMs: 200_000 });
}

/** Everything is there. */
async function move(of: TestStore, to: string): Promise<Moved['migrations'][number] | undefined> {
  const result = await moveTo(of, to);
  expect([result.code, result.stderr.replaceAll(/pacsfs: moving: .*\n/g, '')]).toEqual([0, '']);
  return (JSON.parse(result.stdout) as Moved).migrations[0];
}

async function tiersOf(of: TestStore): Promise<string[]> {
  const tiers = `find study -type f -size +0 -print0 | xargs -0 getfattr --only-values -n user.pacsfs.tier`;
  const found = await of.shell(`${tiers} | sed 's/\\(hot\\|warm\\)/\\1\\n/g' | sort | uniq -c`);
  return found
    .trim()
    .split('\n')
    .map((line) => line.trim());
}

/** Bytes that files take on a volume's disk, indexes and headers with them. */
async function takenOn(of: TestStore, volume: string): Promise<number> {
  const found = await of.run('du', ['-s', '--block-size=1', `${of.folder}/${volume}/aggregates`], { cwd: of.folder });
  return Number(found.stdout.split('\t')[0] ?? 0);
}

/** Bytes that rows of aggregates count as live. */
async function liveBytes(of: TestStore): Promise<number> {
  const dumped = await pacsfs(['dump', of.path, join(of.folder, 'dump')]);
  expect(dumped.code).toBe(0);
  const lines = readFileSync(join(of.folder, 'dump'), 'utf8').split('\n');
  const rows = lines
    .filter((line) => line.includes('"row":"aggregate"'))
    .map((line) => JSON.parse(line) as { live: number });
  return rows.reduce((sum, { live }) => sum + live, 0);
}

async function expectClean(of: TestStore): Promise<void> {
  await of.unmount();
  const checked = await of.fsck();
  expect([checked.code, checked.stderr]).toEqual([0, '']);
}

describe('pacsfs tier move', { timeout: 900_000 }, () => {
  it('moves a study to the warm tier and back; every byte is what it was', async () => {
    const mine = await fill();
    const sums = await mine.shell('find study -type f | sort | xargs sha256sum');
    const size = await takenOn(mine, 'flash');
    const beganMs = Date.now();
    const done = await move(mine, 'warm');
    console.log(`moved in ${Date.now() - beganMs} ms: ${JSON.stringify(done)}`);
    expect(done).toMatchObject({ state: 'done', filesMoved: FILES, filesToDo: FILES });
    expect(await tiersOf(mine)).toEqual([`${FILES} warm`]);
    expect(await mine.shell('find study -type f | sort | xargs sha256sum')).toBe(sums);
    await mine.sync();
    const taken = [await takenOn(mine, 'flash'), await takenOn(mine, 'disk')];
    console.log(`flash took ${size} bytes; now flash takes ${taken[0]}, disk ${taken[1]}`);
    // What is written ahead of use stays.
    expect(size - (taken[0] ?? 0)).toBeGreaterThan(BYTES);
    expect(taken[1]).toBeLessThan(BYTES * 1.1);
    await expectClean(mine);
    await mine.mount();
    expect(await mine.shell('find study -type f | sort | xargs sha256sum')).toBe(sums);
    expect(await move(mine, 'hot')).toMatchObject({ state: 'done', filesMoved: FILES });
    expect(await tiersOf(mine)).toEqual([`${FILES} hot`]);
    expect(await mine.shell('find study -type f | sort | xargs sha256sum')).toBe(sums);
    const history = await pacsfs(['tier', 'history', mine.path, '--json']);
    expect((JSON.parse(history.stdout) as Moved).migrations.map(({ state }) => state)).toEqual(['done', 'done']);
    const status = await pacsfs(['tier', 'status', mine.path]);
    expect(status.stdout).toContain('no files are on their way');
    await expectClean(mine);
  });

  it('says what is not there, and what stays', async () => {
    const mine = await fill(10);
    const unknown = await moveTo(mine, 'cold');
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("no tier or volume 'cold'")]);
    await mine.shell('head -c 9000000 /dev/urandom > study/large');
    const large = await moveTo(mine, 'disk');
    expect([large.code, large.stderr]).toEqual([1, expect.stringContaining('1 file large, in a file of its own')]);
    expect(await tiersOf(mine)).toEqual(['1 hot', '10 warm']);
    const elsewhere = await pacsfs(['tier', 'move', mine.folder, '--to', 'warm']);
    expect(elsewhere.code).toBe(1);
    const without = await pacsfs(['tier', 'move', mine.mountPoint]);
    expect(without.code).toBe(2);
    await expectClean(mine);
  });

  it('beside programs that read, remove, cut, write, rename, link and copy what moves', async () => {
    const mine = await fill();
    const using = mine.run(
      'bash',
      ['-c', `exec python3 -c '${USE.replaceAll("'", `'"'"'`)}' 7 < <(sleep 25; echo)`],
      LONG,
    );
    let moves = 0;
    let files = 0;
    for (const end = Date.now() + 22_000; Date.now() < end; moves++) {
      const result = await moveTo(mine, moves % 2 === 0 ? 'warm' : 'hot');
      for (const { filesMoved } of (JSON.parse(result.stdout) as Moved).migrations) files += filesMoved;
    }
    const used = await using;
    console.log(`${moves} moves, ${files} files; ${used.stdout.trim().split('\n').at(-1)}`);
    expect([used.code, used.stderr]).toEqual([0, '']);
    expect(files).toBeGreaterThan(0);
    expect(await move(mine, 'warm')).toMatchObject({ state: 'done' });
    expect((await tiersOf(mine)).map((line) => line.split(' ')[1])).toEqual(['warm']);
    await expectClean(mine);
  });

  it('what a rebuild brings back of what was moved', async () => {
    const mine = await fill(100);
    expect(await move(mine, 'warm')).toMatchObject({ state: 'done' });
    await mine.shell('rm study/d0/*1; mv study/d0/2 study/renamed');
    expect(await move(mine, 'hot')).toMatchObject({ state: 'done', filesMoved: 90 });
    await mine.sync();
    const sums = await mine.shell('find study -type f | sort | xargs sha256sum');
    await mine.unmount();
    await mine.run('bash', ['-c', `rm -r ${mine.path}/meta/shards ${mine.path}/meta/system.db*`], { cwd: mine.folder });
    const rebuilt = await mine.fsck(['--rebuild', '--force']);
    expect([rebuilt.code <= 1, rebuilt.stderr]).toEqual([true, rebuilt.stderr]);
    await mine.mount();
    expect(await mine.shell('find study -type f | sort | xargs sha256sum')).toBe(sums);
  });

  it(`goes on when the daemon is killed, ${KILLS} times`, async () => {
    const mine = await fill(1_000);
    await mine.remount(['restarts=1000']);
    const sums = await mine.shell('find study -type f | sort | xargs sha256sum');
    let kills = 0;
    let moves = 0;
    let state: string | undefined;
    for (let seed = 1; kills < KILLS; moves++) {
      const moving = moveTo(mine, moves % 2 === 0 ? 'warm' : 'hot');
      const ended = moving.then(() => true);
      while (kills < KILLS) {
        seed = (seed * 48_271) % 2_147_483_647;
        const isEnded = await Promise.race([
          ended,
          new Promise<false>((go) => setTimeout(() => go(false), 300 + (seed % 900))),
        ]);
        if (isEnded) break;
        const { daemon } = mine.daemonPids();
        if (daemon === undefined) continue;
        process.kill(daemon, 'SIGKILL');
        kills += 1;
      }
      const result = await moving;
      expect([result.code, result.stderr.replaceAll(/pacsfs: moving: .*\n/g, '')]).toEqual([0, '']);
      state = (JSON.parse(result.stdout) as Moved).migrations[0]?.state;
      expect(state).toBe('done');
      expect(await mine.shell('find study -type f | sort | xargs sha256sum')).toBe(sums);
      expect(await tiersOf(mine)).toEqual([`1000 ${moves % 2 === 0 ? 'warm' : 'hot'}`]);
    }
    // A start gives back what was written ahead of use.
    await mine.remount();
    await mine.sync();
    await pacsfs(['compact', mine.path, '--wait'], { timeoutMs: 200_000 });
    await expectClean(mine);
    const accounted = await liveBytes(mine);
    const taken = [await takenOn(mine, 'flash'), await takenOn(mine, 'disk')];
    console.log(
      `killed ${kills} times in ${moves} moves; flash takes ${taken[0]} bytes, disk ${taken[1]}, live ${accounted}`,
    );
    expect((taken[0] ?? 0) + (taken[1] ?? 0)).toBeLessThan(accounted * 1.05);
    await mine.mount();
    expect(await mine.shell('find study -type f | sort | xargs sha256sum')).toBe(sums);
  });
});
