/**
 * A live mount goes on under a new daemon: the kernel holds handles that it tells nobody of. The open table knows them;
 * whoever it does not name is closed. Nothing here depends on how many files there are, only on how many are open.
 */
import type { Core } from './core.ts';
import type { OpenEntry } from './open_table.ts';

/**
 * Takes the handles of the predecessor over. What stood in its memory besides is in rows and own files: an unsettled file
 * gets its size and times from there when somebody first asks.
 */
export function adoptHandles(core: Core): void {
  let inDoubt = 0;
  for (const entry of [...core.openTable.entries()]) {
    const inode = core.namespace.inode(entry.ino);
    if (inode === undefined) {
      // Its CREATE was counted and never recorded.
      core.openTable.forget(entry.ino);
      giveBackId(core, entry);
      continue;
    }
    // Noted, but not that it counts: no reply has ever named it.
    if (entry.mode !== 'passthrough') giveBackId(core, entry);
    const live = core.live.of(inode);
    live.handles = entry.handles;
    live.writers = entry.writers;
    live.isInDoubt = entry.isInDoubt;
    live.mode = entry.mode;
    if (entry.mode === 'passthrough') core.passthrough?.adopt(live, entry.backingId);
    live.isWrittenUnseen = entry.mode === 'passthrough' && entry.writers > 0;
    live.isMappable = entry.isMappable;
    if (entry.isInDoubt) inDoubt += 1;
  }
  const lostIds = core.passthrough?.giveBackLost() ?? 0;
  core.log.info({ open: core.openTable.count, inDoubt, lostIds }, 'Took over the open files of a live mount');
}

function giveBackId(core: Core, { backingId }: OpenEntry): void {
  if (backingId !== 0) core.passthrough?.giveBack(backingId);
}
