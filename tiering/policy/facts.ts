/** What a policy asks of a file. */
import type { VolumeRow } from '../../base/layout.ts';
import type { VolumeId } from '../../base/units.ts';
import { FLAG_PINNED, type Inode } from '../../shard/rows.ts';
import type { AgeBy } from './policy.ts';
import type { Place } from './target.ts';

export interface FileFacts {
  /**
   * From the mount's root, asked for last and only by rules with path conditions: it costs reads. Of several names of a
   * file any one; undefined when it has none, and then no rule with path conditions matches.
   */
  path(): Uint8Array | undefined;
  readonly size: number;
  /** Bytes that a move would copy: what the file has on the volume, without holes. */
  readonly storedBytes: number;
  /** Whole seconds since 1970. */
  readonly mtimeSec: number;
  readonly atimeSec: number;
  readonly uid: number;
  readonly gid: number;
  readonly project: number;
  readonly isPinned: boolean;
  /** A file whose bytes lie on several volumes is decided for each of them. */
  readonly place: Place;
  /** When it was last recalled; undefined for never. */
  readonly recalledSec: number | undefined;
}

/** What an inode's row says, for its bytes on one volume. */
export function factsOf(
  inode: Inode,
  beside: {
    readonly volume: Pick<VolumeRow, 'id' | 'name' | 'tier'>;
    readonly recalledSec?: number | undefined;
    path(): Uint8Array | undefined;
  },
): FileFacts {
  return {
    path: () => beside.path(),
    size: inode.size,
    storedBytes: storedOn(inode, beside.volume.id),
    mtimeSec: inode.mtime.sec,
    atimeSec: inode.atime.sec,
    uid: inode.uid,
    gid: inode.gid,
    project: inode.project,
    isPinned: (inode.flags & FLAG_PINNED) !== 0,
    place: beside.volume,
    recalledSec: beside.recalledSec,
  };
}

/** Volumes where a file's bytes lie now, each once; none for a file without any. */
export function volumesOf(inode: Pick<Inode, 'own' | 'extents'>): VolumeId[] {
  if (inode.own !== undefined) return [inode.own.volume];
  return [...new Set(inode.extents.map(({ volume }) => volume))];
}

function storedOn(inode: Inode, volume: VolumeId): number {
  if (inode.own !== undefined) return inode.own.volume === volume ? inode.size : 0;
  return inode.extents.reduce((sum, extent) => (extent.volume === volume ? sum + extent.length : sum), 0);
}

/** The time that an age is counted from; see `AgeBy`. */
export function lastUse(file: Pick<FileFacts, 'mtimeSec' | 'atimeSec'>, by: AgeBy): number {
  return by === 'mtime' ? file.mtimeSec : Math.max(file.atimeSec, file.mtimeSec);
}
