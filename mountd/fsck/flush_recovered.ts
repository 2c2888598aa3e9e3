/** What has to be on the disk before a repair's first barrier. */
import type { DataStore } from '../../aggregate/store.ts';
import { type Backing, flushTarget } from '../../base/backing.ts';
import { E, errnoOf } from '../../base/errno.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { Failure } from '../failure.ts';

/** Bytes that records of a killed daemon name and no barrier has covered. Throws `Failure`. */
export function flushRecovered(data: DataStore, namespace: NamespaceStore, backing: Backing): void {
  data.mustFlush(namespace.recovered.aggregates);
  for (const target of data.takeFlush().targets) {
    const outcome = flushTarget(backing, target);
    // What is missing is damage, found or to be found.
    if (outcome < 0 && outcome !== -E.ENOENT.number)
      throw new Failure(`Cannot flush ${target.path}: ${errnoOf(-outcome).name}; nothing was repaired`);
  }
}
