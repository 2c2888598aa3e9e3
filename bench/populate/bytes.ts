/**
 * Where the bytes of a populated store's files lie: sizes of a CT-like mix, one extent each, in aggregates that are files
 * with a right header and a hole behind it. So every read gives zeros, whose checksums are right, and takes no disk.
 */
import { encodeHeader, HEADER_BYTES } from '../../aggregate/header_v1.ts';
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import type { Volume } from '../../aggregate/volume.ts';
import { assert } from '../../base/assert.ts';
import { crc32c } from '../../base/crc32c.ts';
import { isErrno } from '../../base/errno.ts';
import { type AggregateRow, type Extent, occupied } from '../../base/layout.ts';
import { type AggregateId, KIB } from '../../base/units.ts';

/** What an aggregate's header and a segment's indexes may take. */
const SEGMENT_HEAD_BYTES = 64 * KIB;
const CHECKSUM_BLOCK_BYTES = 64 * KIB;
const SIZE_COUNT = 61;
const DAY_SECONDS = 86_400;

interface ZeroFile {
  readonly size: number;
  readonly checksums: Uint32Array;
}

export interface BytesOptions {
  readonly volume: Volume;
  readonly storeId: string;
  readonly start: number;
  readonly aggregateBytes: number;
  readonly nowSec: number;
  /** Told of each aggregate that is full. */
  readonly put: (row: AggregateRow) => void;
}

export class Bytes {
  readonly #options: BytesOptions;
  readonly #kinds = zeroFiles();
  #id = 0;
  #end = 0;
  #live = 0;

  constructor(options: BytesOptions) {
    this.#options = options;
  }

  /** The extent of file `number`, next to that of the one asked for before. */
  extentOf(number: number): Extent {
    const { size, checksums } = this.#kinds[number % SIZE_COUNT] ?? { size: 1, checksums: new Uint32Array(1) };
    const offset = this.#placeFor(occupied(size));
    this.#end = offset + occupied(size);
    this.#live += occupied(size);
    return {
      fileOffset: 0,
      length: size,
      volume: this.#options.volume.row.id,
      aggregate: this.#id as AggregateId,
      offset,
      rangeStart: offset,
      rangeLength: size,
      checksums,
      shared: false,
    };
  }

  finish(): void {
    if (this.#id === 0) return;
    this.#write();
    const { volume, nowSec, put } = this.#options;
    put({
      id: this.#id as AggregateId,
      volume: volume.row.id,
      state: 'sealed',
      written: this.#end,
      live: this.#live,
      newestMtimeSec: nowSec,
      lastReadDay: Math.floor(nowSec / DAY_SECONDS),
    });
  }

  #placeFor(length: number): number {
    const { aggregateBytes } = this.#options;
    const isFitting = (this.#end % SEGMENT_BYTES) + length <= SEGMENT_BYTES && this.#end % SEGMENT_BYTES !== 0;
    if (isFitting) return this.#end;
    const segment = Math.ceil(this.#end / SEGMENT_BYTES) * SEGMENT_BYTES;
    if (this.#id !== 0 && segment + SEGMENT_BYTES <= aggregateBytes) return segment + SEGMENT_HEAD_BYTES;
    this.finish();
    this.#id += 1;
    this.#live = 0;
    return SEGMENT_HEAD_BYTES;
  }

  #write(): void {
    const { volume, storeId, start } = this.#options;
    const header = new Uint8Array(HEADER_BYTES);
    const aggregate = this.#id as AggregateId;
    encodeHeader(
      { storeId, aggregate, volume: volume.row.id, transform: 0, start, segmentBytes: SEGMENT_BYTES },
      header,
    );
    const file = volume.createAggregate(aggregate);
    assert(!isErrno(file), `Cannot make aggregate ${aggregate}`);
    const written = file.write(header, 0);
    const sized = file.truncate(this.#end);
    file.close();
    assert(written === HEADER_BYTES && sized === 0, `Cannot write aggregate ${aggregate}`);
  }
}

/** 63 % of 200 to 300 KB, the others up to 1 MB, spread evenly: no chance in it. */
function zeroFiles(): readonly ZeroFile[] {
  return Array.from({ length: SIZE_COUNT }, (_, at) => {
    const share = (at + 0.5) / SIZE_COUNT;
    const size = Math.floor(share < 0.63 ? 200_000 + (share / 0.63) * 100_000 : 300_000 + (share - 0.63) * 1_890_000);
    const blocks = Math.ceil(size / CHECKSUM_BLOCK_BYTES);
    const checksums = Uint32Array.from({ length: blocks }, (_block, block) =>
      crc32c(new Uint8Array(Math.min(CHECKSUM_BLOCK_BYTES, size - block * CHECKSUM_BLOCK_BYTES))),
    );
    return { size, checksums };
  });
}
