/** Giving dead ranges back to the host; may run on any thread. */
import type { Backing } from '../base/backing.ts';
import { E, isErrno } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { AggregateId } from '../base/units.ts';
import { giveBack, giveBackZeros } from './space_ahead.ts';
import { openVolume } from './volume_set.ts';

/** A range that no inode names behind a durable record; survives a structured clone. */
export interface PunchJob {
  readonly volume: VolumeRow;
  readonly aggregate: AggregateId;
  /** Both multiples of 4,096. */
  readonly offset: number;
  readonly length: number;
  /** Only what holds zeros: the rest of an aggregate that was written ahead and is not used any more. */
  readonly onlyZeros: boolean;
}

/**
 * 0 or -errno. Nothing is lost when it fails: the space stays in use until compaction. An aggregate that is gone by now
 * counts as done; ids are never used twice, so it cannot be another.
 */
export function punch(job: PunchJob, backing: Backing): number {
  const volume = openVolume(job.volume, { backing });
  if (isErrno(volume)) return -volume.number;
  const file = volume.openAggregate(job.aggregate, { write: true });
  if (file === E.ENOENT) return 0;
  if (isErrno(file)) return -file.number;
  const outcome = job.onlyZeros ? giveBackZeros(file, job) : giveBack(file, job);
  file.close();
  return outcome;
}
