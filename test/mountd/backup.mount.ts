/** Backups of stores that are in use, and what restoring them brings back: with a journal that survived, everything. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { pacsfs, TestStore } from '../support/mount_harness.ts';
import { type RunResult, run, waitUntil } from '../support/processes.ts';

/**
 * Makes, renames, rewrites and removes files until the mount ends, and says in a log beside the mount what was
 * acknowledged: a line a change, written after it.
 */
const WRITER = `
import os, sys, random, hashlib
worker, log, sync = int(sys.argv[1]), open(sys.argv[2], 'w', buffering=1), sys.argv[3] == 'sync'
r = random.Random(worker); folder = 'w%d' % worker; os.makedirs(folder, exist_ok=True); names = []
try:
    for i in range(1000000):
        data = (b'%d %d ' % (worker, i)) * r.choice((1, 10, 1000, 30000))
        name = '%s/f%d' % (folder, i)
        log.write('try make %s\\n' % name)
        with open(name + '.tmp', 'wb') as f:
            f.write(data)
            if sync and i % 7 == 0: f.flush(); os.fsync(f.fileno())
        os.rename(name + '.tmp', name)
        log.write('made %s %s\\n' % (name, hashlib.sha256(data).hexdigest())); names.append(name)
        if i % 5 == 4:
            gone = names.pop(r.randrange(len(names)))
            log.write('try gone %s\\n' % gone); os.unlink(gone); log.write('gone %s\\n' % gone)
        if i % 11 == 10:
            old = names.pop(r.randrange(len(names))); new = old + 'r'
            log.write('try move %s %s\\n' % (old, new)); os.rename(old, new); log.write('move %s %s\\n' % (old, new)); names.append(new)
except OSError: pass
`;

/** Compares the mount with what logs say was acknowledged; prints the number of files compared, and each difference. */
const VERIFY = `
import os, sys, hashlib
count = 0
for path in sys.argv[1:]:
    want, doubt = {}, []
    for line in open(path):
        if not line.endswith('\\n'): continue
        kind, *rest = line.split()
        if kind == 'try': doubt = rest[1:]; continue
        doubt = []
        if kind == 'made': want[rest[0]] = rest[1]
        elif kind == 'gone': del want[rest[0]]
        else: want[rest[1]] = want.pop(rest[0])
    for name, digest in want.items():
        if name in doubt: continue
        count += 1
        try:
            with open(name, 'rb') as f: found = hashlib.sha256(f.read()).hexdigest()
        except OSError as e: found = str(e)
        if found != digest: print('lost', name, found)
    folder = os.path.dirname(next(iter(want)))
    for name in os.listdir(folder):
        whole = folder + '/' + name
        if whole not in want and whole not in doubt and not name.endswith('.tmp'): print('back', whole)
print(count)
`;

// Each test starts a dozen programs, on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let store: TestStore;
let writers: Promise<RunResult>[] = [];
afterEach(async () => {
  await store.destroy();
  // Without their mount they end by themselves.
  await Promise.allSettled(writers);
  writers = [];
});

const logs = () => [0, 1, 2, 3].map((worker) => join(store.folder, `log${worker}`));
const backupPath = () => join(store.folder, 'pacs.backup');
const meta = () => join(store.path, 'meta');

function load(sync: 'sync' | 'no'): void {
  writers = logs().map((log, worker) =>
    run('python3', ['-c', WRITER, String(worker), log, sync], { cwd: store.mountPoint, timeoutMs: 60_000 }),
  );
}

/** The load has made so many more files. */
async function acknowledged(more: number): Promise<void> {
  const made = (log: string) => (existsSync(log) ? readFileSync(log, 'utf8') : '').match(/^made /gm)?.length ?? 0;
  const count = () => logs().reduce((sum, log) => sum + made(log), 0);
  const goal = count() + more;
  await waitUntil(() => count() >= goal, { what: `${more} more files are made`, timeoutMs: 50_000 });
}

async function verify(): Promise<{ readonly differences: string[]; readonly count: number }> {
  const lines = (await store.run('python3', ['-c', VERIFY, ...logs()], { timeoutMs: 60_000 })).stdout
    .trim()
    .split('\n');
  return { differences: lines.slice(0, -1), count: Number(lines.at(-1)) };
}

/** Supervisor and daemon at once; what was mounted is gone. */
async function killMount(): Promise<void> {
  const { daemon, supervisor } = store.daemonPids();
  for (const pid of [supervisor, daemon]) if (pid !== undefined) process.kill(pid, 'SIGKILL');
  store.abort();
  await pacsfs(['unmount', store.mountPoint]);
}

async function backup(target = store.path): Promise<{ readonly lsn: number; readonly rows: number }> {
  const made = await pacsfs(['backup', target, backupPath(), '--json'], { timeoutMs: 120_000 });
  if (made.code !== 0) throw new Error(`${made.stderr}${store.log().slice(-3_000)}`);
  return JSON.parse(made.stdout) as { lsn: number; rows: number };
}

describe('a store in use', () => {
  it('loses nothing acknowledged when all metadata is deleted under load: backup and journal bring it back', async () => {
    const journal = mkdtempIn('journal');
    store = await TestStore.create({ formatArgs: ['--shards', '4', '--journal', journal()] });
    load('sync');
    await acknowledged(150);
    await backup(store.mountPoint);
    await acknowledged(300);
    await killMount();
    rmSync(meta(), { recursive: true });
    await Promise.all(writers);
    const restored = await pacsfs(['restore', backupPath(), store.path, '--journal', journal(), '--json']);
    expect(restored).toMatchObject({ code: 0 });
    const { fromJournal } = JSON.parse(restored.stdout) as { fromJournal: number };
    expect(fromJournal).toBeGreaterThan(100);
    await store.mount();
    const found = await verify();
    expect(found.differences).toEqual([]);
    expect(found.count).toBeGreaterThan(200);
    await store.unmount();
    expect(await store.fsck()).toMatchObject({ code: 0 });
    rmSync(journal(), { recursive: true });
  });

  it('is backed up as of one moment: the restored metadata is without a fault', async () => {
    store = await TestStore.create({ formatArgs: ['--shards', '4'] });
    load('no');
    await sleep(2_500);
    for (let turn = 0; turn < 3; turn++) {
      await backup(store.mountPoint);
      const folder = join(store.folder, `restored${turn}`);
      const restored = await pacsfs(['restore', backupPath(), folder]);
      expect(restored).toMatchObject({ code: 0 });
      // The volumes are the mounted store's: only names, counts and rows are looked at.
      writeFileSync(join(folder, 'store.yaml'), emptyVolumes(folder));
      const checked = await pacsfs(['fsck', folder, '--metadata-only', '--json']);
      const { damage } = JSON.parse(checked.stdout) as { damage: Record<string, number> };
      expect(Object.keys(damage).filter((kind) => kind !== 'missing-volume' && kind !== 'wrong-volume')).toEqual([]);
      await sleep(500);
    }
  });
});

/** store.yaml with its volume in a folder that is not there. */
function emptyVolumes(folder: string): string {
  return readFileSync(join(folder, 'store.yaml'), 'utf8').replace(/- \/.*volumes.*$/m, '- volumes/none');
}

function mkdtempIn(name: string): () => string {
  const path = join('/tmp', `pacsfs-test-${name}-${process.pid}`);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  return () => path;
}

describe('a store that is not mounted', () => {
  it('is backed up and restored whole: names, links, xattrs, contents', async () => {
    store = await TestStore.create({ formatArgs: ['--shards', '2'] });
    await store.shell(
      'mkdir -p a/b && head -c 300000 /dev/urandom > a/b/f && ln a/b/f hard && ln -s a/b/f soft && mkfifo p',
    );
    await store.run('python3', ['-c', "import os; os.setxattr('a/b/f', 'user.note', b'hello')"]);
    await store.sync();
    const look = () =>
      store.shell("sha256sum a/b/f hard soft; stat -c '%n %i %h %a %s %Y %Z' a a/b a/b/f hard soft p; ls -ai a");
    const before = await look();
    await store.unmount();
    await backup();
    rmSync(meta(), { recursive: true });
    rmSync(join(store.path, 'store.yaml'));
    expect(await pacsfs(['restore', backupPath(), store.path])).toMatchObject({ code: 0 });
    expect(await store.fsck()).toMatchObject({ code: 0 });
    await store.mount();
    expect(await look()).toBe(before);
    const note = await store.run('python3', ['-c', "import os; print(os.getxattr('a/b/f', 'user.note'))"]);
    expect(note.stdout).toBe("b'hello'\n");
    await store.unmount();
    expect(readdirSync(store.path).sort()).toEqual(['meta', 'store.yaml', 'volumes']);
  });

  it('after a kill: what the next mount would have taken from the journal is in the backup', async () => {
    store = await TestStore.create();
    await store.shell('for i in $(seq 50); do echo $i > f$i; done');
    await killMount();
    await backup();
    cpSync(store.path, join(store.folder, 'kept'), { recursive: true });
    rmSync(meta(), { recursive: true });
    expect(await pacsfs(['restore', backupPath(), store.path])).toMatchObject({ code: 0 });
    await store.mount();
    expect((await store.shell('cat f* | sort -n | tail -1')).trim()).toBe('50');
    await store.unmount();
  });
});

describe('restoring a backup alone', () => {
  it('sets aside what came later, and shows what went', async () => {
    store = await TestStore.create();
    await store.shell('echo old > old; echo kept > kept');
    await store.sync();
    await backup(store.mountPoint);
    await store.shell(
      'head -c 9000000 /dev/urandom > large; for i in $(seq 20); do head -c 400000 /dev/urandom > n$i; done',
    );
    await store.sync();
    await store.unmount();
    rmSync(meta(), { recursive: true });
    const restored = await pacsfs(['restore', backupPath(), store.path]);
    expect(restored).toMatchObject({ code: 0 });
    expect(restored.stderr).toMatch(/moved to lost\/ of their volumes/);
    expect(readdirSync(join(store.path, 'volumes', 'hot', 'lost')).length).toBeGreaterThan(0);
    await store.mount();
    expect(await store.shell('cat old kept; ls')).toBe('old\nkept\nkept\nold\n');
    await store.shell('echo new > new');
    await store.sync();
    await store.unmount();
    expect(await store.fsck()).toMatchObject({ code: 0 });
  });
});

describe('refusals', () => {
  it('a backup that was cut off; metadata that is there; a mounted store; another store', async () => {
    store = await TestStore.create();
    await store.shell('echo x > x');
    await backup(store.mountPoint);
    const bytes = readFileSync(backupPath());
    const mounted = await pacsfs(['restore', backupPath(), store.path, '--force']);
    expect(mounted).toMatchObject({ code: 1 });
    expect(mounted.stderr).toContain(`it is mounted at ${store.mountPoint}`);
    await store.unmount();
    const there = await pacsfs(['restore', backupPath(), store.path]);
    expect(there).toMatchObject({ code: 1 });
    expect(there.stderr).toMatch(/its metadata is not lost/);
    writeFileSync(backupPath(), bytes.subarray(0, bytes.length - 1));
    const cut = await pacsfs(['restore', backupPath(), store.path, '--force']);
    expect(cut).toMatchObject({ code: 1 });
    expect(cut.stderr).toMatch(/damaged, or cut off/);
    // Nothing has changed so far.
    expect(readdirSync(store.path).sort()).toEqual(['meta', 'store.yaml', 'volumes']);
    expect(await store.fsck()).toMatchObject({ code: 0 });
    writeFileSync(backupPath(), bytes);
    const other = await TestStore.create({ mounted: false });
    const foreign = await pacsfs(['restore', backupPath(), other.path, '--force']);
    expect(foreign.stderr).toMatch(/the backup is of/);
    await other.destroy();
    expect(await pacsfs(['restore', backupPath(), store.path, '--force'])).toMatchObject({ code: 0 });
    expect(readdirSync(store.path).some((name) => name.startsWith('meta.lost-'))).toBe(true);
  });

  it('a backup that fails leaves the earlier one, and nothing beside it', async () => {
    store = await TestStore.create();
    await store.shell('echo x > x');
    await backup(store.mountPoint);
    const before = readFileSync(backupPath());
    await store.unmount();
    renameSync(join(meta(), 'shards'), join(meta(), 'gone'));
    expect((await pacsfs(['backup', store.path, backupPath()])).code).toBe(1);
    expect(readFileSync(backupPath()).equals(before)).toBe(true);
    expect(existsSync(`${backupPath()}.tmp`)).toBe(false);
    renameSync(join(meta(), 'gone'), join(meta(), 'shards'));
  });
});
