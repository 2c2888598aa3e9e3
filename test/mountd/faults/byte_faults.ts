/** Faults of aggregates, own files and volumes. */
import { copyFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { AggregateId } from '../../../base/units.ts';
import type { PlantedStore } from '../../support/planted_store.ts';
import type { Fault } from './fault.ts';

function firstExtent(store: PlantedStore, path: string) {
  const [extent] = store.inode(path).extents;
  if (extent === undefined) throw new Error(`${path} has no extent`);
  return extent;
}

function setAggregate(store: PlantedStore, path: string, assignment: string): void {
  store.sql('system', `UPDATE aggregates SET ${assignment} WHERE id = ?`, firstExtent(store, path).aggregate);
}

export const BYTE_FAULTS: readonly Fault[] = [
  {
    name: 'two files over the same bytes',
    kinds: ['overlapping-extents', 'wrong-live-count'],
    left: ['overlapping-extents'],
    plant: (store) => {
      const { extents, size } = store.inode('a/f2');
      store.changeInode('a/f4', { extents, size });
    },
  },
  {
    name: 'a file whose extents reach past its size',
    kinds: ['bad-extent'],
    left: ['bad-extent'],
    plant: (store) => store.changeInode('a/f2', { size: 10 }),
  },
  {
    name: 'a flipped bit in a packed file',
    kinds: ['bad-data-checksum'],
    left: ['bad-data-checksum'],
    plant: (store) => {
      const { aggregate, offset } = firstExtent(store, 'a/f2');
      store.flipByte(store.aggregatePath(aggregate), offset + 70_000);
    },
  },
  {
    name: 'an aggregate that was cut off',
    kinds: ['short-aggregate', 'unreadable-data'],
    left: ['short-aggregate', 'unreadable-data'],
    plant: (store) => {
      const { aggregate, offset } = firstExtent(store, 'a/f2');
      truncateSync(store.aggregatePath(aggregate), offset + 100);
    },
  },
  {
    name: 'an aggregate without its header',
    kinds: ['bad-aggregate-header'],
    left: ['bad-aggregate-header'],
    plant: (store) => store.flipByte(store.aggregatePath(firstExtent(store, 'a/f2').aggregate), 3),
  },
  {
    name: 'an aggregate that is gone',
    kinds: ['missing-aggregate'],
    left: ['missing-aggregate'],
    plant: (store) => rmSync(store.aggregatePath(firstExtent(store, 'a/f2').aggregate)),
  },
  {
    name: 'an aggregate whose row is gone',
    kinds: ['missing-aggregate-row'],
    plant: (store) => void store.sql('system', 'DELETE FROM aggregates'),
  },
  {
    name: 'an aggregate that nobody knows',
    kinds: ['unknown-aggregate'],
    plant: (store) => {
      const path = store.aggregatePath(firstExtent(store, 'a/f2').aggregate);
      copyFileSync(path, join(dirname(path), '999'));
    },
  },
  {
    name: 'a row of an aggregate that never was',
    kinds: ['stale-aggregate-row'],
    plant: (store) =>
      store.change(({ system }) => {
        const [row] = system.aggregates();
        if (row !== undefined) system.putAggregate({ ...row, id: 55 as AggregateId, live: 0 });
      }),
  },
  {
    name: 'an aggregate declared dead',
    kinds: ['wrong-aggregate-state'],
    plant: (store) => setAggregate(store, 'a/f2', "state = 'dead'"),
  },
  {
    name: 'a wrong count of live bytes',
    kinds: ['wrong-live-count'],
    plant: (store) => setAggregate(store, 'a/f2', 'live = live + 4096'),
  },
  {
    name: 'extents beyond what was written',
    kinds: ['extent-beyond-written'],
    plant: (store) => setAggregate(store, 'a/f2', 'written = 8192'),
  },
  {
    name: 'a missing sharer',
    kinds: ['missing-sharer'],
    plant: (store) => void store.sql('system', 'DELETE FROM sharers WHERE ino = ?', store.ino('x/shared')),
  },
  {
    name: 'a stale sharer',
    kinds: ['stale-sharer'],
    plant: (store) => {
      const { aggregate, rangeStart } = firstExtent(store, 'a/f2');
      const ino = store.ino('a/f4');
      store.change(({ system }) => system.putSharer({ aggregate, rangeStart, ino }));
    },
  },
  {
    name: 'an own file that is gone',
    kinds: ['missing-own-file'],
    left: ['missing-own-file'],
    plant: (store) => rmSync(store.ownPath('big')),
  },
  {
    name: 'an own file of another size',
    kinds: ['wrong-own-size'],
    left: ['wrong-own-size'],
    plant: (store) => truncateSync(store.ownPath('big'), 1000),
  },
  {
    name: 'one own file of two inodes',
    kinds: ['shared-own-file'],
    left: ['shared-own-file'],
    plant: (store) => {
      const { own, layout, size } = store.inode('big');
      store.changeInode('a/f2', { own, layout, size, extents: [] });
    },
  },
  {
    name: 'an own file of nobody',
    kinds: ['unknown-own-file'],
    plant: (store) => {
      mkdirSync(join(store.volume, 'own', '1'), { recursive: true });
      writeFileSync(join(store.volume, 'own', '1', '4711'), 'somebody may want this');
    },
  },
  {
    name: 'a volume that is not there',
    kinds: ['missing-volume'],
    left: ['missing-volume'],
    plant: (store) => rmSync(join(store.volume, 'pacsfs-volume.json')),
  },
  {
    name: 'a volume that system.db knows by another name',
    kinds: ['wrong-volume'],
    left: ['wrong-volume'],
    plant: (store) => void store.sql('system', "UPDATE volumes SET name = 'other'"),
  },
];
