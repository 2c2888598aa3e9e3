/**
 * All files below some inodes, a few rows at a time: directory after directory, in each by name as far as a window goes, then
 * what lies below. It needs no memory but the windows of the present one and the way down to it, and its place can be stored: from
 * there another walk goes on, in the window that was under way from its beginning.
 *
 * What is moved, made or removed meanwhile is seen or not, as by find(1).
 */
import { isErrno } from '../base/errno.ts';
import { FIRST_POSITION, type Ino } from '../base/units.ts';
import { DT_DIR, DT_REG, type Inode } from '../shard/rows.ts';
import type { NamespaceStore } from '../shard/store.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from './core.ts';

/** Names fetched in one step. */
const SLICE = 256;
const DIRECTORY_SLICE = 16;
/** Names that are sorted together. */
const WINDOW = 2_048;
/** Deeper directories are not entered. */
export const WALK_DEPTH_MAX = 2_048;
const BEFORE_NAMES = FIRST_POSITION - 1;

/** A directory under way: its files behind a position are still to come, or, once they are done, its subdirectories. */
export interface WalkLevel {
  readonly dir: Ino;
  readonly after: number;
  readonly isBelow: boolean;
}

export interface WalkPlace {
  /** Place in the list of inodes that the walk began with. */
  readonly root: number;
  /** From that inode downwards; empty before it has been looked at. */
  readonly levels: readonly WalkLevel[];
}

export const WALK_START: WalkPlace = { root: 0, levels: [] };

export class TreeWalk {
  readonly #namespace: NamespaceStore;
  readonly #roots: readonly Ino[];
  #root: number;
  #levels: WalkLevel[];
  /** Names of the window so far, while it is being gathered. */
  #gathered: { readonly name: Uint8Array; readonly ino: Ino }[] = [];
  #scanned = 0;
  /** Up to where the window goes, and whether that is the directory's end. */
  #end: number | undefined;
  #isLast = false;
  /** Files of the window that have not been taken, the next one last. */
  #files: Ino[] = [];
  /** The root is a file. */
  #isSingle = false;
  /** Directories that could not be read, or are too deep. */
  unread = 0;

  constructor(namespace: NamespaceStore, roots: readonly Ino[], place: WalkPlace = WALK_START) {
    this.#namespace = namespace;
    this.#roots = roots;
    this.#root = place.root;
    this.#levels = [...place.levels];
  }

  /** Where another walk would go on; all that was taken before comes no more once `isBetween`. */
  get place(): WalkPlace {
    return { root: this.#root, levels: [...this.#levels] };
  }

  /** No file of a window is left to be taken, and none has been gathered since `place`. */
  get isBetween(): boolean {
    return this.#files.length === 0 && this.#end === undefined && this.#gathered.length === 0 && !this.#isSingle;
  }

  /** The next file, if one is known by now. */
  take(): Ino | undefined {
    return this.#files.pop();
  }

  /** A step towards the next file, once none is left to be taken; false at the end. */
  step(): boolean {
    if (this.#files.length > 0) return true;
    const top = this.#levels.at(-1);
    if (this.#isSingle) this.#nextRoot();
    else if (top === undefined) return this.#begin();
    else if (this.#end !== undefined) this.#leaveWindow(top, this.#end);
    else this.#look(top);
    return true;
  }

  #begin(): boolean {
    const ino = this.#roots[this.#root];
    if (ino === undefined) return false;
    const inode = this.#namespace.inode(ino);
    const type = (inode?.mode ?? 0) & S_IFMT;
    if (type === S_IFDIR) this.#levels = [{ dir: ino, after: BEFORE_NAMES, isBelow: false }];
    else if (type === S_IFREG) {
      this.#files = [ino];
      this.#isSingle = true;
    } else this.#root += 1;
    return true;
  }

  #nextRoot(): void {
    this.#isSingle = false;
    this.#root += 1;
  }

  #look(top: WalkLevel): void {
    const dir = this.#namespace.inode(top.dir);
    if (dir === undefined || dir.nlink === 0 || (dir.mode & S_IFMT) !== S_IFDIR) this.#leave();
    else if (top.isBelow) this.#descend(dir, top);
    else this.#gather(dir, top);
  }

  #gather(dir: Inode, top: WalkLevel): void {
    const found = this.#namespace.readList(dir, this.#scanned === 0 ? top.after : this.#gatheredTo, SLICE);
    if (isErrno(found)) {
      this.unread += 1;
      this.#leave();
      return;
    }
    for (const { name, ino, type } of found)
      if (type === DT_REG) this.#gathered.push({ name: Uint8Array.from(name), ino });
    this.#scanned += found.length;
    this.#gatheredTo = found.at(-1)?.position ?? this.#gatheredTo;
    this.#isLast = found.length < SLICE;
    if (!this.#isLast && this.#scanned < WINDOW) return;
    this.#gathered.sort((a, b) => Buffer.compare(b.name, a.name));
    this.#files = this.#gathered.map(({ ino }) => ino);
    this.#end = this.#gatheredTo;
    this.#gathered = [];
    this.#scanned = 0;
  }

  #gatheredTo: number = BEFORE_NAMES;

  #leaveWindow(top: WalkLevel, end: number): void {
    this.#end = undefined;
    if (!this.#isLast) this.#setTop({ ...top, after: end });
    else if (this.#hasBelow(top.dir)) this.#setTop({ ...top, after: BEFORE_NAMES, isBelow: true });
    else this.#leave();
  }

  #hasBelow(ino: Ino): boolean {
    const dir = this.#namespace.inode(ino);
    return dir !== undefined && this.#namespace.totals(dir).directories > 0;
  }

  /** Into the next subdirectory, if there is one among the next names. */
  #descend(dir: Inode, top: WalkLevel): void {
    const found = this.#namespace.readList(dir, top.after, DIRECTORY_SLICE);
    if (isErrno(found)) {
      this.unread += 1;
      this.#leave();
      return;
    }
    const next = found.find(({ type }) => type === DT_DIR);
    const last = next ?? found.at(-1);
    if (last === undefined || (next === undefined && found.length < DIRECTORY_SLICE)) {
      this.#leave();
      return;
    }
    this.#setTop({ ...top, after: last.position });
    if (next === undefined) return;
    if (this.#levels.length >= WALK_DEPTH_MAX) this.unread += 1;
    else this.#levels.push({ dir: next.ino, after: BEFORE_NAMES, isBelow: false });
  }

  #setTop(level: WalkLevel): void {
    this.#levels[this.#levels.length - 1] = level;
  }

  #leave(): void {
    // Also of one that went while its names were being gathered.
    this.#scanned = 0;
    this.#gathered = [];
    this.#levels.pop();
    if (this.#levels.length === 0) this.#root += 1;
  }
}
