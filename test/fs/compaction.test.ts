import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isSparse } from '../../aggregate/compaction.ts';
import { folderOf } from '../../aggregate/volume.ts';
import { E } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { KIB, MIB } from '../../base/units.ts';
import type { WorkerJob } from '../../fs/types.ts';
import { O_RDWR, O_WRONLY } from '../support/loose_user.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

const SIZE = 200 * KIB;
const COUNT = 24;

/** Files in one aggregate, of which those in `kept` are left. */
function sparse(kept: readonly number[] = [3, 11, 20], options: Parameters<typeof start>[0] = {}): Fixture {
  const fixture = start(options);
  const { loose, user } = fixture;
  for (let i = 0; i < COUNT; i++) user.put(`f${i}`, pattern(SIZE, i));
  loose.pack();
  for (let i = 0; i < COUNT; i++) if (!kept.includes(i)) user.remove(`f${i}`);
  settle(fixture);
  return fixture;
}

function settle({ loose }: Fixture): void {
  loose.barrier();
  loose.work();
  loose.barrier();
  loose.work();
}

function aggregatesOf({ user }: Fixture, path: string): number[] {
  const extents = JSON.parse(user.getXattr(path, 'user.pacsfs.extents')) as { aggregate: number }[];
  return extents.map(({ aggregate }) => aggregate);
}

function live({ loose }: Fixture): number {
  return [...loose.data.ledger.rows()].reduce((sum, row) => sum + row.live, 0);
}

function pathOf({ loose }: Fixture, id: number): string {
  const folder = String(folderOf(id as AggregateId));
  return join(loose.volumes[0]?.paths[0] ?? '', 'aggregates', folder, String(id));
}

/** Has the workers do everything but what moves. */
function isMove(job: WorkerJob): boolean {
  return job.kind === 'pack' && job.job.moves !== undefined;
}

/** Goes on until a worker has something to move. */
function untilMoving({ loose }: Fixture): void {
  loose.filesystem.compactor.ask();
  for (let round = 0; round < 100 && !loose.jobs.some(isMove); round++) {
    loose.clock.advance(100);
    loose.tick();
    loose.work((job) => !isMove(job));
  }
  expect(loose.jobs.filter(isMove)).toHaveLength(1);
}

function finish({ loose }: Fixture): void {
  for (let round = 0; round < 200 && loose.filesystem.compactor.status.done === 0; round++) {
    loose.clock.advance(1_000);
    loose.tick();
    loose.work();
  }
  expect(loose.filesystem.compactor.status.done).toBe(1);
}

describe('which aggregates are compacted', () => {
  test('those under their share of live bytes, and with some', () => {
    const written = 64 * MIB;
    expect(isSparse({ live: 0, written }, 0.25)).toBe(false);
    expect(isSparse({ live: 15 * MIB, written }, 0.25)).toBe(true);
    expect(isSparse({ live: 17 * MIB, written }, 0.25)).toBe(false);
    expect(isSparse({ live: 17 * MIB, written }, 0.5)).toBe(true);
    expect(isSparse({ live: 4 * KIB, written: 4 * KIB }, 0.25)).toBe(false);
  });

  test('more of them on a volume past its high watermark', () => {
    const { loose } = start();
    const [share] = [...loose.data.compaction.shares().values()];
    expect([0.25, 0.5]).toContain(share);
  });

  test('one that is mostly live is left alone', () => {
    const fixture = sparse(Array.from({ length: 12 }, (_, i) => i));
    const before = aggregatesOf(fixture, 'f1');
    fixture.loose.compact();
    expect(aggregatesOf(fixture, 'f1')).toEqual(before);
    expect(fixture.loose.filesystem.compactor.status).toMatchObject({ aggregates: 0, bytesCopied: 0, toDo: 0 });
  });

  test('unasked, only where the disk gets more back than is copied', () => {
    const fixture = sparse();
    for (let round = 0; round < 100; round++) {
      fixture.loose.clock.advance(2_000);
      fixture.loose.tick();
      fixture.loose.work();
    }
    // The host has had every dead range punched: nothing is to be gained.
    expect(fixture.loose.filesystem.compactor.status).toMatchObject({ aggregates: 0, bytesCopied: 0 });
  });

  test('unasked, where punches were lost', () => {
    const fixture = start();
    const { loose, user } = fixture;
    for (let i = 0; i < 100; i++) user.put(`f${i}`, pattern(SIZE, i));
    loose.pack();
    loose.backing.arm({ kind: 'allocate', error: E.EOPNOTSUPP, path: '/aggregates/' });
    for (let i = 1; i < 100; i++) if (i !== 40) user.remove(`f${i}`);
    settle(fixture);
    for (let round = 0; round < 100; round++) {
      loose.clock.advance(2_000);
      loose.tick();
      loose.work();
    }
    console.log(`unasked: ${JSON.stringify(loose.filesystem.compactor.status)}`);
    const { aggregates, writeAmplification } = loose.filesystem.compactor.status;
    expect(aggregates).toBeGreaterThan(0);
    expect(writeAmplification).toBeLessThan(0.34);
    for (const i of [0, 40]) expect(same(user.read(`f${i}`), pattern(SIZE, i))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('compaction', () => {
  test('moves what is left, and the aggregate goes', () => {
    const fixture = sparse();
    const { loose, user } = fixture;
    const [source = 0] = aggregatesOf(fixture, 'f3');
    const before = live(fixture);
    loose.compact();
    for (const i of [3, 11, 20]) {
      expect(aggregatesOf(fixture, `f${i}`)).not.toContain(source);
      expect(same(user.read(`f${i}`), pattern(SIZE, i))).toBe(true);
    }
    expect(live(fixture)).toBe(before);
    expect(() => statSync(pathOf(fixture, source))).toThrow('ENOENT');
    expect(loose.filesystem.compactor.status).toMatchObject({ aggregates: 1, files: 3, damaged: 0, failed: undefined });
    expect(loose.damageNow()).toEqual([]);
    for (const i of [3, 11, 20]) expect(same(user.read(`f${i}`), pattern(SIZE, i))).toBe(true);
  });

  test('keeps times, names and everything else of a file', () => {
    const fixture = sparse();
    const { loose, user } = fixture;
    user.setXattr('f3', 'user.note', 'value');
    const before = user.stat('f3');
    loose.compact();
    expect(user.stat('f3')).toEqual(before);
    expect(user.getXattr('f3', 'user.note')).toBe('value');
  });

  test('a file of several segments and one with holes', () => {
    const fixture = start({ data: { aggregateBytes: 32 * MIB, lanesPerVolume: 1 } });
    const { loose, user } = fixture;
    user.put('long', pattern(5 * MIB, 1));
    const holes = user.create('holes');
    user.write(holes, pattern(10 * KIB, 2), 0);
    user.write(holes, pattern(70 * KIB, 3), 3 * MIB);
    user.close(holes);
    loose.pack();
    const whole = user.read('holes') as Uint8Array;
    for (let i = 0; i < 100; i++) user.put(`f${i}`, pattern(SIZE, i));
    loose.pack();
    user.truncate('long', 4.5 * MIB);
    for (let i = 0; i < 100; i++) user.remove(`f${i}`);
    settle(fixture);
    const before = aggregatesOf(fixture, 'long');
    loose.compact();
    expect(aggregatesOf(fixture, 'long')).not.toEqual(before);
    expect(same(user.read('long'), pattern(5 * MIB, 1).subarray(0, 4.5 * MIB))).toBe(true);
    expect(same(user.read('holes'), whole)).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of a file that was cut, only the blocks that are left', () => {
    const fixture = sparse([3]);
    const { loose, user } = fixture;
    user.truncate('f3', 70 * KIB);
    loose.compact();
    expect(same(user.read('f3'), pattern(SIZE, 3).subarray(0, 70 * KIB))).toBe(true);
    expect(live(fixture)).toBe(128 * KIB);
    expect(loose.damageNow()).toEqual([]);
  });

  test('files that share a range move together, and share it still', () => {
    const fixture = sparse([3, 11]);
    const { loose, user } = fixture;
    user.copy('f3', 'copy');
    user.copy('f3', 'second');
    user.truncate('second', 100 * KIB);
    loose.compact();
    expect(aggregatesOf(fixture, 'copy')).toEqual(aggregatesOf(fixture, 'f3'));
    expect(live(fixture)).toBe(2 * SIZE);
    expect(loose.damageNow()).toEqual([]);
    user.remove('f3');
    settle(fixture);
    expect(same(user.read('copy'), pattern(SIZE, 3))).toBe(true);
    expect(same(user.read('second'), pattern(SIZE, 3).subarray(0, 100 * KIB))).toBe(true);
    user.remove('copy');
    user.remove('second');
    settle(fixture);
    expect(live(fixture)).toBe(SIZE);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of a range whose maker is gone', () => {
    const fixture = sparse([3, 11]);
    const { loose, user } = fixture;
    user.copy('f3', 'copy');
    user.remove('f3');
    settle(fixture);
    loose.compact();
    expect(loose.filesystem.compactor.status.aggregates).toBe(1);
    expect(same(user.read('copy'), pattern(SIZE, 3))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('moves the copy that an open for writing has left, and the one of fsync', () => {
    const fixture = sparse();
    const { loose, user } = fixture;
    const changed = user.open('f3', O_RDWR);
    user.write(changed, 'changed', 0);
    const [source = 0] = aggregatesOf(fixture, 'f11');
    loose.compact();
    expect(loose.data.ledger.row(source as AggregateId)?.live ?? 0).toBe(0);
    loose.kill();
    loose.bootId = 'boot-2';
    loose.open();
    expect(user.read('f3')).not.toBe(-E.EIO.number);
    loose.pack();
    expect(loose.damageNow()).toEqual([]);
  });

  test('again, out of what it made itself', () => {
    const fixture = sparse(Array.from({ length: 5 }, (_, i) => i));
    const { loose, user } = fixture;
    loose.compact();
    const first = aggregatesOf(fixture, 'f4');
    for (const i of [0, 1, 2, 3]) user.remove(`f${i}`);
    settle(fixture);
    loose.compact();
    expect(aggregatesOf(fixture, 'f4')).not.toEqual(first);
    expect(same(user.read('f4'), pattern(SIZE, 4))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('what happens while a worker copies', () => {
  test('removed, cut and written files stay what they are; the rest is switched', () => {
    const fixture = sparse([3, 9, 11, 20]);
    const { loose, user } = fixture;
    untilMoving(fixture);
    user.remove('f3');
    user.truncate('f11', 1000);
    const file = user.open('f20', O_WRONLY);
    user.write(file, 'new', 0);
    user.close(file);
    user.rename('f9', 'renamed');
    finish(fixture);
    expect(user.exists('f3')).toBe(false);
    expect(same(user.read('f11'), pattern(SIZE, 11).subarray(0, 1000))).toBe(true);
    expect(user.text('f20').slice(0, 3)).toBe('new');
    expect(same(user.read('renamed'), pattern(SIZE, 9))).toBe(true);
    loose.pack();
    expect(loose.damageNow()).toEqual([]);
    expect(user.text('f20').slice(0, 3)).toBe('new');
  });

  test('a copy that is made of a range keeps it where it is', () => {
    const fixture = sparse([3, 11]);
    const { loose, user } = fixture;
    untilMoving(fixture);
    user.copy('f3', 'copy');
    const before = aggregatesOf(fixture, 'f3');
    finish(fixture);
    expect(aggregatesOf(fixture, 'f3')).toEqual(before);
    expect(aggregatesOf(fixture, 'copy')).toEqual(before);
    expect(loose.damageNow()).toEqual([]);
    expect(same(user.read('copy'), pattern(SIZE, 3))).toBe(true);
  });

  test('a copy that goes meanwhile does too', () => {
    const fixture = sparse([3, 11]);
    const { loose, user } = fixture;
    user.copy('f3', 'copy');
    untilMoving(fixture);
    user.remove('copy');
    finish(fixture);
    expect(same(user.read('f3'), pattern(SIZE, 3))).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('killed before the record, and after it: nothing is lost', () => {
    for (const isRecorded of [false, true]) {
      const fixture = sparse();
      const { loose, user } = fixture;
      untilMoving(fixture);
      if (isRecorded) loose.work(isMove);
      else loose.workUnheard(isMove);
      loose.crash();
      for (const i of [3, 11, 20]) expect(same(user.read(`f${i}`), pattern(SIZE, i))).toBe(true);
      expect(loose.damageNow()).toEqual([]);
      loose.compact();
      for (const i of [3, 11, 20]) expect(same(user.read(`f${i}`), pattern(SIZE, i))).toBe(true);
      expect(loose.damageNow()).toEqual([]);
    }
  });

  test('the source is punched behind the barrier of the record, not before', () => {
    const fixture = sparse();
    const { loose } = fixture;
    const [source = 0] = aggregatesOf(fixture, 'f3');
    untilMoving(fixture);
    const before = readFileSync(pathOf(fixture, source));
    loose.work(isMove);
    loose.work();
    expect(readFileSync(pathOf(fixture, source)).equals(before)).toBe(true);
    finish(fixture);
    expect(() => statSync(pathOf(fixture, source))).toThrow('ENOENT');
  });
});

describe('when something is wrong', () => {
  test('a block that is not what was written stays, and the log says so', () => {
    const fixture = sparse();
    const { loose, user } = fixture;
    const extents = JSON.parse(user.getXattr('f11', 'user.pacsfs.extents')) as { aggregate: number; offset: number }[];
    const [{ aggregate = 0, offset = 0 } = {}] = extents;
    const bytes = readFileSync(pathOf(fixture, aggregate));
    bytes[offset + 100] = (bytes[offset + 100] ?? 0) ^ 1;
    writeFileSync(pathOf(fixture, aggregate), bytes);
    loose.compact();
    expect(aggregatesOf(fixture, 'f11')).toEqual([aggregate]);
    expect(aggregatesOf(fixture, 'f3')).not.toEqual([aggregate]);
    expect(user.read('f11')).toBe(-E.EIO.number);
    expect(loose.log.has('it stays where it is')).toBe(true);
    expect(loose.filesystem.compactor.status).toMatchObject({ aggregates: 0, damaged: 1, files: 2 });
  });

  test('a disk that takes no copies: everything stays, and the pass ends', () => {
    const fixture = sparse();
    const { loose, user } = fixture;
    const before = aggregatesOf(fixture, 'f3');
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: 'aggregates' });
    loose.compact();
    loose.backing.disarm();
    expect(aggregatesOf(fixture, 'f3')).toEqual(before);
    loose.backing.arm({ kind: 'space', error: E.EIO, path: 'volumes' });
    loose.backing.disarm();
    expect(loose.damageNow()).toEqual([]);
    loose.compact();
    expect(same(user.read('f3'), pattern(SIZE, 3))).toBe(true);
    expect(aggregatesOf(fixture, 'f3')).not.toEqual(before);
  });

  test('a failed flush of the copies breaks the store, whose files are where they were', () => {
    const fixture = sparse();
    const { loose, user } = fixture;
    untilMoving(fixture);
    loose.work(isMove);
    loose.backing.arm({ kind: 'flush', error: E.EIO, path: 'aggregates' });
    loose.barrier();
    loose.backing.disarm();
    expect(loose.filesystem.status().broken).toBeDefined();
    for (const i of [3, 11, 20]) expect(same(user.read(`f${i}`), pattern(SIZE, i))).toBe(true);
  });
});
