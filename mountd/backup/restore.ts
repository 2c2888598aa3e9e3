/** Restores a store's metadata from a backup: a new folder, made whole beside the old one's place, then exchanged. */
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { isSpareOwn } from '../../aggregate/store.ts';
import type { Volume } from '../../aggregate/volume.ts';
import { openVolumes } from '../../aggregate/volume_set.ts';
import { type Backing, type FlushTarget, flushTarget } from '../../base/backing.ts';
import { bootId } from '../../base/boot.ts';
import { E, errnoOf, isErrno } from '../../base/errno.ts';
import type { OwnName, VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import type { AggregateId, VolumeId } from '../../base/units.ts';
import type { BackupHeader } from '../../shard/backup/format_v1.ts';
import { BackupError } from '../../shard/backup/reader.ts';
import { Restoration, type Restored } from '../../shard/backup/restore.ts';
import { readConfig, volumeRows } from '../config.ts';
import { findVolumes } from '../dump/volumes.ts';
import { writeDurably } from '../durable_file.ts';
import { Failure } from '../failure.ts';
import type { Progress } from '../fsck/progress.ts';
import { lsnAfter, SEQUENCE_GAP, startAfter } from '../rebuild/numbers.ts';
import { mountedElsewhere } from '../rebuild/refusals.ts';
import { clearRebuilding, rebuildingFolder, replaceMeta } from '../rebuild/replace.ts';
import { ownKey } from '../rebuild/survey.ts';
import { configPath, metaFolder } from '../store_paths.ts';
import { VOLUME_KINDS } from '../volume_kinds.ts';

export interface RestoreJob {
  readonly file: string;
  readonly store: string;
  readonly journals: readonly string[];
  readonly progress: Progress;
}

export interface RestoredStore extends Restored {
  /** Own files and aggregates that no row names, moved to lost/ of their volume: written after the backup, or left over. */
  readonly setAside: number;
  readonly missing: readonly string[];
  /** Another folder that is the same store and still has its metadata: its volumes were not touched. */
  readonly twin: string | undefined;
  readonly oldMetadata: string | undefined;
}

/** The caller holds the store's lock. */
export function restoreBackup(job: RestoreJob): RestoredStore {
  const backing = new PosixBacking();
  const file = backing.open(job.file);
  if (isErrno(file)) throw new Failure(`Cannot read ${job.file}: ${file.name}`);
  const stat = file.stat();
  job.progress.begin('backup', isErrno(stat) ? 0 : stat.size);
  clearRebuilding(job.store);
  mkdirSync(rebuildingFolder(job.store), { mode: 0o700 });
  const place: { config?: string; volumes: readonly VolumeRow[] } = { volumes: [] };
  let done = 0;
  const restoration = new Restoration({
    backing,
    file,
    folder: rebuildingFolder(job.store),
    now: new SystemClock().now(),
    bootId: bootId(),
    journals: job.journals.map((path) => resolve(path)),
    volumes: (header) => {
      Object.assign(place, placeOf(job.store, header));
      return place.volumes;
    },
    onBytes: (bytes) => {
      job.progress.advance(bytes - done);
      done = bytes;
    },
  });
  try {
    const restored = restoration.run();
    // A journal that survived says what was given last; without it the numbers of what came after the backup are unknown.
    const isExact = job.journals.length > 0;
    const volumes = openVolumes(place.volumes, { backing, storeId: restored.header.storeId, kinds: VOLUME_KINDS });
    if (isErrno(volumes)) throw new Failure(`Cannot open the volumes: ${volumes.name}`);
    const unnamed = unnamedOn([...volumes.present.values()], restoration.named());
    // Order of durability: bytes that a killed daemon had not flushed, then the rows that name them.
    flushTouched(volumes.present, restoration.touched, backing);
    restoration.finish({
      lsn: isExact ? restored.lsn : lsnAfter(restored.lsn),
      starts: startAfter(Math.max(restoration.starts, unnamed.start)),
      generation: startAfter(restoration.generation),
      sequenceGap: isExact ? 0 : SEQUENCE_GAP,
    });
    restoration.close();
    // The next mount takes what no row names for left over, and would remove it. Not where another store's rows name it.
    const twin = twinOf(job.store, restored.header);
    for (const move of twin === undefined ? unnamed.moves : []) move();
    const oldMetadata = replaceMeta(job.store);
    if (place.config !== undefined) writeDurably(configPath(job.store), place.config);
    return {
      ...restored,
      setAside: twin === undefined ? unnamed.moves.length : 0,
      twin,
      missing: volumes.missing.map(({ path }) => path),
      oldMetadata,
    };
  } catch (thrown) {
    if (thrown instanceof BackupError) throw new Failure(`Cannot restore ${job.file}: ${thrown.message}`);
    throw thrown;
  } finally {
    restoration.close();
    file.close();
    job.progress.end();
    clearRebuilding(job.store);
  }
}

/** Own files are flushed already where a row says so, their names may not be. */
function flushTouched(
  volumes: ReadonlyMap<VolumeId, Volume>,
  touched: ReadonlyMap<AggregateId, VolumeId>,
  backing: Backing,
): void {
  const targets: FlushTarget[] = [];
  for (const [id, on] of touched) {
    const volume = volumes.get(on);
    if (volume !== undefined) targets.push(volume.aggregateTarget(id), ...volume.aggregateNameTargets(id));
  }
  for (const volume of volumes.values()) {
    const starts = volume.ownStarts();
    for (const start of isErrno(starts) ? [] : starts) targets.push(...volume.ownNameTargets(start));
  }
  const flushed = new Set<string>();
  for (const target of targets) {
    if (flushed.has(target.path)) continue;
    flushed.add(target.path);
    const outcome = flushTarget(backing, target);
    // Removed since.
    if (outcome < 0 && outcome !== -E.ENOENT.number)
      throw new Failure(`Cannot flush ${target.path}: ${errnoOf(-outcome).name}`);
  }
}

/** store.yaml that is there stays; one that is lost comes from the backup, its volumes where they are found now. */
function placeOf(
  store: string,
  header: BackupHeader,
): { readonly config?: string; readonly volumes: readonly VolumeRow[] } {
  if (existsSync(configPath(store))) {
    const config = readConfig(store);
    if (config.storeId !== header.storeId)
      throw new Failure(`Cannot restore ${store}: it is store ${config.storeId}, the backup is of ${header.storeId}`);
    return { volumes: volumeRows(config, store) };
  }
  const dumped = header.volumes.map((volume) => ({ row: 'volume' as const, ...volume, paths: [...volume.paths] }));
  const found = findVolumes(dumped, { store, from: header.folder, storeId: header.storeId });
  const document = parseDocument(header.config);
  document.set('volumes', document.createNode(found.volumes));
  return { config: document.toString({ lineWidth: 0 }), volumes: found.rows };
}

/** The folder that was backed up, where it is still a store, and any that is mounted. */
function twinOf(store: string, header: BackupHeader): string | undefined {
  const isThere = existsSync(join(metaFolder(header.folder), 'system.db'));
  if (resolve(header.folder) !== resolve(store) && isThere) return header.folder;
  return mountedElsewhere(header.storeId);
}

/** Made ahead and never used: the next mount removes it. */
function isSpare(volume: Volume, name: OwnName): boolean {
  const stat = volume.statOwn(name);
  return !isErrno(stat) && isSpareOwn(stat);
}

function unnamedOn(
  volumes: readonly Volume[],
  named: ReturnType<Restoration['named']>,
): { readonly moves: (() => void)[]; readonly start: number } {
  const own = new Set<string>();
  for (const name of named.own) own.add(ownKey(name));
  const moves: (() => void)[] = [];
  let last = 0;
  for (const volume of volumes) {
    const starts = volume.ownStarts();
    for (const start of isErrno(starts) ? [] : starts) {
      last = Math.max(last, start);
      const names = volume.ownNames(start);
      for (const name of isErrno(names) ? [] : names)
        if (!own.has(ownKey(name)) && !isSpare(volume, name)) moves.push(() => void volume.setAsideOwn(name));
    }
    const folders = volume.aggregateFolders();
    for (const folder of isErrno(folders) ? [] : folders) {
      const ids = volume.aggregateIds(folder);
      for (const id of isErrno(ids) ? ([] as AggregateId[]) : ids)
        if (!named.aggregates.has(id)) moves.push(() => void volume.setAsideAggregate(id));
    }
  }
  return { moves, start: last };
}
