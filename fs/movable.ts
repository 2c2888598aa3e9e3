/** Of one file: whether it lies where a migration wants it, what of it could go there next, and if not, why. */
import type { AggregateId, Ino, VolumeId } from '../base/units.ts';
import type { Inode } from '../shard/rows.ts';
import { type Core, isUnsettled, S_IFMT, S_IFREG } from './core.ts';
import type { Amount, StayReason } from './migration_job.ts';

/** An aggregate that holds bytes of it, and whether there are more of them. */
export interface Movable {
  readonly source: AggregateId;
  readonly more: boolean;
}

/** Undefined when it is in its place, or gone. */
export function lookAt(core: Core, ino: Ino, targets: readonly VolumeId[]): Movable | StayReason | undefined {
  const inode = fileOf(core, ino);
  if (inode === undefined) return undefined;
  const { own, size } = inode;
  if (own !== undefined) {
    if (targets.includes(own.volume)) return undefined;
    if (isUnsettled(inode) || core.packer.has(ino)) return 'open';
    return size <= core.options.packBelow ? 'open' : 'dedicated';
  }
  const elsewhere = inode.extents.filter(({ volume }) => !targets.includes(volume));
  const [first] = elsewhere;
  if (first === undefined) return undefined;
  // An open for writing has begun, or a comparison: it will be packed anew.
  if (core.comparisons.has(ino) || core.packer.has(ino)) return 'open';
  if (!elsewhere.every(({ volume }) => core.data.canPack(volume))) return 'unreachable';
  return { source: first.aggregate, more: elsewhere.some(({ aggregate }) => aggregate !== first.aggregate) };
}

/** What of a file is not in its place: one file, or none. */
export function bytesElsewhere(core: Core, ino: Ino, targets: readonly VolumeId[]): Amount {
  const inode = fileOf(core, ino);
  if (inode === undefined) return { files: 0, bytes: 0 };
  const { own, size, extents } = inode;
  if (own !== undefined) return targets.includes(own.volume) ? { files: 0, bytes: 0 } : { files: 1, bytes: size };
  let bytes = 0;
  for (const { volume, length } of extents) if (!targets.includes(volume)) bytes += length;
  return { files: bytes > 0 ? 1 : 0, bytes };
}

function fileOf(core: Core, ino: Ino): Inode | undefined {
  const inode = core.namespace.inode(ino);
  return inode === undefined || inode.nlink === 0 || (inode.mode & S_IFMT) !== S_IFREG ? undefined : inode;
}
