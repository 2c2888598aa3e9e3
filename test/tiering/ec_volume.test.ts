import { rmSync } from 'node:fs';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { formatVolume } from '../../aggregate/identity.ts';
import { DataStore } from '../../aggregate/store.ts';
import { openVolumes } from '../../aggregate/volume_set.ts';
import { blockChecksums } from '../../base/crc32c.ts';
import { E } from '../../base/errno.ts';
import { silentLog } from '../../base/log.ts';
import { type AggregateId, KIB, MIB } from '../../base/units.ts';
import { CELL_BYTES } from '../../tiering/erasure/cell_layout.ts';
import { erasureImplementation } from '../../tiering/erasure/coder.ts';
import { openEcVolume } from '../../tiering/erasure/ec_volume.ts';
import { positionsFor } from '../../tiering/erasure/rendezvous.ts';
import { isClean, scrubAggregate } from '../../tiering/erasure/scrub.ts';
import { isSame, STORE_ID, value, volumeRow } from '../aggregate/temporary_store.ts';
import { describeVolume } from '../aggregate/volume_suite.ts';
import { Random } from '../support/random.ts';
import { ID, readAggregate, TemporaryEc, writeAggregate } from './fixture.ts';

const EIGHT_TWO = { dataCells: 8, parityCells: 2 };
const FOUR_TWO = { dataCells: 4, parityCells: 2 };
const random = new Random(31);
const KINDS = { ec: openEcVolume };

let made: TemporaryEc[] = [];
afterEach(() => {
  for (const each of made) each.remove();
  made = [];
});

function temporary(...of: ConstructorParameters<typeof TemporaryEc>): TemporaryEc {
  const ec = new TemporaryEc(...of);
  made.push(ec);
  return ec;
}

for (const [name, code, directories] of [
  ['a volume of 4+2 cells', FOUR_TWO, 6],
  ['a volume of 2+1 cells on 5 directories', { dataCells: 2, parityCells: 1 }, 5],
] as const) {
  describeVolume(
    name,
    () => {
      const ec = new TemporaryEc(code, directories);
      return {
        volume: ec.volume,
        reopen: () => ec.reopen(),
        put: (id, bytes) => void writeAggregate(ec.volume, id, bytes),
        remove: () => ec.remove(),
      };
    },
    { hasOwnFiles: false },
  );
}

test('ISA-L serves where it is installed', () => expect(erasureImplementation).toBe('isa-l'));

describe('directories of an 8+2 volume', () => {
  test('any two of ten are lost, and everything reads', () => {
    const ec = temporary(EIGHT_TWO);
    const bytes = random.bytes(900_000);
    writeAggregate(ec.volume, ID, bytes);
    const { backing } = ec;
    for (let a = 0; a < 10; a++)
      for (let b = a + 1; b < 10; b++) {
        for (const position of [a, b]) backing.arm({ kind: 'open', error: E.ENOENT, path: `/disk${position}/` });
        const volume = ec.reopen();
        expect(isSame(readAggregate(volume, ID, bytes.length), bytes), `without ${a} and ${b}`).toBe(true);
        backing.disarm();
      }
  });

  test('two folders are deleted, and all of more than a stripe reads, at every border', () => {
    const ec = temporary(EIGHT_TWO);
    const bytes = random.bytes(8 * CELL_BYTES + 700_000);
    writeAggregate(ec.volume, ID, bytes);
    for (const position of positionsFor(ID, 10).slice(0, 2)) ec.lose(position);
    const volume = ec.reopen();
    expect(isSame(readAggregate(volume, ID, bytes.length), bytes)).toBe(true);
    expect(volume.counters.rebuiltBytes).toBeGreaterThanOrEqual(2 * CELL_BYTES);
    const file = value(volume.openAggregate(ID));
    for (let segment = 1; segment < 9; segment++) {
      const into = new Uint8Array(300_000);
      const from = segment * CELL_BYTES - 150_000;
      expect(file.read(into, from)).toBe(into.length);
      expect(isSame(into, bytes.subarray(from, from + into.length))).toBe(true);
    }
    file.close();
  });

  test('a read opens the one cell that it needs, two at a border', () => {
    const ec = temporary(EIGHT_TWO);
    writeAggregate(ec.volume, ID, random.bytes(8 * CELL_BYTES));
    const opened: string[] = [];
    const volume = ec.reopen();
    ec.backing.onCall = (kind, path) => void (kind === 'open' && path.includes('/aggregates/') && opened.push(path));
    const file = value(volume.openAggregate(ID));
    file.read(new Uint8Array(256 * KIB), 1_000_000);
    expect(opened).toHaveLength(1);
    file.read(new Uint8Array(256 * KIB), CELL_BYTES - 100_000);
    expect(opened).toHaveLength(2);
    ec.backing.onCall = undefined;
    file.close();
    expect(ec.backing.openFiles).toBe(0);
  });

  test('a third of twelve is lost: EIO for what is lost, the rest is served', () => {
    const ec = temporary(EIGHT_TWO, 12);
    const aggregates = Array.from({ length: 30 }, (_, i) => ({
      id: (ID + i) as AggregateId,
      bytes: random.bytes(300_000),
    }));
    for (const { id, bytes } of aggregates) writeAggregate(ec.volume, id, bytes);
    const lost = [0, 5, 11];
    for (const position of lost) ec.lose(position);
    const volume = ec.reopen();
    const outcomes = { whole: 0, partly: 0 };
    for (const { id, bytes } of aggregates) {
      const places = positionsFor(id, 12).slice(0, 10);
      const isWhole = lost.filter((position) => places.includes(position)).length < 3;
      const found = readAggregate(volume, id, bytes.length);
      if (isWhole) expect(isSame(found, bytes)).toBe(true);
      else {
        const file = value(volume.openAggregate(id));
        const cell = 40_960;
        for (let place = 0; place * cell < bytes.length; place++) {
          const into = new Uint8Array(Math.min(cell, bytes.length - place * cell)).fill(7);
          const isThere = !lost.includes(places[place] ?? -1);
          expect(file.read(into, place * cell)).toBe(isThere ? into.length : -E.EIO.number);
          const expected = isThere
            ? bytes.subarray(place * cell, place * cell + into.length)
            : new Uint8Array(into.length);
          expect(isSame(into, expected)).toBe(true);
        }
        file.close();
      }
      outcomes[isWhole ? 'whole' : 'partly'] += 1;
    }
    expect(outcomes.whole).toBeGreaterThan(0);
    expect(outcomes.partly).toBeGreaterThan(0);
  });
});

describe('identities', () => {
  const open = (ec: TemporaryEc) =>
    value(openVolumes([ec.row], { backing: ec.backing, storeId: STORE_ID, kinds: KINDS }));

  test('a volume is degraded down to k directories, and missing below', () => {
    const ec = temporary(FOUR_TWO);
    expect(open(ec)).toMatchObject({ missing: [], degraded: [] });
    ec.lose(1);
    ec.lose(4);
    const set = open(ec);
    expect(set.present.size).toBe(1);
    expect(set.degraded.map(({ path }) => path)).toEqual([ec.row.paths[1], ec.row.paths[4]]);
    ec.lose(0);
    expect(open(ec).present.size).toBe(0);
    expect(open(ec).missing).toHaveLength(1);
  });

  test('a kind that was not handed in is refused, and so is what has too few directories', () => {
    const ec = temporary(FOUR_TWO);
    expect(openVolumes([ec.row], { backing: ec.backing, storeId: STORE_ID })).toBe(E.EOPNOTSUPP);
    const few = { ...ec.row, paths: ec.row.paths.slice(1) };
    expect(openEcVolume(few, { backing: ec.backing })).toBe(E.EINVAL);
    expect(formatVolume(ec.backing, few, { storeId: STORE_ID })).toBe(E.EINVAL);
  });

  test('an empty directory where a disk is not mounted is not written to, nor taken for empty', () => {
    const ec = temporary(FOUR_TWO);
    const bytes = random.bytes(50_000);
    writeAggregate(ec.volume, ID, bytes);
    ec.lose(2);
    ec.backing.makeFolder(ec.row.paths[2] ?? '');
    const volume = ec.reopen();
    expect(volume.directories()[2]?.complaint).toMatch(/cannot be read: ENOENT/);
    expect(isSame(readAggregate(volume, ID, bytes.length), bytes)).toBe(true);
    expect(volume.begin((ID + 1) as AggregateId, { start: 1 })).toBe(E.ENODEV);
    writeAggregate(volume, (ID + 1) as AggregateId, bytes, { allowDegraded: true });
    expect(value(ec.backing.list(ec.row.paths[2] ?? ''))).toEqual([]);
  });
});

describe('writing', () => {
  test('an id is not given twice', () => {
    const { volume } = temporary(FOUR_TWO);
    writeAggregate(volume, ID, random.bytes(10));
    expect(volume.begin(ID, { start: 1 })).toBe(E.EEXIST);
    const writer = value(volume.begin((ID + 1) as AggregateId, { start: 1 }));
    expect(volume.begin((ID + 1) as AggregateId, { start: 1 })).toBe(E.EEXIST);
    writer.abandon();
    expect(volume.statAggregate((ID + 1) as AggregateId)).toBe(E.ENOENT);
    expect(writer.append(new Uint8Array(1))).toBe(-E.EBADF.number);
    value(volume.begin((ID + 1) as AggregateId, { start: 1 })).abandon();
  });

  test('a cell that fails ends it without `allowDegraded`, and nothing is left', () => {
    for (const kind of ['create', 'write', 'flush', 'rename', 'flushFolder'] as const) {
      const ec = temporary(FOUR_TWO);
      ec.backing.arm({ kind, error: E.EIO, path: '/disk3/aggregates/' });
      const writer = ec.volume.begin(ID, { start: 1 });
      if (kind === 'create') expect(writer).toBe(E.EIO);
      else {
        value(writer).append(random.bytes(100_000));
        expect(value(writer).seal(), kind).toBe(E.EIO);
      }
      ec.backing.disarm();
      expect(value(ec.volume.aggregateIds(1220)), kind).toEqual([]);
      expect(ec.backing.openFiles).toBe(0);
    }
  });

  test('with it, it goes on with as few as k+1 cells, and is whole again after repair', () => {
    for (const kind of ['create', 'write', 'flush', 'rename', 'flushFolder'] as const) {
      const ec = temporary(FOUR_TWO);
      const bytes = random.bytes(4 * CELL_BYTES + 100_000);
      ec.backing.arm({ kind, error: E.EIO, path: '/disk3/aggregates/' });
      const { lostPlaces } = writeAggregate(ec.volume, ID, bytes, { allowDegraded: true });
      expect(lostPlaces).toEqual([positionsFor(ID, 6).indexOf(3)]);
      ec.backing.arm({ kind, error: E.EIO, path: '/disk0/aggregates/' });
      const second = ec.volume.begin((ID + 1) as AggregateId, { start: 1, allowDegraded: true });
      if (kind === 'create') expect(second).toBe(E.EIO);
      else {
        value(second).append(bytes);
        expect(value(second).seal(), kind).toBe(E.EIO);
      }
      ec.backing.disarm();
      expect(value(ec.volume.aggregateIds(1220))).toEqual([ID]);
      expect(isSame(readAggregate(ec.volume, ID, bytes.length), bytes)).toBe(true);
      const report = value(scrubAggregate(ec.volume, ID));
      expect(report.cells.filter(({ state }) => state !== 'good').map(({ place }) => place)).toEqual(lostPlaces);
    }
  });

  test('spare directories take the places of those that are away', () => {
    const ec = temporary(FOUR_TWO, 8);
    const away = positionsFor(ID, 8)[2] ?? 0;
    ec.lose(away);
    const bytes = random.bytes(500_000);
    expect(writeAggregate(ec.volume, ID, bytes).lostPlaces).toEqual([]);
    expect(isClean(value(scrubAggregate(ec.volume, ID)))).toBe(true);
    expect(isSame(readAggregate(ec.reopen(), ID, bytes.length), bytes)).toBe(true);
  });

  test('nothing in it, and exactly a stripe', () => {
    const { volume } = temporary(FOUR_TWO);
    writeAggregate(volume, ID, new Uint8Array(0));
    expect(value(volume.statAggregate(ID)).size).toBe(0);
    expect(readAggregate(volume, ID, 0)).toHaveLength(0);
    expect(isClean(value(scrubAggregate(volume, ID)))).toBe(true);
    const bytes = random.bytes(4 * CELL_BYTES);
    writeAggregate(volume, (ID + 1) as AggregateId, bytes);
    expect(isSame(readAggregate(volume, (ID + 1) as AggregateId, bytes.length), bytes)).toBe(true);
  });

  test('cells spread evenly over directories, and few move when there is one more', () => {
    const counts = new Array<number>(12).fill(0);
    let moved = 0;
    for (let i = 1; i <= 2000; i++) {
      const before = positionsFor(i as AggregateId, 12).slice(0, 10);
      const after = positionsFor(i as AggregateId, 13).slice(0, 10);
      for (const position of before) counts[position] = (counts[position] ?? 0) + 1;
      moved += before.filter((position) => !after.includes(position)).length;
    }
    for (const count of counts) expect(Math.abs(count - (2000 * 10) / 12)).toBeLessThan(150);
    expect(moved / 20_000).toBeLessThan(0.1);
  });
});

test('data take at least 0.79 of all bytes at 8+2, for aggregates of 512 MiB', { timeout: 300_000 }, () => {
  const ec = temporary(EIGHT_TWO);
  const segment = random.bytes(CELL_BYTES);
  const writer = value(ec.volume.begin(ID, { start: 1 }));
  for (let i = 0; i < 128; i++) {
    segment[0] = i;
    expect(writer.append(segment)).toBe(0);
  }
  const { length } = value(writer.seal());
  expect(length).toBe(512 * MIB);
  const { blocks } = value(ec.volume.statAggregate(ID));
  expect(length / (blocks * 512)).toBeGreaterThanOrEqual(0.79);
  console.log(`512 MiB at 8+2: data are ${(length / (blocks * 512)).toFixed(4)} of all bytes on disk`);
});

test('its space is that of its directories less the redundancy; directories on one device share it', () => {
  const ec = temporary(EIGHT_TWO);
  const disk = value(ec.backing.space(ec.root));
  const { total, free } = value(ec.volume.space());
  expect(Math.abs(total - disk.total * 0.8)).toBeLessThan(1000);
  expect(Math.abs(free - disk.free * 0.8)).toBeLessThan(0.01 * disk.total);
  for (const position of [0, 1, 2]) ec.lose(position);
  expect(ec.volume.space()).toBe(E.EIO);
});

test('the data store reads extents that lie on it, with two directories away, and puts nothing there', () => {
  const ec = temporary(EIGHT_TWO);
  const hot = volumeRow(1, `${ec.root}/hot`);
  value(formatVolume(ec.backing, hot, { storeId: STORE_ID }));
  const bytes = random.bytes(200_000);
  writeAggregate(ec.volume, ID, bytes);
  ec.lose(1);
  ec.lose(7);
  const open = (reserveBytes: number) =>
    value(
      DataStore.open({
        backing: ec.backing,
        kinds: KINDS,
        storeId: STORE_ID,
        start: 1,
        volumes: [hot, ec.row],
        aggregates: [],
        options: { reserveBytes },
        log: silentLog,
      }),
    );
  const data = open(0);
  onTestFinished(() => data.close());
  const extent = {
    fileOffset: 0,
    length: 150_000,
    volume: ec.row.id,
    aggregate: ID,
    offset: 40_960,
    rangeStart: 40_960,
    rangeLength: 150_000,
    checksums: blockChecksums(bytes.subarray(40_960, 190_960)),
    shared: false,
  };
  const into = new Uint8Array(150_000);
  expect(data.read([extent], { offset: 0, length: 150_000, size: 150_000 }, into)).toBe(150_000);
  expect(isSame(into, bytes.subarray(40_960, 190_960))).toBe(true);
  expect(data.newestPlacement()).toBe(hot.id);
  expect(data.firstAggregate).toBe(ID + 1);
  expect(data.createOwn(ec.row.id)).toBe(E.EOPNOTSUPP);
  const full = open(Number.MAX_SAFE_INTEGER);
  onTestFinished(() => full.close());
  expect(full.newestPlacement()).toBe(E.ENOSPC);
  rmSync(`${ec.root}/hot`, { recursive: true });
  const cold = open(0);
  onTestFinished(() => cold.close());
  expect(cold.newestPlacement()).toBe(E.EIO);
});
