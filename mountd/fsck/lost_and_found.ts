/** The directory lost+found in the root, made when it is first needed, and names in it: '#' and the inode's number. */
import { isErrno } from '../../base/errno.ts';
import type { Timespec } from '../../base/time.ts';
import { type Ino, type Position, ROOT_INO } from '../../base/units.ts';
import { DT_DIR, type Inode } from '../../shard/rows.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { newDirectory } from './new_directory.ts';

const NAME = 'lost+found';
const MODE = 0o040700;
/** Names tried, of the directory and of one inode in it. */
const ATTEMPTS = 16;

export interface LostPlace {
  readonly dir: Inode;
  readonly name: Uint8Array;
  readonly position: Position;
}

export class LostAndFound {
  readonly #namespace: NamespaceStore;
  readonly #now: Timespec;
  #ino: Ino | undefined;

  constructor(namespace: NamespaceStore, now: Timespec) {
    this.#namespace = namespace;
    this.#now = now;
  }

  /** A free name for an inode; undefined when the root or the directory cannot take one. */
  placeFor(ino: Ino): LostPlace | undefined {
    this.#ino ??= this.#find() ?? this.#make();
    const dir = this.#ino === undefined ? undefined : this.#namespace.inode(this.#ino);
    return dir === undefined ? undefined : this.#freeName(dir, `#${ino}`);
  }

  #find(): Ino | undefined {
    const root = this.#namespace.inode(ROOT_INO);
    const dentry = root === undefined ? undefined : this.#namespace.lookup(root, Buffer.from(NAME));
    return dentry?.type === DT_DIR && this.#namespace.inode(dentry.ino) !== undefined ? dentry.ino : undefined;
  }

  #make(): Ino | undefined {
    const root = this.#namespace.inode(ROOT_INO);
    const place = root === undefined ? undefined : this.#freeName(root, NAME);
    if (place === undefined) return undefined;
    const { dir, name, position } = place;
    const record = this.#namespace.begin();
    const ino = record.newIno(this.#namespace.slotForDirectory(dir.ino, name));
    const at = { now: this.#now, generation: this.#namespace.generation };
    record.putInode(newDirectory({ ino, mode: MODE, parent: dir.ino, position }, at));
    record.putDentry(dir, { dir: dir.ino, position, name, ino, type: DT_DIR });
    record.touchDirectory(dir, { entries: 1, directories: 1, now: this.#now, position });
    this.#namespace.commit(record);
    return ino;
  }

  /** The name, or with a number behind it when it is taken. */
  #freeName(dir: Inode, wanted: string): LostPlace | undefined {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const name = Buffer.from(attempt === 0 ? wanted : `${wanted}.${attempt}`);
      if (this.#namespace.lookup(dir, name) !== undefined) continue;
      const position = this.#namespace.placeFor(dir, name);
      if (!isErrno(position)) return { dir, name, position };
    }
    return undefined;
  }
}
