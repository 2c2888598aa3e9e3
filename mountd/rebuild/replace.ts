/**
 * Putting rebuilt or restored metadata in the place of what was lost. Order: the new folder is whole and durable; what is
 * left of the old one is set aside, never deleted; then the new one takes its name. An end in between leaves no metadata
 * under the name, and the command can be run again.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { flushFolder } from '../durable_file.ts';
import { lockPath, metaFolder } from '../store_paths.ts';

/** Where new metadata is made: beside the old one, on the same disk. */
export function rebuildingFolder(store: string): string {
  return join(store, 'meta.rebuilding');
}

/** The folder of the lock must be there before the lock can be taken. */
export function makeMetaFolder(store: string): void {
  mkdirSync(metaFolder(store), { recursive: true, mode: 0o700 });
}

export function clearRebuilding(store: string): void {
  rmSync(rebuildingFolder(store), { recursive: true, force: true });
}

/** Gives back a folder that `makeMetaFolder` made, when nothing came of it. */
export function dropEmptyMeta(store: string): void {
  const meta = metaFolder(store);
  const names = readdirSync(meta);
  if (names.some((name) => name !== 'lock')) return;
  rmSync(lockPath(store), { force: true });
  rmdirSync(meta);
}

/** Returns where the old metadata was put, if there was any. The lock, held by the caller, goes along: it is one file. */
export function replaceMeta(store: string): string | undefined {
  const meta = metaFolder(store);
  const fresh = rebuildingFolder(store);
  if (!existsSync(join(fresh, 'lock'))) linkSync(lockPath(store), join(fresh, 'lock'));
  flushFolder(fresh);
  let aside: string | undefined;
  if (readdirSync(meta).every((name) => name === 'lock')) {
    unlinkSync(lockPath(store));
    rmdirSync(meta);
  } else {
    aside = freeName(`${meta}.lost-${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`);
    renameSync(meta, aside);
    // One lock under one name: the old folder's would be taken for a second store's.
    unlinkSync(join(aside, 'lock'));
  }
  renameSync(fresh, meta);
  flushFolder(store);
  return aside;
}

function freeName(path: string): string {
  for (let attempt = 0; ; attempt++) {
    const name = attempt === 0 ? path : `${path}.${attempt}`;
    if (!existsSync(name)) return name;
  }
}
