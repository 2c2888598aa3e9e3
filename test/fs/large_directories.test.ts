/** Directories of many partitions, through the operations: what their totals say, how they are removed, who splits them. */
import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import { type Ino, ROOT_INO } from '../../base/units.ts';
import { evenPartitions, POSITION_LIMIT, partitionIndexes, partitionSlot } from '../../shard/partition_map.ts';
import { ROOT_USER } from '../support/loose_user.ts';
import { type Fixture, start } from './fixture.ts';

/** A directory as one that had `2 ** depth` full partitions and was emptied. */
function largeDirectory({ loose, user }: Fixture, name: string, depth: number): Ino {
  const ino = user.mkdir(name);
  const dir = loose.namespace.inode(ino);
  if (dir === undefined) throw new Error('No directory');
  const record = loose.namespace.begin();
  const partitions = evenPartitions(depth);
  record.putInode({ ...dir, partitions });
  for (const index of partitionIndexes(partitions).slice(1)) {
    const slot = partitionSlot(ino, index);
    const { mtime: changed, lsn } = dir;
    record.putPartition({ slot, dir: ino, index, entries: 0, directories: 0, changed, lsn, boundary: POSITION_LIMIT });
  }
  loose.namespace.commit(record);
  return ino;
}

function partitionRows({ loose }: Fixture, dir: Ino): number {
  let rows = 0;
  for (let shard = 0; shard < loose.namespace.shardCount; shard++)
    for (const row of loose.namespace.scan(shard).partitions()) if ('dir' in row && row.dir === dir) rows += 1;
  return rows;
}

/** Mutations of the largest record made since. */
function watchRecords({ loose }: Fixture): () => number {
  const first = loose.namespace.lsn;
  return () => {
    let most = 0;
    for (const { lsn, mutations } of loose.namespace.journalFrom(first))
      if (lsn > first) most = Math.max(most, [...mutations].length);
    return most;
  };
}

const removeDirectory = ({ user }: Fixture, name: string) =>
  user.filesystem.removeDirectory(ROOT_USER, ROOT_INO, Buffer.from(name));

describe('a directory of many partitions that is removed', () => {
  test('goes in small records, once nobody holds it', () => {
    const fixture = start({ namespace: { splitAt: 64 } });
    const { loose, user } = fixture;
    const ino = largeDirectory(fixture, 'large', 9);
    const file = user.put('large/file', 'x');
    expect(removeDirectory(fixture, 'large')).toBe(E.ENOTEMPTY);
    user.unlink('large/file');
    user.forget(file);
    const largest = watchRecords(fixture);
    expect(removeDirectory(fixture, 'large')).toBeUndefined();
    expect([...loose.namespace.orphans()]).toEqual([ino]);
    user.forget(ino);
    expect([...loose.namespace.orphans()]).toEqual([ino]);
    for (let i = 0; i < 40 && [...loose.namespace.orphans()].length > 0; i++) loose.tick();
    expect([...loose.namespace.orphans()]).toEqual([]);
    expect(partitionRows(fixture, ino)).toBe(0);
    expect(largest()).toBeLessThanOrEqual(130);
    expect(largest()).toBeGreaterThan(100);
    expect(loose.damageNow()).toEqual([]);
  });

  test('is the smaller one that is left when the daemon dies in between, and goes with the next mount', () => {
    const fixture = start({ namespace: { splitAt: 64 } });
    const { loose, user } = fixture;
    const ino = largeDirectory(fixture, 'large', 9);
    expect(removeDirectory(fixture, 'large')).toBeUndefined();
    user.forget(ino);
    loose.tick();
    expect([partitionRows(fixture, ino), [...loose.namespace.orphans()]]).toEqual([512 - 128, [ino]]);
    loose.kill();
    expect(loose.damage({ wasClean: false })).toEqual([]);
    loose.open();
    expect([...loose.namespace.orphans()]).toEqual([]);
    expect(partitionRows(fixture, ino)).toBe(0);
    expect(loose.damageNow()).toEqual([]);
  });
});

test('attributes of a directory that has split follow every change, and are read once', () => {
  const fixture = start({ namespace: { splitAt: 64 } });
  const { loose, user } = fixture;
  const ino = largeDirectory(fixture, 'large', 4);
  for (let i = 0; i < 60; i++) {
    if (i % 7 === 0) user.mkdir(`large/d${i}`);
    else user.put(`large/f${i}`, '');
  }
  const attributes = () => {
    const found = user.stat('large');
    return { nlink: found.nlink, size: found.size, mtime: found.mtime, ctime: found.ctime };
  };
  const shown = attributes();
  expect(shown).toMatchObject({ nlink: 2 + 9, size: 4096 + 60 * 32 });
  loose.replace();
  expect(attributes()).toEqual(shown);
  user.unlink('large/f1');
  expect(user.filesystem.removeDirectory(ROOT_USER, ino, Buffer.from('d0'))).toBeUndefined();
  const after = attributes();
  expect(after).toMatchObject({ nlink: 2 + 8, size: 4096 + 58 * 32 });
  expect(after.mtime).toEqual(after.ctime);
  loose.replace();
  expect(attributes()).toEqual(after);
  expect(loose.namespace.inode(ino)?.ino).toBe(ino);
});

test('the daemon splits and merges by itself, between requests, and says nothing of it', () => {
  const fixture = start({ namespace: { splitAt: 64 } });
  const { loose, user } = fixture;
  const ino = user.mkdir('d');
  for (let i = 0; i < 700; i++)
    user.filesystem.makeNode(ROOT_USER, { parent: ino, name: Buffer.from(`f${i}`) }, { mode: 0o100644, umask: 0 });
  const before = user.stat('d');
  for (let i = 0; i < 60; i++) loose.tick();
  const count = () => partitionIndexes(loose.namespace.inode(ino)?.partitions ?? new Uint8Array(1)).length;
  expect(count()).toBeGreaterThan(6);
  expect(user.stat('d')).toEqual(before);
  expect(user.list('d')).toHaveLength(700);
  for (let i = 0; i < 700; i++) user.unlink(`d/f${i}`);
  for (let i = 0; i < 60; i++) loose.tick();
  expect(count()).toBe(1);
  expect(loose.damageNow()).toEqual([]);
});
