/** Whether what a journal of a store claims is on the volumes of its configuration. */
import { rangesHold } from '../aggregate/claims.ts';
import type { WrittenRange } from '../base/layout.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { type StoreConfig, volumeRows } from './config.ts';
import { VOLUME_KINDS } from './volume_kinds.ts';

/** For `NamespaceStore.open` and `Journal.open`. */
export function holdsOn(
  store: string,
  config: StoreConfig,
  readOnly = false,
): (ranges: readonly WrittenRange[]) => boolean {
  const { storeId } = config;
  const volumes = volumeRows(config, store);
  const options = { volumes, storeId, backing: new PosixBacking(), kinds: VOLUME_KINDS, readOnly };
  return (ranges) => rangesHold(ranges, options);
}
