/** fsck on a store that was filled through a real mount: clean as it is, and each planted fault found by its kind. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ROOT_INO, slotOf } from '../../base/units.ts';
import { KINDS, type Kind } from '../../mountd/fsck/kinds.ts';
import { FLAG_UNSETTLED } from '../../shard/rows.ts';
import { pacsfs, TestStore } from '../support/mount_harness.ts';
import { PlantedStore } from '../support/planted_store.ts';
import { BYTE_FAULTS } from './faults/byte_faults.ts';
import { DIRECTORY_FAULTS } from './faults/directory_faults.ts';
import type { Fault } from './faults/fault.ts';
import { INODE_FAULTS } from './faults/inode_faults.ts';
import { copySlot, MOVE_FAULTS } from './faults/move_faults.ts';
import { NAME_FAULTS } from './faults/name_faults.ts';
import { SPLIT_FAULTS, splitHalfway, WIDE_NAMES } from './faults/split_faults.ts';

const FILL = `
import os, random, struct
random.seed(7)
os.makedirs('a/b/c'); os.makedirs('a/empty'); os.mkdir('x')
for name in ('f1', 'f2', 'f3', 'f4'):
    with open('a/' + name, 'wb') as f: f.write(random.randbytes(200000))
with open('a/b/small', 'wb') as f: f.write(b'small')
with open('a/holes', 'wb') as f:
    for i in range(7):
        f.seek(i * 1000000); f.write(random.randbytes(5000))
with open('big', 'wb') as f: f.truncate(9 << 20)
os.link('a/f1', 'x/hard'); os.symlink('target/of/link', 'a/sym'); os.mkfifo('a/pipe')
os.setxattr('a/f3', 'user.note', b'hello')
for i in range(16): os.makedirs(f'spread/{i}')
os.mkdir('wide')
for i in range(${WIDE_NAMES}): os.mkfifo(f'wide/n{i}')
acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *e) for e in
    ((1, 6, 0xffffffff), (2, 4, 1000), (4, 4, 0xffffffff), (16, 6, 0xffffffff), (32, 4, 0xffffffff)))
os.setxattr('a/b', 'system.posix_acl_default', acl)
`;
const SHARE = `
import os
source, copy = os.open('a/f1', os.O_RDONLY), os.open('x/shared', os.O_CREAT | os.O_WRONLY)
left = 200000
while left > 0: left -= os.copy_file_range(source, copy, left)
`;

let store: TestStore;
let planted: PlantedStore | undefined;
const seen = new Set<Kind>();

function plant(): PlantedStore {
  planted = new PlantedStore(store.path, join(store.folder, 'planted'));
  return planted;
}

beforeAll(async () => {
  store = await TestStore.create({ formatArgs: ['--shards', '4'] });
  expect((await store.run('python3', ['-c', FILL])).stderr).toBe('');
  await store.sync();
  expect((await store.run('python3', ['-c', SHARE])).stderr).toBe('');
  await store.sync();
  await store.unmount();
});
afterEach(() => planted?.remove());
afterAll(() => store.destroy());

function kindsOf(counts: ReadonlyMap<Kind, number>): Kind[] {
  return [...counts.keys()].filter((kind) => KINDS[kind] === 'damage');
}

function testFault(fault: Fault): void {
  it(fault.name, () => {
    const target = plant();
    fault.plant(target);
    // A repair begins with the same check as without, and ends with one.
    const { found, left } = target.fsck({ repair: true });
    expect(kindsOf(found)).toEqual(expect.arrayContaining([...fault.kinds]));
    for (const kind of found.keys()) seen.add(kind);
    expect(kindsOf(left).sort()).toEqual([...(fault.left ?? [])].sort());
    fault.healed?.(target);
  });
}

describe('a store in good order', () => {
  it('is clean, and the check changes no database', async () => {
    const target = plant();
    const hashes = () =>
      ['system.db', ...readdirSync(join(target.meta, 'shards')).map((name) => `shards/${name}`)]
        .filter((name) => name.endsWith('.db'))
        .map((name) =>
          createHash('sha256')
            .update(readFileSync(join(target.meta, name)))
            .digest('hex'),
        );
    const before = hashes();
    const lock = readFileSync(join(target.meta, 'lock'), 'utf8');
    const result = await pacsfs(['fsck', target.path]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(/^\S+: clean \(\d+ inodes, \d+ aggregates, 1 own files\)\n$/);
    expect(hashes()).toEqual(before);
    expect(readFileSync(join(target.meta, 'lock'), 'utf8')).toBe(lock);
    expect((await pacsfs(['fsck', target.path, '--repair'])).code).toBe(0);
  });

  it('keeps what a repair of nothing must keep', () => {
    const target = plant();
    const before = target.inode('a');
    expect(target.fsck({ repair: true }).damageFound).toBe(0);
    expect(target.inode('a')).toEqual(before);
  });
});

describe('names', () => {
  for (const fault of NAME_FAULTS) testFault(fault);
});

describe('slots on their way', () => {
  for (const fault of MOVE_FAULTS) testFault(fault);

  it('are no damage where shards have noted them', () => {
    const target = plant();
    const slot = slotOf(target.ino('a'));
    copySlot(target, slot);
    target.change((databases) => databases.shards[(databases.shardIdOf(slot) + 1) % 4]?.marks.putIncoming(slot));
    const { found } = target.fsck({ repair: true });
    expect([...found.keys()]).toEqual(['moving-slot']);
    seen.add('moving-slot');
  });
});
describe('directories', () => {
  for (const fault of DIRECTORY_FAULTS) testFault(fault);
});
describe('a directory that is being split', () => {
  it('is whole', () => {
    const target = plant();
    splitHalfway(target);
    expect([...target.fsck().found]).toEqual([]);
  });
  for (const fault of SPLIT_FAULTS) testFault(fault);
});
describe('inodes', () => {
  for (const fault of INODE_FAULTS) testFault(fault);
});
describe('bytes', () => {
  for (const fault of BYTE_FAULTS) testFault(fault);
});

describe('what a repair must not do', () => {
  it('moves unknown files aside and deletes none', () => {
    const target = plant();
    for (const name of ['an own file of nobody', 'an aggregate that nobody knows'])
      BYTE_FAULTS.find((fault) => fault.name === name)?.plant(target);
    target.fsck({ repair: true });
    expect(readdirSync(join(target.volume, 'lost')).sort()).toEqual(['aggregate-999', 'own-1-4711']);
    expect(readFileSync(join(target.volume, 'lost', 'own-1-4711'), 'utf8')).toBe('somebody may want this');
  });

  it('takes no bytes for dead that an unreadable inode may name', () => {
    const target = plant();
    INODE_FAULTS.find(({ name }) => name === 'an unreadable inode')?.plant(target);
    const before = target.read((namespace) => namespace.aggregates());
    const unknown = join(target.volume, 'own', '1', '4711');
    BYTE_FAULTS.find(({ name }) => name === 'an own file of nobody')?.plant(target);
    expect(kindsOf(target.fsck({ repair: true }).found)).not.toContain('wrong-live-count');
    expect(target.read((namespace) => namespace.aggregates())).toEqual(before);
    expect(existsSync(unknown)).toBe(true);
  });

  it('concludes nothing about the files of a missing volume', () => {
    const target = plant();
    rmSync(join(target.volume, 'pacsfs-volume.json'));
    expect(kindsOf(target.fsck().found)).toEqual(['missing-volume']);
  });

  it('writes nothing into a database that SQLite holds to be damaged', () => {
    const target = plant();
    const slot = slotOf(target.ino('a'));
    target.changeInode('a/f1', { nlink: 9 });
    const path = target.databasePath(slot);
    const bytes = readFileSync(path);
    bytes.fill(0xa5, bytes.length - 8192);
    writeFileSync(path, bytes);
    const outcome = target.fsck({ repair: true });
    expect(kindsOf(outcome.found)).toContain('damaged-database');
    seen.add('damaged-database');
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(outcome.damageLeft).toBeGreaterThan(0);
  });
});

describe('a store that lacks a shard', () => {
  it('gets it back from the journal, which goes back to its beginning', () => {
    const target = plant();
    const directories = Array.from({ length: 16 }, (_, index) => `spread/${index}`);
    const files = ['a/f1', 'a/f2', 'a/b/small', 'x/hard', 'x/shared', 'big', 'a/sym', 'a/pipe', ...directories];
    const before = files.map((path) => target.inode(path));
    // Where a directory lies is chance; that all of these lie in the root's shard is none that will come.
    const paths = files.map((each) => target.databasePath(slotOf(target.ino(each))));
    const path = paths.find((each) => each !== target.databasePath(slotOf(ROOT_INO)));
    if (path === undefined) throw new Error('Everything lies in one shard');
    rmSync(path);
    const { found, damageLeft } = target.fsck();
    for (const kind of found.keys()) seen.add(kind);
    expect([kindsOf(found), damageLeft]).toEqual([['missing-shard'], 1]);
    expect(existsSync(path)).toBe(false);
    const repaired = target.fsck({ repair: true });
    expect(repaired.damageLeft).toBe(0);
    expect(repaired.refilled).toEqual([expect.stringContaining('everything is back')]);
    expect(kindsOf(repaired.found)).toEqual(['missing-shard']);
    expect(kindsOf(target.fsck().found)).toEqual([]);
    expect(files.map((each) => target.inode(each))).toEqual(before);
  });
});

describe('a store that is broken', () => {
  it('is so until it was repaired', () => {
    const target = plant();
    writeFileSync(join(target.meta, 'BROKEN'), '{"time":"","reason":"a test"}');
    const { found } = target.fsck();
    for (const kind of found.keys()) seen.add(kind);
    expect(kindsOf(found)).toEqual(['broken']);
    expect(target.fsck({ repair: true }).damageLeft).toBe(0);
    expect(kindsOf(target.fsck().found)).toEqual([]);
  });
});

describe('after an end that was not clean', () => {
  it('what the next mount settles is noted, not damage', () => {
    const target = plant();
    const generation = target.read((namespace) => namespace.start);
    const inode = { ...target.inode('a/f4'), nlink: 0 };
    target.removeDentry('a/f4');
    target.change((databases) => {
      const shard = databases.shardOf(slotOf(inode.ino));
      shard.putInode({ kind: 'inode', inode, lists: 0, own: 'keep', orphan: 'add' });
    });
    target.changeInode('big', { flags: FLAG_UNSETTLED });
    rmSync(target.ownPath('big'));
    writeFileSync(join(target.volume, 'own', String(generation), '9999'), '');
    const spare = join(target.volume, 'own', String(generation), '9998');
    writeFileSync(spare, '');
    utimesSync(spare, 0, 0);
    writeFileSync(target.aggregatePath(9), '');
    const { found } = target.fsck({ wasClean: false });
    for (const kind of found.keys()) seen.add(kind);
    expect(kindsOf(found)).toEqual(['wrong-partition-count']);
    const files = ['unsettled-file', 'lost-own-file', 'leftover-own-file', 'spare-own-files'];
    const notes = ['waiting-orphan', 'leftover-aggregate', ...files];
    expect([...found.keys()]).toEqual(expect.arrayContaining(notes));
  });
});

describe('the checks together', () => {
  it('find every kind that there is', () => {
    expect(Object.keys(KINDS).filter((kind) => !seen.has(kind as Kind))).toEqual([]);
  });
});
