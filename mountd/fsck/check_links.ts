/** Inodes against the names that were found of them: how many, where, and what their flags say hangs on them. */
import { ROOT_INO } from '../../base/units.ts';
import { FLAG_ACL_ACCESS, FLAG_ACL_DEFAULT, FLAG_XATTRS } from '../../shard/rows.ts';
import { type CheckContext, placeKey } from './context.ts';
import {
  HAS_ACL_ACCESS,
  HAS_ACL_DEFAULT,
  HAS_ENTRIES,
  HAS_XATTR,
  PARENT_NAMES_IT,
  ROW_DAMAGED,
} from './inode_table.ts';

const STEPS = 4096;

export function checkLinks(ctx: CheckContext): void {
  const { inodes, progress } = ctx;
  progress.begin('links', inodes.count);
  for (let at = 0; at < inodes.count; at++) {
    if (at % STEPS === 0) progress.advance(at === 0 ? 0 : STEPS);
    if (inodes.has(at, ROW_DAMAGED)) continue;
    checkFlags(ctx, at);
    if (inodes.ino(at) === ROOT_INO) checkRoot(ctx, at);
    else if (inodes.names(at) === 0) checkNameless(ctx, at);
    else checkNamed(ctx, at);
  }
}

function checkRoot(ctx: CheckContext, at: number): void {
  const { inodes } = ctx;
  const where = { inode: ROOT_INO };
  if (!inodes.isDirectory(at))
    ctx.add({ kind: 'missing-root', where, found: `an inode of type ${inodes.type(at)}`, expected: 'a directory' });
  if (inodes.nlink(at) !== 1)
    ctx.add({
      kind: 'wrong-nlink',
      where,
      found: inodes.nlink(at),
      expected: 1,
      repair: (repairer) => repairer.setNlink(ROOT_INO, 1),
    });
  if (inodes.names(at) > 0) {
    const dir = inodes.foundParent(at);
    const position = inodes.foundPosition(at);
    ctx.add({
      kind: 'extra-directory-name',
      where: { ...where, directory: dir, position },
      found: 'a name of the root',
      expected: 'none',
      repair: (repairer) => repairer.removeName(dir, position),
    });
  }
}

function checkNameless(ctx: CheckContext, at: number): void {
  const { inodes } = ctx;
  const ino = inodes.ino(at);
  const where = { inode: ino };
  if (inodes.nlink(at) === 0) {
    if (inodes.has(at, HAS_ENTRIES))
      ctx.add({
        kind: 'removed-directory-in-use',
        where,
        found: 'names in a directory without a name',
        expected: 'an empty one',
        repair: (repairer) => repairer.reconnect(ino),
      });
    else
      ctx.add({
        kind: 'waiting-orphan',
        where,
        found: 'an inode without a name',
        expected: 'the next mount removes it',
      });
    return;
  }
  const damaged = ctx.damagedDentries.get(placeKey(inodes.parent(at), inodes.position(at)));
  ctx.add({
    kind: 'orphan-inode',
    where,
    found: damaged === undefined ? 'no name' : 'a damaged name',
    expected: inodes.isDirectory(at) ? 1 : inodes.nlink(at),
    repair: (repairer) => {
      if (damaged === undefined) repairer.reconnect(ino);
      else repairer.setType(damaged.slot, { ...damaged.dentry, ino });
    },
  });
}

function checkNamed(ctx: CheckContext, at: number): void {
  const { inodes } = ctx;
  const ino = inodes.ino(at);
  const where = { inode: ino };
  const names = inodes.isDirectory(at) ? 1 : inodes.names(at);
  if (inodes.nlink(at) !== names) {
    // Names that cannot be read may make up the difference.
    const mayBeRight = names < inodes.nlink(at) && (ctx.hasUnseenRows || ctx.damagedDentries.size > 0);
    ctx.add({
      kind: 'wrong-nlink',
      where,
      found: inodes.nlink(at),
      expected: names,
      repair: mayBeRight ? undefined : (repairer) => repairer.setNlink(ino, names),
    });
  }
  // 0 says that the name it had there is gone, and which of the others there are nobody has looked up.
  if (inodes.has(at, PARENT_NAMES_IT) || (inodes.parent(at) === 0 && !inodes.isDirectory(at))) return;
  const parent = inodes.foundParent(at);
  const position = inodes.foundPosition(at);
  ctx.add({
    kind: 'wrong-parent',
    where,
    found: `directory ${inodes.parent(at)}, position ${inodes.position(at)}`,
    expected: `directory ${parent}, position ${position}`,
    repair: (repairer) => repairer.setParent(ino, { parent, position }),
  });
}

function checkFlags(ctx: CheckContext, at: number): void {
  const { inodes } = ctx;
  const ino = inodes.ino(at);
  let right = 0;
  if (inodes.has(at, HAS_XATTR)) right |= FLAG_XATTRS;
  if (inodes.has(at, HAS_ACL_ACCESS)) right |= FLAG_ACL_ACCESS;
  if (inodes.has(at, HAS_ACL_DEFAULT)) right |= FLAG_ACL_DEFAULT;
  const found = inodes.flags(at) & (FLAG_XATTRS | FLAG_ACL_ACCESS | FLAG_ACL_DEFAULT);
  if (found === right) return;
  ctx.add({
    kind: 'wrong-flag',
    where: { inode: ino },
    found: `flags ${found} for xattrs and ACLs`,
    expected: right,
    repair: (repairer) => repairer.setFlags(ino, { clear: found & ~right, set: right }),
  });
}
