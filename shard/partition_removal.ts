/**
 * The end of a directory that had many partitions: their rows go some at a time before its inode does, so that no record
 * grows with what the directory once was.
 */
import { partitionIndexes, partitionSlot, withoutPartition } from './partition_map.ts';
import type { Inode } from './rows.ts';
import type { NamespaceStore } from './store.ts';

/** Partitions whose rows one record deletes, at most. */
const PARTITIONS_A_RECORD = 128;

/** Whether its partitions have to go before it. */
export function hasManyPartitions(dir: Inode): boolean {
  return (
    dir.partitions.length * 8 > PARTITIONS_A_RECORD && partitionIndexes(dir.partitions).length > PARTITIONS_A_RECORD
  );
}

/** One record that removes the last ones of a directory without names or entries: it is then one of fewer partitions. */
export function removeSomePartitions(store: NamespaceStore, dir: Inode): void {
  const { mtime, ctime } = store.totals(dir);
  const record = store.begin();
  let { partitions } = dir;
  // The highest numbers have no halves of their own.
  for (const index of partitionIndexes(partitions).slice(-PARTITIONS_A_RECORD).reverse()) {
    record.deletePartition(partitionSlot(dir.ino, index), dir.ino, index);
    partitions = withoutPartition(partitions, index);
  }
  record.putInode({ ...dir, mtime, ctime, partitions });
  store.commit(record);
}
