/**
 * Trailer of a cell file, version 1: behind the cell's bytes, a multiple of 4 KiB long, fixed fields last, so that it is
 * found from the end of the file. Little-endian; see docs/formats/cell_file.md.
 *
 *         | CRC32C of bytes 0..65535 of the cell | of the next 64 KiB | ... | zeros    |
 *
 *        0        2        4        6        8       10       12       14             from the end of the file - 128
 *     0 | 'P' 'A' 'C' 'S' 'C' 'E' 'L' 'L'   |version | place  | data   | parity |
 *    16 | store id                                                              |
 *    32 | aggregate id                      | bytes of the aggregate            |
 *    48 | bytes of the cell                 | store epoch (daemon start)        |
 *    64 | write id                                                              |
 *    80 | segment bytes   | trailer bytes   | volume | 0                        |
 *    96 | zeros ...                                             | CRC32C of all |
 *       |                                                       | of the trailer|
 *       |                                                       | before        |
 */
import { isStoreId, readStoreId, STORE_ID_BYTES, writeStoreId } from '../../aggregate/store_id.ts';
import { assert } from '../../base/assert.ts';
import { alignUp, getU53, setU53, viewOf } from '../../base/bytes.ts';
import { CHECKSUM_BLOCK, crc32c } from '../../base/crc32c.ts';
import type { AggregateId, VolumeId } from '../../base/units.ts';
import { CELL_BYTES, CELL_UNIT, layoutOf } from './cell_layout.ts';
import type { Code } from './coder.ts';

export const TRAILER_VERSION = 1;
export const TRAILER_FIXED_BYTES = 128;
/** Checksums of the longest cell that is believed: 64 GiB. */
const TRAILER_BYTES_MAX = 4 * 2 ** 20 + CELL_UNIT;
const MAGIC = new TextEncoder().encode('PACSCELL');
const AT_VERSION = 8;
const AT_PLACE = 10;
const AT_DATA_CELLS = 12;
const AT_PARITY_CELLS = 14;
const AT_STORE = 16;
const AT_AGGREGATE = 32;
const AT_LENGTH = 40;
const AT_CELL_BYTES = 48;
const AT_START = 56;
const AT_WRITE = 64;
const AT_SEGMENT_BYTES = 80;
const AT_TRAILER_BYTES = 84;
const AT_VOLUME = 88;
const AT_CHECKSUM = TRAILER_FIXED_BYTES - 4;

export interface CellTrailer {
  readonly storeId: string;
  readonly volume: VolumeId;
  readonly aggregate: AggregateId;
  /** Which cell of the aggregate this is, 0 to k+m-1. */
  readonly place: number;
  readonly code: Code;
  /** Bytes of the aggregate. */
  readonly length: number;
  /** Store epoch: number of the daemon start that wrote the aggregate. */
  readonly start: number;
  /** A UUID made for this writing of the aggregate: only cells of one writing belong together. */
  readonly writeId: string;
  /** One for each 64 KiB of the cell. */
  readonly checksums: Uint32Array;
}

export function trailerBytes(cellBytes: number): number {
  return alignUp(4 * Math.ceil(cellBytes / CHECKSUM_BLOCK) + TRAILER_FIXED_BYTES, CELL_UNIT);
}

export function encodeTrailer(trailer: CellTrailer): Uint8Array {
  const { code, length, checksums } = trailer;
  const { cellBytes } = layoutOf(code, length);
  const bytes = new Uint8Array(trailerBytes(cellBytes));
  assert(
    checksums.length === Math.ceil(cellBytes / CHECKSUM_BLOCK),
    `${checksums.length} checksums of ${cellBytes} bytes`,
  );
  const view = viewOf(bytes);
  for (const [i, checksum] of checksums.entries()) view.setUint32(4 * i, checksum, true);
  const fixed = bytes.subarray(bytes.length - TRAILER_FIXED_BYTES);
  const fields = viewOf(fixed);
  fixed.set(MAGIC);
  fields.setUint16(AT_VERSION, TRAILER_VERSION, true);
  fields.setUint16(AT_PLACE, trailer.place, true);
  fields.setUint16(AT_DATA_CELLS, code.dataCells, true);
  fields.setUint16(AT_PARITY_CELLS, code.parityCells, true);
  writeStoreId(trailer.storeId, fixed.subarray(AT_STORE, AT_STORE + STORE_ID_BYTES));
  setU53(fields, AT_AGGREGATE, trailer.aggregate);
  setU53(fields, AT_LENGTH, length);
  setU53(fields, AT_CELL_BYTES, cellBytes);
  setU53(fields, AT_START, trailer.start);
  assert(isStoreId(trailer.writeId), `Write id '${trailer.writeId}', expected a UUID in lower case`);
  writeStoreId(trailer.writeId, fixed.subarray(AT_WRITE, AT_WRITE + STORE_ID_BYTES));
  fields.setUint32(AT_SEGMENT_BYTES, CELL_BYTES, true);
  fields.setUint32(AT_TRAILER_BYTES, bytes.length, true);
  fields.setUint16(AT_VOLUME, trailer.volume, true);
  fields.setUint32(AT_CHECKSUM, crc32c(bytes.subarray(0, bytes.length - 4)), true);
  return bytes;
}

/** Bytes of the trailer that ends with these, at least 128; undefined when that is none of this version. */
export function peekTrailerBytes(end: Uint8Array): number | undefined {
  if (end.length < TRAILER_FIXED_BYTES) return undefined;
  const fixed = end.subarray(end.length - TRAILER_FIXED_BYTES);
  const fields = viewOf(fixed);
  if (Buffer.compare(fixed.subarray(0, MAGIC.length), MAGIC) !== 0) return undefined;
  if (fields.getUint16(AT_VERSION, true) !== TRAILER_VERSION) return undefined;
  const bytes = fields.getUint32(AT_TRAILER_BYTES, true);
  return bytes % CELL_UNIT === 0 && bytes > 0 && bytes <= TRAILER_BYTES_MAX ? bytes : undefined;
}

/** `bytes` end with the file. Undefined for whatever does not hold a whole trailer of this version. Never throws. */
export function decodeTrailer(end: Uint8Array): CellTrailer | undefined {
  const size = peekTrailerBytes(end);
  if (size === undefined || size > end.length) return undefined;
  const bytes = end.subarray(end.length - size);
  const fixed = bytes.subarray(size - TRAILER_FIXED_BYTES);
  const fields = viewOf(fixed);
  if (crc32c(bytes.subarray(0, size - 4)) !== fields.getUint32(AT_CHECKSUM, true)) return undefined;
  const code = {
    dataCells: fields.getUint16(AT_DATA_CELLS, true),
    parityCells: fields.getUint16(AT_PARITY_CELLS, true),
  };
  const place = fields.getUint16(AT_PLACE, true);
  const aggregate = getU53(fields, AT_AGGREGATE);
  const length = getU53(fields, AT_LENGTH);
  const start = getU53(fields, AT_START);
  if (code.dataCells < 1 || code.parityCells < 1 || place >= code.dataCells + code.parityCells) return undefined;
  if (fields.getUint32(AT_SEGMENT_BYTES, true) !== CELL_BYTES) return undefined;
  if (Number.isNaN(aggregate) || Number.isNaN(length) || Number.isNaN(start)) return undefined;
  const { cellBytes } = layoutOf(code, length);
  if (getU53(fields, AT_CELL_BYTES) !== cellBytes || trailerBytes(cellBytes) !== size) return undefined;
  const view = viewOf(bytes);
  const checksums = new Uint32Array(Math.ceil(cellBytes / CHECKSUM_BLOCK));
  for (let i = 0; i < checksums.length; i++) checksums[i] = view.getUint32(4 * i, true);
  return {
    storeId: readStoreId(fixed.subarray(AT_STORE)),
    volume: fields.getUint16(AT_VOLUME, true) as VolumeId,
    aggregate: aggregate as AggregateId,
    place,
    code,
    length,
    start,
    writeId: readStoreId(fixed.subarray(AT_WRITE)),
    checksums,
  };
}
