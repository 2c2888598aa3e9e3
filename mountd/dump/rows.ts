/** All rows of a store in the order of a dump, one at a time: memory stays constant however many there are. */
import type { VolumeRow } from '../../base/layout.ts';
import { DamagedRow } from '../../shard/scan.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import {
  aggregateLine,
  dentryLine,
  inodeLine,
  partitionLine,
  type Row,
  symlinkLine,
  volumeLine,
  xattrLine,
} from './format_v1.ts';

export function* dumpRows(namespace: NamespaceStore, volumes: readonly VolumeRow[]): Generator<Row> {
  for (const volume of volumes) yield volumeLine(volume);
  for (const row of namespace.aggregates()) yield aggregateLine(row);
  const shards = Array.from({ length: namespace.shardCount }, (_, shard) => namespace.scan(shard));
  for (const scan of shards) for (const row of scan.inodes()) yield line(row, inodeLine);
  for (const scan of shards) for (const row of scan.dentries()) yield line(row, dentryLine);
  for (const scan of shards) for (const row of scan.partitions()) yield line(row, partitionLine);
  for (const scan of shards) for (const row of scan.xattrs()) yield line(row, xattrLine);
  for (const scan of shards) for (const row of scan.symlinks()) yield line(row, symlinkLine);
  for (const { aggregate, rangeStart, ino } of namespace.allSharers())
    yield { row: 'sharer', aggregate, rangeStart, ino };
  for (const scan of shards)
    for (const { slot, nextSequence } of scan.sequences()) yield { row: 'sequence', slot, nextSequence };
}

function line<T>(row: T | DamagedRow, of: (row: T) => Row): Row {
  if (!(row instanceof DamagedRow)) return of(row);
  return { row: 'damaged', table: row.table, ino: row.ino, place: row.place };
}
