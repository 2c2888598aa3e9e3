/** How large a journal is made. */
import type { Backing } from '../../base/backing.ts';
import { isErrno } from '../../base/errno.ts';
import { MIB } from '../../base/units.ts';

const SEGMENT_BYTES = 8 * MIB;
export const SEGMENTS = 8;
/** Segments that `format` makes; the others are added when they are first needed. */
export const FIRST_SEGMENTS = 2;
const SEGMENT_UNIT = 64 * 1024;
const LEAST_SEGMENT_BYTES = 2 * SEGMENT_UNIT;
/** A journal takes at most this part of a small disk. */
const PART_OF_DISK = 32;

export interface JournalShape {
  /** Bytes of a segment, a multiple of 64 KiB; default 8 MiB, less on small disks. */
  readonly segmentBytes?: number;
  /** Segments at most, as long as what they hold can be let go. Default 8. */
  readonly segments?: number;
}

export function segmentBytesFor(backing: Backing, path: string): number {
  let folder = path;
  let space = backing.space(folder);
  // The folder is about to be made.
  while (isErrno(space) && folder.includes('/') && folder.length > 1) {
    folder = folder.slice(0, Math.max(1, folder.lastIndexOf('/')));
    space = backing.space(folder);
  }
  if (isErrno(space)) return SEGMENT_BYTES;
  const wanted = Math.floor(space.total / PART_OF_DISK / SEGMENTS / SEGMENT_UNIT) * SEGMENT_UNIT;
  return Math.min(SEGMENT_BYTES, Math.max(LEAST_SEGMENT_BYTES, wanted));
}
