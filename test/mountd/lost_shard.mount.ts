/** `fsck --repair` of a store that lost a shard, and whose journal does not go back to when its files were made. */
import { existsSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isErrno } from '../../base/errno.ts';
import { ROOT_INO, slotOf } from '../../base/units.ts';
import { DT_DIR, DT_REG, type Inode } from '../../shard/rows.ts';
import { TestStore } from '../support/mount_harness.ts';
import { PlantedStore } from '../support/planted_store.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const FILL = `
import os, random
random.seed(11)
def put(path, size, mode=0o644, uid=0, gid=0):
    # An index says what a file was when it was closed.
    with open(path, 'wb', buffering=0) as f:
        f.write(random.randbytes(size)); os.fchown(f.fileno(), uid, gid); os.fchmod(f.fileno(), mode)
        os.utime(f.fileno(), ns=(1_500_000_000_123_456_789, 1_500_000_000_123_456_789))
for p in range(6):
    os.makedirs('P%d' % p); os.chmod('P%d' % p, 0o2750); os.chown('P%d' % p, 1001, 1002)
    for s in range(4):
        d = 'P%d/S%d' % (p, s); os.mkdir(d)
        for i in range(5): put(d + '/%d.dcm' % i, random.choice((1, 500, 70000)), 0o640, 1000 + i, 2000)
put('P0/big', 9_000_000, 0o600, 7, 8)
put('P1/S1/empty', 0, 0o600)
os.mkdir('incoming')
for i in range(30): put('incoming/%d' % i, 3000)
`;
/** Renamed after packing: inode here, name there. */
const LATER = `
import os
for i in range(30): os.rename('incoming/%d' % i, 'P%d/S%d/%d' % (i % 6, i % 4, i)) 
for i in range(10): os.link('P%d/S0/1.dcm' % (i % 6), 'P%d/link%d' % ((i + 1) % 6, i))
for i in range(5): os.symlink('target', 'P%d/sym' % i)
for i in range(5): os.unlink('P%d/S2/2.dcm' % i)
`;

type Tree = ReadonlyMap<string, Inode>;
const SHARDS = 4;

let store: TestStore;
let planted: PlantedStore | undefined;

/** Every path with its row; a directory's times and size are the business of its partitions. */
function treeOf(of: PlantedStore): Tree {
  return of.read((namespace) => {
    const found = new Map<string, Inode>();
    const walk = (ino: number, path: string) => {
      const row = namespace.readInode(ino as typeof ROOT_INO);
      if (isErrno(row)) throw new Error(`${path}: ${row.name}`);
      found.set(path, row);
      if (row.mode >> 12 !== DT_DIR) return;
      for (const { name, ino: entry } of namespace.list(row, 0, 10_000)) walk(entry, `${path}/${Buffer.from(name)}`);
    };
    walk(ROOT_INO, '');
    return found;
  });
}

/** What an index knows of a file, and of a directory. */
function essence({ ino, mode, uid, gid, size, mtime, layout, own, extents }: Inode): unknown {
  return mode >> 12 === DT_DIR ? { ino, mode, uid, gid } : { ino, mode, uid, gid, size, mtime, layout, own, extents };
}

beforeAll(async () => {
  store = await TestStore.create({ formatArgs: ['--shards', String(SHARDS)] });
  expect((await store.run('python3', ['-c', FILL])).stderr).toBe('');
  await store.sync();
  expect((await store.run('python3', ['-c', LATER])).stderr).toBe('');
  // Large, empty and small ones that no index told of yet are told of with the next.
  await store.shell('echo x > P5/S3/last');
  await store.sync();
  await store.unmount();
  await loseJournal();
});
afterEach(() => planted?.remove());
afterAll(() => store.destroy());

/** As a store that has gone on for weeks. */
async function loseJournal(): Promise<void> {
  rmSync(join(store.path, 'meta', 'journal'), { recursive: true });
  const mounted = await store.pacsfs(['mount', store.path, store.mountPoint]);
  expect([mounted.code, mounted.stderr]).toEqual([0, expect.stringContaining('broken')]);
  const refused = await store.run('mkdir', ['new']);
  expect(refused.stderr).toContain('Input/output error');
  await store.pacsfs(['unmount', store.mountPoint]);
  const checked = await store.fsck();
  expect([checked.code, checked.stdout]).toEqual([4, expect.stringMatching(/broken: .*journal .* lost records/)]);
  const repaired = await store.fsck(['--repair']);
  expect([repaired.code, repaired.stdout]).toEqual([1, expect.stringContaining('repaired')]);
  expect(existsSync(join(store.path, 'meta', 'BROKEN'))).toBe(false);
  expect(readdirSync(join(store.path, 'meta', 'journal')).length).toBeGreaterThan(0);
  expect((await store.fsck()).code).toBe(0);
}

function plant(shard: number): { readonly target: PlantedStore; readonly path: string; readonly before: Tree } {
  const target = new PlantedStore(store.path, join(store.folder, 'planted'));
  planted = target;
  return { target, path: join(target.meta, 'shards', `00${shard}.db`), before: treeOf(target) };
}

/** Nothing of the other shards has changed; of the lost one everything is back that an index tells of. */
function expectBack(target: PlantedStore, before: Tree, lost: number): void {
  const after = treeOf(target);
  const shards = target.read(
    (namespace) => new Map([...before.values()].map(({ ino }) => [ino, namespace.shardOf(slotOf(ino))])),
  );
  const everywhere = new Map([...after.values()].map((row) => [row.ino, row]));
  let [back, moved, gone] = [0, 0, 0];
  for (const [path, row] of before) {
    const there = after.get(path);
    const found = everywhere.get(row.ino);
    const isRegular = row.mode >> 12 === DT_REG;
    if (found === undefined) {
      // What no index tells of: symlinks, and directories without a file.
      expect([path, isRegular]).toEqual([path, false]);
      expect(shards.get(row.ino)).toBe(lost);
      gone += 1;
      continue;
    }
    expect([path, essence(found)]).toEqual([path, essence(row)]);
    if (there?.ino === row.ino) back += 1;
    else moved += 1;
  }
  expect(gone).toBeLessThan(8);
  // Renamed and never described again, or a further name of a hard link: in lost+found, or under the other name.
  expect([moved, back > 130]).toEqual([expect.toSatisfy((count: number) => count < 12), true]);
}

describe('a shard that is lost', () => {
  it.each([1, 2])('%i comes back from the indexes and the other shards', (lost) => {
    const { target, path, before } = plant(lost);
    if (lost === 1) truncateSync(path, 5000);
    else rmSync(path);
    const checked = target.fsck({ contents: false });
    expect([[...checked.found.keys()], checked.damageLeft]).toEqual([['missing-shard'], 1]);
    const repaired = target.fsck({ repair: true });
    expect([repaired.leftFindings, repaired.damageLeft]).toEqual([[], 0]);
    expect(repaired.refilled[0]).toMatch(/from indexes: \d+ files, \d+ directories/);
    expect(target.fsck().findings).toEqual([]);
    expectBack(target, before, lost);
  });
});
