/**
 * Where the bytes of an aggregate lie in its cells. Stripe s holds segments s*k to s*k+k-1 and cell i of a full stripe is
 * exactly one segment; the last stripe has shorter cells, all of one length, so that no more than k * 4 KiB are padding:
 *
 *     aggregate  | segment 0 | segment 1 | ... | segment k-1 | segment k | ... |  rest   |
 *     cell 0     | segment 0 | segment k | ... | 1st k-th of the rest |
 *     cell 1     | segment 1 | segment k+1 | ... | 2nd k-th of the rest |
 *     cell k     | parity    | parity    | ... | parity          |
 */
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { assert } from '../../base/assert.ts';
import { alignUp } from '../../base/bytes.ts';
import type { Code } from './coder.ts';

export const CELL_BYTES = SEGMENT_BYTES;
/** Cells of a last stripe are multiples of it. */
export const CELL_UNIT = 4096;

export interface CellLayout {
  readonly code: Code;
  /** Bytes of the aggregate. */
  readonly length: number;
  readonly fullStripes: number;
  /** Of the last stripe, if it is not full, else 0. */
  readonly lastCellBytes: number;
  /** Bytes of data (or parity) in each cell file. */
  readonly cellBytes: number;
}

/** A range of one cell file. */
export interface CellRange {
  readonly place: number;
  /** Byte of the cell file. */
  readonly at: number;
  readonly length: number;
}

/** Cells of a stripe that holds `bytes`, from 1 to k whole segments. */
export function cellBytesFor(code: Code, bytes: number): number {
  return Math.min(CELL_BYTES, alignUp(Math.ceil(bytes / code.dataCells), CELL_UNIT));
}

export function layoutOf(code: Code, length: number): CellLayout {
  const stripeBytes = code.dataCells * CELL_BYTES;
  const fullStripes = Math.floor(length / stripeBytes);
  const rest = length - fullStripes * stripeBytes;
  const lastCellBytes = rest === 0 ? 0 : cellBytesFor(code, rest);
  return { code, length, fullStripes, lastCellBytes, cellBytes: fullStripes * CELL_BYTES + lastCellBytes };
}

/** Where a byte of the aggregate lies, and how many from there on lie in the same cell. */
export function locate(layout: CellLayout, offset: number): CellRange {
  assert(offset >= 0 && offset < layout.length, `Byte ${offset} of an aggregate of ${layout.length}`);
  const { dataCells } = layout.code;
  const stripeBytes = dataCells * CELL_BYTES;
  const stripe = Math.floor(offset / stripeBytes);
  const within = offset - stripe * stripeBytes;
  const size = stripe < layout.fullStripes ? CELL_BYTES : layout.lastCellBytes;
  const place = Math.floor(within / size);
  const inCell = within - place * size;
  const length = Math.min(size - inCell, layout.length - offset);
  return { place, at: stripe * CELL_BYTES + inCell, length };
}
