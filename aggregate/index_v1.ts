/**
 * Index block of a batch, version 1: what the data behind it is, so that a store can be rebuilt from its aggregates
 * alone. Little-endian, a multiple of 4 KiB; see docs/formats/aggregate.md.
 *
 *        0        2        4        6        8       10       12       14
 *     0 | 'P' 'A' 'C' 'S' 'I' 'N' 'D' 'X'   |version |   0    |  index bytes    |
 *    16 | store id                                                              |
 *    32 | aggregate id                      | LSN                               |
 *    48 | store epoch (daemon start)        | segment number  | batch at        |
 *    64 | batch bytes     | sequence        | directories     | files           |
 *    80 | extents         | used bytes      | CRC32C          | shares          |
 *    96 | directories: ino 8, above 4, mode 4, uid 4, gid 4, name length 2, 0 2, name |
 *       | files: ino 8, directory 4, mode 4, uid 4, gid 4, size 8, mtime 8 + 4, data bytes 8, |
 *       |   own file: start 4, number 6, volume 2; name length 2, kind 2, name |
 *       | extents: file 4, length 4, file offset 8, at 4, stored length 4, codec 2, checksums 2, CRC32C 4 each |
 *       | shares: file 4, length 4, file offset 8, aggregate 8, offset 8, range start 8, range length 4, volume 2, |
 *       |   checksums 2, CRC32C 4 each                                          |
 *       | zeros to a multiple of 4 KiB                                          |
 *
 * `batch at`: bytes from the segment's start; an extent's `at`: bytes from the batch's start. `above`, `directory` and
 * `file` are indexes into the lists; `above` is smaller than the directory's own, or 2^32 - 1 for the root and where it is
 * not known. Kind: 0 packed, 1 in an own file. A share names bytes of another batch. Codec 0: stored as it is, stored
 * length = length; others are reserved. The checksum covers the used bytes, its own field taken as 0.
 */
import { assert } from '../base/assert.ts';
import { alignUp, getI64, getU48, getU53, setI64, setU48, setU53, viewOf } from '../base/bytes.ts';
import { CHECKSUM_BLOCK, crc32c } from '../base/crc32c.ts';
import type { Extent, OwnName } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import type { AggregateId, Ino, Lsn, VolumeId } from '../base/units.ts';
import { BLOCK_BYTES, INDEX_BYTES_MAX, SEGMENT_BYTES } from './pack.ts';
import { readStoreId, STORE_ID_BYTES, writeStoreId } from './store_id.ts';

export const INDEX_VERSION = 1;
const MAGIC = new TextEncoder().encode('PACSINDX');
const AT_VERSION = 8;
const AT_INDEX_BYTES = 12;
const AT_STORE = 16;
const AT_AGGREGATE = 32;
const AT_LSN = 40;
const AT_START = 48;
const AT_SEGMENT = 56;
const AT_BATCH = 60;
const AT_BATCH_BYTES = 64;
const AT_SEQUENCE = 68;
const AT_DIRECTORIES = 72;
const AT_FILES = 76;
const AT_EXTENTS = 80;
const AT_USED = 84;
const AT_CHECKSUM = 88;
const AT_SHARES = 92;

export const INDEX_FIXED_BYTES = 96;
const DIRECTORY_FIXED_BYTES = 28;
const FILE_FIXED_BYTES = 68;
const EXTENT_FIXED_BYTES = 28;
const SHARE_FIXED_BYTES = 48;
const CODEC_NONE = 0;
const KIND_PACKED = 0;
const KIND_OWN = 1;
const NOT_KNOWN = 2 ** 32 - 1;
const NO_OWN: OwnName = { volume: 0 as VolumeId, start: 0, number: 0 };

export interface IndexedDirectory {
  readonly ino: Ino;
  /** Empty for the root. */
  readonly name: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Index into `directories` of the one that holds it, smaller than its own; undefined for the root and if not known. */
  readonly above: number | undefined;
}

export interface IndexedFile {
  readonly ino: Ino;
  /** Index into `directories`. */
  readonly directory: number;
  readonly name: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of the whole file, of which this batch may hold a part. */
  readonly size: number;
  readonly mtime: Timespec;
  /** Bytes of the whole file that extents of this packing hold, in whatever batch; the rest of it are holes. */
  readonly dataBytes: number;
  /** Where its bytes are, when they are not packed. */
  readonly own: OwnName | undefined;
}

export interface IndexedExtent {
  /** Index into `files`. */
  readonly file: number;
  readonly fileOffset: number;
  readonly length: number;
  /** Bytes from the batch's start; a multiple of 4,096. */
  readonly at: number;
  /** One CRC32C per 64 KiB. */
  readonly checksums: Uint32Array;
}

/** Bytes in another batch that a file of this index names. */
export interface IndexedShare {
  /** Index into `files`. */
  readonly file: number;
  readonly extent: Extent;
}

export interface BatchIndex {
  readonly storeId: string;
  readonly aggregate: AggregateId;
  readonly lsn: Lsn;
  /** Store epoch: number of the daemon start that wrote it. */
  readonly start: number;
  readonly segment: number;
  /** Bytes from the segment's start to the batch. */
  readonly batchAt: number;
  /** Index and data. */
  readonly batchBytes: number;
  /** Of the batch within its aggregate, from 0. */
  readonly sequence: number;
  readonly directories: readonly IndexedDirectory[];
  readonly files: readonly IndexedFile[];
  readonly extents: readonly IndexedExtent[];
  readonly shares: readonly IndexedShare[];
}

export function directoryBytes(name: Uint8Array): number {
  return DIRECTORY_FIXED_BYTES + name.length;
}

export function fileBytes(name: Uint8Array): number {
  return FILE_FIXED_BYTES + name.length;
}

export function extentBytes(length: number): number {
  return EXTENT_FIXED_BYTES + 4 * Math.ceil(length / CHECKSUM_BLOCK);
}

export function shareBytes(extent: Extent): number {
  return SHARE_FIXED_BYTES + 4 * extent.checksums.length;
}

/** Length of the encoded index, a multiple of 4,096. */
export function indexLength(index: Pick<BatchIndex, 'directories' | 'files' | 'extents' | 'shares'>): number {
  let used = INDEX_FIXED_BYTES;
  for (const directory of index.directories) used += directoryBytes(directory.name);
  for (const file of index.files) used += fileBytes(file.name);
  for (const extent of index.extents) used += extentBytes(extent.length);
  for (const { extent } of index.shares) used += shareBytes(extent);
  return alignUp(used, BLOCK_BYTES);
}

/** Fills `into`, which must be `indexLength(index)` bytes. */
export function encodeIndex(index: BatchIndex, into: Uint8Array): void {
  const view = viewOf(into);
  into.fill(0);
  let at = INDEX_FIXED_BYTES;
  for (const directory of index.directories) at = putDirectory(view, at, directory);
  for (const file of index.files) at = putFile(view, at, file);
  for (const extent of index.extents) at = putExtent(view, at, extent);
  for (const share of index.shares) at = putShare(view, at, share);
  assert(alignUp(at, BLOCK_BYTES) === into.length, `Index of ${at} bytes in a block of ${into.length}`);
  into.set(MAGIC);
  view.setUint16(AT_VERSION, INDEX_VERSION, true);
  view.setUint32(AT_INDEX_BYTES, into.length, true);
  writeStoreId(index.storeId, into.subarray(AT_STORE, AT_STORE + STORE_ID_BYTES));
  setU53(view, AT_AGGREGATE, index.aggregate);
  setU53(view, AT_LSN, index.lsn);
  setU53(view, AT_START, index.start);
  view.setUint32(AT_SEGMENT, index.segment, true);
  view.setUint32(AT_BATCH, index.batchAt, true);
  view.setUint32(AT_BATCH_BYTES, index.batchBytes, true);
  view.setUint32(AT_SEQUENCE, index.sequence, true);
  view.setUint32(AT_DIRECTORIES, index.directories.length, true);
  view.setUint32(AT_FILES, index.files.length, true);
  view.setUint32(AT_EXTENTS, index.extents.length, true);
  view.setUint32(AT_SHARES, index.shares.length, true);
  view.setUint32(AT_USED, at, true);
  view.setUint32(AT_CHECKSUM, crc32c(into.subarray(0, at)), true);
}

/** Length of the index that these first bytes (96 at least) promise, or undefined when they are not an index's. */
export function peekIndexLength(from: Uint8Array): number | undefined {
  if (from.length < INDEX_FIXED_BYTES) return undefined;
  if (Buffer.compare(from.subarray(0, MAGIC.length), MAGIC) !== 0) return undefined;
  const view = viewOf(from);
  const length = view.getUint32(AT_INDEX_BYTES, true);
  const sound = length > 0 && length % BLOCK_BYTES === 0 && length <= INDEX_BYTES_MAX;
  return sound && view.getUint16(AT_VERSION, true) === INDEX_VERSION ? length : undefined;
}

/** Undefined for whatever is not a whole index of this version. Never throws, changes nothing. */
export function decodeIndex(from: Uint8Array): BatchIndex | undefined {
  const length = peekIndexLength(from);
  if (length === undefined || from.length < length) return undefined;
  const view = viewOf(from);
  const used = view.getUint32(AT_USED, true);
  if (used < INDEX_FIXED_BYTES || used > length || checksum(from, used) !== view.getUint32(AT_CHECKSUM, true)) {
    return undefined;
  }
  const reader = new Entries(from.subarray(0, used));
  const directories = reader.list(view.getUint32(AT_DIRECTORIES, true), DIRECTORY_FIXED_BYTES, getDirectory);
  const files = reader.list(view.getUint32(AT_FILES, true), FILE_FIXED_BYTES, getFile);
  const extents = reader.list(view.getUint32(AT_EXTENTS, true), EXTENT_FIXED_BYTES, getExtent);
  const shares = reader.list(view.getUint32(AT_SHARES, true), SHARE_FIXED_BYTES, getShare);
  if (directories === undefined || files === undefined || extents === undefined || shares === undefined)
    return undefined;
  if (reader.at !== used) return undefined;
  const index: BatchIndex = {
    storeId: readStoreId(from.subarray(AT_STORE)),
    aggregate: getU53(view, AT_AGGREGATE) as AggregateId,
    lsn: getU53(view, AT_LSN) as Lsn,
    start: getU53(view, AT_START),
    segment: view.getUint32(AT_SEGMENT, true),
    batchAt: view.getUint32(AT_BATCH, true),
    batchBytes: view.getUint32(AT_BATCH_BYTES, true),
    sequence: view.getUint32(AT_SEQUENCE, true),
    directories,
    files,
    extents,
    shares,
  };
  return isSound(index, length) ? index : undefined;
}

/** Numbers exact, indexes within their lists, extents within the batch's data. */
function isSound(index: BatchIndex, length: number): boolean {
  const { aggregate, lsn, start, batchAt, batchBytes, directories, files, extents, shares } = index;
  if (Number.isNaN(aggregate + lsn + start)) return false;
  if (batchBytes < length || batchBytes % BLOCK_BYTES !== 0) return false;
  if (batchAt % BLOCK_BYTES !== 0 || batchAt + batchBytes > SEGMENT_BYTES) return false;
  for (const [at, { ino, above }] of directories.entries()) {
    if (Number.isNaN(ino) || (above !== undefined && above >= at)) return false;
  }
  for (const file of files) {
    if (Number.isNaN(file.ino + file.size + file.dataBytes) || file.directory >= directories.length) return false;
  }
  for (const { file, extent } of shares) if (file >= files.length || !isSoundShare(extent)) return false;
  for (const extent of extents) {
    if (Number.isNaN(extent.fileOffset) || extent.file >= files.length || extent.length === 0) return false;
    if (extent.at % BLOCK_BYTES !== 0 || extent.at < length || extent.at + extent.length > batchBytes) return false;
  }
  return true;
}

function isSoundShare(extent: Extent): boolean {
  const { fileOffset, length, aggregate, offset, rangeStart, rangeLength } = extent;
  if (Number.isNaN(fileOffset + aggregate + offset + rangeStart) || length === 0 || rangeLength > SEGMENT_BYTES)
    return false;
  return rangeStart % BLOCK_BYTES === 0 && offset >= rangeStart && offset + length <= rangeStart + rangeLength;
}

function checksum(bytes: Uint8Array, used: number): number {
  const head = crc32c(bytes.subarray(0, AT_CHECKSUM));
  const skipped = crc32c(new Uint8Array(4), head);
  return crc32c(bytes.subarray(AT_CHECKSUM + 4, used), skipped);
}

/** A cursor over entries of a fixed part and a tail; refuses to leave its bytes. */
class Entries {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at = INDEX_FIXED_BYTES;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  list<T>(count: number, fixedBytes: number, get: (entries: Entries, at: number) => T | undefined): T[] | undefined {
    if (count * fixedBytes > this.bytes.length - this.at) return undefined;
    const list: T[] = [];
    for (let i = 0; i < count; i++) {
      const at = this.at;
      if (at + fixedBytes > this.bytes.length) return undefined;
      this.at += fixedBytes;
      const entry = get(this, at);
      if (entry === undefined) return undefined;
      list.push(entry);
    }
    return list;
  }

  /** A copy of the next bytes, or undefined when there are not so many. */
  tail(length: number): Uint8Array | undefined {
    if (this.at + length > this.bytes.length) return undefined;
    const tail = Uint8Array.from(this.bytes.subarray(this.at, this.at + length));
    this.at += length;
    return tail;
  }
}

function putDirectory(view: DataView, at: number, directory: IndexedDirectory): number {
  setU53(view, at, directory.ino);
  view.setUint32(at + 8, directory.above ?? NOT_KNOWN, true);
  view.setUint32(at + 12, directory.mode, true);
  view.setUint32(at + 16, directory.uid, true);
  view.setUint32(at + 20, directory.gid, true);
  view.setUint16(at + 24, directory.name.length, true);
  return putTail(view, at + DIRECTORY_FIXED_BYTES, directory.name);
}

function getDirectory(entries: Entries, at: number): IndexedDirectory | undefined {
  const { view } = entries;
  const name = entries.tail(view.getUint16(at + 24, true));
  if (name === undefined) return undefined;
  const above = view.getUint32(at + 8, true);
  return {
    ino: getU53(view, at) as Ino,
    name,
    mode: view.getUint32(at + 12, true),
    uid: view.getUint32(at + 16, true),
    gid: view.getUint32(at + 20, true),
    above: above === NOT_KNOWN ? undefined : above,
  };
}

function putFile(view: DataView, at: number, file: IndexedFile): number {
  setU53(view, at, file.ino);
  view.setUint32(at + 8, file.directory, true);
  view.setUint32(at + 12, file.mode, true);
  view.setUint32(at + 16, file.uid, true);
  view.setUint32(at + 20, file.gid, true);
  setU53(view, at + 24, file.size);
  setI64(view, at + 32, file.mtime.sec);
  view.setUint32(at + 40, file.mtime.nsec, true);
  setU53(view, at + 44, file.dataBytes);
  const { volume, start, number } = file.own ?? NO_OWN;
  view.setUint32(at + 52, start, true);
  setU48(view, at + 56, number);
  view.setUint16(at + 62, volume, true);
  view.setUint16(at + 64, file.name.length, true);
  view.setUint16(at + 66, file.own === undefined ? KIND_PACKED : KIND_OWN, true);
  return putTail(view, at + FILE_FIXED_BYTES, file.name);
}

function getFile(entries: Entries, at: number): IndexedFile | undefined {
  const { view } = entries;
  const name = entries.tail(view.getUint16(at + 64, true));
  const kind = view.getUint16(at + 66, true);
  if (name === undefined || kind > KIND_OWN) return undefined;
  const own = {
    volume: view.getUint16(at + 62, true) as VolumeId,
    start: view.getUint32(at + 52, true),
    number: getU48(view, at + 56),
  };
  return {
    ino: getU53(view, at) as Ino,
    directory: view.getUint32(at + 8, true),
    name,
    mode: view.getUint32(at + 12, true),
    uid: view.getUint32(at + 16, true),
    gid: view.getUint32(at + 20, true),
    size: getU53(view, at + 24),
    mtime: { sec: getI64(view, at + 32), nsec: view.getUint32(at + 40, true) },
    dataBytes: getU53(view, at + 44),
    own: kind === KIND_OWN ? own : undefined,
  };
}

function putExtent(view: DataView, at: number, extent: IndexedExtent): number {
  view.setUint32(at, extent.file, true);
  view.setUint32(at + 4, extent.length, true);
  setU53(view, at + 8, extent.fileOffset);
  view.setUint32(at + 16, extent.at, true);
  view.setUint32(at + 20, extent.length, true);
  view.setUint16(at + 24, CODEC_NONE, true);
  view.setUint16(at + 26, extent.checksums.length, true);
  return putChecksums(view, at + EXTENT_FIXED_BYTES, extent.checksums);
}

function putChecksums(view: DataView, at: number, checksums: Uint32Array): number {
  let next = at;
  for (const each of checksums) {
    view.setUint32(next, each, true);
    next += 4;
  }
  return next;
}

function getChecksums(entries: Entries, count: number, length: number): Uint32Array | undefined {
  if (count !== Math.ceil(length / CHECKSUM_BLOCK)) return undefined;
  const tail = entries.tail(4 * count);
  if (tail === undefined) return undefined;
  const view = viewOf(tail);
  return Uint32Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true));
}

function getExtent(entries: Entries, at: number): IndexedExtent | undefined {
  const { view } = entries;
  const length = view.getUint32(at + 4, true);
  if (view.getUint16(at + 24, true) !== CODEC_NONE || view.getUint32(at + 20, true) !== length) return undefined;
  const checksums = getChecksums(entries, view.getUint16(at + 26, true), length);
  if (checksums === undefined) return undefined;
  return {
    file: view.getUint32(at, true),
    fileOffset: getU53(view, at + 8),
    length,
    at: view.getUint32(at + 16, true),
    checksums,
  };
}

function putShare(view: DataView, at: number, share: IndexedShare): number {
  const { extent } = share;
  view.setUint32(at, share.file, true);
  view.setUint32(at + 4, extent.length, true);
  setU53(view, at + 8, extent.fileOffset);
  setU53(view, at + 16, extent.aggregate);
  setU53(view, at + 24, extent.offset);
  setU53(view, at + 32, extent.rangeStart);
  view.setUint32(at + 40, extent.rangeLength, true);
  view.setUint16(at + 44, extent.volume, true);
  view.setUint16(at + 46, extent.checksums.length, true);
  return putChecksums(view, at + SHARE_FIXED_BYTES, extent.checksums);
}

function getShare(entries: Entries, at: number): IndexedShare | undefined {
  const { view } = entries;
  const rangeLength = view.getUint32(at + 40, true);
  const checksums = getChecksums(entries, view.getUint16(at + 46, true), rangeLength);
  if (checksums === undefined) return undefined;
  const extent: Extent = {
    fileOffset: getU53(view, at + 8),
    length: view.getUint32(at + 4, true),
    volume: view.getUint16(at + 44, true) as VolumeId,
    aggregate: getU53(view, at + 16) as AggregateId,
    offset: getU53(view, at + 24),
    rangeStart: getU53(view, at + 32),
    rangeLength,
    checksums,
    shared: true,
  };
  return { file: view.getUint32(at, true), extent };
}

function putTail(view: DataView, at: number, bytes: Uint8Array): number {
  new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
  return at + bytes.length;
}
