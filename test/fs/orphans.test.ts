import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { E } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import { O_RDONLY, O_RDWR } from '../support/loose_user.ts';
import { type Fixture, start } from './fixture.ts';

/** Own files on the disk. */
function ownFiles({ loose }: Fixture): number {
  const folder = join(loose.folder, 'volumes', 'hot', 'own');
  if (!existsSync(folder)) return 0;
  return readdirSync(folder).reduce((sum, name) => sum + readdirSync(join(folder, name)).length, 0);
}

function orphans({ loose }: Fixture): Ino[] {
  return [...loose.namespace.orphans()];
}

function liveBytes({ loose }: Fixture): number {
  return [...loose.data.ledger.rows()].reduce((sum, row) => sum + row.live, 0);
}

describe('a file that is unlinked while it is open', () => {
  for (const layout of ['own', 'packed'] as const) {
    test(`${layout}: serves its handles, and goes with FORGET after RELEASE`, () => {
      const fixture = start();
      const { loose, user } = fixture;
      user.put('file', 'contents');
      if (layout === 'packed') loose.pack();
      const file = user.open('file', O_RDWR);
      user.unlink('file');
      expect([user.exists('file'), orphans(fixture)]).toEqual([false, [file.ino]]);
      expect(user.filesystem.getAttributes(file.ino)).toMatchObject({ attributes: { nlink: 0, size: 8 } });
      user.write(file, 'CON');
      expect(new TextDecoder().decode(user.readInode(file.ino) as Uint8Array)).toBe('CONtents');
      user.close(file);
      user.forget(file.ino);
      expect([orphans(fixture), user.filesystem.getAttributes(file.ino)]).toEqual([[], E.ESTALE]);
      loose.barrier();
      expect([ownFiles(fixture), liveBytes(fixture)]).toEqual([0, 0]);
      expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
      expect(loose.damageNow()).toEqual([]);
    });

    test(`${layout}: goes with RELEASE after FORGET`, () => {
      const fixture = start();
      const { loose, user } = fixture;
      user.put('file', 'contents');
      if (layout === 'packed') loose.pack();
      const [first, second] = [user.open('file', O_RDONLY), user.open('file', O_RDWR)];
      user.unlink('file');
      user.forget(first.ino);
      user.close(second);
      expect(orphans(fixture)).toEqual([first.ino]);
      user.close(first);
      expect(orphans(fixture)).toEqual([]);
      loose.barrier();
      expect([ownFiles(fixture), liveBytes(fixture), loose.filesystem.status().openFiles]).toEqual([0, 0, 0]);
      expect(loose.damageNow()).toEqual([]);
    });
  }

  test('is not reclaimed by a FORGET while it has another name', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const ino = user.put('a', 'contents');
    user.link('a', 'b');
    user.unlink('a');
    user.forget(ino);
    expect([user.text('b'), user.stat('b').nlink]).toEqual(['contents', 1]);
    user.remove('b');
    expect(orphans(fixture)).toEqual([]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('is reclaimed by the next mount, after a stop and after a kill', () => {
    for (const end of ['stop', 'kill'] as const) {
      const fixture = start();
      const { loose, user } = fixture;
      const file = user.create('file');
      user.write(file, 'contents');
      user.unlink('file');
      loose.barrier();
      if (end === 'stop') loose.stop();
      else loose.kill();
      loose.open();
      expect(orphans(fixture)).toEqual([]);
      loose.barrier();
      expect(ownFiles(fixture)).toBe(0);
      expect(loose.damageNow()).toEqual([]);
    }
  });

  test('a removed directory takes no names, lists nothing, and goes with FORGET', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const ino = user.mkdir('directory');
    expect(
      user.filesystem.removeDirectory(user.caller, 1 as Ino, new TextEncoder().encode('directory')),
    ).toBeUndefined();
    const at = { parent: ino, name: new TextEncoder().encode('x'), flags: O_RDWR };
    expect(user.filesystem.create(user.caller, at, { mode: 0o644, umask: 0 })).toBe(E.ENOENT);
    expect(user.filesystem.getAttributes(ino)).toMatchObject({ attributes: { nlink: 0 } });
    const names: Uint8Array[] = [];
    user.filesystem.listDirectory({ ino, cookie: 0, plus: true }, ({ name }) => names.push(name) > 0);
    expect(names).toEqual([]);
    user.forget(ino);
    expect(user.filesystem.getAttributes(ino)).toBe(E.ESTALE);
    expect(loose.damageNow()).toEqual([]);
  });
});

describe('O_TMPFILE', () => {
  test('goes when it is closed and forgotten', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.createUnnamed();
    user.write(file, 'contents');
    user.close(file);
    user.forget(file.ino);
    loose.barrier();
    expect([orphans(fixture), ownFiles(fixture), loose.filesystem.status().openFiles]).toEqual([[], 0, 0]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('gets a name, and is packed', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.createUnnamed();
    user.write(file, 'contents');
    user.filesystem.makeLink(user.caller, file.ino, user.place('named'));
    user.close(file);
    loose.pack();
    expect([user.layout('named'), user.text('named'), user.stat('named').nlink]).toEqual(['packed', 'contents', 1]);
    expect(orphans(fixture)).toEqual([]);
    expect(loose.damageNow()).toEqual([]);
  });

  test('gets its name after it was closed, through a descriptor that is no handle', () => {
    const fixture = start();
    const { loose, user } = fixture;
    const file = user.createUnnamed();
    user.write(file, 'contents');
    user.close(file);
    user.filesystem.makeLink(user.caller, file.ino, user.place('named'));
    loose.pack();
    expect([user.layout('named'), user.text('named')]).toEqual(['packed', 'contents']);
    expect(loose.filesystem.status()).toMatchObject({ openFiles: 0, waitingFiles: 0 });
    expect(loose.damageNow()).toEqual([]);
  });
});
