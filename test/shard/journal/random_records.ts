/** Mutations of every kind, drawn by a seed. */
import type { Extent } from '../../../base/layout.ts';
import type { AggregateId, Ino, Lsn, Position, ShardId, Slot, VolumeId } from '../../../base/units.ts';
import type { JournalRecord } from '../../../shard/journal/record_codec.ts';
import type { Mutation } from '../../../shard/mutation.ts';
import type { Inode } from '../../../shard/rows.ts';
import type { Random } from '../../support/random.ts';
import { extentAt, plainInode } from '../fixture.ts';

export const KINDS: readonly Mutation['kind'][] = [
  'inode',
  'no-inode',
  'dentry',
  'no-dentry',
  'no-dentries',
  'partition',
  'no-partition',
  'xattr',
  'no-xattr',
  'no-xattrs',
  'symlink',
  'no-symlink',
  'sequence',
  'index',
  'aggregate',
  'no-aggregate',
  'sharer',
  'no-sharer',
  'meta',
  'slot',
  'shards',
  'migration',
  'no-migration',
];

export function randomRecord(random: Random, lsn: Lsn): JournalRecord {
  const mutations = Array.from({ length: 1 + random.below(6) }, () =>
    randomMutation(random, KINDS[random.below(KINDS.length)] ?? 'inode'),
  );
  const request = {
    unique: BigInt(random.below(2 ** 30)) * 2n ** 30n,
    opcode: random.below(60),
    node: ino(random),
    ino: ino(random),
  };
  return { lsn, mutations, completes: random.below(2) === 0 ? request : undefined };
}

export function randomMutation(random: Random, kind: Mutation['kind']): Mutation {
  const flag = () => random.below(2) === 1;
  const slot = random.below(4096) as Slot;
  const dir = ino(random);
  const position = (16 + big(random)) as Position;
  const id = (1 + random.below(2 ** 30)) as AggregateId;
  const name = bytes(random, 1 + random.below(255));
  switch (kind) {
    case 'inode':
      return randomInode(random);
    case 'no-inode':
      return { kind, ino: dir, extents: flag(), xattrs: flag(), symlink: flag(), own: flag(), orphan: flag() };
    case 'dentry':
      return { kind, slot, dentry: { dir, position, name, ino: ino(random), type: random.below(16) } };
    case 'no-dentry':
      return { kind, slot, dir, position };
    case 'no-dentries':
      return { kind, slot, dir, from: position, to: (position + random.below(2 ** 20)) as Position };
    case 'partition': {
      const [entries, directories] = [big(random), big(random)];
      const boundary = flag() ? 2 ** 53 : position;
      const row = { slot, dir, index: random.below(4096), entries, directories, changed: time(random), boundary };
      return { kind, partition: { ...row, lsn: random.below(2 ** 30) as Lsn } };
    }
    case 'no-partition':
      return { kind, slot, dir, index: random.below(4096) };
    case 'xattr':
      return { kind, ino: dir, name, value: bytes(random, random.below(flag() ? 65_536 : 300)) };
    case 'no-xattr':
      return { kind, ino: dir, name };
    case 'no-xattrs':
    case 'no-symlink':
      return { kind, ino: dir };
    case 'symlink':
      return { kind, ino: dir, target: bytes(random, 1 + random.below(4095)) };
    case 'sequence':
      return { kind, slot, next: 1 + big(random) };
    case 'index':
      return { kind, ino: dir, index: flag() ? 'own_files' : 'orphans', present: flag() };
    case 'aggregate': {
      const state = (['open', 'sealed', 'dead'] as const)[random.below(3)] ?? 'open';
      const [written, live, lastReadDay] = [big(random), big(random), random.below(40_000)];
      const newestMtimeSec = (flag() ? -1 : 1) * random.below(2 ** 31);
      return { kind, row: { id, volume: 7 as VolumeId, state, written, live, newestMtimeSec, lastReadDay } };
    }
    case 'no-aggregate':
      return { kind, id };
    case 'sharer':
    case 'no-sharer':
      return { kind, aggregate: id, rangeStart: 4096 * random.below(2 ** 20), ino: dir };
    case 'slot':
      return { kind, slot, shard: random.below(256) as ShardId, from: random.below(256) as ShardId };
    case 'shards':
      return { kind, count: 1 + random.below(256) };
    case 'migration':
      return { kind, row: { id: 1 + big(random), state: 'copying', job: `{"größe":${big(random)}}` } };
    case 'no-migration':
      return { kind, id: 1 + big(random) };
    case 'meta':
      return { kind, key: 'größe', value: flag() ? big(random) + 0.5 : 'Wert ÿ' };
  }
}

function randomInode(random: Random): Mutation {
  const change = () => (['keep', 'add', 'remove'] as const)[random.below(3)] ?? 'keep';
  const list = (): Extent[] =>
    Array.from({ length: random.below(9) }, (_, i) => extentAt(i * 70_000, 70_000, i % 2 === 0));
  const number = ino(random);
  const inode: Inode = {
    ...plainInode(number, time(random)),
    layout: 'packed',
    extents: list(),
    second: list(),
    size: big(random),
    mtime: time(random),
    nlink: random.below(4),
    flags: random.below(128),
    lsn: random.below(2 ** 30) as Lsn,
  };
  return { kind: 'inode', inode, lists: 3, own: change(), orphan: change() };
}

function ino(random: Random): Ino {
  return (1 + big(random)) as Ino;
}

function big(random: Random): number {
  return random.below(2 ** 20) * 2 ** random.below(31);
}

function time(random: Random): { sec: number; nsec: number } {
  return { sec: random.below(2 ** 31) - 2 ** 30, nsec: random.below(1e9) };
}

function bytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}
