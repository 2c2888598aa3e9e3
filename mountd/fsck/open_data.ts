/** The data store of a check: read only, of the volumes that store.yaml has. */
import { DataStore } from '../../aggregate/store.ts';
import type { Backing } from '../../base/backing.ts';
import { isErrno } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { Failure } from '../failure.ts';
import { VOLUME_KINDS } from '../volume_kinds.ts';

export interface DataOf {
  readonly store: string;
  readonly storeId: string;
  readonly volumes: readonly VolumeRow[];
}

/** Throws `Failure`. */
export function openData(job: DataOf, namespace: NamespaceStore, backing: Backing): DataStore {
  if (namespace.storeId !== job.storeId)
    throw new Failure(
      `Cannot check ${job.store}: its metadata are of store ${namespace.storeId}, expected ${job.storeId}`,
    );
  const data = DataStore.open({
    backing,
    kinds: VOLUME_KINDS,
    storeId: job.storeId,
    start: namespace.start,
    volumes: job.volumes,
    aggregates: namespace.aggregates(),
    options: { readOnly: true },
    log: silentLog,
  });
  if (isErrno(data)) throw new Failure(`Cannot open the volumes of ${job.store}: ${data.name}`);
  return data;
}
