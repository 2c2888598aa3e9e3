/**
 * Replies of READDIR and READDIRPLUS: entry after entry until the space that the kernel gave is used up.
 *
 * fuse_dirent: ino 0, off 8, namelen 16, type 20, name 24, padded with zeros to 8 bytes; READDIRPLUS puts a
 * fuse_entry_out of 128 bytes in front. Every entry with a node id counts as one lookup of that inode by the kernel.
 */
import { setU53, viewOf } from '../../base/bytes.ts';
import type { ListedEntry } from '../types.ts';
import { direntBytes, entryOutBytes } from './protocol.ts';
import { encodeEntry, encodeNoEntry } from './replies.ts';

export class DirectoryListing {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #plus: boolean;
  #length = 0;
  #overflowed = false;

  constructor(into: Uint8Array, options: { readonly plus: boolean }) {
    this.#bytes = into;
    this.#view = viewOf(into);
    this.#plus = options.plus;
  }

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** True when there was an entry, but no space for even one. */
  get isTooSmall(): boolean {
    return this.#overflowed && this.#length === 0;
  }

  /** Appends the entry; false when it does not fit and has not been taken. */
  readonly take = (entry: ListedEntry): boolean => {
    const dirent = this.#length + (this.#plus ? entryOutBytes : 0);
    const name = dirent + direntBytes;
    const end = (name + entry.name.length + 7) & ~7;
    if (end > this.#bytes.length) {
      this.#overflowed = true;
      return false;
    }
    if (this.#plus) {
      if (entry.entry === undefined) encodeNoEntry(this.#view, this.#length, 0);
      else encodeEntry(this.#view, this.#length, entry.entry);
    }
    setU53(this.#view, dirent, entry.ino);
    setU53(this.#view, dirent + 8, entry.cookie);
    this.#view.setUint32(dirent + 16, entry.name.length, true);
    this.#view.setUint32(dirent + 20, entry.type, true);
    this.#bytes.set(entry.name, name);
    this.#bytes.fill(0, name + entry.name.length, end);
    this.#length = end;
    return true;
  };
}
