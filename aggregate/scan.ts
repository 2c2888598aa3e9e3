/**
 * What an aggregate says of itself: its header and the chain of batches in each segment, from the index blocks alone.
 * For fsck and for the rebuild of a store whose metadata is lost.
 */
import type { BackingFile } from '../base/backing.ts';
import type { Extent } from '../base/layout.ts';
import type { AggregateId, VolumeId } from '../base/units.ts';
import { type AggregateHeader, decodeHeader, HEADER_BYTES } from './header_v1.ts';
import { type BatchIndex, decodeIndex, type IndexedExtent, peekIndexLength } from './index_v1.ts';
import { BLOCK_BYTES, INDEX_BYTES_MAX, SEGMENT_BYTES } from './pack.ts';

export interface ScannedBatch {
  /** Byte of the aggregate at which it begins. */
  readonly offset: number;
  readonly index: BatchIndex;
}

export interface ScanOptions {
  readonly storeId: string;
  readonly aggregate: AggregateId;
  /** Go on where the header cannot be read: each segment says for itself what it belongs to. Not where it is another's. */
  readonly withoutHeader?: boolean;
}

/** The header, if it is whole and of this store and aggregate. */
export function readHeader(file: BackingFile, options: ScanOptions): AggregateHeader | undefined {
  const bytes = new Uint8Array(HEADER_BYTES);
  if (file.read(bytes, 0) < HEADER_BYTES) return undefined;
  const header = decodeHeader(bytes);
  return header?.storeId === options.storeId && header.aggregate === options.aggregate ? header : undefined;
}

/** Whether some whole header is there, be it of another aggregate. */
export function hasHeader(file: BackingFile): boolean {
  const bytes = new Uint8Array(HEADER_BYTES);
  return file.read(bytes, 0) === HEADER_BYTES && decodeHeader(bytes) !== undefined;
}

/**
 * Batches in the order in which they lie. An index of another store, aggregate or place ends its segment's chain, and so
 * does one that is older than its predecessor: it is what an earlier write left.
 */
export function* scanAggregate(file: BackingFile, options: ScanOptions): Generator<ScannedBatch> {
  const header = readHeader(file, options);
  if (header === undefined && (options.withoutHeader !== true || hasHeader(file))) return;
  if (header !== undefined && header.segmentBytes !== SEGMENT_BYTES) return;
  const stat = file.stat();
  const size = 'size' in stat ? stat.size : 0;
  const buffer = new Uint8Array(INDEX_BYTES_MAX);
  let last = { start: header?.start ?? 0, sequence: -1 };
  for (let segment = 0; segment * SEGMENT_BYTES < size; segment++) {
    const end = Math.min((segment + 1) * SEGMENT_BYTES, size);
    let offset = segment === 0 ? HEADER_BYTES : segment * SEGMENT_BYTES;
    while (offset + BLOCK_BYTES <= end) {
      const index = readIndex(file, { offset, buffer });
      if (index === undefined || !belongs(index, { ...options, offset, end }) || isOlder(index, last)) break;
      last = { start: index.start, sequence: index.sequence };
      yield { offset, index };
      offset += index.batchBytes;
    }
  }
}

function readIndex(
  file: BackingFile,
  place: { readonly offset: number; readonly buffer: Uint8Array },
): BatchIndex | undefined {
  const { offset, buffer } = place;
  const first = buffer.subarray(0, BLOCK_BYTES);
  if (file.read(first, offset) < first.length) return undefined;
  const length = peekIndexLength(first);
  if (length === undefined) return undefined;
  const rest = buffer.subarray(BLOCK_BYTES, length);
  if (rest.length > 0 && file.read(rest, offset + BLOCK_BYTES) < rest.length) return undefined;
  return decodeIndex(buffer.subarray(0, length));
}

function belongs(index: BatchIndex, place: ScanOptions & { readonly offset: number; readonly end: number }): boolean {
  return (
    index.storeId === place.storeId &&
    index.aggregate === place.aggregate &&
    index.segment * SEGMENT_BYTES + index.batchAt === place.offset &&
    place.offset + index.batchBytes <= place.end
  );
}

function isOlder(index: BatchIndex, last: { readonly start: number; readonly sequence: number }): boolean {
  return index.start < last.start || (index.start === last.start && index.sequence <= last.sequence);
}

/** The extent that an inode would name for what a batch holds. */
export function extentOf(batch: ScannedBatch, entry: IndexedExtent, volume: VolumeId): Extent {
  const offset = batch.offset + entry.at;
  return {
    fileOffset: entry.fileOffset,
    length: entry.length,
    volume,
    aggregate: batch.index.aggregate,
    offset,
    rangeStart: offset,
    rangeLength: entry.length,
    checksums: entry.checksums,
    shared: false,
  };
}
