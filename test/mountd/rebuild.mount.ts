/** `pacsfs fsck --rebuild` of stores that lost all metadata, filled and read through real mounts. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { pacsfs, TestStore } from '../support/mount_harness.ts';
import { type RunResult, suspend } from '../support/processes.ts';

const REBUILT = 1;
const DAMAGE_LEFT = 4;
const OPERATIONAL = 8;
const USAGE = 16;

/** Directories of several modes and owners, names in bytes, files packed, dedicated, empty, with holes, and shared. */
const FILL = `
import os, random
random.seed(11)
def put(path, data, mode=0o644, uid=0, gid=0, mtime=None):
    # Before it is closed: afterwards it may be packed at any moment.
    with open(path, 'wb') as f:
        f.write(data); f.flush()
        os.fchmod(f.fileno(), mode); os.fchown(f.fileno(), uid, gid)
        if mtime: os.utime(f.fileno(), ns=(mtime, mtime))
for d in (b'P1', b'P1/S1', b'P1/S2', b'P2', b'P2/deep', b'P2/deep/er', b'\\xff\\xfe dir', b'gone'): os.mkdir(d)
os.chmod(b'P1', 0o2750); os.chown(b'P1/S1', 1001, 1002); os.chmod(b'P2/deep', 0o700)
for d in (b'P1/S1', b'P1/S2', b'P2/deep/er', b'\\xff\\xfe dir'):
    for i in range(40):
        put(d + b'/%03d.dcm' % i, random.randbytes(random.choice((1, 500, 4096, 70000, 300000))),
            random.choice((0o600, 0o644, 0o4711)), 1000 + i, 2000 + i, 1_500_000_000_123_456_789 + i)
put(b'P1/S1/\\x80\\xff\\n "', b'odd name', 0o640)
put(b'top', random.randbytes(5_000_000))
put(b'P2/big', random.randbytes(9_000_000), 0o600, 7, 8, 1_600_000_000_000_000_001)
put(b'P2/empty', b'', 0o600, 7, 8, 1_600_000_000_000_000_002)
with open(b'P2/holes', 'wb') as f:
    for i in range(5): f.seek(i * 1_000_000); f.write(random.randbytes(9_000))
    f.truncate(7_000_000)
for i in range(20): put(b'gone/%d' % i, random.randbytes(200000))
`;
/** After all is packed, into aggregates of its own: what the indexes of FILL know otherwise, or cannot know. */
const LATER = `
import os, shutil
source, copy = os.open('P1/S2/003.dcm', os.O_RDONLY), os.open('P1/shared', os.O_CREAT | os.O_WRONLY, 0o644)
left = os.fstat(source).st_size
while left > 0: left -= os.copy_file_range(source, copy, left)
os.close(copy)
os.chmod('P1/S1/007.dcm', 0o604); os.chown('P1/S1/008.dcm', 5, 6); os.utime('P1/S1/009.dcm', ns=(1, 1_400_000_000_000_000_009))
os.rename('P1/S2', 'P1/S2 renamed')
open('P1/S2 renamed/after', 'wb').write(b'tells the new name')
shutil.rmtree('gone')
`;
/** Every regular file and the directories above it: path, mode, owner, mtime, SHA-256, as JSON by latin-1 path. */
const MANIFEST = `
import os, hashlib, json
found = {}
for folder, _, files in os.walk(b'.'):
    for name in files:
        path = os.path.join(folder, name); s = os.lstat(path)
        with open(path, 'rb') as f: digest = hashlib.sha256(f.read()).hexdigest()
        found[path.decode('latin-1')] = [s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, digest]
    if files or folder == b'.':
        while folder:
            s = os.lstat(folder); found[folder.decode('latin-1') + '/'] = [s.st_mode, s.st_uid, s.st_gid]
            folder = os.path.dirname(folder)
print(json.dumps(found))
`;

type Manifest = { readonly [path: string]: readonly unknown[] };

// Each test starts a dozen programs, on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

let store: TestStore;
let template: string;
/** Aggregates with the files of FILL; those that came later are LATER's. */
let filled: readonly number[];
let before: Manifest;

async function manifest(): Promise<Manifest> {
  const result = await store.run('python3', ['-c', MANIFEST]);
  expect(result.stderr).toBe('');
  return JSON.parse(result.stdout) as Manifest;
}

async function python(script: string): Promise<void> {
  expect((await store.run('python3', ['-c', script])).stderr).toBe('');
}

const meta = () => join(store.path, 'meta');
const volume = () => join(store.path, 'volumes', 'hot');
const loseMetadata = () => rmSync(meta(), { recursive: true });
const rebuild = (...args: readonly string[]): Promise<RunResult> => store.fsck(['--rebuild', ...args]);

function aggregates(): number[] {
  return readdirSync(join(volume(), 'aggregates', '0')).map(Number);
}

function aggregate(id: number): string {
  return join(volume(), 'aggregates', '0', String(id));
}

/** Bytes up to the last that is not zero: there may be zeros ahead of use. */
function writtenOf(id: number): number {
  const bytes = readFileSync(aggregate(id));
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

/** Mounts, and unmounts into a store that fsck finds clean; returns what was there. */
async function look(): Promise<Manifest> {
  const first = await store.fsck();
  expect([first.code, first.stderr, first.code === 0 ? '' : first.stdout]).toEqual([0, '', '']);
  await store.mount();
  const found = await manifest();
  await python("open('new', 'wb').write(b'new')");
  await store.sync();
  await store.unmount();
  expect(await store.fsck()).toMatchObject({ code: 0 });
  return found;
}

beforeAll(async () => {
  store = await TestStore.create({ formatArgs: ['--shards', '4'] });
  await python(FILL);
  await store.sync();
  // Every daemon begins aggregates of its own: so it is certain which of them tell of what.
  await store.remount();
  filled = aggregates();
  await python(LATER);
  await store.sync();
  before = await manifest();
  await store.unmount();
  template = join(store.folder, 'template');
  renameSync(store.path, template);
});
afterEach(async () => {
  await pacsfs(['unmount', store.mountPoint]);
  rmSync(store.path, { recursive: true, force: true });
});
afterAll(() => store.destroy());

function fresh(): void {
  cpSync(template, store.path, { recursive: true, filter: (path) => !path.endsWith('/ballast') });
}

describe('all metadata lost', () => {
  it('brings back every file with its contents, mode, owner and times, and directories with theirs', async () => {
    fresh();
    loseMetadata();
    const result = await rebuild();
    expect(result.stdout).toMatch(/: rebuilt: \d+ files in \d+ directories/);
    expect(result.code).toBe(REBUILT);
    expect(await look()).toEqual(before);
  });
});

describe('what is damaged besides', () => {
  /** Files of `before` that lie wholly in the aggregate, by path. */
  it('costs what lies in a damaged segment index, and nothing else', async () => {
    fresh();
    const path = aggregate(Math.min(...aggregates()));
    const bytes = readFileSync(path);
    bytes[4096 + 200] = (bytes[4096 + 200] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    loseMetadata();
    const result = await rebuild('--names');
    expect([REBUILT, DAMAGE_LEFT]).toContain(result.code);
    const found = await look();
    const lost = Object.keys(before).filter((name) => !name.endsWith('/') && !(name in found));
    expect(lost.length).toBeGreaterThan(0);
    expect(lost.length).toBeLessThan(Object.keys(before).length / 2);
    for (const [name, file] of Object.entries(found))
      if (!name.startsWith('./lost+found') && !name.endsWith('/')) expect([name, file]).toEqual([name, before[name]]);
    // A file of which one part is missing does not come back with zeros in its place.
    if (lost.includes('./top')) expect(result.stdout).toMatch(/incomplete-file: inode \d+ "\/top"/);
  });

  it('reads do not believe bytes that do not fit their checksum; the report names the file', async () => {
    fresh();
    const places = aggregates().map((id) => ({ id, at: readFileSync(aggregate(id)).indexOf('tells the new name') }));
    const place = places.find(({ at }) => at > 0);
    if (place === undefined) throw new Error('The file is in no aggregate');
    const bytes = readFileSync(aggregate(place.id));
    bytes[place.at] = 0x54;
    writeFileSync(aggregate(place.id), bytes);
    loseMetadata();
    const result = await rebuild('--names');
    expect(result.code).toBe(DAMAGE_LEFT);
    expect(result.stdout).toMatch(/^damaged-file: inode \d+ "\/P1\/S2 renamed\/after", aggregate \d+: /m);
    expect((await store.fsck()).stdout).toContain('bad-data-checksum');
    await store.mount();
    const read = await store.run('cat', ['P1/S2 renamed/after']);
    expect(read.code).not.toBe(0);
    expect(read.stdout).toBe('');
    await store.unmount();
  });

  it('an aggregate with a damaged header is read by its segments', async () => {
    fresh();
    for (const id of aggregates()) {
      const bytes = readFileSync(aggregate(id));
      bytes[30] = (bytes[30] ?? 0) ^ 1;
      writeFileSync(aggregate(id), bytes);
    }
    loseMetadata();
    expect((await rebuild()).code).toBe(REBUILT);
    await store.mount();
    expect(await manifest()).toEqual(before);
    await store.unmount();
  });

  it('a cut aggregate brings back what is there', async () => {
    fresh();
    // What of them held nothing any more has gone.
    const [longest = 0] = aggregates()
      .filter((id) => filled.includes(id))
      .sort((a, b) => writtenOf(b) - writtenOf(a));
    truncateSync(aggregate(longest), Math.floor(writtenOf(longest) / 2));
    loseMetadata();
    // A file that goes on behind the cut is damage, one of which nothing is left is not known.
    const result = await rebuild('--names');
    expect([REBUILT, DAMAGE_LEFT]).toContain(result.code);
    // A copy is told of in another aggregate: it comes back whether the bytes that it shares are there or not.
    const damaged = [...result.stdout.matchAll(/^damaged-file: .* "(.*)"/gm)].map(([, name]) => name);
    expect(['', '/P1/shared']).toContain(damaged.join());
    await store.mount();
    if (damaged.length > 0) await store.shell('rm P1/shared');
    const found = await manifest();
    await store.unmount();
    const files = Object.keys(before).filter((name) => !name.endsWith('/'));
    const there = files.filter((name) => name in found);
    expect(there.length).toBeGreaterThan(files.length / 8);
    expect(there.length).toBeLessThan(files.length);
    for (const [name, file] of Object.entries(found)) {
      if (name.startsWith('./lost+found') || name.endsWith('/')) continue;
      expect([name, file]).toEqual([name, before[name]]);
    }
  });

  it('without the aggregates that tell of a rename, files come back where they were before it', async () => {
    fresh();
    // A header is all that is left of each.
    const later = aggregates().filter((id) => !filled.includes(id));
    expect(later).not.toEqual([]);
    for (const id of later) truncateSync(aggregate(id), 4096);
    loseMetadata();
    expect((await rebuild()).code).toBe(REBUILT);
    const found = await look();
    const expected: [string, unknown][] = [];
    for (const [name, file] of Object.entries(before)) {
      // A file of LATER is gone with its bytes, and a copy with its only mention; what LATER changed is as it was before.
      if (name !== './P1/S2 renamed/after' && name !== './P1/shared' && !/00[789]\.dcm$/.test(name))
        expected.push([name.replace('./P1/S2 renamed/', './P1/S2/'), file]);
    }
    const compared = Object.entries(found).filter(([name]) => !/00[789]\.dcm$/.test(name));
    expect(Object.fromEntries(compared)).toEqual(Object.fromEntries(expected));
  });
});

describe('files in the aggregates folder that do not belong', () => {
  it('are set aside, and nothing is believed of them', async () => {
    fresh();
    const [first = 0] = aggregates();
    const other = await TestStore.create();
    await other.shell('mkdir -p P1/S1 && echo foreign > P1/S1/000.dcm && echo foreign > alien');
    await other.sync();
    await other.unmount();
    cpSync(join(other.path, 'volumes', 'hot', 'aggregates', '0', '1'), aggregate(901));
    await other.destroy();
    // A copy under another number, and one that is nothing at all.
    cpSync(aggregate(first), aggregate(902));
    writeFileSync(aggregate(903), 'nothing');
    loseMetadata();
    const result = await rebuild();
    expect(result.stdout).toContain('3 aggregates are not of this store');
    expect(result.code).toBe(DAMAGE_LEFT);
    expect(readdirSync(join(volume(), 'lost')).sort()).toEqual(
      expect.arrayContaining(['aggregate-901', 'aggregate-902', 'aggregate-903']),
    );
    expect(await look()).toEqual(before);
  });
});

describe('old versions', () => {
  it('the newest of one file comes back, the others do not', async () => {
    fresh();
    await store.mount();
    await python(`
for turn in range(3):
    import os, subprocess
    with open('versions', 'wb') as f: f.write(b'%d' % turn * 50000)
    subprocess.run(['sync', 'versions'])
    import time; time.sleep(1.5)
`);
    await store.sync();
    await python("open('versions', 'ab').write(b'last')");
    await store.sync();
    const now = await manifest();
    await store.unmount();
    loseMetadata();
    expect((await rebuild()).code).toBe(REBUILT);
    expect(await look()).toEqual(now);
  });

  it('a deleted file may come back to its old path, a replaced one to lost+found, while their bytes are there', async () => {
    fresh();
    await store.mount();
    await store.shell('echo deleted > deleted; echo old > replaced; for i in $(seq 30); do echo $i > keep$i; done');
    await store.sync();
    await store.shell('rm deleted; echo new > replaced.tmp; mv replaced.tmp replaced');
    await store.sync();
    await store.unmount();
    loseMetadata();
    const result = await rebuild();
    expect(result.code).toBe(REBUILT);
    await store.mount();
    expect(await store.shell('cat replaced')).toBe('new\n');
    expect((await store.run('cat', ['deleted'])).stdout).toMatch(/^(deleted\n)?$/);
    const lost = await store.run('sh', ['-c', 'cat lost+found/#*']);
    expect(lost.stdout).toMatch(/^(old\n)?$/);
    await store.unmount();
    expect((await store.fsck()).code).toBe(0);
  });

  it('space of large deleted files was given back: they stay deleted', async () => {
    fresh();
    loseMetadata();
    await rebuild();
    await store.mount();
    expect((await store.run('ls', ['gone'])).code).not.toBe(0);
    await store.unmount();
  });
});

describe('own files', () => {
  it('that no index names come to lost+found by number, all of a killed mount among them', async () => {
    fresh();
    await store.mount();
    await store
      // Both are open to the end: no segment that is written meanwhile can tell of them.
      .shell(
        'exec 6> late; head -c 9500000 /dev/urandom >&6; exec 5> open; echo unsettled >&5; sync open; kill -9 $$ || true',
      )
      .catch(() => {});
    const { daemon, supervisor } = store.daemonPids();
    for (const pid of [supervisor, daemon]) if (pid !== undefined) process.kill(pid, 'SIGKILL');
    store.abort();
    await pacsfs(['unmount', store.mountPoint]);
    loseMetadata();
    const result = await rebuild();
    expect(result.code).toBe(DAMAGE_LEFT);
    expect(result.stdout).toMatch(/nameless-own-file: inode \d+, own file \d+\/\d+: /);
    await store.mount();
    expect(await store.shell('cd lost+found; stat -c %s own-* | sort -n')).toBe('10\n9500000\n');
    await store.unmount();
  });
});

describe('store.yaml lost too', () => {
  it('is made anew from the identity files', async () => {
    fresh();
    loseMetadata();
    rmSync(join(store.path, 'store.yaml'));
    const result = await rebuild();
    expect(result.code).toBe(REBUILT);
    expect(result.stderr).toMatch(/store.yaml was made anew, volumes hot \(hot\)/);
    expect(await look()).toEqual(before);
  });

  it('with volumes elsewhere they must be given', async () => {
    fresh();
    loseMetadata();
    rmSync(join(store.path, 'store.yaml'));
    const elsewhere = join(store.folder, 'elsewhere');
    renameSync(volume(), elsewhere);
    const none = await rebuild();
    expect(none).toMatchObject({ code: OPERATIONAL });
    expect(none.stderr).toMatch(/give each volume with --volume NAME=TIER:dir:PATH/);
    expect(existsSync(meta())).toBe(false);
    expect((await rebuild('--volume', `cold=hot:dir:${elsewhere}`)).stderr).toMatch(/it is volume 'hot'/);
    expect((await rebuild('--volume', `hot=hot:dir:${elsewhere}`)).code).toBe(REBUILT);
    expect(await look()).toEqual(before);
    rmSync(elsewhere, { recursive: true });
  });
});

describe('the command', () => {
  it('refuses a store whose metadata is not lost, and with --force keeps the old one', async () => {
    fresh();
    const refused = await rebuild();
    expect(refused).toMatchObject({ code: OPERATIONAL, stdout: '' });
    expect(refused.stderr).toMatch(/its metadata is not lost, 5 databases found/);
    expect((await store.fsck()).code).toBe(0);
    rmSync(join(meta(), 'shards'), { recursive: true });
    expect((await rebuild()).code).toBe(OPERATIONAL);
    const forced = await rebuild('--force');
    expect(forced.code).toBe(REBUILT);
    const aside = readdirSync(store.path).find((name) => name.startsWith('meta.lost-'));
    expect(forced.stderr).toContain(join(store.path, aside ?? ''));
    expect(existsSync(join(store.path, aside ?? '', 'system.db'))).toBe(true);
    expect(await look()).toEqual(before);
  });

  it('changes nothing with --dry-run', async () => {
    fresh();
    loseMetadata();
    const dry = await rebuild('--dry-run', '--json');
    expect(dry.code).toBe(REBUILT);
    expect(existsSync(meta())).toBe(false);
    expect(readdirSync(store.path).sort()).toEqual(['store.yaml', 'volumes']);
    const real = JSON.parse((await rebuild('--json')).stdout) as object;
    expect({ ...real, dryRun: true, setAside: 0 }).toEqual(JSON.parse(dry.stdout));
  });

  it('refuses a mounted store, also when its metadata folder is gone', async () => {
    fresh();
    await store.mount();
    await store.sync();
    // Whose daemon would notice that its databases are gone, and call the store broken.
    const { daemon = 0 } = store.daemonPids();
    await suspend(daemon);
    renameSync(meta(), `${meta()}.away`);
    const refused = await rebuild('--force');
    renameSync(`${meta()}.away`, meta());
    process.kill(daemon, 'SIGCONT');
    expect(refused).toMatchObject({ code: OPERATIONAL });
    expect(refused.stderr).toContain(`it is mounted at ${store.mountPoint}`);
    await store.unmount();
  });

  it('refuses to go on without a volume, unless forced', async () => {
    fresh();
    loseMetadata();
    rmSync(join(volume(), 'pacsfs-volume.json'));
    expect(await rebuild()).toMatchObject({ code: OPERATIONAL });
    const forced = await rebuild('--force');
    expect(forced).toMatchObject({ code: DAMAGE_LEFT });
    expect(forced.stdout).toContain("Volume 'hot' is missing: nothing of it came back");
  });

  it('wants its options used together', async () => {
    fresh();
    expect((await store.fsck(['--dry-run'])).code).toBe(USAGE);
    expect((await rebuild('--repair')).code).toBe(USAGE);
    expect((await rebuild('--volume', `hot=hot:dir:${volume()}`)).code).toBe(USAGE);
  });
});
