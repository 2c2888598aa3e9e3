import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { decodeHeader, encodeHeader, HEADER_BYTES } from '../../aggregate/header_v1.ts';
import { parseIdentity } from '../../aggregate/identity.ts';
import { type BatchIndex, decodeIndex, encodeIndex, indexLength, peekIndexLength } from '../../aggregate/index_v1.ts';
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import type { Extent } from '../../base/layout.ts';
import type { AggregateId, Ino, Lsn, VolumeId } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { STORE_ID } from './temporary_store.ts';

const encoder = new TextEncoder();
const GOLDEN = join(import.meta.dirname, '..', 'golden');

const HEADER = {
  storeId: STORE_ID,
  aggregate: (2 ** 40 + 12) as AggregateId,
  volume: 3 as VolumeId,
  transform: 0,
  start: 77,
  segmentBytes: SEGMENT_BYTES,
};

const SHARED: Extent = {
  fileOffset: 10,
  length: 65_536,
  volume: 3 as VolumeId,
  aggregate: (2 ** 40 + 11) as AggregateId,
  offset: 2 ** 33 + 5,
  rangeStart: 2 ** 33,
  rangeLength: 65_541,
  checksums: Uint32Array.of(6, 7),
  shared: true,
};

const INDEX: BatchIndex = {
  storeId: STORE_ID,
  aggregate: (2 ** 40 + 12) as AggregateId,
  lsn: (2 ** 45 + 1) as Lsn,
  start: 77,
  segment: 1,
  batchAt: 4096,
  batchBytes: 4096 + 131_072 + 4096,
  sequence: 9,
  directories: [
    { ino: 1 as Ino, name: new Uint8Array(0), mode: 0o40755, uid: 0, gid: 0, above: undefined },
    { ino: 4711 as Ino, name: encoder.encode('P1'), mode: 0o42770, uid: 1000, gid: 2 ** 32 - 1, above: 0 },
  ],
  files: [
    {
      ino: (2 ** 50 + 7) as Ino,
      directory: 1,
      name: encoder.encode('1.dcm'),
      mode: 0o100640,
      uid: 1000,
      gid: 2 ** 32 - 1,
      size: 5_000_000_000,
      mtime: { sec: -5, nsec: 999_999_999 },
      dataBytes: 4_000_000_000,
      own: undefined,
    },
    {
      ino: 8 as Ino,
      directory: 0,
      name: Uint8Array.of(0xff, 0x01),
      mode: 0o100644,
      uid: 0,
      gid: 0,
      size: 1,
      mtime: { sec: 1_700_000_000, nsec: 1 },
      dataBytes: 1,
      own: undefined,
    },
    {
      ino: 9 as Ino,
      directory: 1,
      name: encoder.encode('dedicated'),
      mode: 0o100644,
      uid: 0,
      gid: 0,
      size: 9_000_000,
      mtime: { sec: 1_700_000_000, nsec: 2 },
      dataBytes: 0,
      own: { volume: 3 as VolumeId, start: 2 ** 32 - 1, number: 2 ** 47 + 1 },
    },
  ],
  extents: [
    { file: 0, fileOffset: 4_999_872_000, length: 128_000, at: 4096, checksums: Uint32Array.of(1, 0xffffffff) },
    { file: 1, fileOffset: 0, length: 1, at: 135_168, checksums: Uint32Array.of(5) },
  ],
  shares: [{ file: 1, extent: SHARED }],
};

function header(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  encodeHeader(HEADER, bytes);
  return bytes;
}

function index(of: BatchIndex = INDEX): Uint8Array {
  const bytes = new Uint8Array(indexLength(of));
  encodeIndex(of, bytes);
  return bytes;
}

/** Compares with the file of that name; PACSFS_WRITE_GOLDEN=1 writes a file that is not there yet. */
function expectGolden(name: string, bytes: Uint8Array): void {
  const path = join(GOLDEN, name);
  if (process.env['PACSFS_WRITE_GOLDEN'] === '1' && !existsSync(path)) writeFileSync(path, bytes);
  expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
}

describe('header of an aggregate, version 1', () => {
  test('is what it has always been', () => expectGolden('aggregate-header-v1.bin', header()));
  test('comes back as it was', () => expect(decodeHeader(header())).toEqual(HEADER));

  test('every changed byte is noticed, every shorter one refused', () => {
    for (let at = 0; at < HEADER_BYTES; at++) {
      const bytes = header();
      bytes[at] = (bytes[at] ?? 0) ^ 0x10;
      expect(decodeHeader(bytes)).toBeUndefined();
      expect(decodeHeader(header().subarray(0, at))).toBeUndefined();
    }
  });
});

describe('index of a batch, version 1', () => {
  test('is what it has always been', () => expectGolden('aggregate-index-v1.bin', index()));

  test('comes back as it was, also from a longer buffer', () => {
    expect(decodeIndex(index())).toEqual(INDEX);
    const longer = new Uint8Array(20_000).fill(1);
    longer.set(index());
    expect(decodeIndex(longer)).toEqual(INDEX);
    expect(peekIndexLength(longer.subarray(0, 96))).toBe(4096);
  });

  test('every changed byte that is used is noticed, every shorter one refused', () => {
    const used = new DataView(index().buffer).getUint32(84, true);
    for (let at = 0; at < used; at++) {
      const bytes = index();
      bytes[at] = (bytes[at] ?? 0) ^ 0x01;
      const decoded = decodeIndex(bytes);
      expect(decoded, `byte ${at}`).toBeUndefined();
    }
    for (let at = 0; at < 4096; at++) expect(decodeIndex(index().subarray(0, at))).toBeUndefined();
  });

  test('does not believe indexes and places outside their bounds', () => {
    const [extent] = INDEX.extents;
    const [file] = INDEX.files;
    const [root, directory] = INDEX.directories;
    if (extent === undefined || file === undefined || root === undefined || directory === undefined)
      throw new Error('no entries');
    const wrong: Partial<BatchIndex>[] = [
      { extents: [{ ...extent, file: 3 }] },
      { extents: [{ ...extent, at: 0 }] },
      { extents: [{ ...extent, at: 4097 }] },
      { extents: [{ ...extent, at: 139_264 }] },
      { files: [{ ...file, directory: 2 }] },
      { directories: [root, { ...directory, above: 1 }] },
      { directories: [{ ...root, above: 1 }, directory] },
      { shares: [{ file: 3, extent: SHARED }] },
      { shares: [{ file: 1, extent: { ...SHARED, offset: SHARED.rangeStart + 6 } }] },
      { shares: [{ file: 1, extent: { ...SHARED, rangeStart: 100 } }] },
      { batchBytes: 100 },
      { batchBytes: SEGMENT_BYTES },
      { batchAt: 1 },
    ];
    for (const each of wrong) expect(decodeIndex(index({ ...INDEX, ...each }))).toBeUndefined();
  });
});

describe('damaged and random bytes', () => {
  const random = new Random(3);

  test('never throw, whatever they are', () => {
    for (let i = 0; i < 3000; i++) {
      const bytes = random.bytes(random.below(9000));
      expect(decodeHeader(bytes)).toBeUndefined();
      expect(decodeIndex(bytes)).toBeUndefined();
      parseIdentity(bytes);
    }
  });

  test('never throw in a block whose frame and checksum are right', () => {
    for (let i = 0; i < 3000; i++) {
      const bytes = index();
      const view = new DataView(bytes.buffer);
      for (let n = random.below(8); n >= 0; n--) {
        const at = 12 + random.below(500);
        if (random.below(2) === 0) bytes[at] = random.below(256);
        else view.setUint32(at, random.next(), true);
      }
      repairChecksum(bytes);
      decodeIndex(bytes);
    }
  });
});

/** So that the entries behind the checksum are reached too. */
function repairChecksum(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer);
  view.setUint32(12, bytes.length, true);
  const used = view.getUint32(84, true);
  if (used < 96 || used > bytes.length) view.setUint32(84, 96 + (used % (bytes.length - 96)), true);
  view.setUint32(88, 0, true);
  view.setUint32(88, crc32cSlow(bytes.subarray(0, view.getUint32(84, true))), true);
}

/** An implementation apart from base/crc32c.ts. */
function crc32cSlow(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  }
  return ~value >>> 0;
}
