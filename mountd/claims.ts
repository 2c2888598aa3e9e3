/** Whether what a journal of a store claims is on the volumes of its configuration. */
import { rangesHold } from '../aggregate/claims.ts';
import type { WrittenRange } from '../base/layout.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { type StoreConfig, volumeRows } from './config.ts';

/** For `NamespaceStore.open` and `Journal.open`. */
export function holdsOn(
  store: string,
  config: StoreConfig,
  readOnly = false,
): (ranges: readonly WrittenRange[]) => boolean {
  const { storeId } = config;
  const options = { volumes: volumeRows(config, store), storeId, backing: new PosixBacking(), readOnly };
  return (ranges) => rangesHold(ranges, options);
}
