/** The row of a directory that fsck makes. */
import type { Timespec } from '../../base/time.ts';
import type { Ino } from '../../base/units.ts';
import { emptyInode } from '../../shard/empty_inode.ts';
import type { Inode } from '../../shard/rows.ts';
import { SINGLE_PARTITION } from '../../shard/store.ts';

/** The row of an empty directory of root's. */
export function newDirectory(
  of: { readonly ino: Ino; readonly mode: number; readonly parent: Ino; readonly position?: number },
  at: { readonly now: Timespec; readonly generation: number },
): Inode {
  const row = emptyInode(of.ino, of.mode, at.now);
  const { parent, position = 0 } = of;
  return { ...row, generation: at.generation, parent, position, partitions: SINGLE_PARTITION };
}
