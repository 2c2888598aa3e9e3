/** dump and load: a store's metadata out and in again, and dumps that must be refused. */
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { crc32c } from '../../base/crc32c.ts';
import { readConfig } from '../../mountd/config.ts';
import { loadDump } from '../../mountd/dump/load.ts';
import { pacsfs, TestStore } from '../support/mount_harness.ts';
import { PlantedStore } from '../support/planted_store.ts';

const FILL = `
import os, random
random.seed(3)
os.makedirs('a/b')
for i in range(40):
    with open(f'a/f{i}', 'wb') as f: f.write(random.randbytes(30000 + i))
with open('a/holes', 'wb') as f:
    for i in range(7):
        f.seek(i * 1000000); f.write(random.randbytes(5000))
with open('big', 'wb') as f: f.truncate(9 << 20)
open(b'not-utf8-\\xff\\xfe', 'w').close()
open('line\\u2028separator', 'w').close()
os.link('a/f1', 'a/b/hard'); os.symlink('to/somewhere', 'a/sym'); os.symlink(b'\\xff', 'a/sym2'); os.mkfifo('a/pipe')
os.setxattr('a/f3', 'user.note', bytes(range(256)))
os.utime('a/f2', ns=(-5, 1))
`;
const LOOK = `find . -printf '%p %y %m %U %G %s %n %i %T@ %l\\n' | sort; find . -type f | sort | xargs -d '\\n' sha256sum`;

let store: TestStore;
afterEach(async () => {
  await store.destroy();
});

async function filledStore(): Promise<string> {
  store = await TestStore.create({ formatArgs: ['--shards', '3'] });
  expect((await store.run('python3', ['-c', FILL])).stderr).toBe('');
  await store.sync();
  const look = await store.shell(LOOK);
  await store.unmount();
  return look;
}

/** Rows only, in a form that is the same for every number of shards. */
function rowsOf(path: string): string[] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines.filter((line) => !/^\{"(pacsfs|row":"(end|volume))/.test(line)).sort();
}

async function expectDone(args: readonly string[]): Promise<void> {
  expect(await pacsfs(args)).toMatchObject({ code: 0 });
}

describe('a dump', () => {
  it('loads into a store of another number of shards, which is clean, mounts and shows the same', async () => {
    const look = await filledStore();
    const dump = join(store.folder, 'dump.jsonl');
    await expectDone(['dump', store.path, dump]);
    expect(statSync(dump).mode & 0o777).toBe(0o600);
    const old = join(store.folder, 'old');
    renameSync(store.path, old);
    await expectDone(['format', store.path, '--shards', '5']);
    // The volume moves along, into the place that the dumped configuration names.
    renameSync(join(store.path, 'volumes'), join(store.folder, 'unused'));
    renameSync(join(old, 'volumes'), join(store.path, 'volumes'));
    const loaded = await pacsfs(['load', store.path, dump]);
    expect(loaded).toMatchObject({ code: 0, stderr: '' });
    expect(await store.fsck()).toMatchObject({ code: 0 });
    const again = join(store.folder, 'again.jsonl');
    await expectDone(['dump', store.path, again]);
    expect(rowsOf(again)).toEqual(rowsOf(dump));
    await store.mount();
    expect(await store.shell(LOOK)).toBe(look);
    await store.shell('echo new > a/new && rm a/f5');
    await store.unmount();
    expect(await store.fsck()).toMatchObject({ code: 0 });
  });

  it('goes through a pipe, and warns of two folders that are one store', async () => {
    await filledStore();
    const second = join(store.folder, 'second');
    await expectDone(['format', second, '--shards', '1']);
    const dumped = await pacsfs(['dump', store.path]);
    expect(dumped).toMatchObject({ code: 0, stderr: '' });
    const loaded = await pacsfs(['load', second], { input: dumped.stdout });
    expect(loaded.code).toBe(0);
    expect(loaded.stderr).toContain(`${store.path} is the same store`);
    expect(readFileSync(join(second, 'store.yaml'), 'utf8')).toContain(join(store.path, 'volumes', 'hot'));
    expect((await pacsfs(['fsck', second])).code).toBe(0);
  });

  it('ends with 1 when rows are damaged, and loads without them', async () => {
    await filledStore();
    const copy = new PlantedStore(store.path, join(store.folder, 'copy'));
    const { slot, dentry } = copy.dentry('a/f7');
    copy.sql(slot, 'UPDATE dentries SET type = 4 WHERE dir = ? AND position = ?', dentry.dir, dentry.position);
    const dump = join(store.folder, 'dump.jsonl');
    const dumped = await pacsfs(['dump', copy.path, dump]);
    expect(dumped.code).toBe(1);
    expect(dumped.stderr).toMatch(/without 1 damaged rows/);
    const second = join(store.folder, 'second');
    await expectDone(['format', second]);
    const loaded = await pacsfs(['load', second, dump]);
    expect(loaded).toMatchObject({ code: 0 });
    expect(loaded.stderr).toMatch(/lacks 1 rows/);
    expect((await pacsfs(['fsck', second])).stdout).toMatch(/^orphan-inode/m);
  });

  it('is refused for a mounted store', async () => {
    store = await TestStore.create();
    const result = await pacsfs(['dump', store.path]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/Store in use/);
  });
});

describe('a load is refused, and changes nothing,', () => {
  const cases: readonly [string, (lines: string[]) => string[], RegExp][] = [
    ['of a dump that was cut off', (lines) => lines.slice(0, -2), /no end line found/],
    ['of one that was changed', (lines) => lines.map((line) => line.replace('"uid":0', '"uid":1')), /checksum/],
    [
      'of one that lacks a row',
      (lines) => withEnd(lines.filter((line) => !line.includes('"row":"symlink"'))),
      /symlink rows/,
    ],
    ['of what is no dump', () => ['{"hello":1}'], /line 1: no header/],
    ['of what is no JSON', (lines) => [lines[0] ?? '', 'x'], /line 2: it is not JSON/],
    ['of a newer version', (lines) => [(lines[0] ?? '').replace('"version":1', '"version":2')], /newer format/],
    ['of a row with impossible values', (lines) => [lines[0] ?? '', '{"row":"symlink","ino":-1}'], /line 2: ino/],
    [
      'of an extent that cannot be',
      (lines) => lines.map((line) => line.replace(/"rangeLength":\d+/, '"rangeLength":77777777')),
      /line \d+: Range of/,
    ],
    ['of nothing at all', () => [], /no end line/],
  ];

  /** The end line with the right checksum, so that what is refused is not the checksum. */
  function withEnd(lines: string[]): string[] {
    const body = lines.slice(0, -1);
    const crc = crc32c(Buffer.from(body.map((line) => `${line}\n`).join('')));
    return [...body, (lines.at(-1) ?? '').replace(/"crc32c":"\w+"/, `"crc32c":"${crc.toString(16).padStart(8, '0')}"`)];
  }

  it('whatever is wrong with the dump', async () => {
    await filledStore();
    const dump = join(store.folder, 'dump.jsonl');
    await expectDone(['dump', store.path, dump]);
    const lines = readFileSync(dump, 'utf8').trimEnd().split('\n');
    const second = join(store.folder, 'second');
    await expectDone(['format', second, '--shards', '1']);
    const config = readFileSync(join(second, 'store.yaml'), 'utf8');
    for (const [what, change, message] of cases) {
      const bytes = Buffer.from(
        change(lines)
          .map((line) => `${line}\n`)
          .join(''),
      );
      // In pieces that end in the middle of lines.
      const input = Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)], { objectMode: false });
      const job = { store: second, config: readConfig(second), input };
      await expect(loadDump(job), what).rejects.toThrow(message);
      expect(existsSync(join(second, 'meta', 'loading')), what).toBe(false);
    }
    expect(readFileSync(join(second, 'store.yaml'), 'utf8')).toBe(config);
    expect(readdirSync(join(second, 'meta', 'shards')).filter((name) => name.endsWith('.db'))).toEqual(['000.db']);
    await expectDone(['load', second, dump]);
  });

  it('into a store that was used', async () => {
    await filledStore();
    const dump = join(store.folder, 'dump.jsonl');
    await expectDone(['dump', store.path, dump]);
    const result = await pacsfs(['load', store.path, dump]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/was used already/);
    expect((await store.fsck()).code).toBe(0);
  });
});
