/** Putting loaded databases in the place of a store's empty ones. */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { silentLog } from '../../base/log.ts';
import { SystemClock } from '../../base/time.ts';
import { NamespaceStore } from '../../shard/store.ts';
import type { VolumeConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import { configPath, metaFolder } from '../store_paths.ts';

const SYSTEM = 'system.db';
const SHARDS = 'shards';
const JOURNAL = 'journal';

/** Where the new databases are made. */
export function loadingFolder(store: string): string {
  return join(metaFolder(store), 'loading');
}

export function clearLoading(store: string): void {
  rmSync(loadingFolder(store), { recursive: true, force: true });
}

/** Throws a Failure unless the store is as `pacsfs format` leaves it. */
export function checkFresh(folder: string): void {
  const options = { log: silentLog, clock: new SystemClock(), readOnly: true };
  const namespace = NamespaceStore.open(folder, options);
  try {
    let inodes = 0;
    for (let shard = 0; shard < namespace.shardCount && inodes < 2; shard++) {
      for (const _ of namespace.scan(shard).inodes()) if (++inodes >= 2) break;
    }
    if (inodes < 2 && namespace.aggregates().length === 0 && namespace.generation === 0) return;
    throw new Failure(`Cannot load into ${folder}: the store was used already; make a new one with \`pacsfs format\``);
  } finally {
    namespace.close();
  }
}

/**
 * Order: the old system.db goes, then the shards change, then store.yaml; the new system.db comes last. An end in between
 * leaves a store that does not mount, to be formatted and loaded anew, never one of two minds.
 */
export function putInPlace(
  store: string,
  config: { readonly storeId: string; readonly volumes: readonly VolumeConfig[] },
): void {
  const meta = metaFolder(store);
  const loading = loadingFolder(store);
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(meta, `${SYSTEM}${suffix}`), { force: true });
  flushFolder(meta);
  const shards = join(meta, SHARDS);
  for (const name of readdirSync(shards)) rmSync(join(shards, name));
  for (const name of readdirSync(join(loading, SHARDS)))
    if (name.endsWith('.db')) renameSync(join(loading, SHARDS, name), join(shards, name));
  flushFolder(shards);
  // The old journal is of a store that has gone.
  rmSync(join(meta, JOURNAL), { recursive: true, force: true });
  renameSync(join(loading, JOURNAL), join(meta, JOURNAL));
  flushFolder(meta);
  writeConfig(store, config);
  renameSync(join(loading, SYSTEM), join(meta, SYSTEM));
  flushFolder(meta);
}

/** The store takes the dumped one's id and volumes; its options and comments stay. */
function writeConfig(
  store: string,
  config: { readonly storeId: string; readonly volumes: readonly VolumeConfig[] },
): void {
  const path = configPath(store);
  const document = parseDocument(readFileSync(path, 'utf8'));
  document.set('storeId', config.storeId);
  document.set('volumes', document.createNode(config.volumes));
  const fd = openSync(`${path}.new`, 'w', 0o644);
  try {
    writeSync(fd, document.toString({ lineWidth: 0 }));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
  flushFolder(store);
}

function flushFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
