/** `pacsfs restore`: a store's metadata from a backup, and from a journal that survived. */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { restoreBackup } from '../backup/restore.ts';
import { failureOf } from '../failure.ts';
import { Progress } from '../fsck/progress.ts';
import { StoreLock } from '../lock.ts';
import { print, printJson, remark } from '../output.ts';
import { refuseHealthy, refuseMounted } from '../rebuild/refusals.ts';
import { dropEmptyMeta, makeMetaFolder } from '../rebuild/replace.ts';

export interface RestoreOptions {
  readonly journal: readonly string[];
  readonly force?: boolean;
  readonly json?: boolean;
}

export function restore(file: string, storeArgument: string, options: RestoreOptions): void {
  const store = resolve(storeArgument);
  refuseMounted(store, 'restore');
  // Before the lock, whose refusal tells of --force too: nobody shall give up healthy metadata by following that.
  if (options.force !== true) refuseHealthy(store, 'restore');
  mkdirSync(store, { recursive: true });
  makeMetaFolder(store);
  const lock = StoreLock.acquire(store, { purpose: 'restore', force: options.force === true });
  const progress = new Progress();
  let isReplaced = false;
  try {
    if (options.force !== true) refuseHealthy(store, 'restore');
    const restored = restoreBackup({ file, store, journals: options.journal, progress });
    isReplaced = true;
    const { header, end, lsn, fromJournal, setAside, missing, twin, oldMetadata } = restored;
    if (options.json === true) {
      const { storeId, created } = header;
      printJson({
        store,
        storeId,
        created,
        backupLsn: end.lsn,
        lsn,
        fromJournal,
        setAside,
        missing,
        twin,
        oldMetadata,
      });
    } else
      print(`Restored ${store}: ${end.rows} rows of ${header.created}, ${fromJournal} records of the journal on top`);
    for (const path of missing) remark(`the volume at ${path} is missing; put it there, or its path into store.yaml`);
    if (oldMetadata !== undefined) remark(`what was left of the metadata is in ${oldMetadata}`);
    if (twin !== undefined)
      remark(`${twin} is the same store with the same volumes: the two must never be mounted both; remove one of them`);
    if (setAside > 0)
      remark(`${setAside} own files and aggregates that the backup does not know were moved to lost/ of their volumes`);
    if (options.journal.length === 0)
      remark(`it is as of ${header.created}: run \`pacsfs fsck ${store}\` to learn which files were deleted since`);
  } catch (thrown) {
    throw failureOf(`restore ${store}`, thrown);
  } finally {
    progress.end();
    if (isReplaced) lock.release({ code: 0 });
    else {
      lock.releaseUnchanged();
      dropEmptyMeta(store);
    }
  }
}
