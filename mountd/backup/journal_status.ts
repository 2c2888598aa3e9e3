/** What `pacsfs status` says of journal folders and the newest backup. */
import type { NamespaceStore } from '../../shard/store.ts';

export interface JournalStatus {
  readonly journals?: readonly { readonly path: string; readonly health: string }[];
  /** Why a backup should be made now: until then losing the metadata disk loses what the folders do not have. */
  readonly backupDue?: string;
}

/** Nothing where no journal folder was asked for. */
export function journalStatus(namespace: NamespaceStore): JournalStatus {
  const folders = namespace.journalFolders();
  if (folders.length === 0) return {};
  const journals = folders.map(({ path, dropped }) => ({
    path,
    health: dropped === undefined ? 'written' : `not written any more (${dropped}): mend it and mount again`,
  }));
  const { backupLsn } = namespace;
  const written = folders.filter(({ dropped }) => dropped === undefined);
  if (written.length === 0) return { journals, backupDue: 'no journal folder is written' };
  if (backupLsn === undefined) return { journals, backupDue: 'there is no backup yet' };
  const covers = written.some(({ coversFrom }) => coversFrom <= backupLsn);
  return covers ? { journals } : { journals, backupDue: 'the journal folders do not go back to the newest backup' };
}
