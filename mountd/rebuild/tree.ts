/**
 * The directories of a store as indexes tell of them. Each is known by its inode, so that it has the name that the newest
 * index gives it; two that had one path at different times become one.
 */
import type { Ino, Lsn } from '../../base/units.ts';
import { ROOT_INO } from '../../base/units.ts';
import type { FoundDirectory } from './survey.ts';

export interface TreeDirectory extends FoundDirectory {
  /** The directory of this tree that holds it; the root holds itself. */
  readonly parent: Ino;
}

export const LOST_AND_FOUND = 'lost+found';
const MODE_TYPE = 0o170000;
const MODE_DIRECTORY = 0o040000;
const NAME_MAX = 255;

export class Tree {
  readonly directories = new Map<Ino, TreeDirectory>();
  readonly lostAndFound: Ino;
  /** Which directory of the tree each one that was found has become. */
  readonly #became = new Map<Ino, Ino>();
  readonly #below = new Map<Ino, FoundDirectory[]>();
  readonly #children = new Map<Ino, TreeDirectory[]>();

  /** `spare` is a number for lost+found, should there be none. */
  constructor(found: ReadonlyMap<Ino, FoundDirectory>, spare: Ino) {
    for (const directory of found.values()) {
      if (directory.above === undefined) continue;
      const below = this.#below.get(directory.above) ?? [];
      below.push(directory);
      this.#below.set(directory.above, below);
    }
    const root = found.get(ROOT_INO) ?? { ...UNKNOWN, ino: ROOT_INO, mode: MODE_DIRECTORY | 0o755 };
    this.#add({ ...root, name: new Uint8Array(0), above: undefined }, ROOT_INO);
    this.#grow(ROOT_INO, [ROOT_INO]);
    const lost = this.children(ROOT_INO).find(({ name }) => Buffer.from(name).toString() === LOST_AND_FOUND);
    this.lostAndFound = lost?.ino ?? spare;
    if (lost === undefined)
      this.#add({ ...UNKNOWN, ino: spare, name: Buffer.from(LOST_AND_FOUND), above: ROOT_INO }, ROOT_INO);
    this.#keepRest(found);
  }

  /** The directory of the tree that takes what lay in `ino`. */
  placeOf(ino: Ino): Ino {
    return this.#became.get(ino) ?? this.lostAndFound;
  }

  children(ino: Ino): readonly TreeDirectory[] {
    return this.#children.get(ino) ?? [];
  }

  #add(directory: FoundDirectory, parent: Ino): void {
    const isDirectory = (directory.mode & MODE_TYPE) === MODE_DIRECTORY;
    const made = { ...directory, mode: isDirectory ? directory.mode : UNKNOWN.mode, parent };
    this.directories.set(directory.ino, made);
    this.#became.set(directory.ino, directory.ino);
    if (directory.ino === parent) return;
    const siblings = this.#children.get(parent);
    if (siblings === undefined) this.#children.set(parent, [made]);
    else siblings.push(made);
  }

  /** Everything below a directory of the tree, which `members` have become. */
  #grow(top: Ino, topMembers: readonly Ino[]): void {
    const queue = [{ into: top, members: topMembers }];
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const byName = new Map<string, FoundDirectory[]>();
      for (const below of next.members.flatMap((member) => this.#below.get(member) ?? [])) {
        if (this.#became.has(below.ino) || !isName(below.name)) continue;
        const key = Buffer.from(below.name).toString('latin1');
        const same = byName.get(key);
        if (same === undefined) byName.set(key, [below]);
        else same.push(below);
      }
      for (const same of byName.values()) {
        const [newest] = same.sort((a, b) => b.start - a.start || b.lsn - a.lsn || b.ino - a.ino);
        if (newest === undefined) continue;
        this.#add(newest, next.into);
        for (const { ino } of same) this.#became.set(ino, newest.ino);
        queue.push({ into: newest.ino, members: same.map(({ ino }) => ino) });
      }
    }
  }

  /** Directories that hang on nothing known, or in a ring: from names of different times one can come about. */
  #keepRest(found: ReadonlyMap<Ino, FoundDirectory>): void {
    const rest = [...found.values()].filter(({ ino }) => !this.#became.has(ino));
    const isTop = ({ above, name }: FoundDirectory) => above === undefined || !found.has(above) || !isName(name);
    rest.sort((a, b) => Number(isTop(b)) - Number(isTop(a)) || a.lsn - b.lsn);
    for (const directory of rest) {
      if (this.#became.has(directory.ino)) continue;
      this.#add({ ...directory, name: Buffer.from(`#${directory.ino}`) }, this.lostAndFound);
      this.#grow(directory.ino, [directory.ino]);
    }
  }
}

const UNKNOWN: FoundDirectory = {
  ino: ROOT_INO,
  above: undefined,
  name: new Uint8Array(0),
  mode: MODE_DIRECTORY | 0o700,
  uid: 0,
  gid: 0,
  lsn: 1 as Lsn,
  start: 0,
};

/** Whether a directory can have such an entry. What comes from disk is checked. */
export function isName(name: Uint8Array): boolean {
  if (name.length === 0 || name.length > NAME_MAX || name.includes(0) || name.includes(0x2f)) return false;
  return !name.every((byte) => byte === 0x2e) || name.length > 2;
}
