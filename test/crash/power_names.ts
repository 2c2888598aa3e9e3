/** The names that a program of a simulation has made, and what it takes up next: by chance. */
import type { Ino } from '../../base/units.ts';
import type { Random } from '../support/random.ts';

const FOLDERS = ['d0', 'd1', 'd0/s', 'd2'];
const FILES = ['a', 'b', 'c', 'd', 'e', 'f'];
/** One folder is crowded: with the bounds of power_store.ts it is always being split or merged. */
const CROWDED = 'd0';
const CROWD = Array.from({ length: 24 }, (_, i) => `n${i}`);

export class PowerNames {
  readonly #random: Random;
  /** Every path but the root's. */
  readonly paths = new Map<string, Ino>();

  constructor(random: Random) {
    this.#random = random;
  }

  get folders(): string[] {
    return [...this.paths.keys()].filter(isFolder);
  }

  /** Anything of a list; undefined when it is empty. */
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.#random.below(list.length)];
  }

  any(): string | undefined {
    return this.pick([...this.paths.keys()]);
  }

  /** A path of one of these inodes. */
  anyOf(inodes: { has(ino: Ino): boolean }): string | undefined {
    return this.pick([...this.paths].filter(([, ino]) => inodes.has(ino)).map(([path]) => path));
  }

  /** Where something that is no directory could be, whether there is something or not. */
  place(): string {
    const crowded = this.paths.has(CROWDED) ? [CROWDED, CROWDED] : [];
    const folder = this.pick(['', '', ...crowded, ...this.folders]) ?? '';
    const name = this.pick(folder === CROWDED ? CROWD : FILES) ?? '';
    return folder === '' ? name : `${folder}/${name}`;
  }

  /** Some names of the crowded folder that are there, or that are not. */
  crowd(isThere: boolean): string[] {
    const all = CROWD.map((name) => `${CROWDED}/${name}`).filter((path) => this.paths.has(path) === isThere);
    const from = this.#random.below(1 + all.length);
    return this.paths.has(CROWDED) ? all.slice(from, from + 8) : [];
  }

  free(): string | undefined {
    for (let tries = 0; tries < 4; tries++) {
      const path = this.place();
      if (!this.paths.has(path)) return path;
    }
    return undefined;
  }

  freeFolder(): string | undefined {
    const path = this.paths.has(CROWDED) ? this.pick(FOLDERS) : CROWDED;
    if (path === undefined || this.paths.has(path)) return undefined;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    return parent === '' || this.paths.has(parent) ? path : undefined;
  }

  /** A path, and with a directory's all below it, is another one now. */
  move(from: string, to: string): void {
    for (const [path, ino] of [...this.paths]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.paths.delete(path);
      this.paths.set(`${to}${path.slice(from.length)}`, ino);
    }
  }

  isNamed(ino: Ino): boolean {
    return [...this.paths.values()].includes(ino);
  }
}

/** Whether a path is a directory's: they have names of their own. */
export function isFolder(path: string): boolean {
  return /(^|\/)(d\d|s)$/.test(path);
}
