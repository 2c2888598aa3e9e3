/**
 * Claims of barriers, read after a power cut: whether bytes that were written to aggregates had reached the disk. A claim
 * is refused only where the disk tells that they had not: what cannot be read proves nothing, and its records stay. Should
 * they name bytes that are not there, these do not have their checksums, and reads fail.
 */
import type { Backing } from '../base/backing.ts';
import { crc32c } from '../base/crc32c.ts';
import { errnoOf, isErrno } from '../base/errno.ts';
import type { VolumeRow, WrittenRange } from '../base/layout.ts';
import type { VolumeKinds } from './volume.ts';
import { openVolumes } from './volume_set.ts';

export interface ClaimOptions {
  readonly volumes: readonly VolumeRow[];
  readonly storeId: string;
  readonly backing: Backing;
  readonly kinds?: VolumeKinds | undefined;
  /** Nothing is flushed. */
  readonly readOnly: boolean;
}

/** Throws when what was found cannot be flushed: it may be in a disk's cache, and the next barrier is to rely on it. */
export function rangesHold(ranges: readonly WrittenRange[], options: ClaimOptions): boolean {
  const { volumes, readOnly } = options;
  const opened = openVolumes(volumes, options);
  if (isErrno(opened)) return true;
  for (const { volume, aggregate, offset, length, checksum } of ranges) {
    const file = opened.present.get(volume)?.openAggregate(aggregate);
    if (file === undefined || isErrno(file)) continue;
    try {
      const bytes = new Uint8Array(length);
      const count = file.read(bytes, offset);
      if (count < 0) continue;
      if (count < length || crc32c(bytes) !== checksum) return false;
      const flushed = readOnly ? 0 : file.flush();
      if (flushed < 0) throw new Error(`Cannot flush aggregate ${aggregate}: ${errnoOf(-flushed).name}`);
    } finally {
      file.close();
    }
  }
  return true;
}
