/**
 * Who may have bytes in an aggregate, as its own indexes tell: nothing else knows that without a look at every inode. What
 * they tell is old; the rows say what still holds. Runs on a worker.
 */
import type { Backing } from '../base/backing.ts';
import { isErrno } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { AggregateId } from '../base/units.ts';
import { scanAggregate } from './scan.ts';
import type { VolumeKinds } from './volume.ts';
import { openVolume } from './volume_set.ts';

export interface ResidentsJob {
  readonly volume: VolumeRow;
  readonly storeId: string;
  readonly aggregate: AggregateId;
}

export interface Residents {
  readonly aggregate: AggregateId;
  /** Inode and start of a checksummed range, inode and start ..., in the order of their places. */
  readonly pairs: Float64Array;
  /** Bytes that the file takes up on its disk. */
  readonly allocated: number;
}

export function listResidents(job: ResidentsJob, backing: Backing, kinds: VolumeKinds = {}): Residents {
  const { aggregate, storeId } = job;
  const none = { aggregate, pairs: new Float64Array(0), allocated: 0 };
  const volume = openVolume(job.volume, { backing, kinds, storeId });
  const file = isErrno(volume) ? volume : volume.openAggregate(aggregate);
  if (isErrno(file)) return none;
  const pairs: (readonly [ino: number, rangeStart: number])[] = [];
  for (const { offset, index } of scanAggregate(file, { storeId, aggregate })) {
    const { files, extents, shares } = index;
    for (const { file: at, at: place } of extents) pairs.push([files[at]?.ino ?? 0, offset + place]);
    for (const { file: at, extent } of shares)
      if (extent.aggregate === aggregate) pairs.push([files[at]?.ino ?? 0, extent.rangeStart]);
  }
  const stat = file.stat();
  file.close();
  pairs.sort(([, a], [, b]) => a - b);
  return { ...none, pairs: Float64Array.from(pairs.flat()), allocated: isErrno(stat) ? 0 : stat.blocks * 512 };
}
