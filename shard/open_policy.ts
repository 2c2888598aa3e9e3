/** What becomes of a store that is not whole: it is read as far as it goes, or not opened. */
import type { Backing } from '../base/backing.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { readBroken, writeBroken } from './broken.ts';
import { StoreError } from './failure.ts';
import { MissingShardError } from './missing_shard.ts';
import type { NamespaceOptions } from './namespace_options.ts';

export type HowToOpen = NamespaceOptions & {
  readonly backing: Backing;
  readonly readOnly: boolean;
  /** Why it takes no changes. */
  readonly broken: string | undefined;
};

export function openAsFarAsItGoes<T>(folder: string, options: NamespaceOptions, open: (how: HowToOpen) => T): T {
  const backing = options.backing ?? new PosixBacking();
  const broken = readBroken(backing, folder);
  const isRepair = options.isRepair === true;
  const readOnly = options.readOnly === true || (broken !== undefined && !isRepair);
  const how = { ...options, backing, readOnly, broken };
  try {
    return open(how);
  } catch (thrown) {
    if (readOnly || !(thrown instanceof StoreError)) throw thrown;
    if (thrown instanceof MissingShardError && options.allowMissing === true) return open({ ...how, readOnly: true });
    if (thrown.code !== 'journal-lost' || (isRepair && broken !== undefined)) throw thrown;
    // What a journal has that is not whole, or cannot be written, is still read.
    options.log.error({ reason: thrown.message }, 'The store takes no changes: its journal is damaged');
    const marked = writeBroken(backing, folder, { reason: thrown.message, at: options.clock.now() });
    if (marked < 0) throw thrown;
    return open({ ...how, readOnly: !isRepair, broken: thrown.message });
  }
}
