/**
 * GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d), and the generator matrix of the code.
 *
 * Systematic Vandermonde: V has k+m rows of k, V[r][c] = r^c; the generator is V times the inverse of its first k rows, so
 * that these become the identity (data cells are the data) and any k rows of it stay invertible, as any k rows of a
 * Vandermonde matrix of distinct r are: any m cells may be lost, for every k+m up to 256. (Powers of 2 below an identity,
 * as ISA-L's `gf_gen_rs_matrix` makes them, do not have that for all k+m.) A Cauchy matrix would serve as well; this one is
 * also that of Backblaze's JavaReedSolomon, klauspost/reedsolomon and the Rust crate reed-solomon-erasure, so that the
 * package that serves without ISA-L makes the same bytes.
 *
 * Source: J. S. Plank, Y. Ding, Note: Correction to the 1997 Tutorial on Reed-Solomon Coding, 2003.
 */
import { assert } from '../../base/assert.ts';

const POLYNOMIAL = 0x11d;
const FIELD = 256;
/** Generator's powers, twice over, so that two logarithms need not be reduced. */
const EXP = new Uint8Array(2 * (FIELD - 1));
const LOG = new Uint8Array(FIELD);

for (let power = 0, value = 1; power < FIELD - 1; power++) {
  EXP[power] = value;
  EXP[power + FIELD - 1] = value;
  LOG[value] = power;
  value <<= 1;
  if (value >= FIELD) value ^= POLYNOMIAL;
}

export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0;
  return EXP[(LOG[a] ?? 0) + (LOG[b] ?? 0)] ?? 0;
}

export function invert(a: number): number {
  assert(a !== 0, '0 has no inverse');
  return EXP[FIELD - 1 - (LOG[a] ?? 0)] ?? 0;
}

function power(base: number, exponent: number): number {
  let result = 1;
  for (let i = 0; i < exponent; i++) result = multiply(result, base);
  return result;
}

/** By rows. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly cells: Uint8Array;
}

export function row(matrix: Matrix, index: number): Uint8Array {
  return matrix.cells.subarray(index * matrix.columns, (index + 1) * matrix.columns);
}

export function rowsOf(matrix: Matrix, indexes: readonly number[]): Matrix {
  const cells = new Uint8Array(indexes.length * matrix.columns);
  for (const [i, index] of indexes.entries()) cells.set(row(matrix, index), i * matrix.columns);
  return { rows: indexes.length, columns: matrix.columns, cells };
}

export function product(a: Matrix, b: Matrix): Matrix {
  assert(a.columns === b.rows, 'Matrices do not fit');
  const cells = new Uint8Array(a.rows * b.columns);
  for (let r = 0; r < a.rows; r++) {
    for (let c = 0; c < b.columns; c++) {
      let sum = 0;
      for (let i = 0; i < a.columns; i++) sum ^= multiply(row(a, r)[i] ?? 0, row(b, i)[c] ?? 0);
      cells[r * b.columns + c] = sum;
    }
  }
  return { rows: a.rows, columns: b.columns, cells };
}

/** By Gauss and Jordan. Undefined when there is none. */
export function inverse(matrix: Matrix): Matrix | undefined {
  const size = matrix.rows;
  assert(matrix.columns === size, 'Only square matrices have an inverse');
  const left = { ...matrix, cells: Uint8Array.from(matrix.cells) };
  const right = identity(size);
  for (let c = 0; c < size; c++) {
    let pivot = c;
    while (pivot < size && row(left, pivot)[c] === 0) pivot += 1;
    if (pivot === size) return undefined;
    const factor = invert(row(left, pivot)[c] ?? 0);
    for (const half of [left, right]) {
      swap(half, pivot, c);
      scale(row(half, c), factor);
    }
    for (let r = 0; r < size; r++) {
      const times = r === c ? 0 : (row(left, r)[c] ?? 0);
      for (const half of [left, right]) addTimes(row(half, r), row(half, c), times);
    }
  }
  return right;
}

function identity(size: number): Matrix {
  const cells = new Uint8Array(size * size);
  for (let i = 0; i < size; i++) cells[i * size + i] = 1;
  return { rows: size, columns: size, cells };
}

function swap(matrix: Matrix, a: number, b: number): void {
  if (a === b) return;
  const kept = Uint8Array.from(row(matrix, a));
  row(matrix, a).set(row(matrix, b));
  row(matrix, b).set(kept);
}

function scale(values: Uint8Array, factor: number): void {
  for (let i = 0; i < values.length; i++) values[i] = multiply(values[i] ?? 0, factor);
}

/** Adds `from` times `factor` to `into`; of short rows. */
function addTimes(into: Uint8Array, from: Uint8Array, factor: number): void {
  if (factor === 0) return;
  for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) ^ multiply(from[i] ?? 0, factor);
}

/** As `addTimes`, of blocks: by a table of all products of the factor. */
export function addProduct(into: Uint8Array, from: Uint8Array, factor: number): void {
  const table = Uint8Array.from({ length: FIELD }, (_, value) => multiply(value, factor));
  for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) ^ (table[from[i] ?? 0] ?? 0);
}

/** k+m rows of k: each cell's coefficients of the data cells. The first k rows are the identity. */
export function generatorMatrix(dataCells: number, parityCells: number): Matrix {
  const rows = dataCells + parityCells;
  assert(dataCells >= 1 && parityCells >= 1 && rows <= FIELD, `Code ${dataCells}+${parityCells} is none over GF(2^8)`);
  const cells = new Uint8Array(rows * dataCells);
  for (let r = 0; r < rows; r++) for (let c = 0; c < dataCells; c++) cells[r * dataCells + c] = power(r, c);
  const vandermonde = { rows, columns: dataCells, cells };
  const top = inverse({ rows: dataCells, columns: dataCells, cells: cells.subarray(0, dataCells * dataCells) });
  assert(top !== undefined, 'A Vandermonde matrix has no inverse');
  return product(vandermonde, top);
}
