/** Keys of partitions in maps. Nearly every directory has one partition: its key is the directory's number. */
import type { Ino } from '../base/units.ts';
import { MAX_PARTITION_DEPTH } from './partition_map.ts';

const PARTITIONS_MAX = 2 ** MAX_PARTITION_DEPTH;
/** Numbers up to here leave room for a partition's beside them. */
const SMALL_INO = Number.MAX_SAFE_INTEGER / PARTITIONS_MAX - 1;

export type PartitionKey = number | string;

export function partitionKey(dir: Ino, index: number): PartitionKey {
  if (index === 0) return dir;
  return dir < SMALL_INO ? -(dir * PARTITIONS_MAX + index) : `${dir}/${index}`;
}
