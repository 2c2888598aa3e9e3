/** Every directory leads to the root: names of its parent, its parent's parent and so on. What goes round does not. */
import { ROOT_INO } from '../../base/units.ts';
import type { CheckContext } from './context.ts';
import { ON_PATH, REACHABLE, ROW_DAMAGED, UNREACHABLE } from './inode_table.ts';

export function checkTree(ctx: CheckContext): void {
  const { inodes } = ctx;
  const root = inodes.find(ROOT_INO);
  if (root >= 0) inodes.set(root, REACHABLE);
  const path: number[] = [];
  for (let start = 0; start < inodes.count; start++) {
    if (!inodes.isDirectory(start) || inodes.has(start, REACHABLE | UNREACHABLE)) continue;
    let at = start;
    while (at >= 0 && !inodes.has(at, REACHABLE | UNREACHABLE | ON_PATH)) {
      inodes.set(at, ON_PATH);
      path.push(at);
      at = parentOf(ctx, at);
    }
    const isReachable = at >= 0 && inodes.has(at, REACHABLE);
    if (at >= 0 && inodes.has(at, ON_PATH)) reportCycle(ctx, at);
    for (const step of path.splice(0)) {
      inodes.clear(step, ON_PATH);
      inodes.set(step, isReachable ? REACHABLE : UNREACHABLE);
    }
  }
}

/** Where the directory's name was found; -1 where the way ends, which another check has told. */
function parentOf(ctx: CheckContext, at: number): number {
  const { inodes } = ctx;
  if (inodes.names(at) === 0 || inodes.has(at, ROW_DAMAGED)) return -1;
  const parent = inodes.find(inodes.foundParent(at));
  return parent >= 0 && inodes.isDirectory(parent) ? parent : -1;
}

function reportCycle(ctx: CheckContext, at: number): void {
  const { inodes } = ctx;
  const ino = inodes.ino(at);
  const directory = inodes.foundParent(at);
  const position = inodes.foundPosition(at);
  let length = 1;
  for (let step = parentOf(ctx, at); step >= 0 && step !== at; step = parentOf(ctx, step)) length += 1;
  ctx.add({
    kind: 'unreachable-directory',
    where: { inode: ino, directory, position },
    found: `a ring of ${length} directories`,
    expected: 'a way to the root',
    repair: (repairer) => repairer.moveToLost(ino, { directory, position }),
  });
}
