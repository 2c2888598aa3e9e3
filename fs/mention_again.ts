/** What indexes tell of a file that has changed since. */
import type { Inode } from '../shard/rows.ts';
import { type Core, isUnsettled, S_IFMT, S_IFREG } from './core.ts';

/**
 * Of a settled file some index may tell the name, owner, mode or time that it had: the next one tells what it has now. A
 * file that waits to be packed is told of as it will be then.
 */
export function mentionAgain(core: Core, changed: Inode): void {
  if ((changed.mode & S_IFMT) !== S_IFREG) return;
  if (!isUnsettled(changed) || core.packer.isPacking(changed.ino)) core.packer.mention(changed.ino);
}
