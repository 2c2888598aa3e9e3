/**
 * `fsck --rebuild`: a store whose metadata is lost, from what its aggregates and own files say of themselves. New databases
 * are made beside the old ones' place; the volumes change only by what is moved to their lost/, right before the exchange.
 */
import { randomFillSync } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Volume } from '../../aggregate/volume.ts';
import { openVolumes } from '../../aggregate/volume_set.ts';
import { E, isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SIPHASH_KEY_BYTES } from '../../base/siphash.ts';
import { SystemClock } from '../../base/time.ts';
import { type Ino, ROOT_INO } from '../../base/units.ts';
import { Catalogue, type FilePart } from '../../shard/catalogue.ts';
import { Placement } from '../../shard/position.ts';
import { renderConfig } from '../config.ts';
import { writeDurably } from '../durable_file.ts';
import { Failure } from '../failure.ts';
import { OPERATIONAL } from '../fsck/exit_codes.ts';
import type { Progress } from '../fsck/progress.ts';
import { configPath } from '../store_paths.ts';
import { VOLUME_KINDS } from '../volume_kinds.ts';
import { Choice, type Problem } from './choose.ts';
import { firstSequenceAfter, inoInSlot } from './numbers.ts';
import { clearRebuilding, rebuildingFolder, replaceMeta } from './replace.ts';
import type { Sources } from './sources.ts';
import { Survey } from './survey.ts';
import { LOST_AND_FOUND, Tree } from './tree.ts';
import { Writer } from './write.ts';

export interface RebuildJob {
  readonly sources: Sources;
  /** Compare every packed byte with its checksum, so that what was deleted and what is damaged is known for sure. */
  readonly readAll: boolean;
  /** Only find out what would come back. */
  readonly dryRun: boolean;
  /** Go on without volumes that are missing: what lies there does not come back. */
  readonly force: boolean;
  readonly progress: Progress;
  readonly onProblem: (problem: Problem, file: FilePart, path: () => string) => void;
}

export interface Rebuilt {
  readonly files: number;
  readonly bytes: number;
  readonly directories: number;
  readonly aggregates: number;
  /** Files known to indexes whose bytes were given back: deleted ones. */
  readonly gone: number;
  readonly problems: ReadonlyMap<Problem, number>;
  /** Aggregates that are another store's, or cannot be read. */
  readonly foreignAggregates: number;
  /** Aggregates without a readable header. */
  readonly damagedHeaders: number;
  /** Aggregates and own files moved to lost/ of their volume: nobody names them any more. */
  readonly setAside: number;
  readonly missingVolumes: readonly string[];
  /** Where the old metadata was put. */
  readonly oldMetadata: string | undefined;
}

/** The caller holds the store's lock. */
export function rebuild(job: RebuildJob): Rebuilt {
  const { store, config } = job.sources;
  const { present, missing } = openAll(job);
  clearRebuilding(store);
  mkdirSync(rebuildingFolder(store), { mode: 0o700 });
  const catalogue = new Catalogue(join(rebuildingFolder(store), 'catalogue'));
  try {
    const survey = new Survey({ ...job, storeId: config.storeId, volumes: present, catalogue });
    survey.run();
    const work = new Work(job, survey, catalogue);
    const rebuilt = work.run();
    catalogue.close();
    rmSync(join(rebuildingFolder(store), 'catalogue'));
    const result = { ...rebuilt, missingVolumes: missing };
    if (job.dryRun) return result;
    return { ...result, ...work.putInPlace() };
  } finally {
    catalogue.close();
    clearRebuilding(store);
  }
}

function openAll(job: RebuildJob): { readonly present: readonly Volume[]; readonly missing: readonly string[] } {
  const { store, config, volumes } = job.sources;
  const set = openVolumes(volumes, { backing: new PosixBacking(), storeId: config.storeId, kinds: VOLUME_KINDS });
  if (isErrno(set)) throw new Failure(`Cannot open the volumes of ${store}: ${set.name}`, OPERATIONAL);
  const [first] = set.missing;
  if (first !== undefined && !job.force)
    throw new Failure(
      `Cannot rebuild ${store} without volume '${first.name}' at ${first.path}: ${first.reason}; ` +
        'put it there, or use --force and do without its files',
      OPERATIONAL,
    );
  return { present: [...set.present.values()], missing: set.missing.map(({ name }) => name) };
}

class Work {
  readonly #job: RebuildJob;
  readonly #survey: Survey;
  readonly #catalogue: Catalogue;
  readonly #problems = new Map<Problem, number>();
  #choice: Choice | undefined;
  #writer: Writer | undefined;

  constructor(job: RebuildJob, survey: Survey, catalogue: Catalogue) {
    this.#job = job;
    this.#survey = survey;
    this.#catalogue = catalogue;
  }

  run(): Omit<Rebuilt, 'missingVolumes'> {
    const survey = this.#survey;
    const { sources, readAll, progress } = this.#job;
    const hashKey = randomFillSync(new Uint8Array(SIPHASH_KEY_BYTES));
    const placement = new Placement(hashKey);
    const slot = placement.slotForDirectory(ROOT_INO, Buffer.from(LOST_AND_FOUND));
    const spare = firstSequenceAfter(survey.sequences[slot] ?? 0);
    survey.sequences[slot] = spare;
    const tree = new Tree(survey.directories, inoInSlot(slot, spare));
    const onProblem = (problem: Problem, file: FilePart) => {
      this.#problems.set(problem, (this.#problems.get(problem) ?? 0) + 1);
      this.#job.onProblem(problem, file, () => `${pathOf(tree, file.dir)}${Buffer.from(file.name).toString()}`);
    };
    const shared = { survey, tree, catalogue: this.#catalogue, progress, onProblem };
    const choice = new Choice({ ...shared, readAll });
    this.#choice = choice;
    choice.run();
    const writer = new Writer({
      ...shared,
      folder: rebuildingFolder(sources.store),
      storeId: sources.config.storeId,
      shards: sources.config.shards,
      volumes: sources.volumes,
      hashKey,
      placement,
      now: new SystemClock().now(),
      choice,
    });
    this.#writer = writer;
    try {
      writer.run();
    } finally {
      writer.close();
    }
    return {
      files: choice.files,
      bytes: choice.bytes,
      directories: writer.directories,
      aggregates: survey.aggregates.size,
      gone: choice.gone,
      problems: this.#problems,
      foreignAggregates: survey.foreign.length,
      damagedHeaders: survey.headless,
      setAside: 0,
      oldMetadata: undefined,
    };
  }

  /** What no row names goes aside first: the next mount would take it for left over, and remove it. */
  putInPlace(): { readonly setAside: number; readonly oldMetadata: string | undefined } {
    const { store, config, isConfigNew } = this.#job.sources;
    const setAside = this.#setAside();
    const oldMetadata = replaceMeta(store);
    if (isConfigNew) writeDurably(configPath(store), renderConfig({ ...config, options: {} }));
    return { setAside, oldMetadata };
  }

  #setAside(): number {
    const survey = this.#survey;
    let count = 0;
    const check = (what: string, outcome: number) => {
      if (outcome < 0 && outcome !== -E.EEXIST.number && outcome !== -E.ENOENT.number)
        throw new Failure(`Cannot move ${what} to lost/ of its volume: errno ${-outcome}`, OPERATIONAL);
      count += 1;
    };
    for (const id of this.#writer?.unused() ?? [])
      check(`aggregate ${id}`, survey.aggregates.get(id)?.volume.setAsideAggregate(id) ?? 0);
    for (const { id, volume } of survey.foreign) check(`aggregate ${id}`, volume.setAsideAggregate(id));
    for (const key of this.#choice?.superseded ?? []) {
      const found = survey.ownFiles.get(key);
      if (found !== undefined) check(`own file ${key}`, found.volume.setAsideOwn(found.own));
    }
    return count;
  }
}

function pathOf(tree: Tree, ino: Ino): string {
  const directory = tree.directories.get(tree.placeOf(ino));
  if (directory === undefined || directory.ino === ROOT_INO) return '/';
  return `${pathOf(tree, directory.parent)}${Buffer.from(directory.name).toString()}/`;
}
