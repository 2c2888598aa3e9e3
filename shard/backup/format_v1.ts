/**
 * A backup's bytes, version 1; little-endian. A chain of frames, the first HEADER, the last END; docs/formats/backup.md.
 *
 *     file:   0 "PACSBKUP"   8 u16 version = 1   10 six zeros   16 frames
 *     frame:  0 u32 checksum of all that follows, seeded with that of the frame before (0 before the first)
 *             4 u32 length of the whole frame
 *             8 u8  type     9 payload
 *
 * HEADER and END have JSON. ROWS has mutations as a journal's record has them (shard/journal/record_codec.ts), RECORD a
 * u48 LSN and then a record's payload. The shape of both JSONs is checked by whoever reads them.
 */
import { getU48, viewOf } from '../../base/bytes.ts';
import { crc32c } from '../../base/crc32c.ts';
import type { Lsn } from '../../base/units.ts';

export const BACKUP_VERSION = 1;
export const PREAMBLE_BYTES = 16;
export const FRAME_BYTES = 9;
/** A frame holds at most one record, or some hundred rows. */
export const FRAME_BYTES_MAX = 256 * 1024 * 1024;
const MAGIC = Buffer.from('PACSBKUP');

export const HEADER = 1;
export const ROWS = 2;
export const RECORD = 3;
export const END = 4;

export interface BackupVolume {
  readonly id: number;
  readonly name: string;
  readonly tier: 'hot' | 'warm' | 'cold';
  readonly kind: 'dir' | 'mirror' | 'ec';
  /** As in store.yaml: relative ones count from the store folder. */
  readonly paths: readonly string[];
  readonly dataCells: number;
  readonly parityCells: number;
}

export interface BackupHeader {
  readonly storeId: string;
  /** ISO 8601. */
  readonly created: string;
  /** The store folder. */
  readonly folder: string;
  /** Text of store.yaml. */
  readonly config: string;
  readonly shards: number;
  /** Shard of each of the 4,096 slots, a byte each, base64. */
  readonly slots: string;
  /** base64, 16 bytes. */
  readonly hashKey: string;
  readonly volumes: readonly BackupVolume[];
  /** LSN of the first record: replayed from there, rows that were read at different times become one moment's. */
  readonly firstLsn: number;
}

export interface BackupEnd {
  /** The moment that the backup is of. */
  readonly lsn: number;
  readonly rows: number;
  readonly records: number;
  /** Rows that could not be read, and are not in it. */
  readonly damaged: number;
  readonly starts: number;
  readonly generation: number;
}

export function preamble(): Uint8Array {
  const bytes = new Uint8Array(PREAMBLE_BYTES);
  bytes.set(MAGIC);
  viewOf(bytes).setUint16(8, BACKUP_VERSION, true);
  return bytes;
}

/** The version of a backup that begins so, or undefined when it is none. */
export function versionOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < PREAMBLE_BYTES || !MAGIC.equals(bytes.subarray(0, MAGIC.length))) return undefined;
  return viewOf(bytes).getUint16(8, true);
}

/** Fills in the head of a frame of `bytes[0..end]`, whose payload is there; returns the checksum for the next one. */
export function sealFrame(bytes: Uint8Array, frame: { readonly type: number; readonly seed: number }): number {
  const view = viewOf(bytes);
  view.setUint32(4, bytes.length, true);
  view.setUint8(8, frame.type);
  const checksum = crc32c(bytes.subarray(4), frame.seed);
  view.setUint32(0, checksum, true);
  return checksum;
}

/** Length that a frame promises; undefined when no frame begins so. */
export function frameLength(head: Uint8Array): number | undefined {
  if (head.length < FRAME_BYTES) return undefined;
  const length = viewOf(head).getUint32(4, true);
  return length >= FRAME_BYTES && length <= FRAME_BYTES_MAX ? length : undefined;
}

export interface BackupFrame {
  readonly type: number;
  readonly payload: Uint8Array;
  readonly checksum: number;
}

/** A whole frame; undefined when it is not what was written behind the frame with the checksum `seed`. */
export function decodeFrame(bytes: Uint8Array, seed: number): BackupFrame | undefined {
  const view = viewOf(bytes);
  const checksum = view.getUint32(0, true);
  if (crc32c(bytes.subarray(4), seed) !== checksum) return undefined;
  return { type: view.getUint8(8), payload: bytes.subarray(FRAME_BYTES), checksum };
}

export const LSN_BYTES = 6;

export function lsnOf(payload: Uint8Array): Lsn | undefined {
  return payload.length < LSN_BYTES ? undefined : (getU48(viewOf(payload), 0) as Lsn);
}
