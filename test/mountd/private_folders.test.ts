/** What a store keeps of patients is for its owner alone, whoever made it. */
import { chmodSync, lstatSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { keepPrivate } from '../../mountd/private_folders.ts';
import { pattern } from '../fs/fixture.ts';
import { LooseFilesystem } from '../support/loose_filesystem.ts';
import { LooseUser, ROOT_USER } from '../support/loose_user.ts';

function below(path: string): string[] {
  const inner = lstatSync(path).isDirectory() ? readdirSync(path).flatMap((name) => below(join(path, name))) : [];
  return [path, ...inner];
}

/** Those that others may look into. */
function open(paths: readonly string[]): string[] {
  return paths.filter((path) => !lstatSync(path).isSymbolicLink() && (lstatSync(path).mode & 0o077) !== 0);
}

test('metadata, aggregates and own files are made for their owner alone, and a store of before is tightened', () => {
  const mask = process.umask(0);
  onTestFinished(() => void process.umask(mask));
  const journal = join('/tmp', `pacsfs-private-${process.pid}`);
  const loose = new LooseFilesystem();
  onTestFinished(() => loose.remove());
  const user = new LooseUser(() => loose.filesystem, ROOT_USER);
  user.put('packed', pattern(100_000));
  loose.pack();
  user.write(user.create('open'), 'an own file');
  loose.sync();
  const { metaFolder, volumes } = loose;
  const [volume = ''] = volumes.flatMap(({ paths }) => paths);
  const folders = [metaFolder, join(volume, 'own'), join(volume, 'aggregates')];
  const all = folders.flatMap(below);
  expect(all.some((path) => path.endsWith('.db-wal'))).toBe(true);
  expect(all.length).toBeGreaterThan(12);
  expect(open(all)).toEqual([]);
  // As earlier versions made them.
  for (const path of all) chmodSync(path, lstatSync(path).isDirectory() ? 0o755 : 0o644);
  writeFileSync(join(loose.folder, 'elsewhere'), '', { mode: 0o644 });
  symlinkSync(join(loose.folder, 'elsewhere'), join(metaFolder, 'link'));
  const places = { store: loose.folder, storeId: 'none', volumes, journals: [journal] };
  expect(keepPrivate(places)).toEqual([]);
  expect(open(below(metaFolder))).toEqual([]);
  expect(open(folders)).toEqual([]);
  expect(statSync(join(metaFolder, 'system.db')).mode & 0o777).toBe(0o600);
  expect(statSync(metaFolder).mode & 0o777).toBe(0o700);
  // What a link names is somebody else's.
  expect(statSync(join(loose.folder, 'elsewhere')).mode & 0o777).toBe(0o644);
  expect(user.text('open')).toBe('an own file');
  // A disk that answers with errors must not keep the others from being served.
  const long = join(volume, 'x'.repeat(300));
  const complaints = keepPrivate({ ...places, volumes: [{ paths: [long] }, ...volumes] });
  expect(complaints).toEqual(['own', 'aggregates', 'lost'].map((name) => expect.stringContaining(`/${name} from`)));
});
