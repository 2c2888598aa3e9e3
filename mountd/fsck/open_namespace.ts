/** The namespace as fsck opens it. */
import type { Backing } from '../../base/backing.ts';
import { bootId } from '../../base/boot.ts';
import { silentLog } from '../../base/log.ts';
import type { Clock } from '../../base/time.ts';
import { type NamespaceOptions, NamespaceStore } from '../../shard/store.ts';
import { metaFolder } from '../store_paths.ts';

export interface NamespaceOf {
  readonly store: string;
  readonly bootId?: string;
  readonly namespace?: Partial<NamespaceOptions>;
}

/** To be repaired, or only read. */
export function openNamespace(
  { store, bootId: boot, namespace }: NamespaceOf,
  how: { readonly clock: Clock; readonly backing: Backing; readonly repair: boolean },
): NamespaceStore {
  const { clock, backing, repair } = how;
  return NamespaceStore.open(metaFolder(store), {
    ...namespace,
    log: silentLog,
    clock,
    backing,
    bootId: boot ?? bootId(),
    readOnly: !repair,
    isRepair: repair,
  });
}
