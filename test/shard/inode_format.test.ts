import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { viewOf } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import type { Extent } from '../../base/layout.ts';
import type { Timespec } from '../../base/time.ts';
import type { AggregateId, Ino, Lsn, VolumeId } from '../../base/units.ts';
import { decodeExtent, encodeExtent, MAX_EXTENT_BYTES } from '../../shard/extent_format.ts';
import { decodeInode, InodeEncoder } from '../../shard/inode_format.ts';
import { inoOfRowId, rowIdOf } from '../../shard/row_id.ts';
import type { Inode } from '../../shard/rows.ts';
import { clampTime, SINGLE_PARTITION } from '../../shard/store.ts';
import { MAX_SECOND, MIN_SECOND } from '../../shard/time_format.ts';
import { extentAt, plainInode } from './fixture.ts';

const encoder = new InodeEncoder();
const T: Timespec = { sec: 1_700_000_000, nsec: 123_456_789 };
const LATER: Timespec = { sec: 1_700_000_060, nsec: 5 };
const INO = (123_456 * 4096 + 789) as Ino;

/** What stands in test/golden/inode_v1.json, as rows. */
const CASES: { readonly [name: string]: Inode } = {
  plain: plainInode(INO, T),
  directory: { ...plainInode(INO, T), mode: 0o042755, lsn: 99 as Lsn, partitions: SINGLE_PARTITION },
  split: { ...plainInode(INO, T), mode: 0o040755, partitions: Uint8Array.of(7, 0, 129) },
  own: {
    ...plainInode(INO, T),
    layout: 'own',
    own: { volume: 2 as VolumeId, start: 77, number: 2 ** 40 + 1 },
    flags: 3,
    position: 2 ** 53 - 1,
    lsn: (2 ** 48 - 1) as Lsn,
  },
  packed: { ...plainInode(INO, T), layout: 'packed', size: 250_000, extents: [extentAt(0, 250_000)], ctime: LATER },
  device: { ...plainInode(INO, T), mode: 0o060600, rdev: 0xfffffff1, nlink: 3 },
  full: {
    ...plainInode((2 ** 53 - 1) as Ino, T),
    layout: 'packed',
    size: 2 ** 53 - 1,
    atime: { sec: MIN_SECOND, nsec: 0 },
    mtime: { sec: MAX_SECOND, nsec: 999_999_999 },
    ctime: LATER,
    nlink: 0,
    uid: 0xffffffff,
    gid: 0xfffffffe,
    project: 5,
    retainUntilSec: 4_000_000_000,
    holds: 2,
    extents: [extentAt(0), { ...extentAt(70_000), shared: true }, { ...extentAt(140_000), length: 9 }],
    second: [{ ...extentAt(0), offset: 4097, length: 69_999 }],
  },
};

function encode(inode: Inode): Uint8Array {
  return encoder.encode(inode).slice();
}

describe('inode rows', () => {
  it('have the bytes that they had in version 1', () => {
    const golden: unknown = JSON.parse(readFileSync(join(import.meta.dirname, '../golden/inode_v1.json'), 'utf8'));
    const rows = Object.entries(CASES).map(([name, inode]) => [name, Buffer.from(encode(inode)).toString('hex')]);
    expect(Object.fromEntries(rows)).toEqual(golden);
  });

  it('decode to what was encoded', () => {
    for (const inode of Object.values(CASES)) {
      expect(decodeInode(inode.ino, encode(inode))).toEqual({ inode, extentRows: 0, secondRows: 0 });
    }
  });

  it('only count lists that are too long for them', () => {
    const extents = Array.from({ length: 5 }, (_, i) => extentAt(i * 70_000));
    const row = encode({ ...plainInode(INO, T), layout: 'packed', extents, second: [...extents, extentAt(900_000)] });
    expect(decodeInode(INO, row)).toMatchObject({ inode: { extents: [], second: [] }, extentRows: 5, secondRows: 6 });
  });

  it('of a usual file are small', () => {
    const { packed } = CASES;
    expect(packed && encode(packed).length).toBeLessThan(130);
  });

  it('belong to their inode', () => {
    const { plain } = CASES;
    expect(plain && decodeInode((INO + 4096) as Ino, encode(plain))).toBeUndefined();
  });

  it('never decode when a bit is wrong, a byte is missing or one is too many', () => {
    for (const inode of Object.values(CASES)) {
      const row = encode(inode);
      for (let bit = 0; bit < row.length * 8; bit += 5) {
        const wrong = row.slice();
        wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(decodeInode(inode.ino, wrong)).toBeUndefined();
      }
      for (let length = 0; length < row.length; length++)
        expect(decodeInode(inode.ino, row.subarray(0, length))).toBeUndefined();
      expect(decodeInode(inode.ino, Buffer.concat([row, Buffer.alloc(1)]))).toBeUndefined();
    }
  });
});

/** Chance with a seed, so that a failure can be had again. */
function chance(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

function randomExtent(pick: (limit: number) => number): Extent {
  const rangeLength = 1 + pick(pick(2) === 0 ? 200_000 : 4 << 20);
  const skip = pick(3) === 0 ? pick(rangeLength) : 0;
  const rangeStart = pick(2 ** 31) * 512;
  return {
    fileOffset: pick(2) === 0 ? 0 : pick(2 ** 32) * 1000,
    length: pick(2) === 0 ? rangeLength - skip : 1 + pick(rangeLength - skip),
    volume: (1 + pick(65_535)) as VolumeId,
    aggregate: (1 + pick(2 ** 32) * 60_000) as AggregateId,
    offset: rangeStart + skip,
    rangeStart,
    rangeLength,
    checksums: Uint32Array.from({ length: Math.ceil(rangeLength / 65_536) }, () => pick(2 ** 32)),
    shared: pick(2) === 0,
  };
}

function randomInode(pick: (limit: number) => number): Inode {
  const time = (): Timespec => ({ sec: pick(2 ** 32) * (pick(2) === 0 ? 100 : -100), nsec: pick(1e9) });
  const list = (longest: number) => Array.from({ length: pick(longest) }, () => randomExtent(pick));
  const kind = pick(4);
  const base = { ...plainInode((4096 + pick(2 ** 32) * 2_000_000) as Ino, time()), generation: pick(2 ** 32) };
  const row = {
    ...base,
    uid: pick(2 ** 32),
    size: pick(2 ** 32) * 1000,
    mtime: time(),
    atime: pick(2) === 0 ? base.btime : time(),
    flags: pick(65_536),
    nlink: pick(3),
    rdev: pick(2) * pick(2 ** 32),
    project: pick(2) * pick(2 ** 32),
    retainUntilSec: pick(2) * pick(2 ** 32),
    holds: pick(2),
    lsn: pick(2 ** 32) as Lsn,
    position: pick(2 ** 32) * 2_000_000,
  };
  if (kind === 0) return row;
  if (kind === 1)
    return { ...row, mode: 0o040000 + pick(0o7777), partitions: Uint8Array.from([3, pick(256), 1 + pick(255)]) };
  if (kind === 2)
    return { ...row, layout: 'own', own: { volume: 1 as VolumeId, start: pick(2 ** 32), number: pick(2 ** 32) } };
  return { ...row, layout: 'packed', extents: list(5), second: list(5) };
}

describe('fuzz', () => {
  it('round trips whatever can be a row', () => {
    const pick = chance(20_240_611);
    for (let i = 0; i < 2000; i++) {
      const inode = randomInode(pick);
      expect(decodeInode(inode.ino, encode(inode))?.inode, `row ${i}`).toEqual(inode);
    }
  });

  it('decodes garbage with a right checksum to nothing or to a row that encodes again', () => {
    const pick = chance(7);
    let decoded = 0;
    for (let i = 0; i < 20_000; i++) {
      const inode = randomInode(pick);
      const row = encode(inode);
      for (let n = 1 + pick(4); n > 0; n--) row[1 + pick(row.length - 5)] = pick(256);
      const cut = pick(5) === 0 ? row.slice(0, 72 + pick(row.length - 72)) : row;
      seal(inode.ino, cut);
      const found = decodeInode(inode.ino, cut);
      if (found === undefined) continue;
      decoded += 1;
      if (found.extentRows === 0 && found.secondRows === 0) encode(found.inode);
    }
    expect(decoded).toBeGreaterThan(1000);
  });

  it('of extents never reads past its limit', () => {
    const pick = chance(11);
    const bytes = new Uint8Array(MAX_EXTENT_BYTES);
    for (let i = 0; i < 5000; i++) {
      const end = encodeExtent(viewOf(bytes), 0, randomExtent(pick));
      expect(decodeExtent(viewOf(bytes), 0, end)?.end).toBe(end);
      expect(decodeExtent(viewOf(bytes), 0, pick(end))).toBeUndefined();
      const noise = Uint8Array.from({ length: pick(60) }, () => pick(256));
      decodeExtent(viewOf(noise), 0, noise.length);
    }
  });
});

/** Makes the checksum of a spoilt row right again. */
function seal(ino: Ino, row: Uint8Array): void {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(BigInt(rowIdOf(ino)));
  viewOf(row).setUint32(row.length - 4, crc32c(row.subarray(0, -4), crc32c(key)), true);
}

it('row ids keep slot and sequence', () => {
  for (const number of [1, 17 * 4096, 4096 * 2 ** 40 + 4095, 2 ** 53 - 1]) {
    const id = rowIdOf(number as Ino);
    expect(Number.isSafeInteger(id)).toBe(true);
    expect(inoOfRowId(id)).toBe(number);
  }
});

it('times are clamped to what a row can hold', () => {
  expect(clampTime(T)).toBe(T);
  expect(clampTime({ sec: 2 ** 60, nsec: 3 })).toEqual({ sec: MAX_SECOND, nsec: 999_999_999 });
  expect(clampTime({ sec: -(2 ** 60), nsec: 3 })).toEqual({ sec: MIN_SECOND, nsec: 0 });
});
