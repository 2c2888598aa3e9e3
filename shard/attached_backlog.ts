/**
 * What waits in a backlog of attributes and targets of inodes. An inode's changes stay here until the last of them has been
 * applied: those that the database has by then it is not asked for.
 */
import type { Ino } from '../base/units.ts';
import type { Mutation } from './mutation.ts';

export type AttachedChange = Extract<
  Mutation,
  { readonly kind: 'no-inode' | 'xattr' | 'no-xattr' | 'no-xattrs' | 'symlink' | 'no-symlink' }
>;

interface Attached {
  last: AttachedChange;
  /** By names; null: it goes. */
  readonly xattrs: Map<string, Uint8Array | null>;
  /** Of the attributes that the database has, all others go. */
  areOthersGone: boolean;
  symlink: Uint8Array | null | undefined;
}

export class AttachedBacklog {
  readonly #inodes = new Map<Ino, Attached>();

  add(change: AttachedChange): void {
    const attached = this.#attached(change);
    switch (change.kind) {
      case 'xattr':
        attached.xattrs.set(keyOf(change.name), change.value);
        break;
      case 'no-xattr':
        attached.xattrs.set(keyOf(change.name), null);
        break;
      case 'symlink':
        attached.symlink = change.target;
        break;
      case 'no-symlink':
        attached.symlink = null;
        break;
      default:
        if (change.kind === 'no-inode') attached.symlink = null;
        attached.xattrs.clear();
        attached.areOthersGone = true;
        break;
    }
  }

  #attached(change: AttachedChange): Attached {
    const found = this.#inodes.get(change.ino);
    if (found !== undefined) {
      found.last = change;
      return found;
    }
    const made: Attached = { last: change, xattrs: new Map(), areOthersGone: false, symlink: undefined };
    this.#inodes.set(change.ino, made);
    return made;
  }

  /** It has been applied. */
  forget(change: AttachedChange): void {
    if (this.#inodes.get(change.ino)?.last === change) this.#inodes.delete(change.ino);
  }

  clear(): void {
    this.#inodes.clear();
  }

  /** Null: it is going, or there is none. Undefined: the database knows. */
  xattr(ino: Ino, name: Uint8Array): Uint8Array | null | undefined {
    const attached = this.#inodes.get(ino);
    if (attached === undefined) return undefined;
    const coming = attached.xattrs.get(keyOf(name));
    return coming === undefined && attached.areOthersGone ? null : coming;
  }

  /** All names as they will be, in the order of their bytes, from those that the database has. */
  xattrNames(ino: Ino, names: Uint8Array[]): Uint8Array[] {
    const attached = this.#inodes.get(ino);
    if (attached === undefined) return names;
    const { xattrs, areOthersGone } = attached;
    const merged = areOthersGone ? [] : names.filter((name) => !xattrs.has(keyOf(name)));
    for (const [key, value] of xattrs) if (value !== null) merged.push(Buffer.from(key, 'latin1'));
    return merged.sort(Buffer.compare);
  }

  /** As `xattr`. */
  symlink(ino: Ino): Uint8Array | null | undefined {
    return this.#inodes.get(ino)?.symlink;
  }
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
}
