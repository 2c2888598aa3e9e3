/**
 * What TARGET on the command line means: a store folder, a mount point, or any path below one of them. A mount whose
 * daemon hangs must not hang the command that looks into it, so symlinks are followed by hand and never within a mount of
 * ours: there the name alone says all.
 */
import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Failure } from './failure.ts';
import { FILESYSTEM_TYPE, type MountEntry, mountOf, pacsfsMounts, readMountTable } from './mount_table.ts';
import { configPath } from './store_paths.ts';

export interface Target {
  /** Absolute path of the store folder. */
  readonly store: string;
  /** Where it is mounted on this machine; undefined when it is not. */
  readonly mount: MountEntry | undefined;
  /** Whether the path itself lies in the mount, rather than in the store folder. */
  readonly isInMount: boolean;
}

const MAX_SYMLINKS = 40;

/** Throws a Failure when the path belongs to no store. */
export function resolveTarget(path: string, table: readonly MountEntry[] = readMountTable()): Target {
  const resolved = resolveOutsideMounts(path, table);
  const mount = mountOf(resolved, table);
  if (mount?.type === FILESYSTEM_TYPE) return { store: mount.source, mount, isInMount: true };
  for (let folder = resolved; ; folder = dirname(folder)) {
    if (existsSync(configPath(folder))) {
      const found = pacsfsMounts(table).findLast((entry) => entry.source === folder);
      return { store: folder, mount: found, isInMount: false };
    }
    if (folder === '/') break;
  }
  if (!existsSync(resolved)) throw new Failure(`No such store or mount: ${path} does not exist`);
  throw new Failure(`Not a store: ${path} is neither in a store (no store.yaml there or above) nor in a pacsfs mount`);
}

/** Absolute and without symlinks, as far as that can be told without entering a mount of ours. */
export function resolveOutsideMounts(path: string, table: readonly MountEntry[] = readMountTable()): string {
  const ours = pacsfsMounts(table);
  let pending = parts(resolve(path));
  let done = '';
  let followed = 0;
  while (pending.length > 0) {
    const next = `${done}/${pending[0]}`;
    pending = pending.slice(1);
    if (ours.some((entry) => entry.mountPoint === next)) return [next, ...pending].join('/');
    const link = linkAt(next);
    if (link === undefined) {
      done = next;
    } else {
      if (++followed > MAX_SYMLINKS)
        throw new Failure(`Cannot follow ${path}: more than ${MAX_SYMLINKS} symbolic links`);
      pending = [...parts(resolve(done === '' ? '/' : done, link)), ...pending];
      done = '';
    }
  }
  return done === '' ? '/' : done;
}

function parts(absolute: string): string[] {
  return absolute.split('/').filter((part) => part !== '');
}

/** Where a symbolic link points; undefined for everything else, what is missing included. */
function linkAt(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch {
    return undefined;
  }
}
