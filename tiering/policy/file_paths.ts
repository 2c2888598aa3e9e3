/** Paths of files from their rows alone: each inode knows one of its names by directory and position. */
import { LRUCache } from 'lru-cache';
import { type Ino, ROOT_INO } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';

export interface NameSource {
  inode(ino: Ino): Inode | undefined;
  /** The name at a position of a directory. */
  nameAt(dir: Inode, position: number): Uint8Array | undefined;
}

const SLASH = new Uint8Array([0x2f]);
const CACHED_FOLDERS = 65_536;
/** Longer paths cannot be opened as a whole; deeper ones, or circles in damaged rows, end here. */
const MAX_DEPTH = 2_048;

interface Folder {
  readonly inode: Inode;
  /** With a slash at its end; empty for the root. */
  readonly path: Uint8Array;
}

/** Asked for many files of the same folders, it reads one name for each. */
export class FilePaths {
  readonly #source: NameSource;
  readonly #folders = new LRUCache<Ino, Folder>({ max: CACHED_FOLDERS });

  constructor(source: NameSource) {
    this.#source = source;
  }

  /** From the mount's root, without a slash in front; undefined for a file whose name is gone or cannot be read. */
  of(inode: Pick<Inode, 'parent' | 'position'>): Uint8Array | undefined {
    const folder = this.#folder(inode.parent, MAX_DEPTH);
    if (folder === undefined) return undefined;
    const name = this.#source.nameAt(folder.inode, inode.position);
    return name && Buffer.concat([folder.path, name]);
  }

  #folder(ino: Ino, depth: number): Folder | undefined {
    const known = this.#folders.get(ino);
    if (known !== undefined) return known;
    if (depth === 0 || ino === 0) return undefined;
    const inode = this.#source.inode(ino);
    if (inode === undefined) return undefined;
    const path = ino === ROOT_INO ? new Uint8Array(0) : this.#folderPath(inode, depth);
    if (path === undefined) return undefined;
    const folder = { inode, path };
    this.#folders.set(ino, folder);
    return folder;
  }

  #folderPath(inode: Inode, depth: number): Uint8Array | undefined {
    const parent = this.#folder(inode.parent, depth - 1);
    const name = parent && this.#source.nameAt(parent.inode, inode.position);
    return parent && name && Buffer.concat([parent.path, name, SLASH]);
  }
}
