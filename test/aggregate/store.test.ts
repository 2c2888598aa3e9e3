import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { punch } from '../../aggregate/punch.ts';
import { DataStore, formatVolume } from '../../aggregate/store.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { Extent } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import { type AggregateId, KIB, MIB, type VolumeId } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { HOT, isSame, SMALL_AGGREGATE, STORE_ID, TemporaryStore, value, volumeRow } from './temporary_store.ts';

let store: TemporaryStore;
const random = new Random(2);

beforeEach(() => {
  store = new TemporaryStore({ aggregateBytes: SMALL_AGGREGATE });
});
afterEach(() => {
  store.remove();
});

function packOne(contents: Uint8Array): readonly Extent[] {
  return store.pack([store.own(contents)])[0]?.extents ?? [];
}

function flipByte(extent: Extent, at: number): void {
  const path = store.aggregatePath(extent.aggregate);
  const bytes = readFileSync(path);
  bytes[extent.rangeStart + at] = (bytes[extent.rangeStart + at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('own files', () => {
  test('are found again by name, over restarts, and named once', () => {
    const contents = random.bytes(5000);
    const { own } = store.own(contents);
    store.reopen();
    const into = new Uint8Array(5000);
    expect(value(store.data.openOwn(own)).read(into, 0)).toBe(5000);
    expect(into).toEqual(contents);
    expect(value(store.data.createOwn(HOT)).name).not.toEqual(own);
    expect([...value(store.data.ownFiles(HOT))]).toHaveLength(2);
    expect(value(store.data.statOwn(own)).size).toBe(5000);
  });

  test('are unlinked only behind a barrier', () => {
    const { own } = store.own(random.bytes(10));
    store.data.unlinkOwnLater(own);
    expect(isErrno(store.data.statOwn(own))).toBe(false);
    store.barrier();
    expect(store.data.statOwn(own)).toBe(E.ENOENT);
    expect(store.data.openOwn(own)).toBe(E.ENOENT);
  });

  test('descriptors are bounded', () => {
    const bounded = new TemporaryStore({ maxOpenFiles: 16 });
    const files = Array.from({ length: 100 }, () => bounded.own(random.bytes(10)));
    expect(bounded.backing.openFiles).toBeLessThanOrEqual(16);
    for (const { own } of files) expect(value(bounded.data.openOwn(own)).read(new Uint8Array(10), 0)).toBe(10);
    expect(bounded.backing.openFiles).toBeLessThanOrEqual(16);
    expect(bounded.data.openFiles).toBeLessThanOrEqual(16);
    bounded.data.close();
    expect(bounded.backing.openFiles).toBe(0);
    bounded.remove();
  });

  test('a full volume takes no more; the next one does', () => {
    const two = new TemporaryStore({ reserveBytes: 0 }, 2);
    expect(two.data.newestPlacement()).toBe(HOT);
    two.remove();
    const full = new TemporaryStore({ reserveBytes: Number.MAX_SAFE_INTEGER }, 2);
    expect(full.data.newestPlacement()).toBe(E.ENOSPC);
    expect(full.data.createOwn(HOT)).toBe(E.ENOSPC);
    full.remove();
  });

  test('an error at creation is the host’s own', () => {
    store.backing.arm({ kind: 'create', error: E.ENOSPC, times: 1 });
    expect(store.data.createOwn(HOT)).toBe(E.ENOSPC);
    expect(value(store.data.createOwn(HOT)).name.number).toBe(1);
  });
});

describe('reading', () => {
  test('any range of any layout is what was written', () => {
    const size = 6 * MIB + 123;
    const { name, file } = value(store.data.createOwn(HOT));
    const expected = new Uint8Array(size);
    for (const [offset, length] of [
      [0, 200_000],
      [1 * MIB + 4096, 70_000],
      [2 * MIB, 4 * MIB + 123],
    ] as const) {
      const bytes = random.bytes(length);
      expected.set(bytes, offset);
      file.write(bytes, offset);
    }
    const extents = store.pack([store.describe(name, size)])[0]?.extents ?? [];
    expect(extents.length).toBeGreaterThan(3);
    for (let i = 0; i < 300; i++) {
      const offset = random.below(size + 10_000);
      const into = new Uint8Array(random.below(i % 2 === 0 ? 300_000 : 5000)).fill(0xee);
      const count = store.data.read(extents, { offset, length: into.length, size }, into);
      expect(count).toBe(Math.max(0, Math.min(into.length, size - offset)));
      expect(Buffer.compare(into.subarray(0, count), expected.subarray(offset, offset + count))).toBe(0);
    }
  });

  test('a cut extent serves its part, verified by whole blocks', () => {
    const contents = random.bytes(300_000);
    const [whole] = packOne(contents);
    const cut: Extent = { ...(whole as Extent), fileOffset: 0, length: 100_000, offset: (whole?.offset ?? 0) + 77_777 };
    expect(isSame(store.read([cut], 100_000), contents.subarray(77_777, 177_777))).toBe(true);
    expect(isSame(store.read([{ ...cut, length: 10 }], 10), contents.subarray(77_777, 77_787))).toBe(true);
  });

  test('one flipped byte gives EIO wherever it is touched, and only there', () => {
    const contents = random.bytes(300_000);
    const extents = packOne(contents);
    flipByte(extents[0] as Extent, 200_000);
    store.reopen();
    expect(store.read(extents, 300_000)).toBe(-E.EIO.number);
    expect(store.data.verify(extents[0] as Extent)).toBe(-E.EIO.number);
    const into = new Uint8Array(10).fill(7);
    expect(store.data.read(extents, { offset: 196_700, length: 10, size: 300_000 }, into)).toBe(-E.EIO.number);
    expect(into).toEqual(new Uint8Array(10));
    expect(store.data.read(extents, { offset: 10, length: 10, size: 300_000 }, into)).toBe(10);
    expect(into).toEqual(contents.subarray(10, 20));
  });

  test('a missing, cut or unreadable aggregate gives EIO', () => {
    const extents = packOne(random.bytes(300_000));
    const path = store.aggregatePath(extents[0]?.aggregate ?? 0);
    store.backing.arm({ kind: 'read', error: E.EIO, path: 'aggregates', times: 1 });
    expect(store.read(extents, 300_000)).toBe(-E.EIO.number);
    expect(store.read(extents, 300_000)).toBeInstanceOf(Uint8Array);
    writeFileSync(path, readFileSync(path).subarray(0, 100_000));
    expect(store.read(extents, 300_000)).toBe(-E.EIO.number);
    rmSync(path);
    store.reopen();
    expect(store.read(extents, 300_000)).toBe(-E.EIO.number);
  });

  test('extents that leave their range are refused, not believed', () => {
    const [extent] = packOne(random.bytes(10_000));
    for (const wrong of [
      { length: 20_000 },
      { offset: 0 },
      { rangeLength: 200_000, length: 200_000 },
      { checksums: new Uint32Array(0) },
    ]) {
      expect(store.read([{ ...(extent as Extent), ...wrong }], 20_000)).toBe(-E.EIO.number);
    }
  });

  test('the day of the last read goes into the row once', () => {
    const extents = packOne(random.bytes(10));
    store.data.noteRead(extents);
    expect(store.data.ledger.takeChangedRows()[0]?.lastReadDay).toBeGreaterThan(19_000);
    store.data.noteRead(extents);
    expect(store.data.ledger.takeChangedRows()).toEqual([]);
  });
});

describe('copying out', () => {
  test('gives the same bytes, the same holes, the same size', () => {
    const { name, file } = value(store.data.createOwn(HOT));
    const data = random.bytes(2 * MIB + 5);
    file.write(data, MIB);
    file.truncate(8 * MIB);
    const extents = store.pack([store.describe(name, 8 * MIB)])[0]?.extents ?? [];
    const copy = value(store.data.createOwn(HOT));
    expect(store.data.copyOut(extents, 8 * MIB, copy.file)).toBe(0);
    const stat = value(copy.file.stat());
    expect(stat.size).toBe(8 * MIB);
    expect(stat.blocks * 512).toBeLessThan(3 * MIB);
    const bytes = new Uint8Array(data.length);
    copy.file.read(bytes, MIB);
    expect(Buffer.compare(bytes, data)).toBe(0);
  });

  test('to a smaller size leaves out the rest; damage ends it', () => {
    const contents = random.bytes(300_000);
    const extents = packOne(contents);
    const copy = value(store.data.createOwn(HOT));
    expect(store.data.copyOut(extents, 100_001, copy.file)).toBe(0);
    expect(value(copy.file.stat()).size).toBe(100_001);
    flipByte(extents[0] as Extent, 5);
    expect(store.data.copyOut(extents, 100_001, copy.file)).toBe(-E.EIO.number);
  });
});

describe('volumes', () => {
  test('a directory without the right identity is missing, never empty', () => {
    const extents = packOne(random.bytes(10));
    const { own } = store.own(random.bytes(10));
    const identity = join(store.root, 'hot1', 'pacsfs-volume.json');
    const right = readFileSync(identity, 'utf8');
    for (const wrong of ['', '{', '{"format":2}', right.replace(STORE_ID, STORE_ID.replace('0', '1'))]) {
      writeFileSync(identity, wrong);
      store.reopen();
      expect(store.data.missing).toHaveLength(1);
      expect(store.read(extents, 10)).toBe(-E.EIO.number);
      expect(store.data.openOwn(own)).toBe(E.EIO);
      expect(store.data.createOwn(HOT)).toBe(E.EIO);
      expect(store.data.newestPlacement()).toBe(E.EIO);
      expect(store.data.ownFiles(HOT)).toBe(E.EIO);
      expect(store.data.space()).toEqual([]);
    }
    writeFileSync(identity, right);
    store.reopen();
    expect(store.data.missing).toEqual([]);
    expect(store.read(extents, 10)).toBeInstanceOf(Uint8Array);
  });

  test('with one missing, new files go to another', () => {
    const two = new TemporaryStore({}, 2);
    rmSync(join(two.root, 'hot1'), { recursive: true });
    mkdirSync(join(two.root, 'hot1'));
    two.reopen();
    expect(two.data.newestPlacement()).toBe(2);
    expect(two.data.space()).toHaveLength(1);
    two.remove();
  });

  test('formatting refuses a directory that has an identity, and kinds that are not built yet', () => {
    const [volume] = store.volumes;
    if (volume === undefined) throw new Error('no volume');
    expect(formatVolume(store.backing, volume, { storeId: STORE_ID })).toBe(E.EEXIST);
    const mirror = { ...volumeRow(9, '/nowhere'), kind: 'mirror' as const };
    expect(formatVolume(store.backing, mirror, { storeId: STORE_ID })).toBe(E.EOPNOTSUPP);
    const opened = DataStore.open({
      backing: store.backing,
      storeId: STORE_ID,
      start: 9,
      volumes: [mirror],
      aggregates: [],
      log: silentLog,
    });
    expect(opened).toBe(E.EOPNOTSUPP);
  });
});

describe('the life of an aggregate', () => {
  test('is sealed by the next start, and its id never given again', () => {
    const extents = packOne(random.bytes(10));
    store.reopen();
    store.commit();
    expect(store.rows.get(extents[0]?.aggregate as AggregateId)?.state).toBe('sealed');
    const [next] = packOne(random.bytes(10));
    expect(next?.aggregate).toBeGreaterThan(extents[0]?.aggregate ?? 0);
    expect(store.read(extents, 10)).toBeInstanceOf(Uint8Array);
  });

  test('a file without a row keeps its id from being used', () => {
    const job = store.job([store.own(random.bytes(10))]);
    store.run(job);
    store.reopen();
    expect(store.job([store.own(random.bytes(10))]).aggregate).toBeGreaterThan(job.aggregate);
  });

  test('live bytes follow packing and release, shared ranges die last', () => {
    const [a, b] = store.pack([store.own(random.bytes(5000)), store.own(random.bytes(4096))]);
    const id = a?.extents[0]?.aggregate as AggregateId;
    expect(store.rows.get(id)?.live).toBe(8192 + 4096);
    const shared = (a?.extents ?? []).map((extent) => ({ ...extent, shared: true }));
    const asked: Extent[] = [];
    store.data.ledger.release([...shared, ...shared], {
      stillShared: (extent) => {
        asked.push(extent);
        return true;
      },
    });
    expect(asked).toHaveLength(1);
    expect(store.data.ledger.row(id)?.live).toBe(8192 + 4096);
    store.data.ledger.release(shared, { stillShared: () => false });
    expect(store.data.ledger.row(id)?.live).toBe(4096);
    store.data.ledger.release(b?.extents ?? [], { stillShared: () => false, kept: b?.extents ?? [] });
    expect(store.data.ledger.row(id)?.live).toBe(4096);
  });

  test('files rejected by the caller are dead at birth', () => {
    const result = store.run(store.job([store.own(random.bytes(5000)), store.own(random.bytes(100))]));
    const switched = store.finish(result, (file) => file.ino === result.files[0]?.ino);
    expect(switched).toHaveLength(1);
    expect(store.rows.get(result.aggregate)?.live).toBe(8192);
    store.barrier();
    expect(store.data.takePunches()).toMatchObject([{ offset: result.files[1]?.extents[0]?.offset, length: 4096 }]);
  });

  test('neighbours that die are punched as one, behind the barrier, and space comes back', () => {
    const files = Array.from({ length: 4 }, () => store.own(random.bytes(256 * KIB)));
    const packed = store.pack(files);
    const path = store.aggregatePath(packed[0]?.extents[0]?.aggregate ?? 0);
    store.release([...(packed[2]?.extents ?? []), ...(packed[1]?.extents ?? [])]);
    expect(store.data.takePunches()).toEqual([]);
    store.barrier();
    const jobs = structuredClone(store.data.takePunches());
    expect(jobs).toMatchObject([{ offset: packed[1]?.extents[0]?.offset, length: 512 * KIB }]);
    const before = value(store.backing.stat(path)).blocks;
    for (const job of jobs) expect(punch(job, store.backing)).toBe(0);
    expect(before - value(store.backing.stat(path)).blocks).toBe((512 * KIB) / 512);
    expect(store.read(packed[0]?.extents ?? [], 256 * KIB)).toBeInstanceOf(Uint8Array);
    expect(store.read(packed[3]?.extents ?? [], 256 * KIB)).toBeInstanceOf(Uint8Array);
    expect(store.read(packed[1]?.extents ?? [], 256 * KIB)).toBe(-E.EIO.number);
    expect(store.data.takePunches()).toEqual([]);
  });

  test('ranges whose record is not written yet are not punched', () => {
    const extents = packOne(random.bytes(5000));
    packOne(random.bytes(10));
    store.data.ledger.release(extents, { stillShared: () => false });
    store.data.barrierBegins();
    store.data.barrierDone();
    expect(store.data.takePunches()).toEqual([]);
    store.barrier();
    expect(store.data.takePunches()).toHaveLength(1);
  });

  test('what is let go while a barrier is under way waits for the next one', () => {
    const [first, second] = [packOne(random.bytes(5000)), packOne(random.bytes(10))];
    const [early, late] = [store.own(random.bytes(10)), store.own(random.bytes(10))];
    store.data.unlinkOwnLater(early.own);
    store.release(first);
    store.data.barrierBegins();
    store.data.unlinkOwnLater(late.own);
    store.release(second);
    store.data.barrierDone();
    expect([early, late].map(({ own }) => store.data.statOwn(own) === E.ENOENT)).toEqual([true, false]);
    expect(store.data.takePunches()).toMatchObject([{ offset: first[0]?.rangeStart }]);
    store.barrier();
    expect(store.data.statOwn(late.own)).toBe(E.ENOENT);
    expect(store.data.takePunches()).toMatchObject([{ offset: second[0]?.rangeStart }]);
  });

  test('a sealed one without a live byte is removed behind the barrier, then its row', () => {
    const extents = packOne(random.bytes(5000));
    const id = extents[0]?.aggregate as AggregateId;
    store.reopen();
    store.commit();
    packOne(random.bytes(10));
    store.release(extents);
    expect(store.rows.get(id)?.state).toBe('dead');
    expect(value(store.data.statAggregate(HOT, id)).size).toBeGreaterThan(0);
    store.barrier();
    expect(store.data.statAggregate(HOT, id)).toBe(E.ENOENT);
    expect(store.data.takePunches()).toEqual([]);
    store.commit();
    expect(store.rows.has(id)).toBe(false);
    expect(store.data.ledger.row(id)).toBeUndefined();
  });

  test('one whose death is not recorded yet is not removed', () => {
    const extents = packOne(random.bytes(5000));
    store.reopen();
    store.commit();
    store.data.ledger.release(extents, { stillShared: () => false });
    store.data.barrierBegins();
    store.data.barrierDone();
    expect(value(store.data.aggregateFiles(HOT))).toHaveLength(1);
    store.barrier();
    expect(value(store.data.aggregateFiles(HOT))).toHaveLength(0);
  });

  test('a crash between the record and the removal is made good by the next start', () => {
    const extents = packOne(random.bytes(5000));
    const id = extents[0]?.aggregate as AggregateId;
    store.reopen();
    store.commit();
    store.release(extents);
    store.reopen();
    store.barrier();
    expect(store.data.statAggregate(HOT, id)).toBe(E.ENOENT);
  });

  test('the newest row stays, so that its id is not used twice', () => {
    const extents = packOne(random.bytes(5000));
    store.reopen();
    store.release(extents);
    store.barrier();
    store.commit();
    expect(store.rows.size).toBe(1);
    store.reopen();
    expect(packOne(random.bytes(10))[0]?.aggregate).toBe((extents[0]?.aggregate ?? 0) + 1);
    store.barrier();
    store.commit();
    expect([...store.rows.keys()]).toEqual([(extents[0]?.aggregate ?? 0) + 1]);
  });

  test('an open one without a live byte stays: it is being filled', () => {
    const extents = packOne(random.bytes(5000));
    store.release(extents);
    expect([...store.rows.values()][0]?.state).toBe('open');
  });

  test('one that cannot be removed is tried again', () => {
    const extents = packOne(random.bytes(5000));
    store.reopen();
    store.release(extents);
    store.backing.arm({ kind: 'unlink', error: E.EIO, path: 'aggregates', times: 1 });
    store.barrier();
    expect(value(store.data.aggregateFiles(HOT))).toHaveLength(1);
    store.barrier();
    expect(value(store.data.aggregateFiles(HOT))).toHaveLength(0);
  });

  test('a recount corrects rows, brings back what is named, buries what is not', () => {
    const named = packOne(random.bytes(5000));
    store.reopen();
    const forgotten = packOne(random.bytes(5000));
    store.reopen();
    store.commit();
    const [a, b] = [named[0]?.aggregate, forgotten[0]?.aggregate] as [AggregateId, AggregateId];
    const unknown = { id: 50 as AggregateId, volume: HOT, live: 4096, end: 9000 };
    store.data.ledger.recount([{ id: a, volume: HOT, live: 4096, end: 12_288 }, unknown], { partial: false });
    store.commit();
    expect(store.rows.get(a)).toMatchObject({ live: 4096, state: 'sealed' });
    expect(store.rows.get(b)).toMatchObject({ live: 0, state: 'dead' });
    expect(store.rows.get(unknown.id)).toMatchObject({ live: 4096, state: 'sealed', written: 9000 });
    expect(packOne(random.bytes(10))[0]?.aggregate).toBe(51);
  });

  test('a recount that could not read every inode only raises counts', () => {
    const named = packOne(random.bytes(5000));
    store.reopen();
    const unread = packOne(random.bytes(5000));
    store.reopen();
    store.commit();
    const [a, b] = [named[0]?.aggregate, unread[0]?.aggregate] as [AggregateId, AggregateId];
    store.data.ledger.recount([{ id: a, volume: HOT, live: 4096, end: 12_288 }], { partial: true });
    store.commit();
    expect(store.rows.get(a)).toMatchObject({ live: 8192, state: 'sealed' });
    expect(store.rows.get(b)).toMatchObject({ live: 8192, state: 'sealed' });
  });

  test('read only, nothing changes', () => {
    packOne(random.bytes(10));
    const reader = value(
      DataStore.open({
        backing: store.backing,
        storeId: STORE_ID,
        start: 99,
        volumes: store.volumes,
        aggregates: [...store.rows.values()],
        options: { readOnly: true },
        log: silentLog,
      }),
    );
    expect(reader.ledger.takeChangedRows()).toEqual([]);
    reader.close();
  });

  test('a flush covers new aggregates, their folders and own files’ folders once', () => {
    const before = store.backing.calls.get('flushFolder') ?? 0;
    packOne(random.bytes(10));
    // The name of an own file counts once its bytes do.
    value(store.data.flushOwn(store.own(random.bytes(10)).own));
    value(store.data.flush());
    const folders = store.backing.calls.get('flushFolder') ?? 0;
    const flushes = store.backing.calls.get('flush') ?? 0;
    // Of own files and of aggregates: the folder, the one above, and the volume's.
    expect(folders).toBe(before + 6);
    value(store.data.flush());
    expect(store.backing.calls.get('flushFolder')).toBe(folders);
    expect(store.backing.calls.get('flush')).toBe(flushes);
    packOne(random.bytes(10));
    value(store.data.flush());
    expect(store.backing.calls.get('flush')).toBe(flushes + 1);
    expect(store.backing.calls.get('flushFolder')).toBe(folders);
  });

  test('space is told for each volume', () => {
    const [space] = store.data.space();
    expect(space?.volume.id).toBe(1 as VolumeId);
    expect(space?.available).toBeGreaterThan(0);
  });
});
