/** Faults of a directory that is being split: `wide` with its 40 names, half of the upper half of them moved. */
import { bootId } from '../../../base/boot.ts';
import { silentLog } from '../../../base/log.ts';
import { SystemClock } from '../../../base/time.ts';
import type { Position } from '../../../base/units.ts';
import { partitionRange, partitionSlot } from '../../../shard/partition_map.ts';
import type { Dentry, Inode, Partition } from '../../../shard/rows.ts';
import { beginSplit } from '../../../shard/split_step.ts';
import { NamespaceStore } from '../../../shard/store.ts';
import type { PlantedStore } from '../../support/planted_store.ts';
import { type Fault, must } from './fault.ts';

export const WIDE_NAMES = 40;

interface Split {
  readonly dir: Inode;
  readonly boundary: number;
  /** Names of the upper half: those that have moved, and those that have not. */
  readonly moved: readonly Dentry[];
  readonly unmoved: readonly Dentry[];
}

/** Two records of a split, as `moveUp` makes them for more names than one record takes. */
export function splitHalfway(store: PlantedStore): Split {
  const ino = store.ino('wide');
  const namespace = NamespaceStore.open(store.meta, { log: silentLog, clock: new SystemClock(), bootId: bootId() });
  try {
    const row = () => namespace.inode(ino) ?? failed('No directory');
    const upper = beginSplit(namespace, row(), 0) ?? failed('No split');
    const { start } = partitionRange(row().partitions, upper);
    const rows = namespace.list(row(), start - 1, WIDE_NAMES);
    const middle = rows[Math.floor(rows.length / 2)] ?? failed('No names');
    const boundary = middle.position - (middle.position % 16);
    const moved = rows.filter(({ position }) => position < boundary);
    const record = namespace.begin();
    for (const dentry of moved) record.putDentryRow(partitionSlot(ino, upper), dentry);
    const [from, to] = [start as Position, (boundary - 1) as Position];
    record.deleteDentries({ slot: partitionSlot(ino, 0), dir: ino, from, to });
    const counted = (partition: Partition, by: number) => ({ ...partition, entries: partition.entries + by });
    record.putPartition(counted(namespace.partition(row(), 0), -moved.length));
    record.putPartition({ ...counted(namespace.partition(row(), upper), moved.length), boundary });
    namespace.commit(record);
    namespace.barrier();
    return { dir: row(), boundary, moved, unmoved: rows.filter(({ position }) => position >= boundary) };
  } finally {
    namespace.close();
  }
}

function failed(what: string): never {
  throw new Error(what);
}

function setBoundary(store: PlantedStore, { dir }: Split, boundary: number): void {
  const slot = partitionSlot(dir.ino, 1);
  store.change((databases) => {
    const row = databases.shardOf(slot).partition(slot, dir.ino, 1);
    if (typeof row !== 'object') throw new Error('No partition');
    databases.shardOf(slot).putPartition({ ...row, boundary });
  });
}

function allAreThere(store: PlantedStore): void {
  for (let i = 0; i < WIDE_NAMES; i++) must(store.exists(`wide/n${i}`), `n${i} is found by its name`);
  const { entries, listed } = store.read((namespace) => {
    const dir = namespace.inode(store.ino('wide')) ?? failed('No directory');
    return { entries: namespace.totals(dir).entries, listed: namespace.list(dir, 0, 2 * WIDE_NAMES).length };
  });
  must(entries === WIDE_NAMES && listed === WIDE_NAMES, `${entries} entries, ${listed} listed`);
}

export const SPLIT_FAULTS: readonly Fault[] = [
  {
    name: 'a name on the wrong side of the boundary',
    kinds: ['misplaced-dentry', 'wrong-partition-count'],
    plant: (store) => {
      const { dir, moved } = splitHalfway(store);
      const dentry = moved.at(-1) ?? failed('No name');
      store.change((databases) => {
        databases.shardOf(partitionSlot(dir.ino, 1)).deleteDentry(partitionSlot(dir.ino, 1), dir.ino, dentry.position);
      });
      store.putDentry({ slot: partitionSlot(dir.ino, 0), dentry });
    },
    healed: allAreThere,
  },
  {
    name: 'a boundary that has advanced without its rows',
    kinds: ['misplaced-dentry'],
    plant: (store) => {
      const split = splitHalfway(store);
      setBoundary(store, split, (split.unmoved.at(-1)?.position ?? 0) - ((split.unmoved.at(-1)?.position ?? 0) % 16));
    },
    healed: allAreThere,
  },
  {
    name: 'a row that was moved and not deleted',
    kinds: ['misplaced-dentry', 'wrong-partition-count'],
    plant: (store) => {
      const { dir, moved } = splitHalfway(store);
      store.putDentry({ slot: partitionSlot(dir.ino, 0), dentry: moved[0] ?? failed('No name') });
    },
    healed: allAreThere,
  },
  {
    name: 'a boundary outside its partition',
    kinds: ['wrong-boundary'],
    plant: (store) => setBoundary(store, splitHalfway(store), 4096),
    healed: allAreThere,
  },
  {
    name: 'a boundary that cuts names of one hash',
    kinds: ['wrong-boundary'],
    plant: (store) => {
      const split = splitHalfway(store);
      setBoundary(store, split, split.boundary + 5);
    },
    healed: allAreThere,
  },
  {
    name: 'the row that says how far a split has come is gone',
    kinds: ['missing-partition'],
    plant: (store) => {
      const { dir } = splitHalfway(store);
      const deleted = store.sql(
        partitionSlot(dir.ino, 1),
        'DELETE FROM partitions WHERE dir = ? AND part = 1',
        dir.ino,
      );
      must(deleted === 1, 'a row to delete');
    },
    healed: allAreThere,
  },
];
