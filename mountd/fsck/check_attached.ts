/** What hangs on inodes: xattrs, symlink targets, and extents that do not stand in the inode's own row. */
import { type Ino, slotOf } from '../../base/units.ts';
import { DT_LNK } from '../../shard/rows.ts';
import { DamagedRow, type ShardScan } from '../../shard/scan.ts';
import type { CheckContext } from './context.ts';
import {
  HAS_ACL_ACCESS,
  HAS_ACL_DEFAULT,
  HAS_SYMLINK,
  HAS_XATTR,
  LONG_EXTENTS,
  LONG_SECOND,
  ROW_DAMAGED,
} from './inode_table.ts';

const ACL_ACCESS = Buffer.from('system.posix_acl_access');
const ACL_DEFAULT = Buffer.from('system.posix_acl_default');

export function checkAttached(ctx: CheckContext): void {
  ctx.forEachShard('attributes', (scan, shard) => {
    checkXattrs(ctx, scan, shard);
    checkSymlinks(ctx, scan, shard);
    checkExtentRows(ctx, scan, shard);
  });
  checkMissingTargets(ctx);
}

function checkXattrs(ctx: CheckContext, scan: ShardScan, shard: number): void {
  const { inodes } = ctx;
  for (const row of scan.xattrs()) {
    const { ino, name } = row;
    const where = { inode: ino, shard };
    if (!ctx.isAtHome(slotOf(ino), shard, where)) continue;
    if (row instanceof DamagedRow)
      ctx.add({ kind: 'bad-row-checksum', where, name, found: 'an unreadable xattr', expected: 'a whole row' });
    const at = inodes.find(ino);
    if (at < 0) {
      ctx.add({
        kind: 'stray-xattr',
        where,
        name,
        found: 'an xattr of no inode',
        expected: 'none',
        repair: (repairer) => repairer.removeAttached(ino),
      });
      continue;
    }
    inodes.set(at, HAS_XATTR);
    if (name !== undefined && ACL_ACCESS.equals(name)) inodes.set(at, HAS_ACL_ACCESS);
    if (name !== undefined && ACL_DEFAULT.equals(name)) inodes.set(at, HAS_ACL_DEFAULT);
  }
}

function checkSymlinks(ctx: CheckContext, scan: ShardScan, shard: number): void {
  const { inodes } = ctx;
  for (const row of scan.symlinks()) {
    const { ino } = row;
    const where = { inode: ino, shard };
    if (!ctx.isAtHome(slotOf(ino), shard, where)) continue;
    const at = inodes.find(ino);
    if (at >= 0) inodes.set(at, HAS_SYMLINK);
    if (row instanceof DamagedRow) {
      ctx.add({ kind: 'bad-row-checksum', where, found: 'an unreadable symlink target', expected: 'a whole row' });
    } else if (at < 0 || (!inodes.has(at, ROW_DAMAGED) && inodes.type(at) !== DT_LNK)) {
      const found = at < 0 ? 'a target of no inode' : `a target of an inode of type ${inodes.type(at)}`;
      ctx.add({
        kind: 'stray-symlink',
        where,
        found,
        expected: 'none',
        repair: (repairer) => repairer.removeSymlink(ino),
      });
    } else if (!inodes.has(at, ROW_DAMAGED)) checkSize(ctx, ino, row.target.length);
  }
}

function checkSize(ctx: CheckContext, ino: Ino, length: number): void {
  const size = ctx.namespace.inode(ino)?.size;
  if (size === undefined || size === length) return;
  ctx.add({
    kind: 'wrong-symlink-size',
    where: { inode: ino },
    found: size,
    expected: length,
    repair: (repairer) => repairer.setSize(ino, length),
  });
}

function checkExtentRows(ctx: CheckContext, scan: ShardScan, shard: number): void {
  const { inodes } = ctx;
  for (const { ino, list, offset } of scan.extentKeys()) {
    const where = { inode: ino, offset, shard };
    if (!ctx.isAtHome(slotOf(ino), shard, where)) continue;
    const at = inodes.find(ino);
    if (at >= 0 && inodes.has(at, ROW_DAMAGED | (list === 0 ? LONG_EXTENTS : LONG_SECOND))) continue;
    ctx.add({
      kind: 'stray-extent-row',
      where,
      found: at < 0 ? 'an extent of no inode' : 'an extent that its inode does not count',
      expected: 'none',
      repair: at < 0 ? (repairer) => repairer.removeAttached(ino) : undefined,
    });
  }
}

function checkMissingTargets(ctx: CheckContext): void {
  const { inodes } = ctx;
  for (let at = 0; at < inodes.count; at++) {
    if (inodes.type(at) !== DT_LNK || inodes.has(at, HAS_SYMLINK)) continue;
    const where = { inode: inodes.ino(at) };
    ctx.add({ kind: 'missing-symlink-target', where, found: 'no target', expected: 'one' });
  }
}
