import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import { ROOT_INO } from '../../base/units.ts';
import { NONE_STAYS } from '../../fs/migration_job.ts';
import { O_WRONLY } from '../support/loose_user.ts';
import { pattern, start } from './fixture.ts';
import { allRight, COUNT, filled, finish, jobOf, move, pathOf, SIZE, settle, turn, volumesOf } from './migrating.ts';

describe('when something is wrong', () => {
  test('a target without room fails it with a reason, and later it goes on', () => {
    const fixture = filled();
    const { loose } = fixture;
    loose.backing.arm({ kind: 'write', error: E.ENOSPC, path: 'volumes/warm2/aggregates' });
    const { id, ...failed } = move(fixture, 'd', 'warm');
    expect(failed).toMatchObject({ state: 'failed', retries: 1, reason: 'volume warm2 has no room left' });
    expect(loose.filesystem.status().broken).toBeUndefined();
    loose.backing.disarm();
    expect(volumesOf(fixture, 'd/f0')).toEqual(['hot']);
    loose.clock.advance(61_000);
    turn(fixture);
    expect(finish(fixture, id)).toMatchObject({ state: 'failed' });
    for (let round = 0; round < 300 && jobOf(fixture, id)?.state !== 'done'; round++) turn(fixture);
    expect(jobOf(fixture, id)).toMatchObject({ state: 'done', moved: { files: COUNT }, reason: '', retries: 0 });
    expect(loose.damageNow()).toEqual([]);
  });

  test('a target that does not answer fails it, and nothing else', () => {
    const fixture = filled();
    const { loose, user } = fixture;
    loose.backing.arm({ kind: 'space', error: E.EIO, path: 'volumes/warm2' });
    const { id, ...failed } = move(fixture, 'd', 'warm');
    expect(failed.state).toBe('failed');
    expect(failed.reason).toBe('volume warm2 is missing, or cannot be written or read');
    user.put('d/more', pattern(SIZE, 600));
    loose.pack();
    expect(move(fixture, 'd', 'hot').state).toBe('done');
    loose.backing.disarm();
    for (let round = 0; round < 300 && jobOf(fixture, id)?.state !== 'done'; round++) turn(fixture);
    expect(jobOf(fixture, id)).toMatchObject({ state: 'done', moved: { files: COUNT + 1 } });
    expect(loose.filesystem.migrator.list.history).toHaveLength(2);
    expect(loose.damageNow()).toEqual([]);
  });

  test('of those that are over the last thousand are kept', () => {
    const fixture = start({ volumes: 2 });
    const { loose } = fixture;
    const { list } = loose.filesystem.migrator;
    for (let i = 0; i < 1_005; i++) {
      const asked = list.ask({ request: `${i}`, roots: [ROOT_INO], to: 'warm' });
      if (isErrno(asked)) throw new Error(asked.name);
      const record = loose.namespace.begin();
      list.put(record, { ...asked, state: 'done' });
      loose.namespace.commit(record);
    }
    const ids = () => loose.filesystem.migrator.list.history.map((job) => job.id);
    expect([ids().length, ids()[0], ids().at(-1)]).toEqual([1_000, 6, 1_005]);
    loose.damageNow();
    expect([ids().length, ids()[0], ids().at(-1)]).toEqual([1_000, 6, 1_005]);
    const next = loose.filesystem.migrator.list.ask({ request: 'next', roots: [ROOT_INO], to: 'warm' });
    expect(next).toMatchObject({ id: 1_006 });
  });

  test('a tier that is not there is refused', () => {
    const fixture = filled();
    const { list } = fixture.loose.filesystem.migrator;
    expect(list.ask({ request: 'x', roots: [ROOT_INO], to: 'cold' })).toBe(E.ENOENT);
    expect(list.ask({ request: 'x', roots: [], to: 'warm' })).toBe(E.EINVAL);
  });

  test('asked twice it is one', () => {
    const fixture = filled();
    const { list } = fixture.loose.filesystem.migrator;
    const first = list.ask({ request: 'same', roots: [ROOT_INO], to: 'warm' });
    expect(list.ask({ request: 'same', roots: [ROOT_INO], to: 'warm' })).toEqual(first);
    expect(list.pending).toHaveLength(1);
    fixture.loose.crash();
    expect(fixture.loose.filesystem.migrator.list.pending).toEqual([first]);
  });

  test('a block that is not what was written stays, and the rest moves', () => {
    const fixture = filled();
    const { loose, user } = fixture;
    const [extent] = JSON.parse(user.getXattr('d/f11', 'user.pacsfs.extents')) as {
      aggregate: number;
      offset: number;
    }[];
    const path = pathOf(fixture, extent?.aggregate ?? 0);
    const bytes = readFileSync(path);
    bytes[(extent?.offset ?? 0) + 100] = (bytes[(extent?.offset ?? 0) + 100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const job = move(fixture, 'd', 'warm');
    expect(job).toMatchObject({ state: 'done', moved: { files: COUNT - 1 }, stay: { ...NONE_STAYS, damaged: 1 } });
    expect(volumesOf(fixture, 'd/f11')).toEqual(['hot']);
    expect(user.read('d/f11')).toBe(-E.EIO.number);
    expect(loose.log.has('it stays where it is')).toBe(true);
  });

  test.each(['flush', 'read'] as const)('a target whose %s fails is given nothing, and breaks nothing', (kind) => {
    const fixture = filled();
    const { loose } = fixture;
    loose.backing.arm({ kind, error: E.EIO, path: 'volumes/warm2/aggregates' });
    const { id, state } = move(fixture, 'd', 'warm');
    expect(state).toBe('failed');
    expect(volumesOf(fixture, 'd/f0')).toEqual(['hot']);
    loose.backing.disarm();
    settle(fixture);
    expect(loose.filesystem.status().broken).toBeUndefined();
    for (let round = 0; round < 300 && jobOf(fixture, id)?.state !== 'done'; round++) turn(fixture);
    expect(jobOf(fixture, id)).toMatchObject({ state: 'done', moved: { files: COUNT } });
    expect(volumesOf(fixture, 'd/f0')).toEqual(['warm2']);
    expect(allRight(fixture)).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('a disk that was unmounted is no target: the bare folder below is left alone', () => {
    const fixture = filled();
    const { loose } = fixture;
    const path = loose.volumes.find(({ name }) => name === 'warm2')?.paths[0] ?? '';
    renameSync(path, `${path}-away`);
    mkdirSync(path);
    const { id, state } = move(fixture, 'd', 'warm');
    expect(state).toBe('failed');
    expect(existsSync(join(path, 'aggregates'))).toBe(false);
    expect(volumesOf(fixture, 'd/f0')).toEqual(['hot']);
    rmSync(path, { recursive: true });
    renameSync(`${path}-away`, path);
    for (let round = 0; round < 300 && jobOf(fixture, id)?.state !== 'done'; round++) turn(fixture);
    expect(jobOf(fixture, id)).toMatchObject({ state: 'done', moved: { files: COUNT } });
    expect(allRight(fixture)).toBe(true);
    expect(loose.damageNow()).toEqual([]);
  });

  test('sources that cannot be read at all fail it, and later it goes on', () => {
    const fixture = filled();
    const { loose } = fixture;
    loose.backing.arm({ kind: 'read', error: E.EIO, path: 'volumes/hot/aggregates' });
    const { id, ...failed } = move(fixture, 'd', 'warm');
    expect(failed).toMatchObject({ state: 'failed', reason: 'what is to move cannot be read: see the log' });
    loose.backing.disarm();
    for (let round = 0; round < 300 && jobOf(fixture, id)?.state !== 'done'; round++) turn(fixture);
    expect(jobOf(fixture, id)).toMatchObject({ state: 'done', moved: { files: COUNT }, stay: NONE_STAYS });
    expect(allRight(fixture)).toBe(true);
  });

  test('a file of two aggregates, the first of which is damaged, is tried and left', () => {
    const fixture = filled();
    const { loose, user } = fixture;
    // The next daemon packs into another aggregate.
    loose.crash();
    for (let i = 0; i < COUNT; i++) user.put(`d/g${i}`, pattern(SIZE, 100 + i));
    loose.pack();
    const both = user.create('d/both', O_WRONLY);
    for (const [i, name] of ['d/f3', 'd/g39'].entries()) {
      const source = user.open(name);
      expect(user.copyRange(source, both, { to: i * SIZE, length: SIZE })).toBe(SIZE);
      user.close(source);
    }
    user.close(both);
    loose.pack();
    // Nobody else takes it along.
    user.remove('d/g39');
    const extents = JSON.parse(user.getXattr('d/both', 'user.pacsfs.extents')) as {
      aggregate: number;
      offset: number;
    }[];
    expect(new Set(extents.map(({ aggregate }) => aggregate)).size).toBe(2);
    const [first] = extents;
    const path = pathOf(fixture, first?.aggregate ?? 0);
    const bytes = readFileSync(path);
    bytes[(first?.offset ?? 0) + 100] = (bytes[(first?.offset ?? 0) + 100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const job = move(fixture, 'd', 'warm');
    expect(job.state).toBe('done');
    expect(job.stay.damaged).toBeGreaterThan(0);
    expect(volumesOf(fixture, 'd/f4')).toEqual(['warm2']);
  });
});
