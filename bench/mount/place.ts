/** Where a workload runs: a plain folder, a store's mount, or another FUSE filesystem over a plain folder; all on one disk. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { place as placed, type Span } from '../disk/jumps.ts';
import type { Job, LoadProgram } from '../load/load_program.ts';
import { OURS } from '../report/judge.ts';
import { dropCaches, Places } from './places.ts';

export const PLAIN = 'plain';
/** A store that packs nothing. */
export const UNPACKED = 'unpacked';
const SYNC_MS = 600_000;
const WARM_FILES = 200;
const WARM_BYTES = 100_000;

export interface Place {
  readonly name: string;
  /** Empty at first, to work in. */
  readonly folder: string;
  /** Everything written so far is on the disk. */
  settle(): void;
  /** Nothing of it is in memory. */
  forget(): void;
  /** Where files lie on the disk, one after another. */
  spans(paths: readonly string[]): Span[][];
  /** Bytes of memory that its processes hold; 0 for what has none. */
  memory(): number;
  end(): void;
}

export function plainPlace(parent: string, load: LoadProgram): Place {
  const folder = mkdtempSync(join(parent, 'plain-'));
  return {
    name: PLAIN,
    folder,
    settle: () => sync(parent),
    forget: () => dropCaches(parent),
    spans: (paths) => {
      const extents = load.extents(paths);
      return paths.map((path) => (extents.get(path) ?? []).map(({ physical: start, length }) => ({ start, length })));
    },
    memory: () => 0,
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A store's mount whose daemon has served a few hundred files before: a new one's code is not compiled yet. */
export class MountedPlace implements Place {
  readonly name: string;
  readonly folder: string;
  readonly #places: Places;
  readonly #load: LoadProgram;
  readonly #warmJobs: readonly Job[];

  constructor(parent: string, { load, isUnpacked = false }: { load: LoadProgram; isUnpacked?: boolean }) {
    this.name = isUnpacked ? UNPACKED : OURS;
    this.#load = load;
    this.#places = new Places(parent, isUnpacked ? { settings: 'options:\n  packBelow: 0' } : {});
    const warm = join(this.#places.mounted, 'warm');
    this.folder = join(this.#places.mounted, 'work');
    mkdirSync(warm);
    mkdirSync(this.folder);
    this.#warmJobs = Array.from({ length: WARM_FILES }, (_, at) => ({ path: join(warm, `${at}`), size: WARM_BYTES }));
    load.run({ act: 'write', jobs: this.#warmJobs });
    this.settle();
    this.#warm();
  }

  settle(): void {
    this.#places.settle('mounted');
  }

  forget(): void {
    this.#places.forget();
    this.#warm();
    dropCaches(this.#places.plain);
  }

  spans(paths: readonly string[]): Span[][] {
    const layouts = this.#load.layouts(paths);
    const aggregates = this.#aggregates();
    const extents = this.#load.extents([...aggregates.values()]);
    return paths.map((path) => {
      const shown = JSON.parse(layouts.get(path) ?? '[]') as { aggregate: number; offset: number; length: number }[];
      if (shown.length === 0) throw new Error(`Cannot say where ${path} lies: it is not packed`);
      return shown.flatMap(({ aggregate, offset, length }) =>
        placed(extents.get(aggregates.get(aggregate) ?? '') ?? [], { start: offset, length }),
      );
    });
  }

  memory(): number {
    return this.#places.costs().memory;
  }

  end(): void {
    this.#places.remove();
  }

  #warm(): void {
    for (const act of ['stat', 'first', 'read'] as const) this.#load.run({ act, jobs: this.#warmJobs });
  }

  /** Paths of the aggregates of a store of one volume, by their numbers. */
  #aggregates(): Map<number, string> {
    const root = join(this.#places.store, 'volumes', 'hot', 'aggregates');
    const entries = readdirSync(root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return new Map(files.map(({ name, parentPath }) => [Number(name), join(parentPath, name)]));
  }
}

export function sync(folder: string): void {
  execFileSync('sync', ['-f', folder], { timeout: SYNC_MS });
}
