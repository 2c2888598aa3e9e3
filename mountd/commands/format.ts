/** `pacsfs format`: makes an empty store, or nothing at all. */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { formatVolume } from '../../aggregate/identity.ts';
import { isErrno } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import { formatNamespace } from '../../shard/store.ts';
import { MAX_SHARDS, renderConfig, STORE_VERSION, type StoreConfig, volumeRows } from '../config.ts';
import { errnoReason, Failure, failureOf, usage } from '../failure.ts';
import { isWithin } from '../mount_table.ts';
import { print, printJson, remark } from '../output.ts';
import { configPath, metaFolder } from '../store_paths.ts';
import { kindRefusal, parseVolumeArgument, type VolumeArgument } from '../volume_argument.ts';
import { checkDevices } from '../volume_devices.ts';

export interface FormatOptions {
  readonly shards: string;
  readonly journal: readonly string[];
  readonly volume: readonly string[];
  readonly sameDevice?: boolean;
  readonly json?: boolean;
}

/** A disk's own folder, which is no reason to refuse it. */
const HARMLESS = ['lost+found'];
const DEFAULT_VOLUME = 'volumes/hot';
/** SQLite opens no path of 512 bytes or more, and adds '/meta/shards/000.db-journal' to this. */
const MAX_STORE_PATH_BYTES = 480;

type NewConfig = Omit<StoreConfig, 'options'> & { options: Record<string, never> };

export function format(storeArgument: string, options: FormatOptions): void {
  const store = resolve(storeArgument);
  const pathBytes = Buffer.byteLength(store);
  if (pathBytes > MAX_STORE_PATH_BYTES) {
    throw new Failure(
      `Cannot format: a path of ${pathBytes} bytes found, expected one of at most ${MAX_STORE_PATH_BYTES}`,
    );
  }
  const config = planStore(options);
  const volumes = volumeRows({ ...config, options: {} as StoreConfig['options'] }, store);
  checkApart([metaFolder(store), ...volumes.flatMap((volume) => volume.paths), ...config.journals]);
  checkEmpty(store);
  if (options.sameDevice !== true) checkDevices(volumes);
  const made = new MadeFolders();
  try {
    made.make(store);
    made.make(metaFolder(store), 0o700);
    makeVolumes(volumes, { storeId: config.storeId, made });
    makeNamespace(store, config, volumes);
    for (const path of config.journals) makeJournalFolder(store, path);
    writeConfig(store, renderConfig(config));
  } catch (error) {
    made.remove();
    throw failureOf(`format ${store}`, error);
  }
  if (options.json === true) {
    printJson({ store, storeId: config.storeId, shards: config.shards, volumes });
    return;
  }
  const shown = volumes.map((volume) => `${volume.name} (${volume.tier}, ${volume.kind} ${volume.paths.join(', ')})`);
  print(`Formatted ${store}: store ${config.storeId}, ${config.shards} shards, volumes ${shown.join('; ')}`);
  print(`Mount it with: pacsfs mount ${store} DIR`);
}

function planStore(options: FormatOptions): NewConfig {
  const shards = Number(options.shards);
  if (!/^\d+$/.test(options.shards) || shards < 1 || shards > MAX_SHARDS) {
    throw usage(`Cannot format with --shards '${options.shards}': expected a number from 1 to ${MAX_SHARDS}`);
  }
  const chosen = options.volume.map(parseVolumeArgument);
  checkVolumes(chosen);
  const volumes =
    chosen.length > 0 ? chosen : [{ name: 'hot', tier: 'hot', kind: 'dir', paths: [DEFAULT_VOLUME] } as const];
  return {
    version: STORE_VERSION,
    storeId: randomUUID(),
    created: new Date().toISOString(),
    shards,
    journals: options.journal.map((path) => resolve(path)),
    volumes: volumes.map((volume, index) => ({ id: index + 1, ...volume, paths: [...volume.paths] })),
    options: {},
  };
}

function checkVolumes(volumes: readonly VolumeArgument[]): void {
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const volume of volumes) {
    if (names.has(volume.name))
      throw usage(`Cannot use --volume '${volume.name}=...' twice: each volume needs its own name`);
    names.add(volume.name);
    for (const path of volume.paths) {
      if (paths.has(path)) throw usage(`Cannot use ${path} for two volumes: each directory belongs to one`);
      paths.add(path);
    }
  }
  const refusal = kindRefusal(volumes);
  if (refusal !== undefined) throw usage(`Cannot use ${refusal}`);
  if (volumes.length > 0 && !volumes.some((volume) => volume.tier === 'hot')) {
    throw usage('Cannot format without a hot volume: new files go there; add --volume hot=hot:dir:PATH');
  }
}

/** A directory within another would be taken for a part of it, and go with it. */
function checkApart(folders: readonly string[]): void {
  for (const inner of folders) {
    const outer = folders.find((folder) => folder !== inner && isWithin(inner, folder));
    if (outer !== undefined)
      throw usage(`Cannot use ${inner}: it lies in ${outer}, expected folders beside each other`);
  }
  const [meta, ...volumes] = folders;
  if (meta !== undefined && volumes.includes(meta)) throw usage(`Cannot use ${meta} for a volume: it is for metadata`);
}

function checkEmpty(store: string): void {
  let names: string[];
  try {
    names = contentsOf(store);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw failureOf(`format ${store}`, error);
  }
  if (existsSync(configPath(store))) {
    throw new Failure(
      `Cannot format ${store}: it is a store already; remove it first if its files are no longer wanted`,
    );
  }
  if (names.length > 0) {
    throw new Failure(`Cannot format ${store}: ${names.length} entries found, expected an empty directory or none`);
  }
}

function makeVolumes(volumes: readonly VolumeRow[], options: { storeId: string; made: MadeFolders }): void {
  const backing = new PosixBacking();
  for (const volume of volumes) {
    for (const path of volume.paths) options.made.make(path);
    const outcome = formatVolume(backing, volume, { storeId: options.storeId });
    if (!isErrno(outcome)) continue;
    throw new Failure(`Cannot format volume '${volume.name}' in ${volume.paths.join(', ')}: ${errnoReason(outcome)}`);
  }
}

/** It may hold other stores' journals. The mount makes this store's own in it, but never the folder itself. */
function makeJournalFolder(store: string, path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  if (statSync(path).dev === statSync(store).dev)
    remark(`${path} is on the disk of ${store}: a journal there does not outlive that disk`);
}

function makeNamespace(store: string, config: NewConfig, volumes: VolumeRow[]): void {
  const outcome = formatNamespace(metaFolder(store), {
    storeId: config.storeId,
    shardCount: config.shards,
    now: new SystemClock().now(),
    volumes,
  });
  if (isErrno(outcome)) throw new Failure(`Cannot make the metadata in ${metaFolder(store)}: ${errnoReason(outcome)}`);
}

/** Last of all, flushed and renamed: where it stands, everything else is whole. */
function writeConfig(store: string, text: string): void {
  const path = configPath(store);
  const fd = openSync(`${path}.new`, 'wx', 0o644);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  for (const folder of [store, dirname(store)]) flushFolder(folder);
}

function flushFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * What was made so far, to be removed when the rest fails. A folder that was there before is taken only while it is
 * empty, so that whatever is in it later is ours; it stays, empty as it was.
 */
class MadeFolders {
  readonly #made: string[] = [];
  readonly #taken: string[] = [];

  make(path: string, mode = 0o755): void {
    const first = mkdirSync(path, { recursive: true, mode });
    if (first !== undefined) {
      this.#made.push(first);
      return;
    }
    const count = contentsOf(path).length;
    if (count > 0) throw new Failure(`Cannot use ${path}: ${count} entries found, expected an empty directory or none`);
    this.#taken.push(path);
  }

  remove(): void {
    for (const path of this.#taken) {
      for (const name of contentsOf(path)) rmSync(join(path, name), { recursive: true, force: true });
    }
    for (const path of this.#made.toReversed()) rmSync(path, { recursive: true, force: true });
  }
}

/** Names in a folder, without those that every disk has. */
function contentsOf(path: string): string[] {
  return readdirSync(path).filter((name) => !HARMLESS.includes(name));
}
