import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { AggregateId, VolumeId } from '../../base/units.ts';
import { MIB } from '../../base/units.ts';
import { CELL_BYTES, layoutOf, locate } from '../../tiering/erasure/cell_layout.ts';
import {
  type CellTrailer,
  decodeTrailer,
  encodeTrailer,
  peekTrailerBytes,
  trailerBytes,
} from '../../tiering/erasure/cell_trailer_v1.ts';
import { STORE_ID } from '../aggregate/temporary_store.ts';
import { Random } from '../support/random.ts';

const CODE = { dataCells: 8, parityCells: 2 };
/** A stripe of 32 MiB, and cells of 128 KiB + 4 KiB. */
const LENGTH = 33 * MIB + 7;
const { cellBytes } = layoutOf(CODE, LENGTH);

const TRAILER: CellTrailer = {
  storeId: STORE_ID,
  volume: 3 as VolumeId,
  aggregate: (2 ** 40 + 12) as AggregateId,
  place: 9,
  code: CODE,
  length: LENGTH,
  start: 77,
  writeId: '5f0a2d0e-7f6b-4a53-9a38-5d7a3c1f1f55',
  checksums: Uint32Array.from({ length: Math.ceil(cellBytes / 65536) }, (_, i) => (i * 0x9e3779b1) >>> 0),
};

describe('trailer of a cell file, version 1', () => {
  test('is what it has always been', () => {
    const path = join(import.meta.dirname, '..', 'golden', 'cell-trailer-v1.bin');
    const bytes = encodeTrailer(TRAILER);
    if (process.env['PACSFS_WRITE_GOLDEN'] === '1' && !existsSync(path)) writeFileSync(path, bytes);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  test('comes back as it was, also from the end of a longer buffer', () => {
    const bytes = encodeTrailer(TRAILER);
    expect(bytes).toHaveLength(trailerBytes(cellBytes));
    expect(decodeTrailer(bytes)).toEqual(TRAILER);
    const longer = new Uint8Array(3 * bytes.length).fill(7);
    longer.set(bytes, 2 * bytes.length);
    expect(decodeTrailer(longer)).toEqual(TRAILER);
    expect(peekTrailerBytes(longer)).toBe(bytes.length);
    const largest = { ...TRAILER, length: 512 * MIB, checksums: new Uint32Array(1024).fill(5) };
    expect(decodeTrailer(encodeTrailer(largest))).toEqual(largest);
  });

  test('every changed bit is noticed, every shorter one refused', () => {
    const whole = encodeTrailer(TRAILER);
    for (let at = 0; at < whole.length; at++) {
      const bytes = Uint8Array.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      if (decodeTrailer(bytes) !== undefined) expect.unreachable(`byte ${at}`);
      if (decodeTrailer(whole.subarray(at + 1)) !== undefined) expect.unreachable(`from byte ${at + 1}`);
    }
  });

  test('random bytes never throw, whatever they are', () => {
    const random = new Random(5);
    for (let i = 0; i < 3000; i++) expect(decodeTrailer(random.bytes(random.below(9000)))).toBeUndefined();
  });
});

describe('layout', () => {
  test('every byte lies in one cell, in the order of the segments', () => {
    for (const code of [CODE, { dataCells: 2, parityCells: 1 }, { dataCells: 3, parityCells: 2 }])
      for (const length of [
        1,
        4095,
        4096 * code.dataCells + 1,
        CELL_BYTES,
        code.dataCells * CELL_BYTES,
        LENGTH,
        100 * MIB,
      ]) {
        const layout = layoutOf(code, length);
        const seen = new Map<number, number>();
        for (let offset = 0; offset < length; ) {
          const { place, at, length: run } = locate(layout, offset);
          expect(run).toBeGreaterThan(0);
          expect(at).toBe(seen.get(place) ?? Math.floor(offset / (code.dataCells * CELL_BYTES)) * CELL_BYTES);
          seen.set(place, at + run);
          expect(at + run).toBeLessThanOrEqual(layout.cellBytes);
          const stripe = Math.floor(offset / (code.dataCells * CELL_BYTES));
          if (stripe < layout.fullStripes)
            expect([place, run]).toEqual([(offset / CELL_BYTES) % code.dataCells, CELL_BYTES]);
          offset += run;
        }
        expect(layout.cellBytes * code.dataCells - length).toBeLessThan(4096 * code.dataCells);
      }
  });
});
