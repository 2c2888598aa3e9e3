/** `pacsfs backup`: the metadata of a store, mounted or not, in one file. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { bootId } from '../../base/boot.ts';
import { silentLog } from '../../base/log.ts';
import { approximateSize } from '../../base/sizes.ts';
import { SystemClock } from '../../base/time.ts';
import type { Lsn } from '../../base/units.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { isSameDevice, makeBackup } from '../backup/backup.ts';
import { BackupProgress } from '../backup/progress.ts';
import { holdsOn } from '../claims.ts';
import { readConfig } from '../config.ts';
import { Failure, failureOf } from '../failure.ts';
import { askLive, daemonOf } from '../live_daemon.ts';
import { isLocked, readLockRecord, StoreLock } from '../lock.ts';
import { print, printJson, remark } from '../output.ts';
import { metaFolder } from '../store_paths.ts';
import { resolveOutsideMounts, resolveTarget } from '../target.ts';

/** Under a load without end it would never be all. */
const PACK_MS = 30_000;
const NOTE_MS = 30_000;

export interface BackupOptions {
  readonly json?: boolean;
}

/** What is packed later would not be where a backup without a journal says. A daemon that cannot is backed up all the same. */
async function packFirst(target: string): Promise<void> {
  try {
    await askLive(daemonOf(target), { method: 'POST', path: '/sync', body: { packed: true }, timeoutMs: PACK_MS });
  } catch (thrown) {
    remark(`what waits to be packed was left as it is: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
}

/** From here on journal folders need not keep what the backup has. */
async function noteBackup(
  target: string,
  made: { readonly store: string; readonly isMounted: boolean; readonly lsn: number },
): Promise<void> {
  const { store, isMounted, lsn } = made;
  if (isMounted) {
    await askLive(daemonOf(target), { method: 'POST', path: '/backup', body: { lsn }, timeoutMs: NOTE_MS });
    return;
  }
  const config = readConfig(store);
  const { journals, options } = config;
  if (journals.length === 0) return;
  const folders = journals.map((path) => resolve(store, path));
  const journal = { folders, retainBytes: options.journalRetain };
  const namespace = NamespaceStore.open(metaFolder(store), {
    log: silentLog,
    clock: new SystemClock(),
    bootId: bootId(),
    holds: holdsOn(store, config),
    journal,
  });
  try {
    // What a killed daemon left behind its last barrier names bytes that the next mount flushes first; the note waits for that.
    const isDurable = namespace.lsn === namespace.durableLsn;
    namespace.noteBackup(lsn as Lsn);
    if (isDurable) namespace.barrier();
  } finally {
    namespace.close();
  }
}

/** The backup takes its file's place by a rename: what is no file, a device say, must not be replaced. */
function checkFile(file: string, { store, mountPoint }: { store: string; mountPoint: string | undefined }): string {
  const path = resolveOutsideMounts(file);
  if (mountPoint !== undefined && `${path}/`.startsWith(`${mountPoint}/`))
    throw new Failure(`Cannot back up to ${file}: it is in ${store} itself, which needs it when it is lost`);
  const folder = statSync(dirname(path), { throwIfNoEntry: false });
  if (folder?.isDirectory() !== true) throw new Failure(`Cannot back up to ${file}: ${dirname(path)} is no folder`);
  const there = statSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile())
    throw new Failure(`Cannot back up to ${file}: it is there and no regular file`);
  return path;
}

export async function backup(target: string, file: string, options: BackupOptions): Promise<void> {
  const { store, mount } = resolveTarget(target);
  const path = checkFile(file, { store, mountPoint: mount?.mountPoint });
  const isMounted = isLocked(store) && readLockRecord(store)?.purpose === 'mount';
  const lock = isMounted ? undefined : StoreLock.acquire(store, { purpose: 'backup' });
  const progress = new BackupProgress();
  try {
    if (isMounted) await packFirst(target);
    const startedMs = Date.now();
    const { end, firstLsn, bytes } = await makeBackup({ store, file: path, isMounted, progress });
    progress.end();
    await noteBackup(target, { store, isMounted, lsn: end.lsn + 1 });
    const seconds = (Date.now() - startedMs) / 1000;
    if (isSameDevice(dirname(path), metaFolder(store)))
      remark(`${path} is on the disk of the metadata: copy it to another one, or a failure takes both`);
    if (options.json === true) printJson({ store, file: path, bytes, seconds, firstLsn, ...end });
    else {
      const size = `${end.rows} rows, ${end.records} records, ${approximateSize(bytes)} in ${seconds.toFixed(1)} s`;
      print(`Backed up ${store} to ${path}: ${size}, as of record ${end.lsn}`);
    }
    if (end.damaged > 0)
      throw new Failure(`Backed up ${store} without ${end.damaged} damaged rows; \`pacsfs fsck ${store}\` names them`);
  } catch (thrown) {
    progress.end();
    throw failureOf(`back up ${store}`, thrown);
  } finally {
    lock?.releaseUnchanged();
  }
}
