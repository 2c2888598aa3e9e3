/**
 * `pacsfs shard` on real stores: shards added beside programs that make and remove names, the daemon killed in the middle,
 * and without a mount, the command killed in the middle. Nothing may be lost, and every shard gets its share.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { ShardsStatus } from '../../mountd/shards/status.ts';
import { PACSFS, TestStore } from '../support/mount_harness.ts';
import { type RunResult, waitUntil } from '../support/processes.ts';

/** Makes, renames and removes names until it is told to stop; then prints what must be there. */
const LOAD = `
import os, random, select, sys
random.seed(int(sys.argv[1])); there = {}
def at(d, i): return f'w{sys.argv[1]}-{d}/{i}'
for d in range(12): os.mkdir(f'w{sys.argv[1]}-{d}')
number = 0
while True:
    number += 1
    if number % 64 == 0:
        if number == 64: print('going', flush=True)
        if select.select([sys.stdin], [], [], 0)[0]: break
    path = at(random.randrange(12), random.randrange(120))
    if path not in there:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY); os.write(fd, b'%d' % number); os.close(fd)
        if number % 5 == 0: os.setxattr(path, 'user.number', b'%d' % number)
        there[path] = number
    elif random.random() < 0.5: os.unlink(path); del there[path]
    else:
        to = at(random.randrange(12), random.randrange(120))
        os.rename(path, to); there[to] = there.pop(path) if to != path else there[path]
found = {}
for d in range(12):
    for name in os.listdir(f'w{sys.argv[1]}-{d}'):
        path = f'w{sys.argv[1]}-{d}/{name}'
        number = int(open(path).read()); found[path] = number
        if number % 5 == 0: assert int(os.getxattr(path, 'user.number')) == number, path
assert found == there, f'{len(found)} found, expected {len(there)}'
print('whole', len(there))
`;
const COUNT = `
import os
print(sum(len(files) for _, _, files in os.walk('.')))
`;

let store: TestStore | undefined;
afterEach(async () => {
  await store?.destroy();
  store = undefined;
});

function must(result: RunResult): string {
  // How far it is may be told on standard error.
  expect([result.code, result.stderr.replaceAll(/pacsfs: \w+ \w+: .*\n|pacsfs: mounted: .*\n/g, '')]).toEqual([0, '']);
  return result.stdout;
}

function verb(of: TestStore, args: readonly string[]): Promise<RunResult> {
  return of.pacsfs(['shard', ...args], { timeoutMs: 120_000 });
}

async function shards(of: TestStore): Promise<ShardsStatus & { spread: { slots: { least: number; most: number } } }> {
  return JSON.parse(must(await verb(of, ['list', of.path, '--json']))) as never;
}

/** A client of the mount in a process of its own. */
class Load {
  readonly #child: ReturnType<typeof spawn>;
  #output = '';

  constructor(of: TestStore, seed: number) {
    this.#child = spawn('python3', ['-c', LOAD, String(seed)], {
      cwd: of.mountPoint,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const hear = (chunk: Buffer) => {
      this.#output += chunk.toString();
    };
    this.#child.stdout?.on('data', hear);
    this.#child.stderr?.on('data', hear);
  }

  get isGoing(): boolean {
    return this.#output.includes('going');
  }

  /** What it found of what it had been promised. */
  async stop(): Promise<string> {
    this.#child.stdin?.end('stop\n');
    await waitUntil(() => this.#child.exitCode !== null, { what: 'the load ends', timeoutMs: 60_000 });
    return this.#output;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

async function isClean(of: TestStore): Promise<void> {
  const checked = await of.fsck();
  expect(checked.stdout + checked.stderr).toContain('clean');
  expect(checked.code).toBe(0);
}

describe('shards are added', () => {
  it('beside a load, the daemon killed in the middle', { timeout: 240_000 }, async () => {
    store = await TestStore.create({ mountOptions: ['restarts=100'] });
    const of = store;
    const loads = [1, 2].map((seed) => new Load(of, seed));
    try {
      await waitUntil(() => loads.every((load) => load.isGoing), { what: 'the loads go', timeoutMs: 30_000 });
      must(await verb(of, ['add', of.mountPoint, '--count', '2']));
      let kills = 0;
      for (let left = 4096; left > 0 && kills < 3; ) {
        const { moves } = await shards(of);
        const before = left;
        left = moves.toMove + moves.removing;
        if (left === 0 || left === before) continue;
        const { daemon } = of.daemonPids();
        if (daemon === undefined) continue;
        process.kill(daemon, 'SIGKILL');
        kills += 1;
      }
      expect(kills).toBeGreaterThan(0);
      must(await verb(of, ['add', of.mountPoint, '--count', '0', '--wait']));
      for (const load of loads) expect(await load.stop()).toContain('whole');
      const { spread, shards: lines } = await shards(of);
      expect([lines.length, spread.slots.most - spread.slots.least]).toEqual([18, 1]);
      console.info(`${kills} kills of the daemon while slots moved; slots a shard: ${JSON.stringify(spread.slots)}`);
    } finally {
      for (const load of loads) load.kill();
    }
    must(await verb(of, ['check', of.mountPoint]));
    await of.unmount();
    await isClean(of);
  });

  it('without a mount, the command killed in the middle', { timeout: 240_000 }, async () => {
    store = await TestStore.create();
    const of = store;
    const make = `import os\nfor d in range(60):\n  os.mkdir(f'd{d}')\n  for i in range(40): os.mknod(f'd{d}/{i}')`;
    expect((await of.run('python3', ['-c', make])).stderr).toBe('');
    await of.unmount();
    let kills = 0;
    for (const args of [
      ['--count', '3'],
      ['--count', '0'],
    ]) {
      const child = spawn(process.execPath, [PACSFS, 'shard', 'add', of.path, ...args], { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      await waitUntil(() => child.exitCode !== null || logOf(of, 18) > 0, { what: 'slots move', timeoutMs: 30_000 });
      if (child.kill('SIGKILL')) kills += 1;
      await ended;
      await isClean(of);
    }
    expect(kills).toBeGreaterThan(0);
    must(await verb(of, ['add', of.path, '--count', '0']));
    const { spread, shards: lines, moves } = await shards(of);
    expect([lines.length, spread.slots.most - spread.slots.least, moves.toMove]).toEqual([19, 1, 0]);
    expect(must(await verb(of, ['check', of.path]))).not.toContain('damaged');
    await isClean(of);
    await of.mount();
    expect((await of.run('python3', ['-c', COUNT])).stdout.trim()).toBe('2400');
  });

  it('1 and 4 to 16, as evenly as slots divide', { timeout: 120_000 }, async () => {
    store = await TestStore.create({ mounted: false });
    for (const [count, expected] of [
      ['1', [17, 240, 241]],
      ['4', [21, 195, 196]],
    ] as const) {
      const shown = must(await verb(store, ['add', store.path, '--count', count]));
      console.info(shown);
      const { shards: lines, spread } = await shards(store);
      expect([lines.length, spread.slots.least, spread.slots.most]).toEqual(expected);
    }
    await isClean(store);
  });
});

describe('what can be wrong', () => {
  it('is said in one line, and changes nothing', { timeout: 60_000 }, async () => {
    store = await TestStore.create({ mounted: false, formatArgs: ['--shards', '3'] });
    const refused = async (args: readonly string[], line: RegExp) => {
      const result = await verb(store as TestStore, args);
      expect(result.stderr).toMatch(line);
      expect(result.code).not.toBe(0);
    };
    await refused(['add', store.path, '--count', '254'], /at most 256/);
    await refused(['add', store.path, '--count', 'two'], /expected a number/);
    await refused(['check', store.path, '--shard', '3'], /expected a number from 0 to 2/);
    expect((await shards(store)).shards.length).toBe(3);
    const listed = must(await verb(store, ['stats', store.path]));
    expect(listed).toMatch(/slots a shard: 1,365 to 1,366/);
    await isClean(store);
  });
});

/** Bytes of a shard's log. */
function logOf(of: TestStore, shard: number): number {
  try {
    return readFileSync(join(of.path, 'meta', 'shards', `0${shard}.db-wal`)).length;
  } catch {
    return 0;
  }
}
