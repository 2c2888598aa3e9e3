import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HEADER_BYTES } from '../../aggregate/header_v1.ts';
import { type BatchIndex, encodeIndex } from '../../aggregate/index_v1.ts';
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { extentOf, type ScannedBatch, scanAggregate } from '../../aggregate/scan.ts';
import type { Extent } from '../../base/layout.ts';
import { type AggregateId, MIB } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { HOT, STORE_ID, TemporaryStore, value } from './temporary_store.ts';

let store: TemporaryStore;
const random = new Random(4);

beforeEach(() => {
  store = new TemporaryStore();
});
afterEach(() => {
  store.remove();
});

function scan(aggregate: AggregateId, storeId = STORE_ID): ScannedBatch[] {
  return [...scanAggregate(value(store.data.openAggregate(HOT, aggregate)), { storeId, aggregate })];
}

/** What the indexes say of one inode, in the form in which its row has it. */
function extentsOf(batches: readonly ScannedBatch[], ino: number): Extent[] {
  return batches.flatMap((batch) =>
    batch.index.extents
      .filter((entry) => batch.index.files[entry.file]?.ino === ino)
      .map((entry) => extentOf(batch, entry, HOT)),
  );
}

describe('scanning an aggregate', () => {
  test('finds all that was packed, with names and paths', () => {
    const files = [100, 3 * MIB, 2 * MIB + 1, 5 * MIB, 0, 70_000].map((size) => store.own(random.bytes(size)));
    const packed = [...store.pack(files.slice(0, 3)), ...store.pack(files.slice(3))];
    const batches = scan(1 as AggregateId);
    for (const { ino, extents } of packed) expect(extentsOf(batches, ino)).toEqual(extents);
    for (const file of files) {
      const batch = batches.find(({ index }) => index.files.some(({ ino }) => ino === file.ino));
      const entry = batch?.index.files.find(({ ino }) => ino === file.ino);
      expect(entry).toMatchObject({ name: file.name, size: file.size, mode: file.mode, mtime: file.mtime, uid: 1000 });
      expect(batch?.index.directories[entry?.directory ?? 9]?.path).toEqual(file.directoryPath);
      expect(batch?.index).toMatchObject({ lsn: 7, start: 1 });
    }
    expect(batches.map(({ index }) => index.sequence)).toEqual(batches.map((_, i) => i));
  });

  test('finds nothing in a file of another id or store, or without its header', () => {
    store.pack([store.own(random.bytes(100))]);
    const path = store.aggregatePath(1);
    expect(scan(1 as AggregateId, STORE_ID.replace('0', '1'))).toEqual([]);
    const file = value(store.backing.open(path));
    expect([...scanAggregate(file, { storeId: STORE_ID, aggregate: 2 as AggregateId })]).toEqual([]);
    file.close();
    const bytes = readFileSync(path);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    expect(scan(1 as AggregateId)).toEqual([]);
  });

  test('a damaged index ends its segment’s chain, not the next segment’s', () => {
    const files = Array.from({ length: 10 }, () => store.own(random.bytes(MIB)));
    store.pack(files);
    const before = scan(1 as AggregateId);
    expect(before.length).toBeGreaterThanOrEqual(3);
    const path = store.aggregatePath(1);
    const bytes = readFileSync(path);
    bytes[HEADER_BYTES + 100] = (bytes[HEADER_BYTES + 100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const after = scan(1 as AggregateId);
    expect(after).toEqual(before.filter(({ offset }) => offset >= SEGMENT_BYTES));
  });

  test('a batch of another aggregate, or older than the one before it, is not believed', () => {
    store.pack([store.own(random.bytes(100))]);
    const path = store.aggregatePath(1);
    const bytes = readFileSync(path);
    const [first] = scan(1 as AggregateId);
    if (first === undefined) throw new Error('nothing scanned');
    const next = { ...first.index, batchAt: bytes.length, batchBytes: 4096, sequence: 1, extents: [] };
    const found = (index: BatchIndex) => {
      const block = new Uint8Array(4096);
      encodeIndex(index, block);
      writeFileSync(path, Buffer.concat([bytes, block]));
      return scan(1 as AggregateId).length;
    };
    expect(found(next)).toBe(2);
    expect(found({ ...next, start: 2, sequence: 0 })).toBe(2);
    expect(found({ ...next, sequence: 0 })).toBe(1);
    expect(found({ ...next, start: 0 })).toBe(1);
    expect(found({ ...next, aggregate: 2 as AggregateId })).toBe(1);
    expect(found({ ...next, storeId: STORE_ID.replace('0', '1') })).toBe(1);
    expect(found({ ...next, segment: 1 })).toBe(1);
    expect(found({ ...next, batchBytes: 8192 })).toBe(1);
  });

  test('a file cut at any place is read as far as it goes', () => {
    store.pack([store.own(random.bytes(100)), store.own(random.bytes(9000))]);
    const path = store.aggregatePath(1);
    const bytes = readFileSync(path);
    for (let size = bytes.length; size >= 0; size -= 1000) {
      writeFileSync(path, bytes.subarray(0, size));
      expect(scan(1 as AggregateId).length).toBe(size === bytes.length ? 1 : 0);
    }
  });
});
