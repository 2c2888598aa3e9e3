/** How full volumes are, as their disks say it: for watermarks where no daemon is asked. */
import type { Backing } from '../../base/backing.ts';
import { isErrno } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import type { VolumeId } from '../../base/units.ts';
import type { Fill } from '../../tiering/policy/watermarks.ts';

/** Of a volume with several directories the fullest counts; one whose directories cannot be asked is left out. */
export function volumeFills(volumes: readonly VolumeRow[], backing: Backing): Map<VolumeId, Fill> {
  const fills = new Map<VolumeId, Fill>();
  for (const { id, paths } of volumes) {
    let fullest: Fill | undefined;
    for (const path of paths) {
      const space = backing.space(path);
      if (isErrno(space) || space.total <= 0) continue;
      const fill = { usedBytes: space.total - space.free, totalBytes: space.total };
      if (fullest === undefined || share(fill) > share(fullest)) fullest = fill;
    }
    if (fullest !== undefined) fills.set(id, fullest);
  }
  return fills;
}

function share({ usedBytes, totalBytes }: Fill): number {
  return usedBytes / totalBytes;
}
