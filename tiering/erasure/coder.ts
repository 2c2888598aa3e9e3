/**
 * Reed-Solomon over blocks of bytes: parity of data cells, and any cells from any k others. ISA-L where it is installed,
 * else the npm package `@digitaldefiance/reed-solomon-erasure.wasm`, which is far slower (`make bench-erasure` tells); both
 * make the same bytes, since the package's matrix is the one of galois.ts.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { assert } from '../../base/assert.ts';
import { type Isal, type IsalMatrix, isal } from '../../base/isal.ts';
import { KIB } from '../../base/units.ts';
import { addProduct, generatorMatrix, inverse, type Matrix, product, row, rowsOf } from './galois.ts';

/** k+m. */
export interface Code {
  readonly dataCells: number;
  readonly parityCells: number;
}

/** A cell, or a part of one, by its place: 0 to k-1 are data, k to k+m-1 parity. */
export interface CellBlock {
  readonly place: number;
  readonly bytes: Uint8Array;
}

/** All blocks of one call are of one length, from 4,096 bytes. */
export interface Coder {
  readonly code: Code;
  /** Fills all parity blocks from all data blocks, each in the order of their places. */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void;
  /** Fills `lost` from `from`, which are exactly k of the others. */
  rebuild(from: readonly CellBlock[], lost: readonly CellBlock[]): void;
}

/** Which implementation serves; said at start-up and by `doctor`. */
export const erasureImplementation: 'isa-l' | 'reed-solomon-erasure.wasm' =
  isal === undefined ? 'reed-solomon-erasure.wasm' : 'isa-l';

export function coderOf(code: Code): Coder {
  return isal === undefined ? new PackagedCoder(code) : new IsalCoder(code, isal);
}

export class IsalCoder implements Coder {
  readonly code: Code;
  readonly #isal: Isal;
  readonly #generator: Matrix;
  readonly #parity: IsalMatrix;
  /** Of the last rebuild: whoever reads a lost cell asks for the same again and again. */
  #known: { readonly key: string; readonly matrix: IsalMatrix } | undefined;

  constructor(code: Code, library: Isal) {
    this.code = code;
    this.#isal = library;
    this.#generator = generatorMatrix(code.dataCells, code.parityCells);
    const { dataCells: k, parityCells: m } = code;
    const places = Array.from({ length: m }, (_, i) => k + i);
    this.#parity = this.#expand(rowsOf(this.#generator, places));
  }

  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    this.#isal.multiply(this.#parity, data, parity);
  }

  rebuild(from: readonly CellBlock[], lost: readonly CellBlock[]): void {
    const matrix = this.#matrixFor(
      from.map(({ place }) => place),
      lost.map(({ place }) => place),
    );
    this.#isal.multiply(
      matrix,
      from.map(({ bytes }) => bytes),
      lost.map(({ bytes }) => bytes),
    );
  }

  #matrixFor(from: readonly number[], lost: readonly number[]): IsalMatrix {
    const key = `${from} ${lost}`;
    if (this.#known?.key === key) return this.#known.matrix;
    const matrix = this.#expand(rebuildMatrix(this.#generator, from, lost));
    this.#known = { key, matrix };
    return matrix;
  }

  #expand({ cells, rows, columns }: Matrix): IsalMatrix {
    return this.#isal.expand(cells, { rows, columns });
  }
}

/** The survivors' rows inverted give the data; a lost cell's row times that gives the cell. */
function rebuildMatrix(generator: Matrix, from: readonly number[], lost: readonly number[]): Matrix {
  const back = inverse(rowsOf(generator, from));
  assert(back !== undefined, `Cells ${from} do not determine the others`);
  return product(rowsOf(generator, lost), back);
}

/** Bytes of each cell that go through the package's memory at once. */
const PACKAGED_PART_BYTES = 64 * KIB;
const PACKAGE = '@digitaldefiance/reed-solomon-erasure.wasm';

type Package = import('@digitaldefiance/reed-solomon-erasure.wasm').ReedSolomonErasure;

/** Loaded only where it serves. */
function loadPackage(): Package {
  const require = createRequire(import.meta.url);
  const { ReedSolomonErasure } = require(PACKAGE) as typeof import('@digitaldefiance/reed-solomon-erasure.wasm');
  return ReedSolomonErasure.fromBytes(readFileSync(require.resolve(`${PACKAGE}/wasm`)));
}

/** The package encodes. What is lost is rebuilt here, by tables: its `reconstruct` (1.0.2) works once in an instance only. */
export class PackagedCoder implements Coder {
  readonly code: Code;
  readonly #package = loadPackage();
  readonly #generator: Matrix;
  readonly #scratch: Uint8Array;

  constructor(code: Code) {
    this.code = code;
    this.#generator = generatorMatrix(code.dataCells, code.parityCells);
    this.#scratch = new Uint8Array((code.dataCells + code.parityCells) * PACKAGED_PART_BYTES);
  }

  /** The package wants all cells side by side, in memory of its own. */
  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    const { dataCells: k, parityCells: m } = this.code;
    const length = data[0]?.length ?? 0;
    for (let at = 0; at < length; at += PACKAGED_PART_BYTES) {
      const size = Math.min(PACKAGED_PART_BYTES, length - at);
      const part = this.#scratch.subarray(0, (k + m) * size);
      for (const [place, bytes] of data.entries()) part.set(bytes.subarray(at, at + size), place * size);
      const outcome = this.#package.encode(part, k, m);
      assert(outcome === 0, `${PACKAGE} fails to encode: ${outcome}`);
      for (const [i, bytes] of parity.entries()) bytes.set(part.subarray((k + i) * size, (k + i + 1) * size), at);
    }
  }

  rebuild(from: readonly CellBlock[], lost: readonly CellBlock[]): void {
    const placesOf = (blocks: readonly CellBlock[]) => blocks.map(({ place }) => place);
    const matrix = rebuildMatrix(this.#generator, placesOf(from), placesOf(lost));
    for (const [i, { bytes }] of lost.entries()) {
      bytes.fill(0);
      for (const [column, source] of from.entries()) addProduct(bytes, source.bytes, row(matrix, i)[column] ?? 0);
    }
  }
}
