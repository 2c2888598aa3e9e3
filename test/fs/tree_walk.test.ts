import { describe, expect, test } from 'vitest';
import { type Ino, ROOT_INO } from '../../base/units.ts';
import { jobOf, type MigrationJob, NONE_STAYS, rowOf } from '../../fs/migration_job.ts';
import { TreeWalk, WALK_START, type WalkPlace } from '../../fs/tree_walk.ts';
import { type Fixture, start } from './fixture.ts';

/** A directory of many names, and some below others. */
function tree(names = 50): { readonly fixture: Fixture; readonly inos: ReadonlyMap<Ino, string> } {
  const fixture = start();
  const { user } = fixture;
  const inos = new Map<Ino, string>();
  const put = (path: string) => inos.set(user.put(path, ''), path);
  user.mkdir('large');
  for (let i = 0; i < names; i++) put(`large/${i}`);
  for (const dir of ['large/a', 'large/a/b', 'large/a/b/c', 'large/d', 'empty']) user.mkdir(dir);
  for (const dir of ['large/a', 'large/a/b/c', 'large/d']) for (let i = 0; i < 20; i++) put(`${dir}/x${i}`);
  put('single');
  return { fixture, inos };
}

/** All files that are still to come, and each place from which another walk could go on, with how many came before. */
function walked({ loose }: Fixture, roots: readonly Ino[], place?: WalkPlace) {
  const walk = new TreeWalk(loose.namespace, roots, place);
  const files: Ino[] = [];
  const places: [WalkPlace, number][] = [];
  do {
    for (let ino = walk.take(); ino !== undefined; ino = walk.take()) files.push(ino);
    if (walk.isBetween) places.push([walk.place, files.length]);
  } while (walk.step());
  expect(walk.unread).toBe(0);
  return { files, places };
}

describe('a walk', () => {
  test('finds every file once, and goes on from any of its places', () => {
    // More than a window has.
    const { fixture, inos } = tree(2_500);
    const { files, places } = walked(fixture, [ROOT_INO]);
    expect(files.length).toBe(inos.size);
    expect(new Set(files)).toEqual(new Set(inos.keys()));
    expect(places.length).toBeGreaterThan(10);
    for (const [place, before] of places) expect(walked(fixture, [ROOT_INO], place).files).toEqual(files.slice(before));
  });

  test('goes by name within a window, directory after directory', () => {
    const { fixture, inos } = tree();
    const small = ['large/a', 'large/d'].map((path) => fixture.user.stat(path).ino);
    const paths = walked(fixture, small).files.map((ino) => inos.get(ino));
    const names = Array.from({ length: 20 }, (_, i) => `x${i}`).sort();
    const expected = ['large/a', 'large/a/b/c', 'large/d'].flatMap((dir) => names.map((name) => `${dir}/${name}`));
    expect(paths).toEqual(expected);
  });

  test('of a file is that file; of what is gone or no file it is nothing', () => {
    const { fixture } = tree();
    const single = fixture.user.stat('single').ino;
    const gone = (single + 4096 * 1_000) as Ino;
    expect(walked(fixture, [gone, single, fixture.user.stat('empty').ino]).files).toEqual([single]);
    expect(walked(fixture, [single, single]).files).toEqual([single, single]);
  });

  test('passes over directories that are removed while it is in them', () => {
    const { fixture } = tree();
    const { user, loose } = fixture;
    const walk = new TreeWalk(loose.namespace, [user.stat('large/d').ino]);
    walk.step();
    for (let i = 0; i < 20; i++) user.remove(`large/d/x${i}`);
    const { parent, name } = user.place('large/d');
    expect(user.filesystem.removeDirectory(user.caller, parent, name)).toBeUndefined();
    while (walk.step()) while (walk.take() !== undefined);
    expect(walk.unread).toBe(0);
  });
});

test('a directory that goes while its names are gathered hides none of the next one', () => {
  const fixture = start();
  const { user, loose } = fixture;
  for (const dir of ['one', 'two']) user.mkdir(dir);
  const inos = ['one', 'two'].map((dir) => Array.from({ length: 300 }, (_, i) => user.put(`${dir}/${i}`, '')));
  const roots = ['one', 'two'].map((dir) => user.stat(dir).ino);
  const walk = new TreeWalk(loose.namespace, roots);
  // To the directory, then some of its names: fewer than there are.
  walk.step();
  walk.step();
  expect(walk.isBetween).toBe(false);
  for (let i = 0; i < 300; i++) user.remove(`one/${i}`);
  const { parent, name } = user.place('one');
  expect(user.filesystem.removeDirectory(user.caller, parent, name)).toBeUndefined();
  const found: Ino[] = [];
  do for (let ino = walk.take(); ino !== undefined; ino = walk.take()) found.push(ino);
  while (walk.step());
  expect(new Set(found)).toEqual(new Set(inos[1]));
});

describe('the row of a migration', () => {
  const job: MigrationJob = {
    ...{ id: 7, state: 'copying', request: 'ab-1', to: 'warm', roots: [1 as Ino, 4096 as Ino], pass: 2 },
    place: { root: 1, levels: [{ dir: 4096 as Ino, after: 2 ** 53 - 1, isBelow: true }] },
    ...{ toDo: { files: 5, bytes: 2 ** 45 }, moved: { files: 3, bytes: 1 }, stay: { ...NONE_STAYS, open: 4 } },
    ...{ beganSec: 1_700_000_000, endedSec: 0, reason: 'größe', retries: 3, nextTrySec: 1_700_000_060 },
  };

  test('is read back as it was', () => {
    expect(jobOf(rowOf(job))).toEqual(job);
    expect(jobOf(rowOf({ ...job, place: WALK_START }))).toEqual({ ...job, place: WALK_START });
  });

  test('that is none is told', () => {
    const row = rowOf(job);
    for (const text of ['', 'null', '[]', '{}', '{"roots": 1}', row.job.slice(1), row.job.replace('4096', '"x"')])
      expect(jobOf({ ...row, job: text })).toBeUndefined();
    expect(jobOf({ ...row, state: 'flying' })).toBeUndefined();
  });
});
