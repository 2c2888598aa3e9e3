/**
 * A store whose last barrier was cut off has names that lead nowhere and files without a name: shards commit one after
 * another until the journal makes that one act. It is checked and repaired before it is served: a number that a stray name
 * bears could be given to another patient's file.
 */
import type { VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { Progress } from './fsck/progress.ts';
import { runFsck } from './fsck/rounds.ts';

export interface TornStore {
  readonly store: string;
  readonly storeId: string;
  readonly volumes: readonly VolumeRow[];
  readonly log: Log;
}

/** The store must not be open. Throws what opening it throws. */
export function repairTorn({ store, storeId, volumes, log }: TornStore): void {
  log.warn({}, 'The last barrier was cut off: checking the store before it is served');
  const { damageFound, damageLeft } = runFsck({
    store,
    storeId,
    volumes,
    wasClean: false,
    repair: true,
    contents: false,
    progress: new Progress(),
    onFound: (finding, severity) => {
      if (severity === 'damage') log.warn({ kind: finding.kind, ...finding.where }, 'Found after a cut barrier');
    },
    onLeft: () => {},
  });
  const fields = { damageFound, damageLeft };
  if (damageLeft > 0) log.error(fields, 'Some damage could not be repaired: run fsck');
  else log.warn(fields, 'The store is whole; files without a name, if there were any, are in lost+found');
}
