import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { roomNeeded, SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { scanAggregate } from '../../aggregate/scan.ts';
import { E } from '../../base/errno.ts';
import type { Extent } from '../../base/layout.ts';
import { KIB, MIB } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { HOT, isSame, SMALL_AGGREGATE, STORE_ID, TemporaryStore, value } from './temporary_store.ts';

let store: TemporaryStore;
const random = new Random(1);

beforeEach(() => {
  store = new TemporaryStore({ aggregateBytes: SMALL_AGGREGATE });
});
afterEach(() => {
  store.remove();
});

/** No extent leaves its segment, none overlap, all begin at 4 KiB. */
function expectSound(extents: readonly Extent[]): void {
  const sorted = [...extents].sort((a, b) => a.aggregate - b.aggregate || a.offset - b.offset);
  let last = { aggregate: 0, end: 0 };
  for (const { aggregate, offset, length, rangeStart, rangeLength } of sorted) {
    expect(offset % 4096).toBe(0);
    expect([rangeStart, rangeLength]).toEqual([offset, length]);
    expect(Math.floor(offset / SEGMENT_BYTES)).toBe(Math.floor((offset + length - 1) / SEGMENT_BYTES));
    if (aggregate === last.aggregate) expect(offset).toBeGreaterThanOrEqual(last.end);
    last = { aggregate, end: offset + length };
  }
}

describe('packing', () => {
  test('files of many sizes come back byte for byte, over segments and aggregates', () => {
    const sizes = [1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 250_000, 450_001, 3 * MIB, 5 * MIB + 17, 0];
    const contents = sizes.map((size) => random.bytes(size));
    const extents: Extent[] = [];
    let waiting = contents.map((bytes) => ({ bytes, file: store.own(bytes) }));
    for (let round = 0; waiting.length > 0; round++) {
      expect(round).toBeLessThan(10);
      const packed = store.pack(waiting.map(({ file }) => file));
      for (const { file, bytes } of waiting) {
        const found = packed.find(({ ino }) => ino === file.ino);
        if (found === undefined) continue;
        extents.push(...found.extents);
        expect(isSame(store.read(found.extents, bytes.length), bytes)).toBe(true);
        expect(found.extents.map((extent) => store.data.verify(extent)).every((outcome) => outcome === 0)).toBe(true);
      }
      waiting = waiting.filter(({ file }) => !packed.some(({ ino }) => ino === file.ino));
    }
    expectSound(extents);
    expect(store.rows.size).toBeGreaterThan(1);
  });

  test('a file crosses a segment border as two extents', () => {
    const contents = random.bytes(6 * MIB);
    const [packed] = store.pack([store.own(contents)]);
    expect(packed?.extents).toHaveLength(2);
    expectSound(packed?.extents ?? []);
    expect(isSame(store.read(packed?.extents ?? [], contents.length), contents)).toBe(true);
  });

  test('holes stay holes', () => {
    const { name, file } = value(store.data.createOwn(HOT));
    const data = random.bytes(10_000);
    file.write(data, 1 * MIB);
    file.write(data, 3 * MIB + 5);
    file.truncate(5 * MIB);
    const [packed] = store.pack([store.describe(name, 5 * MIB)]);
    const extents = packed?.extents ?? [];
    expect(extents.map(({ fileOffset }) => fileOffset)).toEqual([1 * MIB, 3 * MIB]);
    const expected = new Uint8Array(5 * MIB);
    expected.set(data, 1 * MIB);
    expected.set(data, 3 * MIB + 5);
    expect(isSame(store.read(extents, 5 * MIB), expected)).toBe(true);
  });

  test('a file that is one hole, and an empty one, have no extent', () => {
    const { name, file } = value(store.data.createOwn(HOT));
    file.truncate(MIB);
    const packed = store.pack([store.describe(name, MIB), store.own(new Uint8Array(0))]);
    expect(packed.map(({ extents }) => extents.length)).toEqual([0, 0]);
    expect(isSame(store.read([], MIB), new Uint8Array(MIB))).toBe(true);
  });

  test('thousands of tiny files fill index after index', () => {
    const files = Array.from({ length: 3000 }, (_, i) => store.own(Uint8Array.of(i & 255, i >> 8)));
    let left = files;
    while (left.length > 0) {
      const packed = store.pack(left);
      expect(packed.length).toBeGreaterThan(0);
      for (const { ino, extents } of packed) {
        const i = files.findIndex((file) => file.ino === ino);
        expect(isSame(store.read(extents, 2), Uint8Array.of(i & 255, i >> 8))).toBe(true);
      }
      left = left.filter(({ ino }) => !packed.some((each) => each.ino === ino));
    }
  });

  test('the rest of a block shows no other file', () => {
    store.pack([store.own(new Uint8Array(100_000).fill(0xaa))]);
    const [packed] = store.pack([store.own(new Uint8Array(10).fill(0xbb))]);
    const extent = packed?.extents[0];
    const block = new Uint8Array(4096);
    value(store.data.openAggregate(HOT, extent?.aggregate ?? (0 as never))).read(block, extent?.offset ?? 0);
    expect(block.subarray(10).every((byte) => byte === 0)).toBe(true);
  });

  test('what cannot be packed is told apart, and the rest is packed', () => {
    const vanished = store.own(random.bytes(10));
    store.data.removeOwn(vanished.own);
    const changed = { ...store.own(random.bytes(1000)), size: 999 };
    const unreadable = store.own(random.bytes(1000));
    store.backing.arm({ kind: 'read', error: E.EIO, path: `/own/1/${unreadable.own.number}` });
    const good = store.own(random.bytes(1000));
    const result = store.run(store.job([vanished, changed, unreadable, good]));
    expect(result.files.map(({ status }) => status)).toEqual(['vanished', 'changed', 'unreadable', 'packed']);
    expect(store.finish(result)).toHaveLength(1);
  });

  test('a read error in the second segment leaves only dead bytes', () => {
    const file = store.own(random.bytes(6 * MIB));
    store.backing.arm({ kind: 'read', error: E.EIO, path: '/own/', after: 1 });
    const result = store.run(store.job([file]));
    expect(result.files[0]?.status).toBe('unreadable');
    expect(result.files[0]?.extents).toHaveLength(1);
    store.finish(result);
    expect([...store.rows.values()]).toMatchObject([{ state: 'open', live: 0 }]);
    store.barrier();
    expect(store.data.takePunches()).toHaveLength(1);
  });

  test('a file that fails half way takes no other with it and leaves no entry', () => {
    const { name, file } = value(store.data.createOwn(HOT));
    for (const offset of [0, MIB]) file.write(random.bytes(5000), offset);
    const torn = store.describe(name, MIB + 5000);
    const sparse = value(store.data.createOwn(HOT));
    sparse.file.write(random.bytes(5 * MIB), 0);
    sparse.file.write(random.bytes(5000), 6 * MIB);
    const long = store.describe(sparse.name, 6 * MIB + 5000);
    const contents = [1000, 2000, 3000].map((size) => random.bytes(size));
    const [a, b, c] = contents.map((bytes) => store.own(bytes));
    store.backing.arm({ kind: 'read', error: E.EIO, path: `/own/1/${name.number}`, after: 1 });
    store.backing.arm({ kind: 'read', error: E.EIO, path: `/own/1/${long.own.number}`, after: 2 });
    const result = store.run(store.job([a, torn, b, long, c].filter((each) => each !== undefined)));
    const statuses = result.files.map(({ status }) => status);
    expect(statuses).toEqual(['packed', 'unreadable', 'packed', 'unreadable', 'packed']);
    const packed = store.finish(result);
    for (const [i, bytes] of contents.entries()) {
      expect(isSame(store.read(packed[i]?.extents ?? [], bytes.length), bytes)).toBe(true);
    }
    const aggregate = value(store.data.openAggregate(HOT, result.aggregate));
    const batches = [...scanAggregate(aggregate, { storeId: STORE_ID, aggregate: result.aggregate })];
    const named = batches.map(({ index }) => index.files.map(({ ino }) => ino));
    expect(named).toEqual([[a?.ino, b?.ino, long.ino], [c?.ino]]);
  });

  test('files that no longer fit are postponed and fill the next aggregate', () => {
    const files = Array.from({ length: 5 }, () => store.own(random.bytes(2 * MIB)));
    const first = store.run(store.job(files));
    expect(first.files.map(({ status }) => status)).toEqual(['packed', 'packed', 'packed', 'postponed', 'postponed']);
    store.finish(first);
    const second = store.run(store.job(files.slice(3)));
    expect(second.aggregate).not.toBe(first.aggregate);
    expect(second.files.map(({ status }) => status)).toEqual(['packed', 'packed']);
  });

  test('a file that no aggregate can take stays an own file', () => {
    const file = store.own(new Uint8Array(8 * MIB).fill(1));
    expect(roomNeeded(file.size)).toBeGreaterThan(SMALL_AGGREGATE);
    const small = store.own(random.bytes(10));
    const result = store.run(store.job([file, small]));
    expect(result.files.map(({ status }) => status)).toEqual(['too large', 'packed']);
  });

  test('one job at a time in each lane, as many as there are lanes', () => {
    const jobs = [1, 2].map(() => store.job([store.own(random.bytes(10))]));
    expect(new Set(jobs.map(({ aggregate }) => aggregate)).size).toBe(2);
    expect(store.data.startPack([store.own(random.bytes(10))])).toBeUndefined();
    for (const job of jobs) store.finish(store.run(job));
    expect(store.data.startPack([store.own(random.bytes(10))])).toBeDefined();
  });

  test('jobs go on where the last one ended', () => {
    const [a] = store.pack([store.own(random.bytes(100 * KIB))]);
    const [b] = store.pack([store.own(random.bytes(100 * KIB))]);
    expect(b?.extents[0]?.aggregate).toBe(a?.extents[0]?.aggregate);
    expect(b?.extents[0]?.offset).toBe((a?.extents[0]?.offset ?? 0) + 100 * KIB + 4096);
  });

  test('a volume that refuses O_DIRECT is written through the page cache', () => {
    for (const kind of ['open', 'write', 'create'] as const) {
      const refusing = new TemporaryStore();
      refusing.backing.arm({ kind, error: E.EINVAL, direct: true, path: 'aggregates' });
      const contents = random.bytes(300_000);
      for (let i = 0; i < 3; i++) {
        const [packed] = refusing.pack([refusing.own(contents)]);
        expect(isSame(refusing.read(packed?.extents ?? [], contents.length), contents)).toBe(true);
      }
      refusing.remove();
    }
  });

  test('closes every descriptor that it opened', () => {
    const before = store.backing.openFiles;
    const files = Array.from({ length: 20 }, () => store.own(random.bytes(300_000)));
    const made = store.backing.openFiles;
    store.run(store.job(files));
    expect(made - before).toBe(20);
    expect(store.backing.openFiles).toBe(made);
  });

  test('a lost worker costs its aggregate, never a file', () => {
    const file = store.own(random.bytes(1000));
    const job = store.job([file]);
    store.run(job);
    store.data.abandonPack(job.id);
    const [packed] = store.pack([file]);
    expect(packed?.extents[0]?.aggregate).toBeGreaterThan(job.aggregate);
  });
});

describe('a disk that fails', () => {
  for (const error of [E.ENOSPC, E.EIO]) {
    test(`${error.name} at the first write leaves no aggregate behind`, () => {
      const file = store.own(random.bytes(1000));
      store.backing.arm({ kind: 'write', error, path: 'aggregates', times: 1 });
      const result = store.run(store.job([file]));
      expect(result).toMatchObject({ created: false, error: error.number });
      expect(result.files[0]?.status).toBe('unwritten');
      expect(store.finish(result)).toEqual([]);
      expect(value(store.data.aggregateFiles(HOT))).toEqual([]);
      expect(store.pack([file])).toHaveLength(1);
    });

    test(`${error.name} in the middle seals the aggregate behind the last whole batch`, () => {
      const kept = store.own(random.bytes(1000));
      const [first] = store.pack([kept]);
      const files = [store.own(random.bytes(3 * MIB)), store.own(random.bytes(3 * MIB)), store.own(random.bytes(1000))];
      store.backing.arm({ kind: 'write', error, path: 'aggregates', after: 1, times: 1 });
      const result = store.run(store.job(files));
      expect(result.files.map(({ status }) => status)).toEqual(['packed', 'unwritten', 'unwritten']);
      expect(result.error).toBe(error.number);
      store.finish(result);
      const row = store.rows.get(result.aggregate);
      expect(row).toMatchObject({ state: 'sealed', written: result.written });
      expect(store.data.verify(first?.extents[0] as Extent)).toBe(0);
      const again = store.pack(files.slice(1));
      expect(again[0]?.extents[0]?.aggregate).not.toBe(result.aggregate);
      expect(again).toHaveLength(2);
    });
  }

  test('after a failed flush nothing on the volume is called durable again', () => {
    store.pack([store.own(random.bytes(1000))]);
    store.backing.arm({ kind: 'flush', error: E.EIO, path: 'aggregates', times: 1 });
    expect(store.data.flush()).toBe(E.EIO);
    const flushes = store.backing.calls.get('flush');
    expect(store.data.flush()).toBe(E.EIO);
    expect(store.backing.calls.get('flush')).toBe(flushes);
    expect(store.data.brokenVolumes).toEqual([HOT]);
    expect(store.data.createOwn(HOT)).toBe(E.EIO);
    expect(store.data.canPack(HOT)).toBe(false);
  });

  test('a failed flush of an own file or of a folder breaks the volume too', () => {
    const file = store.own(random.bytes(10));
    value(store.data.flushOwn(file.own));
    store.backing.arm({ kind: 'flushFolder', error: E.EIO, path: 'own', times: 1 });
    expect(store.data.flush()).toBe(E.EIO);
    expect(store.data.flushOwn(file.own)).toBe(E.EIO);
  });
});
