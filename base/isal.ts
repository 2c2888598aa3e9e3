/**
 * Erasure coding by Intel's ISA-L where Debian's `libisal2` is installed: it multiplies blocks of bytes by a matrix over
 * GF(2^8), polynomial 0x11d, which is the matrix of the caller's choice. (Its CRC32C is in crc32c.ts.)
 *
 * Source: isa-l, include/erasure_code.h: `ec_init_tables` expands each coefficient to 32 bytes, `ec_encode_data` takes
 * blocks of any length and alignment.
 */
import koffi from 'koffi';
import { assert } from './assert.ts';
import { addressOf } from './libc.ts';

const TABLE_BYTES_PER_COEFFICIENT = 32;

/** A matrix of `rows` x `columns`, expanded for the library. */
export interface IsalMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly tables: Uint8Array;
}

export interface Isal {
  /** `coefficients` by rows. */
  expand(coefficients: Uint8Array, size: { readonly rows: number; readonly columns: number }): IsalMatrix;
  /** Each output is the sum of the inputs times the coefficients of its row; all blocks are of one length, from 65 bytes. */
  multiply(matrix: IsalMatrix, from: readonly Uint8Array[], into: readonly Uint8Array[]): void;
}

/** Undefined where the library is not installed. */
export const isal: Isal | undefined = load();

function load(): Isal | undefined {
  try {
    const library = koffi.load('libisal.so.2');
    const initTables = library.func('void ec_init_tables(int k, int rows, const void *a, void *tables)');
    const encodeData = library.func(
      'void ec_encode_data(int length, int k, int rows, const void *tables, const void *data, const void *coding)',
    );
    return {
      expand: (coefficients, { rows, columns }) => {
        assert(coefficients.length === rows * columns, 'Coefficients do not fill their matrix');
        const tables = new Uint8Array(TABLE_BYTES_PER_COEFFICIENT * rows * columns);
        initTables(columns, rows, coefficients, tables);
        return { rows, columns, tables };
      },
      multiply: ({ rows, columns, tables }, from, into) => {
        assert(from.length === columns && into.length === rows, 'Blocks do not fit the matrix');
        const length = from[0]?.length ?? 0;
        assert(
          from.every(fits) && into.every(fits),
          'Blocks of different lengths, or too short to stay where they are',
        );
        encodeData(length, columns, rows, tables, addresses(from), addresses(into));
        // Arrays of up to 64 bytes may lie where the collector moves them.
        function fits(block: Uint8Array): boolean {
          return block.length === length && length > 64;
        }
      },
    };
  } catch {
    return undefined; // Not installed.
  }
}

/** Always above 64 bytes, so that the array stays where it is. */
function addresses(blocks: readonly Uint8Array[]): BigUint64Array {
  const found = new BigUint64Array(Math.max(blocks.length, 16));
  for (const [i, block] of blocks.entries()) found[i] = BigInt(addressOf(block));
  return found;
}
