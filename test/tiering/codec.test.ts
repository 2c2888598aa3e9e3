import { describe, expect, test } from 'vitest';
import { assert } from '../../base/assert.ts';
import { isal } from '../../base/isal.ts';
import { type CellBlock, type Code, type Coder, IsalCoder, PackagedCoder } from '../../tiering/erasure/coder.ts';
import { generatorMatrix, inverse, invert, multiply, row, rowsOf } from '../../tiering/erasure/galois.ts';
import { Random } from '../support/random.ts';

const CODES: readonly Code[] = [
  { dataCells: 2, parityCells: 1 },
  { dataCells: 4, parityCells: 2 },
  { dataCells: 8, parityCells: 2 },
  { dataCells: 10, parityCells: 4 },
];

/** By shifts and subtractions of the polynomial, apart from the tables. */
function multiplySlowly(a: number, b: number): number {
  let result = 0;
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) result ^= a << bit;
  for (let bit = 15; bit >= 8; bit--) if ((result >> bit) & 1) result ^= 0x11d << (bit - 8);
  return result;
}

function parityOf({ dataCells, parityCells }: Code, data: readonly Uint8Array[]): Uint8Array[] {
  const generator = generatorMatrix(dataCells, parityCells);
  return Array.from({ length: parityCells }, (_, i) =>
    Uint8Array.from(data[0] ?? [], (_, at) =>
      data.reduce((sum, cell, c) => sum ^ multiplySlowly(row(generator, dataCells + i)[c] ?? 0, cell[at] ?? 0), 0),
    ),
  );
}

function sets(from: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return from.flatMap((first, i) => sets(from.slice(i + 1), size - 1).map((rest) => [first, ...rest]));
}

describe('GF(2^8), polynomial 0x11d', () => {
  test('products and inverses are those of the definition, all of them', () => {
    for (let a = 0; a < 256; a++) {
      for (let b = 0; b < 256; b++) if (multiply(a, b) !== multiplySlowly(a, b)) expect.unreachable(`${a} * ${b}`);
      if (a !== 0) expect(multiplySlowly(a, invert(a))).toBe(1);
    }
  });

  test('parity is that of JavaReedSolomon, klauspost/reedsolomon and reed-solomon-erasure', () => {
    const data = [
      [0, 1],
      [4, 5],
      [2, 3],
      [6, 7],
      [8, 9],
    ].map((bytes) => Uint8Array.from(bytes));
    const parity = [
      [12, 13],
      [10, 11],
      [14, 15],
      [90, 91],
      [94, 95],
    ];
    expect(parityOf({ dataCells: 5, parityCells: 5 }, data).map((bytes) => [...bytes])).toEqual(parity);
  });

  test.each(CODES)('any k rows of the generator of $dataCells+$parityCells are invertible', (code) => {
    const { dataCells: k, parityCells: m } = code;
    const generator = generatorMatrix(k, m);
    for (let r = 0; r < k; r++) for (let c = 0; c < k; c++) expect(row(generator, r)[c]).toBe(r === c ? 1 : 0);
    const places = Array.from({ length: k + m }, (_, place) => place);
    for (const kept of sets(places, k)) expect(inverse(rowsOf(generator, kept))).toBeDefined();
  });
});

const CODERS: readonly (readonly [string, (code: Code) => Coder])[] = [
  ['the npm package', (code) => new PackagedCoder(code)],
  ['ISA-L', (code) => new IsalCoder(code, isal ?? expect.unreachable('ISA-L is not installed'))],
];

describe.each(CODERS)('coding by %s', (_, coderOf) => {
  test.each(CODES)('parity of $dataCells+$parityCells is that of brute force', (code) => {
    const random = new Random(11);
    const coder = coderOf(code);
    for (const length of [4096, 4097, 8192 + 31, 65536 + 4096]) {
      const data = Array.from({ length: code.dataCells }, () => random.bytes(length));
      const parity = Array.from({ length: code.parityCells }, () => random.bytes(length));
      coder.encode(data, parity);
      const expected = parityOf(code, data);
      for (const [i, bytes] of parity.entries()) expect(Buffer.compare(bytes, expected[i] ?? bytes)).toBe(0);
      expect(expected).toHaveLength(parity.length);
    }
  });

  test.each(CODES)('whatever m of $dataCells+$parityCells are lost come back from any k others', (code) => {
    const random = new Random(12);
    const { dataCells: k, parityCells: m } = code;
    const coder = coderOf(code);
    const places = Array.from({ length: k + m }, (_, place) => place);
    const cells = places.map(() => random.bytes(4096));
    coder.encode(cells.slice(0, k), cells.slice(k));
    for (let size = 1; size <= m; size++) {
      const losses = sets(places, size);
      // All of them, but for 10+4: 200 of each size.
      const chosen = losses.length <= 200 ? losses : losses.filter(() => random.below(losses.length) < 200);
      for (const lost of chosen) {
        const kept = places.filter((place) => !lost.includes(place));
        while (kept.length > k) kept.splice(random.below(kept.length), 1);
        const blocks: CellBlock[] = lost.map((place) => ({ place, bytes: random.bytes(4096) }));
        coder.rebuild(
          kept.map((place) => ({ place, bytes: cells[place] ?? fail() })),
          blocks,
        );
        for (const { place, bytes } of blocks)
          if (Buffer.compare(bytes, cells[place] ?? bytes) !== 0) expect.unreachable(`Lost ${lost}, kept ${kept}`);
      }
    }
  });
});

function fail(): never {
  assert(false, 'No such cell');
}
