/** What the benchmark counts at the disk. */
import { expect, it } from 'vitest';
import { hardDiskSeconds, parseDiskstats, since } from '../../bench/disk/diskstats.ts';
import { jumps, parseExtents, place } from '../../bench/disk/jumps.ts';

const DISKSTATS = `   7       0 loop0 11 1 88 4 200 3 4096 50 0 60 70 5 0 40 1 9 2
   7      10 loop10 1 0 8 0 2 0 16 0 0 0 0 0 0 0 0 3 0
`;

it('finds the counts of one device', () => {
  expect(parseDiskstats(DISKSTATS, 'loop0')).toEqual({
    reads: 11,
    readBytes: 88 * 512,
    writes: 200,
    writtenBytes: 4096 * 512,
    flushes: 9,
  });
  expect(parseDiskstats(DISKSTATS, 'loop10').flushes).toBe(3);
  expect(() => parseDiskstats(DISKSTATS, 'loop1')).toThrow('loop1');
});

it('counts what came between two looks', () => {
  const before = parseDiskstats(DISKSTATS, 'loop10');
  const after = parseDiskstats(DISKSTATS, 'loop0');
  expect(since(before, after)).toEqual({
    reads: 10,
    readBytes: 80 * 512,
    writes: 198,
    writtenBytes: 4080 * 512,
    flushes: 6,
  });
});

it('takes 8 ms for each request and flush, and 180 MB a second', () => {
  const none = { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0, flushes: 0 };
  expect(hardDiskSeconds(none)).toBe(0);
  expect(hardDiskSeconds({ ...none, reads: 1, writes: 2, flushes: 3 })).toBeCloseTo(0.048, 9);
  expect(hardDiskSeconds({ ...none, readBytes: 90e6, writtenBytes: 90e6 })).toBeCloseTo(1, 9);
});

it('counts a jump wherever the next file neither follows nor is just behind', () => {
  expect(jumps([])).toBe(0);
  expect(jumps([{ start: 500_000, length: 10 }])).toBe(0);
  const follow = [
    { start: 0, length: 4096 },
    { start: 4096, length: 4096 },
    { start: 8192 + 65_536, length: 4096 },
  ];
  expect(jumps(follow)).toBe(0);
  expect(jumps([...follow, { start: 77_824 + 65_537, length: 1 }])).toBe(1);
  expect(
    jumps([
      { start: 4096, length: 4096 },
      { start: 0, length: 4096 },
    ]),
  ).toBe(1);
});

it('finds where a part of a file lies', () => {
  const extents = [
    { logical: 0, physical: 1_000_000, length: 8192 },
    { logical: 8192, physical: 5_000_000, length: 4096 },
  ];
  expect(place(extents, { start: 4096, length: 6000 })).toEqual([
    { start: 1_004_096, length: 4096 },
    { start: 5_000_000, length: 1904 },
  ]);
  expect(place(extents, { start: 20_000, length: 1 })).toEqual([]);
});

it('understands what the load program prints of extents', () => {
  expect(parseExtents('/a b/c\t0 4096 8192 8192 40960 4096 ')).toEqual({
    path: '/a b/c',
    extents: [
      { logical: 0, physical: 4096, length: 8192 },
      { logical: 8192, physical: 40960, length: 4096 },
    ],
  });
  expect(parseExtents('/empty\t').extents).toEqual([]);
});
