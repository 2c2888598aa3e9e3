/**
 * Header of an aggregate, version 1: the first 4 KiB of its file. Little-endian; see docs/formats/aggregate.md.
 *
 *        0        2        4        6        8       10       12       14
 *     0 | 'P' 'A' 'C' 'S' 'A' 'G' 'G' 'R'   |version | trans- |  header bytes   |
 *       |                                   |        | form   |                 |
 *    16 | store id                                                              |
 *    32 | aggregate id                      | store epoch (daemon start)        |
 *    48 | segment bytes   | volume | 0                                          |
 *    64 | zeros ...                                                             |
 *  4080 |                                                     | CRC32C 0..4091  |
 */
import { getU53, setU53, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import { readStoreId, STORE_ID_BYTES, writeStoreId } from './store_id.ts';

export const HEADER_BYTES = 4096;
export const HEADER_VERSION = 1;
const MAGIC = new TextEncoder().encode('PACSAGGR');
const AT_VERSION = 8;
const AT_TRANSFORM = 10;
const AT_BYTES = 12;
const AT_STORE = 16;
const AT_AGGREGATE = 32;
const AT_START = 40;
const AT_SEGMENT_BYTES = 48;
const AT_VOLUME = 52;
const AT_CHECKSUM = HEADER_BYTES - 4;

export interface AggregateHeader {
  readonly storeId: string;
  readonly aggregate: AggregateId;
  readonly volume: VolumeId;
  /** How stored bytes differ from a file's: 0 = not at all; others are reserved for compression and encryption. */
  readonly transform: number;
  /** Store epoch: number of the daemon start that made it. */
  readonly start: number;
  readonly segmentBytes: number;
}

/** Fills the first 4,096 bytes of `into`. */
export function encodeHeader(header: AggregateHeader, into: Uint8Array): void {
  const bytes = into.subarray(0, HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.fill(0);
  bytes.set(MAGIC);
  view.setUint16(AT_VERSION, HEADER_VERSION, true);
  view.setUint16(AT_TRANSFORM, header.transform, true);
  view.setUint32(AT_BYTES, HEADER_BYTES, true);
  writeStoreId(header.storeId, bytes.subarray(AT_STORE, AT_STORE + STORE_ID_BYTES));
  setU53(view, AT_AGGREGATE, header.aggregate);
  setU53(view, AT_START, header.start);
  view.setUint32(AT_SEGMENT_BYTES, header.segmentBytes, true);
  view.setUint16(AT_VOLUME, header.volume, true);
  view.setUint32(AT_CHECKSUM, crc32c(bytes.subarray(0, AT_CHECKSUM)), true);
}

/** Undefined for whatever is not a whole header of this version. Never throws. */
export function decodeHeader(from: Uint8Array): AggregateHeader | undefined {
  if (from.length < HEADER_BYTES) return undefined;
  const bytes = from.subarray(0, HEADER_BYTES);
  const view = viewOf(bytes);
  if (Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) !== 0) return undefined;
  if (view.getUint16(AT_VERSION, true) !== HEADER_VERSION || view.getUint32(AT_BYTES, true) !== HEADER_BYTES) {
    return undefined;
  }
  if (crc32c(bytes.subarray(0, AT_CHECKSUM)) !== view.getUint32(AT_CHECKSUM, true)) return undefined;
  const aggregate = getU53(view, AT_AGGREGATE);
  const start = getU53(view, AT_START);
  if (Number.isNaN(aggregate) || Number.isNaN(start)) return undefined;
  return {
    storeId: readStoreId(bytes.subarray(AT_STORE)),
    aggregate: aggregate as AggregateId,
    volume: view.getUint16(AT_VOLUME, true) as VolumeId,
    transform: view.getUint16(AT_TRANSFORM, true),
    start,
    segmentBytes: view.getUint32(AT_SEGMENT_BYTES, true),
  };
}
