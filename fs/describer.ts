/**
 * What indexes of aggregates say of files, for the rebuild of a store: names and attributes as they are when a job is
 * handed out, the directories above them up to the root. One describer serves one job: it keeps what it has looked up.
 */
import {
  DIRECTORY_DEPTH_MAX,
  MENTION_EXTENTS_MAX,
  type PackDirectory,
  type PackFile,
  type PackMention,
} from '../aggregate/pack.ts';
import { isErrno } from '../base/errno.ts';
import type { Extent, OwnName } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import { type Ino, ROOT_INO } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import type { NamespaceStore } from '../shard/store.ts';
import { isUnsettled, S_IFMT, S_IFREG } from './core.ts';

const NO_NAME = new Uint8Array(0);

/** A settled file that waits to be packed, as it was when it settled. */
export interface SettledFile {
  readonly ino: Ino;
  readonly own: OwnName;
  readonly size: number;
  readonly name: Uint8Array;
  readonly parent: Ino;
  readonly position: number;
}

export class Describer {
  readonly #namespace: NamespaceStore;
  readonly #directories = new Map<Ino, PackDirectory>();

  constructor(namespace: NamespaceStore) {
    this.#namespace = namespace;
  }

  /** As it is now: writers often rename a file, or set its times, once they have closed it. */
  file(settled: SettledFile, mtime: Timespec): PackFile {
    const { ino, own, size } = settled;
    const inode = this.#namespace.inode(ino);
    const { parent, position } = inode ?? settled;
    const isSame = parent === settled.parent && position === settled.position;
    const name = isSame ? settled.name : this.name(parent, position);
    const { mode, uid, gid } = inode ?? { mode: S_IFREG, uid: 0, gid: 0 };
    return { ino, own, size, name, directory: this.#directory(parent, 0), mode, uid, gid, mtime };
  }

  /** Undefined for what is gone, is written just now, or has too many pieces. */
  mention(ino: Ino): PackMention | undefined {
    const inode = this.#namespace.inode(ino);
    if (inode === undefined || inode.nlink === 0 || (inode.mode & S_IFMT) !== S_IFREG || isUnsettled(inode))
      return undefined;
    const { parent, position, mode, uid, gid, size, mtime, own, extents } = inode;
    if (extents.length > MENTION_EXTENTS_MAX) return undefined;
    const name = this.name(parent, position);
    return { ino, name, directory: this.#directory(parent, 0), mode, uid, gid, size, mtime, own, extents };
  }

  /** As it is now, by extents that hold its bytes. */
  described(inode: Inode, extents: readonly Extent[]): PackMention {
    const { ino, parent, position, mode, uid, gid, size, mtime } = inode;
    const name = this.name(parent, position);
    return { ino, name, directory: this.#directory(parent, 0), mode, uid, gid, size, mtime, own: undefined, extents };
  }

  /** The name at a place, in a buffer of its own; empty when nothing readable is there. */
  name(parent: Ino, position: number): Uint8Array {
    const dir = this.#namespace.inode(parent);
    if (dir === undefined) return NO_NAME;
    const found = this.#namespace.readList(dir, position - 1, 1);
    const dentry = isErrno(found) ? undefined : found[0];
    return dentry?.position === position ? Uint8Array.from(dentry.name) : NO_NAME;
  }

  #directory(ino: Ino, depth: number): PackDirectory {
    const known = this.#directories.get(ino);
    if (known !== undefined) return known;
    const directory = this.#look(ino, depth);
    this.#directories.set(ino, directory);
    return directory;
  }

  #look(ino: Ino, depth: number): PackDirectory {
    const row = this.#namespace.inode(ino);
    if (row === undefined) return { ino, name: NO_NAME, mode: 0, uid: 0, gid: 0, above: undefined };
    const { mode, uid, gid, parent } = row;
    const isTop = ino === ROOT_INO || depth >= DIRECTORY_DEPTH_MAX;
    const name = isTop ? NO_NAME : this.name(parent, row.position);
    const above = name.length === 0 ? undefined : this.#directory(parent, depth + 1);
    return { ino, name, mode, uid, gid, above };
  }
}
