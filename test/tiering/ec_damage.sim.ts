/** Damage of every kind to cell files: all of it is found, all of it is repaired, and no wrong byte is ever returned. */
import { appendFileSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { CELL_BYTES } from '../../tiering/erasure/cell_layout.ts';
import type { Code } from '../../tiering/erasure/coder.ts';
import type { EcVolume } from '../../tiering/erasure/ec_volume.ts';
import { positionsFor } from '../../tiering/erasure/rendezvous.ts';
import { rebuildDirectory, repairAggregate } from '../../tiering/erasure/repair.ts';
import { isClean, scrubAggregate } from '../../tiering/erasure/scrub.ts';
import { isSame, value } from '../aggregate/temporary_store.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { ID, readAggregate, TemporaryEc, writeAggregate } from './fixture.ts';

const SEED = firstSeed('PACSFS_SEED');
const EIGHT_TWO = { dataCells: 8, parityCells: 2 };
const FOUR_TWO = { dataCells: 4, parityCells: 2 };

let made: TemporaryEc[] = [];
afterEach(() => {
  for (const each of made) each.remove();
  made = [];
});

/** In memory where it can be: a thousand repairs are some thousand flushes. */
const parent = existsSync('/dev/shm') ? '/dev/shm' : undefined;

function temporary(code: Code, directories?: number): TemporaryEc {
  const ec = new TemporaryEc(code, directories, parent);
  made.push(ec);
  return ec;
}

function flip(path: string, random: Random): void {
  const bytes = readFileSync(path);
  const at = random.below(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 + random.below(255));
  writeFileSync(path, bytes);
}

function contentsOf(ec: TemporaryEc, id: AggregateId): readonly Buffer[] {
  return ec.row.paths.map((_, position) => readFileSync(ec.cellPath(position, id)));
}

function mustBeClean(volume: EcVolume, id: AggregateId): void {
  expect(isClean(value(scrubAggregate(volume, id)))).toBe(true);
}

/** One byte of one cell file, `count` times: read, found, repaired to what it was. */
function flips(ec: TemporaryEc, id: AggregateId, of: { bytes: Uint8Array; count: number; random: Random }): void {
  const { bytes, count, random } = of;
  const originals = contentsOf(ec, id);
  for (let i = 0; i < count; i++) {
    const position = random.below(ec.row.paths.length);
    flip(ec.cellPath(position, id), random);
    const volume = ec.reopen();
    if (!isSame(readAggregate(volume, id, bytes.length), bytes)) expect.unreachable(`Flip ${i}: wrong bytes read`);
    const { found, repaired, left } = value(repairAggregate(volume, id));
    if (isClean(found)) expect.unreachable(`Flip ${i} of directory ${position} was not found`);
    expect(repaired).toEqual([position]);
    expect(left).toEqual([]);
    const after = readFileSync(ec.cellPath(position, id));
    if (!originals[position]?.equals(after)) expect.unreachable(`Flip ${i}: repaired to other bytes`);
  }
  mustBeClean(ec.reopen(), id);
  expect(ec.backing.openFiles).toBeLessThanOrEqual(ec.row.paths.length * 2);
}

describe(`damage, seed ${SEED}`, () => {
  test('a random byte anywhere in any cell file, 1,000 times', { timeout: 600_000 }, () => {
    const random = new Random(SEED);
    const small = temporary(EIGHT_TWO);
    const bytes = random.bytes(700_000);
    writeAggregate(small.volume, ID, bytes);
    flips(small, ID, { bytes, count: 940, random });
    const large = temporary({ dataCells: 2, parityCells: 1 });
    const stripes = random.bytes(2 * CELL_BYTES + 300_000);
    writeAggregate(large.volume, ID, stripes);
    flips(large, ID, { bytes: stripes, count: 60, random });
  });

  test('cells that are missing, cut short, longer, empty or of another aggregate', () => {
    const random = new Random(SEED + 1);
    const ec = temporary(FOUR_TWO);
    const bytes = random.bytes(800_000);
    writeAggregate(ec.volume, ID, bytes);
    const other = (ID + 1) as AggregateId;
    writeAggregate(ec.volume, other, bytes);
    const originals = contentsOf(ec, ID);
    const damages: readonly ((path: string, position: number) => void)[] = [
      (path) => rmSync(path),
      (path) => truncateSync(path, random.below(statSync(path).size)),
      (path) => truncateSync(path, 4096 * random.below(statSync(path).size / 4096)),
      (path) => appendFileSync(path, random.bytes(4096)),
      (path) => truncateSync(path, 0),
      (path, position) => writeFileSync(path, readFileSync(ec.cellPath(position, other))),
      (path, position) => writeFileSync(path, originals[(position + 1) % 6] ?? ''),
    ];
    for (const [i, damage] of damages.entries()) {
      for (let round = 0; round < 6; round++) {
        const position = (i + round) % 6;
        // Not the next one: what the last damage copies would take its place, and they would change places.
        const second = (position + 2 + random.below(4)) % 6;
        damage(ec.cellPath(position), position);
        flip(ec.cellPath(second), random);
        const volume = ec.reopen();
        expect(isSame(readAggregate(volume, ID, bytes.length), bytes)).toBe(true);
        const { repaired } = value(repairAggregate(volume, ID));
        expect(new Set(repaired)).toEqual(new Set([position, second]));
        for (const [at, original] of originals.entries())
          if (!original.equals(readFileSync(ec.cellPath(at))))
            expect.unreachable(`Damage ${i}: directory ${at} differs`);
      }
    }
    mustBeClean(ec.reopen(), ID);
  });

  test('many cells that are bad in different places help each other; more than m in one place change nothing', () => {
    const random = new Random(SEED + 2);
    const ec = temporary({ dataCells: 2, parityCells: 1 });
    const bytes = random.bytes(2 * CELL_BYTES);
    writeAggregate(ec.volume, ID, bytes);
    const originals = contentsOf(ec, ID);
    for (const [position, original] of originals.entries()) {
      const damaged = Buffer.from(original);
      damaged[position * 1_000_000 + 5] = (damaged[position * 1_000_000 + 5] ?? 0) ^ 1;
      writeFileSync(ec.cellPath(position), damaged);
    }
    let volume = ec.reopen();
    expect(isSame(readAggregate(volume, ID, bytes.length), bytes)).toBe(true);
    expect(value(repairAggregate(volume, ID)).repaired).toHaveLength(3);
    mustBeClean(ec.reopen(), ID);
    for (const position of [0, 1]) {
      const damaged = Buffer.from(originals[position] ?? '');
      damaged[100_000] = (damaged[100_000] ?? 0) ^ 1;
      writeFileSync(ec.cellPath(position), damaged);
    }
    volume = ec.reopen();
    expect(repairAggregate(volume, ID)).toBe(E.EIO);
    expect(value(scrubAggregate(volume, ID)).isLost).toBe(true);
    const found = readAggregate(volume, ID, bytes.length);
    expect(found).toBe(-E.EIO.number);
    const file = value(volume.openAggregate(ID));
    const into = new Uint8Array(100_000);
    expect(file.read(into, 1_000_000)).toBe(into.length);
    expect(isSame(into, bytes.subarray(1_000_000, 1_100_000))).toBe(true);
    file.close();
  });

  test('a repair that fails at any call leaves what there was, and can be done again', () => {
    const random = new Random(SEED + 3);
    const ec = temporary({ dataCells: 2, parityCells: 1 });
    const bytes = random.bytes(500_000);
    writeAggregate(ec.volume, ID, bytes);
    let failed = 0;
    for (let call = 1; ; call++) {
      flip(ec.cellPath(call % 3), random);
      ec.backing.armCall({ call: ec.backing.total + call, error: E.EIO, isLasting: true });
      const report = repairAggregate(ec.reopen(), ID);
      const wasMet = ec.backing.met !== undefined;
      ec.backing.disarm();
      if (isErrno(report)) failed += 1;
      const volume = ec.reopen();
      expect(isSame(readAggregate(volume, ID, bytes.length), bytes)).toBe(true);
      value(repairAggregate(volume, ID));
      mustBeClean(ec.reopen(), ID);
      if (!wasMet) break;
    }
    expect(failed).toBeGreaterThan(5);
  });
});

describe('a directory that is replaced', () => {
  test.each([6, 8])('of %i is filled again, whatever was interrupted; unknown ids are removed', (directories) => {
    const random = new Random(SEED + 4);
    const ec = temporary(FOUR_TWO, directories);
    const aggregates = Array.from({ length: 12 }, (_, i) => ({
      id: (ID + i) as AggregateId,
      bytes: random.bytes(200_000),
    }));
    for (const { id, bytes } of aggregates) writeAggregate(ec.volume, id, bytes);
    const known = new Set(aggregates.map(({ id }) => id));
    const position = 3;
    const held = aggregates.filter(({ id }) => positionsFor(id, directories).slice(0, 6).includes(position));
    ec.lose(position);
    ec.replace(position);
    const strange = (ID + 100) as AggregateId;
    ec.backing.makeFolder(ec.volume.tools.directories.cellFolder(position, strange));
    writeFileSync(ec.cellPath(position, strange), 'left by a removal that this disk has not seen');
    writeFileSync(`${ec.cellPath(position, held[0]?.id)}.new`, 'left by a repair that was interrupted');
    const run = (most: number) => {
      const outcomes: string[] = [];
      for (const step of rebuildDirectory(ec.reopen(), { position, isKnown: (id) => known.has(id) })) {
        outcomes.push(step.outcome);
        if (outcomes.length === most) break;
      }
      return outcomes;
    };
    expect(run(5)).toHaveLength(5);
    const rest = run(Number.POSITIVE_INFINITY);
    expect(rest.filter((outcome) => outcome === 'failed')).toEqual([]);
    expect(rest).toHaveLength(12);
    expect(rest.filter((outcome) => outcome === 'elsewhere')).toHaveLength(12 - held.length);
    expect(run(Number.POSITIVE_INFINITY).filter((outcome) => outcome === 'kept')).toHaveLength(held.length);
    expect(new Set(value(ec.backing.list(ec.volume.tools.directories.cellFolder(position, ID))))).toEqual(
      new Set(held.map(({ id }) => String(id))),
    );
    for (const { id, bytes } of aggregates) {
      mustBeClean(ec.reopen(), id);
      expect(isSame(readAggregate(ec.volume, id, bytes.length), bytes)).toBe(true);
    }
  });

  test('is not touched while it is another store’s', () => {
    const ec = temporary(FOUR_TWO);
    writeAggregate(ec.volume, ID, new Uint8Array(5000));
    ec.lose(3);
    ec.backing.makeFolder(ec.row.paths[3] ?? '');
    expect([...rebuildDirectory(ec.reopen(), { position: 3, isKnown: () => true })]).toEqual([]);
    expect(value(ec.backing.list(ec.row.paths[3] ?? ''))).toEqual([]);
  });
});

test.each([300_000, 120_000, 500_000])(
  'a cell of an earlier writing, of %i bytes, that comes back on a disk is told apart',
  (length) => {
    const random = new Random(SEED + 5);
    const ec = temporary(FOUR_TWO);
    writeAggregate(ec.volume, ID, random.bytes(length));
    const kept = contentsOf(ec, ID);
    expect(ec.volume.unlinkAggregate(ID)).toBe(0);
    const bytes = random.bytes(300_000);
    writeAggregate(ec.volume, ID, bytes);
    for (const stale of positionsFor(ID, 6)) {
      writeFileSync(ec.cellPath(stale), kept[stale] ?? '');
      const volume = ec.reopen();
      expect(isSame(readAggregate(volume, ID, bytes.length), bytes)).toBe(true);
      expect(value(volume.statAggregate(ID)).size).toBe(bytes.length);
      expect(value(repairAggregate(volume, ID)).repaired).toEqual([stale]);
      expect(isSame(readAggregate(ec.reopen(), ID, bytes.length), bytes)).toBe(true);
      mustBeClean(ec.volume, ID);
    }
  },
);

test('of two writings with as many cells each neither is believed', () => {
  const random = new Random(SEED + 6);
  const ec = temporary({ dataCells: 2, parityCells: 2 });
  writeAggregate(ec.volume, ID, random.bytes(100_000));
  const kept = contentsOf(ec, ID);
  ec.volume.unlinkAggregate(ID);
  writeAggregate(ec.volume, ID, random.bytes(100_000));
  for (const position of positionsFor(ID, 4).slice(0, 2)) writeFileSync(ec.cellPath(position), kept[position] ?? '');
  for (const position of positionsFor(ID, 4).slice(1, 3)) {
    const bytes = readFileSync(ec.cellPath(position));
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(ec.cellPath(position), bytes);
  }
  const volume = ec.reopen();
  expect(readAggregate(volume, ID, 100_000)).toBe(-E.EIO.number);
  expect(repairAggregate(volume, ID)).toBe(E.EIO);
});
