/** The two indexes of each shard: inodes whose bytes are in own files, and inodes without a name. */
import { type Ino, slotOf } from '../../base/units.ts';
import type { CheckContext } from './context.ts';
import { IN_ORPHANS, IN_OWN_INDEX, LAYOUT_OWN, ROW_DAMAGED } from './inode_table.ts';

type Index = 'own_files' | 'orphans';

export function checkIndexes(ctx: CheckContext): void {
  const { inodes } = ctx;
  ctx.forEachShard('indexes', (scan, shard) => {
    for (const ino of scan.ownFiles()) checkEntry(ctx, { ino, shard, index: 'own_files' });
    for (const ino of scan.orphans()) checkEntry(ctx, { ino, shard, index: 'orphans' });
  });
  for (let at = 0; at < inodes.count; at++) {
    if (inodes.has(at, ROW_DAMAGED)) continue;
    if (inodes.has(at, LAYOUT_OWN) && !inodes.has(at, IN_OWN_INDEX)) report(ctx, inodes.ino(at), 'own_files', true);
    if (inodes.nlink(at) === 0 && !inodes.has(at, IN_ORPHANS)) report(ctx, inodes.ino(at), 'orphans', true);
  }
}

function checkEntry(ctx: CheckContext, of: { readonly ino: Ino; readonly shard: number; readonly index: Index }): void {
  const { inodes } = ctx;
  const { ino, shard, index } = of;
  if (!ctx.isAtHome(slotOf(ino), shard, { inode: ino })) return;
  const at = inodes.find(ino);
  if (at >= 0) {
    if (inodes.has(at, ROW_DAMAGED)) return;
    inodes.set(at, index === 'orphans' ? IN_ORPHANS : IN_OWN_INDEX);
    if (index === 'orphans' ? inodes.nlink(at) === 0 : inodes.has(at, LAYOUT_OWN)) return;
  }
  report(ctx, ino, index, false);
}

function report(ctx: CheckContext, ino: Ino, index: Index, isPresent: boolean): void {
  ctx.add({
    kind: 'wrong-index',
    where: { inode: ino },
    found: isPresent ? `no entry in ${index}` : `an entry in ${index}`,
    expected: isPresent ? 'one' : 'none',
    repair: (repairer) => repairer.setIndex(ino, index, isPresent),
  });
}
