import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PackJob } from '../../aggregate/pack.ts';
import { punch } from '../../aggregate/punch.ts';
import { scanAggregate } from '../../aggregate/scan.ts';
import { assert } from '../../base/assert.ts';
import { E } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { GIB, KIB, MIB } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { HOT, isSame, STORE_ID, TemporaryStore, value } from './temporary_store.ts';

const AGGREGATE_BYTES = 8 * MIB;
const FIRST = 1 as AggregateId;
/** A host may need a block for its extent tree, and count it as the file's. */
const HOST_BLOCK_BYTES = 4096;
let store: TemporaryStore;
const random = new Random(3);

beforeEach(() => {
  store = new TemporaryStore({ aggregateBytes: AGGREGATE_BYTES, lanesPerVolume: 2 });
});
afterEach(() => {
  store.remove();
});

function ahead(isQuiet = true): PackJob {
  store.barrier();
  const job = store.data.startAhead(isQuiet);
  assert(job !== undefined, 'Nothing is written ahead');
  return job;
}

function blocks(id: AggregateId = FIRST): number {
  return value(store.data.statAggregate(HOT, id)).blocks * 512;
}

/** Packs files of a size until the first aggregate holds so many bytes. */
function fill(bytes: number, size = 300 * KIB): void {
  while ((store.rows.get(FIRST)?.written ?? 0) < bytes) store.pack([store.own(random.bytes(size))]);
}

describe('space written ahead', () => {
  test('is the rest of an aggregate in use: what was packed and what comes lies whole beside it', () => {
    const [before, after] = [random.bytes(2 * MIB), random.bytes(3 * MIB)];
    const [first] = store.pack([store.own(before)]);
    const offset = store.rows.get(FIRST)?.written ?? 0;
    // A barrier that flushes it would not know what this flush has been told.
    expect(store.data.startAhead(true)).toBe(undefined);
    const job = ahead();
    expect([job.aggregate, job.offset, job.fresh]).toEqual([FIRST, offset, false]);
    expect(job.ahead).toEqual({ offset, length: AGGREGATE_BYTES - offset });
    // Nobody else writes to it meanwhile.
    expect(store.job([store.own(random.bytes(4096))]).aggregate).not.toBe(FIRST);
    const result = store.run(job);
    expect([result.ahead, result.flushed, result.error]).toEqual([true, 0, 0]);
    store.finish(result);
    expect(store.rows.get(FIRST)?.written).toBe(offset);
    expect(blocks()).toBeGreaterThanOrEqual(AGGREGATE_BYTES - 64 * KIB);
    const [second] = store.pack([store.own(after)]);
    expect(second?.extents.every(({ aggregate }) => aggregate === FIRST)).toBe(true);
    expect(isSame(store.read(first?.extents ?? [], before.length), before)).toBe(true);
    expect(isSame(store.read(second?.extents ?? [], after.length), after)).toBe(true);
    const file = value(store.data.openAggregate(HOT, FIRST));
    const scanned = [...scanAggregate(file, { storeId: STORE_ID, aggregate: FIRST })];
    const inos = new Set(scanned.flatMap(({ index }) => index.files).map(({ ino }) => ino));
    expect([...inos]).toEqual([first?.ino, second?.ino]);
  });

  test('is a new aggregate besides; urgent jobs go where it suffices', () => {
    fill(5 * MIB);
    store.finish(store.run(ahead()));
    const job = ahead();
    expect([job.fresh, job.aggregate]).toEqual([true, 2]);
    store.finish(store.run(job));
    expect(store.rows.get(2 as AggregateId)).toMatchObject({ state: 'open', written: 4096, live: 0 });
    expect(store.data.startAhead(true)).toBe(undefined);
    const bytes = random.bytes(5 * MIB);
    const urgent = store.data.startPack([store.own(bytes)], { isUrgent: true });
    assert(urgent !== undefined, 'No job');
    const [packed] = store.finish(store.run(urgent));
    expect([urgent.aggregate, urgent.fresh]).toEqual([2, false]);
    expect(isSame(store.read(packed?.extents ?? [], bytes.length), bytes)).toBe(true);
  });

  test('waits for a quiet moment, unless fsyncs have to do without', () => {
    fill(2 * MIB);
    expect(store.data.startAhead(false)).toBe(undefined);
    for (let i = 0; i < 4; i++) {
      expect(store.data.startAhead(false)).toBe(undefined);
      const job = store.data.startPack([store.own(random.bytes(100))], { isUrgent: true });
      assert(job !== undefined, 'No job');
      store.finish(store.run(job));
    }
    expect(ahead(false).ahead).not.toBe(undefined);
  });

  test('comes in pieces: the next one before the last is used up, while fsyncs go on', () => {
    store.remove();
    store = new TemporaryStore({
      aggregateBytes: 16 * MIB,
      lanesPerVolume: 1,
      aheadFrom: 16 * MIB,
      aheadBytes: 2 * MIB,
    });
    const fsync = () => {
      const job = store.data.startPack([store.own(random.bytes(200 * KIB))], { isUrgent: true });
      assert(job !== undefined, 'No job');
      store.finish(store.run(job));
      store.barrier();
      return job.offset;
    };
    const zeros: { from: number; to: number }[] = [];
    let missed = 0;
    for (let n = 0; n < 50; n++) {
      const job = store.data.startAhead(false);
      if (job?.ahead !== undefined) {
        zeros.push({ from: job.ahead.offset, to: job.ahead.offset + job.ahead.length });
        store.finish(store.run(job));
      }
      const at = fsync();
      const [first, last] = [zeros[0], zeros.at(-1)];
      if (first === undefined || last === undefined || at < first.from || at + 200 * KIB > last.to) missed += 1;
    }
    expect(missed).toBe(2);
    expect(zeros.length).toBeGreaterThan(4);
    for (const [n, { from, to }] of zeros.entries()) {
      expect(to - from).toBeLessThanOrEqual(2 * MIB);
      if (n > 0) expect(from).toBe(zeros[n - 1]?.to);
    }
  });

  test('counts as free, and is given back when the disk is full', () => {
    fill(2 * MIB);
    const used = blocks();
    store.finish(store.run(ahead()));
    const rest = AGGREGATE_BYTES - (store.rows.get(FIRST)?.written ?? 0);
    // Others use the same disk.
    store.backing.space = () => ({ total: GIB, free: 600 * MIB, available: 500 * MIB });
    expect(store.data.space()).toMatchObject([{ free: 600 * MIB + rest, available: 500 * MIB + rest }]);
    expect(store.data.giveBackAhead()).toBe(true);
    expect(blocks()).toBeLessThanOrEqual(used + HOST_BLOCK_BYTES);
    expect(store.data.giveBackAhead()).toBe(false);
    expect(store.data.space()).toMatchObject([{ free: 600 * MIB, available: 500 * MIB }]);
  });

  test('that a start left behind is given back, and nothing else: what no row tells of stays', () => {
    const bytes = random.bytes(2 * MIB);
    const [packed] = store.pack([store.own(bytes)]);
    const stale = store.rows.get(FIRST);
    assert(stale !== undefined, 'No row');
    const used = blocks();
    store.finish(store.run(ahead()));
    // As if the row were that of before: no damage of a row may cost bytes.
    store.rows.set(FIRST, { ...stale, written: 4096 });
    store.barrier();
    store.reopen();
    store.commit();
    store.barrier();
    const jobs = store.data.takePunches();
    expect(jobs).toMatchObject([{ aggregate: FIRST, offset: 4096, onlyZeros: true }]);
    for (const job of jobs) expect(punch(job, store.backing)).toBe(0);
    expect(blocks()).toBeLessThan(used + 2 * MIB);
    expect(isSame(store.read(packed?.extents ?? [], bytes.length), bytes)).toBe(true);
  });

  test('a full disk leaves the aggregate as it was, and it is not tried again; another error seals it', () => {
    fill(2 * MIB);
    const used = blocks();
    const job = ahead();
    store.backing.arm({ kind: 'write', error: E.ENOSPC, after: 3, times: 1 });
    const result = store.run(job);
    store.backing.disarm();
    expect([result.error, result.ahead, result.created]).toEqual([0, false, true]);
    store.finish(result);
    expect(blocks()).toBeLessThanOrEqual(used + HOST_BLOCK_BYTES);
    expect(store.data.startAhead(true)).toBe(undefined);
    const bytes = random.bytes(MIB);
    const [packed] = store.pack([store.own(bytes)]);
    expect(packed?.extents[0]?.aggregate).toBe(FIRST);
    expect(isSame(store.read(packed?.extents ?? [], bytes.length), bytes)).toBe(true);
  });
});
