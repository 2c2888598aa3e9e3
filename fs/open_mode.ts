/** How the kernel moves the bytes of an inode's handles: through its own cache and this process, or past it. */
import { isErrno, type Result } from '../base/errno.ts';
import type { Inode } from '../shard/rows.ts';
import { markUnsettled } from './contents.ts';
import { type Core, isUnsettled } from './core.ts';
import type { LiveFile } from './live_files.ts';

/**
 * The first handle of an inode chooses how the bytes of all are moved: past this process those of an own file, if the kernel
 * and the volume allow it. Of such a file no write is seen, so a record says that it may be written before the open is
 * answered. Returns the row as it is then.
 */
export function chooseMode(
  core: Core,
  inode: Inode,
  { live, writes }: { readonly live: LiveFile; readonly writes: boolean },
): Result<Inode> {
  if (live.mode === 'none') {
    // One that a worker is packing changes its layout under those who read it: they have to be cached.
    const mayPass = writes || !(core.packer.isPacking(inode.ino) || core.comparisons.has(inode.ino));
    const isPassed = mayPass && inode.own !== undefined && core.passthrough?.begin(live, inode.own) === true;
    if (!isPassed) live.mode = 'cached';
    // One that only waits for that waits on, until its last reader is gone: then it settles once more.
    else if (core.packer.has(inode.ino)) core.packer.cancel(inode.ino);
  }
  if (live.mode !== 'passthrough' || !writes || isUnsettled(inode)) return inode;
  const marked = markUnsettled(core, inode);
  if (isErrno(marked)) return marked;
  // Nobody could write it until now, so nobody has it mapped for that.
  core.unsettled(marked);
  live.isMappable = false;
  return marked;
}

/** The last handle is gone. A mapping that it left may go on writing. */
export function endMode(core: Core, live: LiveFile): void {
  if (live.mode === 'passthrough') {
    core.passthrough?.end(live);
    live.mayBeMapped ||= live.isMappable && live.isWrittenUnseen;
    live.probes = 0;
    live.isStale = true;
  }
  live.mode = 'none';
}
