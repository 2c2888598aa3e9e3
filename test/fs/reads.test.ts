/** READs that reader threads answer: what they get, from where, and what comes back to the thread that decides. */
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SEGMENT_BYTES } from '../../aggregate/pack.ts';
import { E } from '../../base/errno.ts';
import { KIB, MIB } from '../../base/units.ts';
import { RING_JOBS } from '../../fs/reads/ring.ts';
import { O_WRONLY } from '../support/loose_user.ts';
import { Random } from '../support/random.ts';
import { pattern, same } from './fixture.ts';
import { type Options, ReadBench } from './read_bench.ts';

const SIZE = 400_000;

/** A packed series: files `0` to `count - 1` of `size` bytes. */
function series(count: number, options: Options & { readonly size?: number } = {}): ReadBench {
  const { size = SIZE, ...rest } = options;
  const bench = new ReadBench(rest);
  for (let i = 0; i < count; i++) bench.user.put(name(i), pattern(size, i));
  bench.loose.pack();
  return bench;
}

function name(index: number): string {
  return `CT.${String(index).padStart(5, '0')}`;
}

function readFile(bench: ReadBench, index: number, size = SIZE) {
  const file = bench.user.open(name(index));
  const read = bench.read(file, 0, MIB);
  bench.user.close(file);
  expect(same(read.bytes, pattern(size, index))).toBe(true);
  return read.by;
}

/** Spoils a byte of every aggregate, at a place where files lie. */
function rot(bench: ReadBench, offset: number): void {
  const folder = join(bench.loose.folder, 'volumes', 'hot', 'aggregates', '0');
  for (const file of readdirSync(folder)) {
    const fd = openSync(join(folder, file), 'r+');
    writeSync(fd, Uint8Array.of(0x99), 0, 1, offset);
    closeSync(fd);
  }
}

describe('a series that is read in its order', () => {
  test('comes from the segments that were fetched with its second file, and with the first of each', () => {
    const bench = series(25);
    for (let i = 0; i < 25; i++) expect(readFile(bench, i)).toBe('device');
    const { reads } = bench.loose.filesystem.status();
    expect(reads).toMatchObject({ byReaders: 25, again: 0, segmentFills: 3 });
    // The first file alone, then each segment once.
    const total = bench.fetched.reduce((sum, each) => sum + each);
    expect(total).toBeGreaterThan(25 * SIZE);
    expect(total).toBeLessThan(25.5 * SIZE + 3 * 256 * KIB);
  });

  test('whose files are read in any order is not fetched ahead', () => {
    const bench = series(60);
    for (const i of [3, 40, 17, 55, 28, 8, 47]) expect(readFile(bench, i)).toBe('device');
    expect(bench.loose.filesystem.status().reads?.segmentFills).toBe(0);
    const total = bench.fetched.reduce((sum, each) => sum + each);
    expect(total).toBe(7 * Math.ceil(SIZE / 4096) * 4096);
  });

  test('of large files, each in many parts, is fetched ahead from its second file on; one such file is not', () => {
    const size = 1_200_000;
    const bench = series(9, { size });
    const readParts = (index: number) => {
      const file = bench.user.open(name(index));
      const parts = [0, 1, 2, 3].map((part) => bench.read(file, part * 300_000, 300_000).bytes as Uint8Array);
      expect(same(Buffer.concat(parts), pattern(size, index))).toBe(true);
    };
    for (const index of [4, 0, 8, 6]) readParts(index);
    expect(bench.loose.filesystem.status().reads?.segmentFills).toBe(0);
    readParts(7);
    expect(bench.loose.filesystem.status().reads?.segmentFills).toBeGreaterThan(0);
  });

  test('is answered without a reader where it is in memory, and little', () => {
    const bench = series(8);
    for (let i = 0; i < 3; i++) readFile(bench, i);
    const file = bench.user.open(name(4));
    const before = bench.fetched.reduce((sum, each) => sum + each);
    const asked = bench.ask(file, 65_000, 4096);
    expect(same(asked().bytes, pattern(SIZE, 4).subarray(65_000, 69_096))).toBe(true);
    expect(bench.fetched.reduce((sum, each) => sum + each)).toBe(before);
    expect(bench.loose.filesystem.status().reads?.fromCache).toBe(1);
  });

  test('does not wait for the whole segment: what is wanted comes first', () => {
    const bench = series(10);
    readFile(bench, 0);
    const file = bench.user.open(name(1));
    const asked = bench.ask(file, 0, MIB);
    // The filling is noted, the READ is served; then the readers stop.
    bench.work({ turns: 2 });
    expect(same(asked().bytes, pattern(SIZE, 1))).toBe(true);
    expect(bench.fetched.reduce((sum, each) => sum + each)).toBeLessThan(SEGMENT_BYTES / 2);
    // The next file, of which a part may be there, is served by whoever is filling.
    const next = bench.user.open(name(2));
    const second = bench.ask(next, 0, MIB);
    bench.work();
    expect(same(second().bytes, pattern(SIZE, 2))).toBe(true);
  });

  test('larger than the segment cache gets it place by place', () => {
    const bench = series(60, { cacheBytes: 2 * SEGMENT_BYTES, readers: 1 });
    for (let i = 0; i < 60; i++) readFile(bench, i);
    expect(bench.loose.filesystem.status().reads).toMatchObject({ segmentCacheBytes: 2 * SEGMENT_BYTES, again: 0 });
  });

  test('keeps its place in the cache while it is fetched', () => {
    const bench = series(40, { cacheBytes: SEGMENT_BYTES, readers: 1 });
    readFile(bench, 0);
    const first = bench.ask(bench.user.open(name(1)), 0, MIB);
    bench.work({ turns: 2 });
    bench.loose.look();
    // Others, in the same directory: the second one would have its segment fetched, too.
    const others = [30, 31].map((i) => ({ i, asked: bench.ask(bench.user.open(name(i)), 0, MIB) }));
    bench.work();
    bench.loose.look();
    expect(same(first().bytes, pattern(SIZE, 1))).toBe(true);
    for (const { i, asked } of others) expect(same(asked().bytes, pattern(SIZE, i))).toBe(true);
    const cached = { segmentFills: 1, segmentCacheBytes: SEGMENT_BYTES, again: 0 };
    expect(bench.loose.filesystem.status().reads).toMatchObject(cached);
    // Once it is there, it may go.
    for (const i of [32, 33]) expect(readFile(bench, i)).toBe('device');
    expect(bench.loose.filesystem.status().reads).toMatchObject({ ...cached, segmentFills: 2 });
  });

  test('keeps its place in the cache while somebody reads it there', () => {
    const bench = series(40, { cacheBytes: SEGMENT_BYTES });
    for (let i = 0; i < 3; i++) readFile(bench, i);
    const slow = bench.ask(bench.user.open(name(4)), 0, MIB);
    // The other reader is given these, and its segment.
    const others = [30, 31, 32].map((i) => {
      const asked = bench.ask(bench.user.open(name(i)), 0, MIB);
      bench.work({ reader: 1 });
      return { i, asked };
    });
    bench.work();
    bench.loose.look();
    expect(same(slow().bytes, pattern(SIZE, 4))).toBe(true);
    for (const { i, asked } of others) expect(same(asked().bytes, pattern(SIZE, i))).toBe(true);
    expect(bench.loose.filesystem.status().reads).toMatchObject({ segmentFills: 1, again: 0 });
  });

  test('is read without a cache, too', () => {
    const bench = series(12, { cacheBytes: 0 });
    for (let i = 0; i < 12; i++) expect(readFile(bench, i)).toBe('device');
    expect(bench.loose.filesystem.status().reads).toMatchObject({
      byReaders: 12,
      segmentFills: 0,
      segmentCacheBytes: 0,
    });
  });
});

describe('any range of any file', () => {
  test('is what was written: holes, several extents, ends of blocks, the end of the file', () => {
    const random = new Random(4711);
    const bench = new ReadBench();
    const sizes = [1, 4095, 65_536, 65_537, 200_000, 3 * MIB + 17, 7 * MIB + 1];
    const contents = sizes.map((size, index) => {
      const bytes = pattern(size, index + 1);
      // A hole in the middle of the larger ones.
      if (size > MIB) bytes.fill(0, MIB - 8192, 2 * MIB);
      const file = bench.user.create(name(index), O_WRONLY);
      for (let at = 0; at < size; at += 8192) {
        const part = bytes.subarray(at, Math.min(at + 8192, size));
        if (part.some((byte) => byte !== 0)) bench.user.write(file, part, at);
      }
      bench.user.close(file);
      return bytes;
    });
    bench.loose.pack();
    for (let round = 0; round < 400; round++) {
      const index = random.below(sizes.length);
      const bytes = contents[index] ?? new Uint8Array();
      const offset = random.below(bytes.length + 10);
      const size = 1 + random.below(random.below(3) === 0 ? MIB : 70_000);
      const file = bench.user.open(name(index));
      const read = bench.read(file, offset, size);
      bench.user.close(file);
      expect(same(read.bytes, bytes.subarray(offset, offset + size))).toBe(true);
      expect(read.by).not.toBe('again');
    }
  });

  test('of an own file that is still written is what was written', () => {
    const bench = new ReadBench();
    const file = bench.user.create('own');
    const bytes = pattern(3 * MIB);
    bench.user.write(file, bytes);
    expect(same(bench.read(file, 4096, MIB).bytes, bytes.subarray(4096, MIB + 4096))).toBe(true);
    expect(bench.read(file, 4096, MIB).by).toBe('device');
    // A little, in the host's memory.
    expect(bench.read(file, 4096, 512).by).toBe('asker');
    expect(same(bench.read(file, 3 * MIB - 100, 4096).bytes, bytes.subarray(3 * MIB - 100))).toBe(true);
  });
});

describe('what a reader cannot answer', () => {
  test('is served again, and is EIO: a byte of the disk that has changed', () => {
    const bench = series(3);
    const file = bench.user.open(name(1));
    rot(bench, 4096 * 3 + SIZE + 70_000);
    const read = bench.read(file, 0, MIB);
    expect(read).toEqual({ bytes: -E.EIO.number, by: 'again' });
    expect([bench.bells, bench.loose.log.has('Checksum differs')]).toEqual([1, true]);
    expect(bench.loose.filesystem.status().reads).toMatchObject({ again: 1 });
    // Its neighbours are whole.
    expect(readFile(bench, 2)).toBe('device');
  });

  test('is served again from the disk: memory that has changed', () => {
    const bench = series(10);
    for (let i = 0; i < 3; i++) readFile(bench, i);
    bench.segments.arena.fill(0xee);
    expect(readFile(bench, 4)).toBe('again');
    // What was found to be wrong is not asked again.
    expect(readFile(bench, 5)).toBe('device');
    const small = series(10);
    for (let i = 0; i < 3; i++) readFile(small, i);
    small.segments.arena.fill(0xee);
    const file = small.user.open(name(6));
    const read = small.read(file, 0, 4096);
    expect([same(read.bytes, pattern(SIZE, 6).subarray(0, 4096)), read.by]).toEqual([true, 'device']);
  });

  test('is served as the file is then: it was cut after it was asked for', () => {
    const bench = new ReadBench();
    const file = bench.user.create('own');
    bench.user.write(file, pattern(MIB));
    const asked = bench.ask(file, 0, MIB);
    bench.user.truncate('own', 300_000);
    bench.work();
    bench.loose.look();
    const read = asked();
    expect([read.by, same(read.bytes, pattern(MIB).subarray(0, 300_000))]).toEqual(['again', true]);
  });
});

describe('nobody else', () => {
  test('answers before a reader is up, or when too much waits for them', () => {
    const down = series(2, { isDown: true });
    expect(readFile(down, 0)).toBe('asker');
    down.begin();
    expect(readFile(down, 1)).toBe('device');
    const bench = series(2, { readers: 1, cacheBytes: 0 });
    const file = bench.user.open(name(0));
    const asked = Array.from({ length: RING_JOBS }, () => bench.ask(file, 0, 4096));
    const first = asked.findIndex((each) => {
      try {
        return each().by === 'asker';
      } catch {
        return false;
      }
    });
    expect(first).toBeGreaterThan(RING_JOBS / 2);
    bench.work();
    bench.loose.look();
    for (const each of asked) expect(same(each().bytes, pattern(SIZE, 0).subarray(0, 4096))).toBe(true);
    expect(bench.loose.filesystem.isReadIdle).toBe(true);
    expect(bench.ask(file, 0, 4096)).toBeDefined();
  });

  test('closes what a reader reads: an aggregate that goes meanwhile', () => {
    const bench = series(2);
    const file = bench.user.open(name(0));
    const asked = bench.ask(file, 0, MIB);
    for (let i = 0; i < 2; i++) bench.user.remove(name(i));
    for (const id of bench.loose.data.ledger.rows()) bench.loose.data.removeAggregate(id.volume, id.id);
    expect(bench.loose.data.lent.size).toBe(0);
    bench.work();
    expect(same(asked().bytes, pattern(SIZE, 0))).toBe(true);
    bench.loose.look();
  });
});
