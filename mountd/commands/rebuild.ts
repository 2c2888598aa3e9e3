/** `pacsfs fsck --rebuild`: brings back a store whose metadata is lost. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { approximateSize } from '../../base/sizes.ts';
import type { FilePart } from '../../shard/catalogue.ts';
import { Failure } from '../failure.ts';
import { DAMAGE_LEFT, OPERATIONAL, REPAIRED } from '../fsck/exit_codes.ts';
import { Progress } from '../fsck/progress.ts';
import { StoreLock } from '../lock.ts';
import { print, printJson, remark } from '../output.ts';
import type { Problem } from '../rebuild/choose.ts';
import { type Rebuilt, rebuild } from '../rebuild/rebuild.ts';
import { mountedElsewhere, refuseHealthy, refuseMounted } from '../rebuild/refusals.ts';
import { dropEmptyMeta, makeMetaFolder } from '../rebuild/replace.ts';
import { findSources, type Sources } from '../rebuild/sources.ts';
import { configPath } from '../store_paths.ts';
import { resolveTarget } from '../target.ts';

export interface RebuildOptions {
  readonly json?: boolean;
  readonly metadataOnly?: boolean;
  readonly names?: boolean;
  /** Take over the lock that another machine left; for a rebuild also: set aside the metadata that is there. */
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly volume?: readonly string[];
}

/** Problems of a kind that are printed, and kept for --json. */
const SHOWN = 1_000;

const WORDS: { readonly [kind in Problem]: string } = {
  'damaged-file': 'bytes found that do not fit their checksum, reading those gives EIO',
  'incomplete-file': 'parts of it are missing, it does not come back',
  'nameless-own-file': 'no index names it, it is in lost+found',
  'name-taken': 'a newer file has its name, it is in lost+found',
};

/** Resolves to the exit code: 1 rebuilt, 4 rebuilt with something missing, 8 not done. */
export function runRebuild(target: string, options: RebuildOptions): number {
  const store = storeOf(target);
  const sources = findSources(store, options);
  refuseMounted(store, 'rebuild', OPERATIONAL);
  const live = mountedElsewhere(sources.config.storeId);
  if (live !== undefined)
    throw new Failure(
      `Cannot rebuild ${store}: its volumes are in use, ${live} is the same store and mounted`,
      OPERATIONAL,
    );
  // Before the lock, whose refusal tells of --force too: nobody shall give up healthy metadata by following that.
  if (options.force !== true) refuseHealthy(store, 'rebuild', OPERATIONAL);
  makeMetaFolder(store);
  const lock = StoreLock.acquire(store, { purpose: 'fsck', force: options.force === true });
  const progress = new Progress();
  const report = new Report(sources, options, progress);
  let isReplaced = false;
  try {
    if (options.force !== true) refuseHealthy(store, 'rebuild', OPERATIONAL);
    const rebuilt = rebuild({
      sources,
      readAll: options.metadataOnly !== true,
      dryRun: options.dryRun === true,
      force: options.force === true,
      progress,
      onProblem: (problem, file, path) => report.problem(problem, file, path),
    });
    isReplaced = options.dryRun !== true;
    progress.end();
    return report.end(rebuilt);
  } finally {
    progress.end();
    if (isReplaced) lock.release({ code: 0 });
    else {
      lock.releaseUnchanged();
      dropEmptyMeta(store);
    }
  }
}

/** Without store.yaml the target must be the store's folder itself. */
function storeOf(target: string): string {
  try {
    return resolveTarget(target).store;
  } catch (thrown) {
    const folder = resolve(target);
    if (existsSync(configPath(folder))) throw thrown;
    return folder;
  }
}

interface ShownProblem {
  readonly kind: Problem;
  readonly inode: number;
  readonly aggregate: number;
  readonly path?: string;
}

class Report {
  readonly #sources: Sources;
  readonly #options: RebuildOptions;
  readonly #progress: Progress;
  readonly #problems: ShownProblem[] = [];

  constructor(sources: Sources, options: RebuildOptions, progress: Progress) {
    this.#sources = sources;
    this.#options = options;
    this.#progress = progress;
  }

  problem(kind: Problem, file: FilePart, path: () => string): void {
    if (this.#problems.length >= SHOWN) return;
    const { ino, aggregate, own } = file;
    const named = this.#options.names === true ? { path: path() } : {};
    this.#problems.push({ kind, inode: ino, aggregate, ...named });
    if (this.#options.json === true) return;
    this.#progress.end();
    const where = own === undefined ? `aggregate ${aggregate}` : `own file ${own.start}/${own.number}`;
    const shown = named.path === undefined ? '' : ` ${JSON.stringify(named.path)}`;
    print(`${kind}: inode ${ino}${shown}, ${where}: ${WORDS[kind]}`);
  }

  end(rebuilt: Rebuilt): number {
    const { problems, foreignAggregates, missingVolumes } = rebuilt;
    const isWhole = [...problems.keys()].every((kind) => kind === 'name-taken');
    const code = isWhole && foreignAggregates === 0 && missingVolumes.length === 0 ? REPAIRED : DAMAGE_LEFT;
    const { store, isConfigNew } = this.#sources;
    if (this.#options.json === true) {
      const counts = Object.fromEntries(problems);
      const dryRun = this.#options.dryRun === true;
      printJson({ store, exitCode: code, dryRun, isConfigNew, ...rebuilt, problems: counts, found: this.#problems });
      return code;
    }
    this.#text(rebuilt);
    return code;
  }

  #text(rebuilt: Rebuilt): void {
    const { store, isConfigNew, config } = this.#sources;
    const { files, directories, bytes, aggregates, gone, problems, foreignAggregates, oldMetadata } = rebuilt;
    const did = this.#options.dryRun === true ? 'would be rebuilt' : 'rebuilt';
    const shown = [...problems].map(([kind, count]) => `${count} ${kind}`).join(', ');
    if (shown !== '') print(`Problems: ${shown}`);
    if (gone > 0) print(`${gone} files that indexes name were deleted or changed since, their space was given back`);
    if (foreignAggregates > 0) print(`${foreignAggregates} aggregates are not of this store, or cannot be read`);
    for (const name of rebuilt.missingVolumes) print(`Volume '${name}' is missing: nothing of it came back`);
    const size = `${files} files in ${directories} directories, ${approximateSize(bytes)}, from ${aggregates} aggregates`;
    print(`${store}: ${did}: ${size}`);
    if (this.#options.dryRun === true) return;
    if (oldMetadata !== undefined) remark(`what was left of the metadata is in ${oldMetadata}`);
    if (isConfigNew) {
      const tiers = config.volumes.map(({ name, tier }) => `${name} (${tier})`).join(', ');
      remark(`store.yaml was made anew, volumes ${tiers}: put your options and journals into ${configPath(store)}`);
    }
    remark('symlinks, further names of hard links, special files, empty directories and extended attributes are lost');
    remark(`deleted files may have come back; check with \`pacsfs fsck ${store}\`, then mount`);
  }
}
