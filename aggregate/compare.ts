/**
 * Whether an own file still has the bytes that extents name: byte by byte, since neither size and times nor a checksum of
 * 32 bits prove it. May run on any thread.
 */
import type { Backing, BackingFile } from '../base/backing.ts';
import { E, isErrno } from '../base/errno.ts';
import type { Extent, VolumeRow } from '../base/layout.ts';
import type { VolumeKinds } from './volume.ts';
import { openVolume } from './volume_set.ts';

/** Survives a structured clone. */
export interface CompareJob {
  /** Of the own file. */
  readonly path: string;
  /** Bytes that it should have. */
  readonly size: number;
  /** By file offset; what lies between them is zeros. */
  readonly extents: readonly Extent[];
  /** Those that the extents lie on. */
  readonly volumes: readonly VolumeRow[];
}

const PART_BYTES = 1024 * 1024;
const zeros = new Uint8Array(PART_BYTES);

/** 1 when they are equal, 0 when not, -errno when one of them cannot be read. */
export function compareContents(job: CompareJob, backing: Backing, kinds: VolumeKinds = {}): number {
  const own = backing.open(job.path);
  if (isErrno(own)) return -own.number;
  try {
    const stat = own.stat();
    if (isErrno(stat)) return -stat.number;
    return stat.size === job.size ? compareAll(job, own, { backing, kinds }) : 0;
  } finally {
    own.close();
  }
}

function compareAll(job: CompareJob, own: BackingFile, tools: { backing: Backing; kinds: VolumeKinds }): number {
  let at = 0;
  for (const extent of job.extents) {
    if (extent.fileOffset < at) return -E.EIO.number;
    const row = job.volumes.find(({ id }) => id === extent.volume);
    const volume = row === undefined ? E.EIO : openVolume(row, tools);
    const file = isErrno(volume) ? volume : volume.openAggregate(extent.aggregate);
    if (isErrno(file)) return -file.number;
    const gap = compareRange(own, undefined, { at, from: 0, length: extent.fileOffset - at });
    const range = { at: extent.fileOffset, from: extent.offset, length: extent.length };
    const same = gap === 1 ? compareRange(own, file, range) : gap;
    file.close();
    if (same !== 1) return same;
    at = extent.fileOffset + extent.length;
  }
  return compareRange(own, undefined, { at, from: 0, length: Math.max(0, job.size - at) });
}

/** `length` bytes of the own file from `at`, and of `other` from `from`, or zeros. */
function compareRange(
  own: BackingFile,
  other: BackingFile | undefined,
  { at, from, length }: { readonly at: number; readonly from: number; readonly length: number },
): number {
  const mine = Buffer.allocUnsafe(Math.min(PART_BYTES, length));
  const theirs = other === undefined ? zeros : Buffer.allocUnsafe(mine.length);
  for (let done = 0; done < length; done += mine.length) {
    const count = Math.min(mine.length, length - done);
    const read = own.read(mine.subarray(0, count), at + done);
    if (read < 0) return read;
    const readOther = other?.read(theirs.subarray(0, count), from + done) ?? count;
    if (readOther < 0) return readOther;
    if (read < count || readOther < count || mine.compare(theirs, 0, count, 0, count) !== 0) return 0;
  }
  return 1;
}
