/** The namespace as fsck opens it. */
import { rangesHold } from '../../aggregate/claims.ts';
import type { Backing } from '../../base/backing.ts';
import { bootId } from '../../base/boot.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import { type NamespaceOptions, NamespaceStore } from '../../shard/store.ts';
import { metaFolder } from '../store_paths.ts';
import { VOLUME_KINDS } from '../volume_kinds.ts';

export interface NamespaceOf {
  readonly store: string;
  readonly storeId: string;
  readonly volumes: readonly VolumeRow[];
  readonly bootId?: string;
  readonly namespace?: Partial<NamespaceOptions>;
}

/** To be repaired, or only read. */
export function openNamespace(
  { store, bootId: boot, namespace, volumes, storeId }: NamespaceOf,
  how: { readonly clock: Clock; readonly backing: Backing; readonly repair: boolean },
): NamespaceStore {
  const { clock, backing, repair } = how;
  return NamespaceStore.open(metaFolder(store), {
    ...namespace,
    log: silentLog,
    clock,
    backing,
    bootId: boot ?? bootId(),
    holds: (ranges) => rangesHold(ranges, { volumes, storeId, backing, kinds: VOLUME_KINDS, readOnly: !repair }),
    readOnly: !repair,
    isRepair: repair,
  });
}
