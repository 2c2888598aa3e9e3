/** Faults of directories and their partitions. */
import { ROOT_INO, slotOf } from '../../../base/units.ts';
import { DT_DIR } from '../../../shard/rows.ts';
import { deleteInodeRow } from '../../support/planted_store.ts';
import { type Fault, must, NOBODY } from './fault.ts';

export const DIRECTORY_FAULTS: readonly Fault[] = [
  {
    name: 'the root is gone',
    kinds: ['missing-root'],
    plant: (store) => deleteInodeRow(store, ROOT_INO),
    healed: (store) => must(store.exists('a/b/small'), 'the tree is there'),
  },
  {
    name: 'directories that contain each other',
    kinds: ['unreachable-directory'],
    plant: (store) => {
      const moved = store.newDentry('a/b/c', 'up', { ino: store.ino('a'), type: DT_DIR });
      store.removeDentry('a');
      store.putDentry(moved);
      store.change((databases) => {
        const at = slotOf(moved.dentry.ino);
        const row = databases.shardOf(at).inode(moved.dentry.ino);
        if (typeof row !== 'object') throw new Error('No inode');
        const inode = { ...row, parent: moved.dentry.dir, position: moved.dentry.position };
        databases.shardOf(at).putInode({ kind: 'inode', inode, lists: 0, own: 'keep', orphan: 'keep' });
      });
    },
    healed: (store) => must(store.exists('lost+found'), 'the ring hangs there'),
  },
  {
    name: 'a partition row is gone',
    kinds: ['missing-partition'],
    plant: (store) => {
      const dir = store.ino('a');
      must(store.sql(slotOf(dir), 'DELETE FROM partitions WHERE dir = ?', dir) === 1, 'a row to delete');
    },
  },
  {
    name: 'a partition of a file, and one of nobody',
    kinds: ['stray-partition'],
    plant: (store) => {
      const dir = store.ino('a');
      const copy =
        'INSERT INTO partitions SELECT slot, dir, 4, entries, directories, changed_sec, changed_nsec, lsn, boundary, crc FROM partitions WHERE dir = ?';
      store.sql(slotOf(dir), copy, dir);
      store.change((databases) => {
        const row = databases.shardOf(slotOf(dir)).partition(slotOf(dir), dir, 0);
        if (typeof row !== 'object') throw new Error('No partition');
        databases.shardOf(slotOf(NOBODY)).putPartition({ ...row, slot: slotOf(NOBODY), dir: NOBODY });
      });
    },
  },
  {
    name: 'a wrong count of entries',
    kinds: ['wrong-partition-count'],
    plant: (store) => {
      const dir = store.ino('a');
      store.change((databases) => {
        const row = databases.shardOf(slotOf(dir)).partition(slotOf(dir), dir, 0);
        if (typeof row !== 'object') throw new Error('No partition');
        databases.shardOf(slotOf(dir)).putPartition({ ...row, entries: row.entries + 3, directories: 0 });
      });
    },
  },
  {
    name: 'a damaged partition row',
    kinds: ['bad-row-checksum'],
    plant: (store) => {
      const dir = store.ino('a');
      store.sql(slotOf(dir), 'UPDATE partitions SET entries = 1000 WHERE dir = ?', dir);
    },
  },
  {
    name: 'a removed directory with names in it',
    kinds: ['removed-directory-in-use'],
    plant: (store) => {
      const inode = { ...store.inode('a/b'), nlink: 0 };
      store.removeDentry('a/b');
      store.change((databases) =>
        databases.shardOf(slotOf(inode.ino)).putInode({ kind: 'inode', inode, lists: 0, own: 'keep', orphan: 'add' }),
      );
    },
    healed: (store) => must(store.exists('lost+found'), 'it has a name again'),
  },
];
