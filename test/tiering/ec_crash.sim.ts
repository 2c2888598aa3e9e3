/**
 * A writer that is killed, or whose power is cut, before each of its calls: what stands under an aggregate's name is whole
 * or cannot be read, never wrong; what is left is listed, and removed by its id.
 */
import { describe, expect, test } from 'vitest';
import { formatVolume } from '../../aggregate/identity.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { CELL_BYTES } from '../../tiering/erasure/cell_layout.ts';
import { EcVolume } from '../../tiering/erasure/ec_volume.ts';
import { repairAggregate } from '../../tiering/erasure/repair.ts';
import { isClean, scrubAggregate } from '../../tiering/erasure/scrub.ts';
import { isSame, STORE_ID, value } from '../aggregate/temporary_store.ts';
import { PowerDisk } from '../crash/power_disk.ts';
import { ALL, drawCut } from '../crash/power_moods.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { ecRow, ID, readAggregate, writeAggregate } from './fixture.ts';

const SEED = firstSeed('PACSFS_SEED');
const CODE = { dataCells: 2, parityCells: 1 };
const ROW = ecRow('/volumes', CODE);
const OTHER = (ID + 1) as AggregateId;
const LENGTHS = [100_000, 2 * CELL_BYTES + 30_000];

class Killed extends Error {}

function open(disk: PowerDisk): EcVolume {
  return new EcVolume(ROW, { backing: disk, storeId: STORE_ID });
}

function newDisk(): PowerDisk {
  const disk = new PowerDisk('/none', () => ({ sec: 1, nsec: 0 }));
  value(formatVolume(disk, ROW, { storeId: STORE_ID }));
  disk.flushAll();
  return disk;
}

/** Writes until the `call`-th call that changes the disk; whether it was sealed before. */
function writeUntil(disk: PowerDisk, bytes: Uint8Array, call: number): boolean {
  let calls = 0;
  disk.before = () => {
    calls += 1;
    if (calls === call) throw new Killed();
  };
  try {
    writeAggregate(open(disk), ID, bytes);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof Killed)) throw thrown;
    return false;
  } finally {
    disk.before = () => {};
  }
}

/** What the next daemon finds. */
function check(disk: PowerDisk, bytes: Uint8Array, wasSealed: boolean): 'whole' | 'unreadable' | 'none' {
  const volume = open(disk);
  const found = readAggregate(volume, ID, bytes.length);
  if (typeof found !== 'number') expect(isSame(found, bytes)).toBe(true);
  if (wasSealed) expect(isClean(value(scrubAggregate(volume, ID, { direct: false })))).toBe(true);
  const ids = value(volume.aggregateIds(Math.floor(ID / 4096)));
  const scrubbed = scrubAggregate(volume, ID, { direct: false });
  if (isErrno(scrubbed) || scrubbed.isLost)
    expect(repairAggregate(volume, ID, { direct: false })).not.toHaveProperty('repaired');
  if (ids.length > 0) {
    expect(ids).toEqual([ID]);
    expect(volume.begin(ID, { start: 2 })).toBe(E.EEXIST);
    expect(volume.unlinkAggregate(ID)).toBe(0);
  }
  expect(value(volume.aggregateIds(Math.floor(ID / 4096)))).toEqual([]);
  for (const path of ROW.paths) expect(filesBelow(disk, `${path}/aggregates`)).toEqual([]);
  writeAggregate(volume, OTHER, bytes.subarray(0, 1000));
  expect(readAggregate(volume, OTHER, 1000)).toHaveLength(1000);
  if (ids.length === 0) return 'none';
  return typeof found === 'number' ? 'unreadable' : 'whole';
}

function filesBelow(disk: PowerDisk, path: string): readonly string[] {
  const names = disk.list(path);
  if (isErrno(names)) return [];
  return names.flatMap((name) => {
    const below = `${path}/${name}`;
    return value(disk.stat(below)).isDirectory ? filesBelow(disk, below) : [below];
  });
}

describe(`a writer that ends before any of its calls, seed ${SEED}`, () => {
  test.each(LENGTHS)('killed, %i bytes', (length) => {
    const bytes = new Random(SEED).bytes(length);
    const outcomes = new Map<string, number>();
    for (let call = 1; ; call++) {
      const disk = newDisk();
      const wasSealed = writeUntil(disk, bytes, call);
      const outcome = check(disk, bytes, wasSealed);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (wasSealed) break;
    }
    expect(outcomes.get('unreadable')).toBeGreaterThan(5);
    expect(outcomes.get('whole')).toBeGreaterThan(1);
  });

  test.each(LENGTHS)('by a power cut, %i bytes', (length) => {
    const bytes = new Random(SEED).bytes(length);
    const random = new Random(SEED + 1);
    const outcomes = new Map<string, number>();
    for (let call = 1; ; call++) {
      const disk = newDisk();
      const wasSealed = writeUntil(disk, bytes, call);
      for (let round = 0; round < 6; round++) {
        const cut = disk.cut(
          round === 0 ? { ...ALL, files: () => ({ kind: 'none' }) } : drawCut(random, disk.changes),
          random,
        );
        const outcome = check(cut, bytes, wasSealed);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
      if (wasSealed) break;
    }
    expect(outcomes.get('unreadable')).toBeGreaterThan(5);
    expect(outcomes.get('whole')).toBeGreaterThan(1);
  });
});
