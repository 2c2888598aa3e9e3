/** What `pacsfs info` tells of an inode. */
import { isErrno, type Result } from '../base/errno.ts';
import { formatTime } from '../base/time.ts';
import { type Ino, sequenceOf, slotOf } from '../base/units.ts';
import { FLAG_PINNED, FLAG_UNSETTLED } from '../shard/rows.ts';
import { type Core, S_IFDIR, S_IFMT } from './core.ts';
import { type ShownExtent, shownExtents } from './layout_xattrs.ts';

export interface InodeDescription {
  readonly inode: number;
  readonly slot: number;
  readonly sequence: number;
  readonly shard: number;
  /** Number of the partition that holds one of its names. */
  readonly partition: number;
  readonly mode: string;
  readonly links: number;
  readonly size: number;
  readonly created: string;
  readonly layout: string;
  readonly tier: string | undefined;
  readonly volume: string | undefined;
  readonly ownFile: string | undefined;
  readonly settled: boolean;
  readonly pinned: boolean;
  readonly project: number;
  readonly extents: readonly ShownExtent[];
  /** Directories only. */
  readonly entries: number | undefined;
  readonly partitions: number | undefined;
}

export function describeInode(core: Core, ino: Ino): Result<InodeDescription> {
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  const attributes = core.attributes(inode);
  const parent = core.namespace.inode(inode.parent);
  const volume = inode.own?.volume ?? inode.extents[0]?.volume;
  const isDirectory = (inode.mode & S_IFMT) === S_IFDIR;
  const row = volume === undefined ? undefined : core.volumes.get(volume);
  return {
    inode: ino,
    slot: slotOf(ino),
    sequence: sequenceOf(ino),
    shard: core.namespace.shardOf(slotOf(ino)),
    partition: parent === undefined ? 0 : core.namespace.partitionOf(parent, inode.position).index,
    mode: attributes.mode.toString(8),
    links: attributes.nlink,
    size: attributes.size,
    created: formatTime(inode.btime),
    layout: inode.layout,
    tier: row?.tier,
    volume: row?.name,
    ownFile: inode.own === undefined ? undefined : `own/${inode.own.start}/${inode.own.number}`,
    settled: (inode.flags & FLAG_UNSETTLED) === 0,
    pinned: (inode.flags & FLAG_PINNED) !== 0,
    project: inode.project,
    extents: shownExtents(core, inode),
    entries: isDirectory ? core.namespace.totals(inode).entries : undefined,
    partitions: isDirectory ? bits(inode.partitions) : undefined,
  };
}

function bits(bitmap: Uint8Array): number {
  let count = 0;
  for (const byte of bitmap) for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
}
