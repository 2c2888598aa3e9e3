import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HEADER_BYTES } from '../../aggregate/header_v1.ts';
import { type BatchIndex, encodeIndex } from '../../aggregate/index_v1.ts';
import { type PackFile, type PackMention, SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { extentOf, type ScannedBatch, scanAggregate } from '../../aggregate/scan.ts';
import type { Extent } from '../../base/layout.ts';
import { type AggregateId, type Ino, type Lsn, MIB } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { DIRECTORY, HOT, STORE_ID, TemporaryStore, value } from './temporary_store.ts';

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

/** Of a directory of an index, by those above it. */
function pathOf(index: BatchIndex | undefined, directory: number | undefined): string {
  const entry = directory === undefined ? undefined : index?.directories[directory];
  if (entry === undefined || entry.above === undefined) return '';
  return `${pathOf(index, entry.above)}/${Buffer.from(entry.name).toString()}`;
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
      expect(pathOf(batch?.index, entry?.directory)).toBe('/patient/study');
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

describe('what an index says of files that have no bytes in its segment', () => {
  const mention = (ino: number, more: Partial<PackMention> = {}): PackMention => ({
    ino: ino as Ino,
    name: Buffer.from(`file-${ino}`),
    directory: DIRECTORY,
    mode: 0o100600,
    uid: 7,
    gid: 8,
    size: 0,
    mtime: { sec: 1_600_000_000, nsec: 9 },
    own: undefined,
    extents: [],
    ...more,
  });
  const pack = (files: readonly PackFile[], mentions: readonly PackMention[]) => {
    const job = store.data.startPack(files, { lsn: 7 as Lsn, mentions });
    if (job === undefined) return undefined;
    const result = store.run(job);
    store.finish(result);
    return result;
  };

  test('names, own files and shares come back, apart from those that are packed', () => {
    const file = store.own(random.bytes(70_000));
    const [packed] = store.pack([store.own(random.bytes(9000))]);
    const extents = (packed?.extents ?? []).map((extent) => ({ ...extent, shared: true }));
    const own = { volume: HOT, start: 3, number: 2 ** 40 };
    const mentions = [mention(9), mention(10, { own, size: 9_000_000 }), mention(11, { extents, size: 9000 })];
    expect(pack([file], mentions)).toMatchObject({ mentioned: 3, files: [{ status: 'packed' }] });
    const index = scan(1 as AggregateId).at(-1)?.index;
    const entries = index?.files.map(({ ino, dataBytes, size, own: at }) => ({ ino, dataBytes, size, own: at }));
    expect(entries).toEqual([
      { ino: file.ino, dataBytes: 70_000, size: 70_000, own: undefined },
      { ino: 9, dataBytes: 0, size: 0, own: undefined },
      { ino: 10, dataBytes: 0, size: 9_000_000, own },
      { ino: 11, dataBytes: 9000, size: 9000, own: undefined },
    ]);
    expect(index?.shares).toEqual(extents.map((extent) => ({ file: 3, extent })));
  });

  test('what does not fit one index goes on in the next', () => {
    const mentions = Array.from({ length: 4000 }, (_, i) => mention(1000 + i));
    expect(pack([store.own(random.bytes(100))], mentions)?.mentioned).toBe(4000);
    expect(scan(1 as AggregateId).length).toBeGreaterThan(1);
    expect(scan(1 as AggregateId).flatMap(({ index }) => index.files).length).toBe(4001);
  });

  test('alone they are written only beside bytes that somebody names', () => {
    expect(pack([], [mention(9)])).toBeUndefined();
    store.pack([store.own(random.bytes(100))]);
    expect(pack([], [mention(9)])).toMatchObject({ mentioned: 1, aggregate: 1 });
  });

  test('data bytes tell a file of which a batch is lost', () => {
    const [large] = [store.own(random.bytes(6 * MIB))];
    store.pack([large]);
    const batches = scan(1 as AggregateId);
    const length = (some: readonly ScannedBatch[]) =>
      extentsOf(some, large.ino).reduce((sum, extent) => sum + extent.length, 0);
    expect(batches.length).toBeGreaterThan(1);
    for (const { index } of batches) expect(index.files[0]?.dataBytes).toBe(length(batches));
    expect(length(batches.slice(1))).toBeLessThan(6 * MIB);
  });
});

describe('an aggregate whose header is damaged', () => {
  test('is scanned by its segments when asked for, one with another header is not', () => {
    store.pack([store.own(random.bytes(100))]);
    const path = store.aggregatePath(1);
    const bytes = readFileSync(path);
    const options = { storeId: STORE_ID, withoutHeader: true };
    const scanned = (aggregate: number) => {
      const file = value(store.backing.open(path));
      const found = [...scanAggregate(file, { ...options, aggregate: aggregate as AggregateId })].length;
      file.close();
      return found;
    };
    expect(scanned(2)).toBe(0);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    expect(scanned(1)).toBe(1);
    expect(scanned(2)).toBe(0);
  });
});
