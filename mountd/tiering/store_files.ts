/** Every file of a store with what a policy asks of it, read from the databases alone. */
import type { VolumeRow } from '../../base/layout.ts';
import { slotOf, type VolumeId } from '../../base/units.ts';
import type { StoreDatabases } from '../../shard/databases.ts';
import { parentPartition, partitionIndexOf, partitionSlot } from '../../shard/partition_map.ts';
import type { Inode } from '../../shard/rows.ts';
import { DamagedRow, ShardScan } from '../../shard/scan.ts';
import { DAMAGED } from '../../shard/shard_database.ts';
import { type FileFacts, factsOf, volumesOf } from '../../tiering/policy/facts.ts';
import { FilePaths, type NameSource } from '../../tiering/policy/file_paths.ts';

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

export interface StoreFilesOptions {
  readonly volumes: readonly VolumeRow[];
  /** Told of each row that cannot be read; such files are left out. */
  readonly onDamaged: () => void;
  /** Told of each inode, for progress. */
  readonly onInode: () => void;
}

/** A file with bytes on several volumes comes once for each. */
export function* storeFiles(databases: StoreDatabases, options: StoreFilesOptions): Generator<FileFacts> {
  const places = new Map<VolumeId, VolumeRow>(options.volumes.map((volume) => [volume.id, volume]));
  const paths = new FilePaths(namesOf(databases));
  for (const shard of databases.shards) {
    if (databases.missing.some(({ shard: missing }) => databases.shards[missing] === shard)) continue;
    const scan = new ShardScan(shard, { has: (slot) => databases.shardOf(slot) === shard });
    for (const inode of scan.inodes()) {
      options.onInode();
      if (inode instanceof DamagedRow) options.onDamaged();
      else yield* factsOfFile(inode, places, paths);
    }
  }
}

function* factsOfFile(inode: Inode, places: ReadonlyMap<VolumeId, VolumeRow>, paths: FilePaths): Generator<FileFacts> {
  if ((inode.mode & S_IFMT) !== S_IFREG) return;
  for (const id of volumesOf(inode)) {
    const volume = places.get(id);
    if (volume !== undefined) yield factsOf(inode, { volume, path: () => paths.of(inode) });
  }
}

/** Names beside a daemon that goes on: one that is being moved to another partition meanwhile may not be found. */
function namesOf(databases: StoreDatabases): NameSource {
  return {
    inode(ino) {
      const found = databases.shardOf(slotOf(ino)).inode(ino);
      return found === DAMAGED ? undefined : found;
    },
    nameAt(dir, position) {
      const index = partitionIndexOf(dir.partitions, position);
      // While a partition is split its names are still in the one that it comes from.
      for (const candidate of index === 0 ? [index] : [index, parentPartition(index)]) {
        const slot = partitionSlot(dir.ino, candidate);
        const range = { slot, dir: dir.ino, from: position, to: position };
        const name = databases.shardOf(slot).dentries(range).rows[0]?.name;
        if (name !== undefined) return name;
      }
      return undefined;
    },
  };
}
