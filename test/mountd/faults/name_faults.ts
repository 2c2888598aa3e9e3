/** Faults of names. */
import { type Position, ROOT_INO, type Slot, slotOf } from '../../../base/units.ts';
import { DT_DIR, DT_LNK, DT_REG } from '../../../shard/rows.ts';
import { deleteInodeRow } from '../../support/planted_store.ts';
import { type Fault, must } from './fault.ts';

export const NAME_FAULTS: readonly Fault[] = [
  {
    name: 'an inode row is gone',
    kinds: ['dangling-dentry', 'wrong-live-count'],
    plant: (store) => deleteInodeRow(store, store.ino('a/f4')),
    healed: (store) => must(!store.exists('a/f4'), 'the name is gone'),
  },
  {
    name: 'a dentry is gone',
    kinds: ['orphan-inode', 'wrong-partition-count'],
    plant: (store) => store.removeDentry('a/f4'),
    healed: (store) => must(store.exists('lost+found'), 'lost+found was made'),
  },
  {
    name: "a directory's dentry is gone",
    kinds: ['orphan-inode'],
    plant: (store) => store.removeDentry('a/b'),
    healed: (store) => must(store.exists('lost+found') && !store.exists('a/b'), 'it was reconnected'),
  },
  {
    name: 'a directory row is gone',
    kinds: ['stray-dentry', 'dangling-dentry'],
    plant: (store) => deleteInodeRow(store, store.ino('a/b')),
    healed: (store) => must(store.exists('a/b/small'), 'the names in it are there'),
  },
  {
    name: 'names in a file',
    kinds: ['stray-dentry'],
    left: ['stray-dentry'],
    plant: (store) => {
      const { dentry } = store.newDentry('x', 'in-a-file', { ino: store.ino('a/f2'), type: DT_REG });
      const dir = store.ino('a/f4');
      store.putDentry({ slot: slotOf(dir), dentry: { ...dentry, dir } });
      store.changeInode('a/f2', { nlink: 2 });
    },
  },
  {
    name: 'a dentry of another type',
    kinds: ['wrong-type'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      store.putDentry({ slot, dentry: { ...dentry, type: DT_LNK } });
    },
  },
  {
    name: 'a dentry at a position that is not its hash',
    kinds: ['wrong-position'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      store.removeDentry('a/f2');
      store.putDentry({ slot, dentry: { ...dentry, position: (dentry.position + 65_536) as Position } });
    },
    healed: (store) => must(store.exists('a/f2'), 'it is found by its name'),
  },
  {
    name: 'a dentry in a slot of no partition',
    kinds: ['misplaced-dentry'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      store.removeDentry('a/f2');
      store.putDentry({ slot: ((slot + 4) % 4096) as Slot, dentry });
    },
    healed: (store) => must(store.exists('a/f2'), 'it is found by its name'),
  },
  {
    name: 'a dentry in a shard that does not own its slot',
    kinds: ['foreign-slot'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      store.change((databases) => databases.shards[(databases.shardIdOf(slot) + 1) % 4]?.putDentry(slot, dentry));
    },
  },
  {
    name: 'an inode in a shard that does not own its slot',
    kinds: ['foreign-slot'],
    plant: (store) => {
      const inode = store.inode('a/f2');
      store.change((databases) => {
        const foreign = databases.shards[(databases.shardIdOf(slotOf(inode.ino)) + 1) % 4];
        foreign?.putInode({ kind: 'inode', inode, lists: 0, own: 'keep', orphan: 'keep' });
      });
    },
  },
  {
    name: 'a name with a slash',
    kinds: ['bad-name'],
    left: ['bad-name'],
    plant: (store) => {
      store.putDentry(store.newDentry('x', 'sla/sh', { ino: store.ino('a/f2'), type: DT_REG }));
      store.changeInode('a/f2', { nlink: 2 });
    },
  },
  {
    name: 'a name twice in a directory',
    kinds: ['duplicate-name'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      const position = (dentry.position + 1) as Position;
      store.putDentry({ slot, dentry: { ...dentry, position, ino: store.ino('a/f4') } });
    },
    healed: (store) => must(store.exists('a/f2') && store.exists('a/f4'), 'both files have a name'),
  },
  {
    name: 'a directory with two names',
    kinds: ['extra-directory-name'],
    plant: (store) => store.putDentry(store.newDentry('x', 'again', { ino: store.ino('a/b'), type: DT_DIR })),
    healed: (store) => must(store.exists('a/b/c') && !store.exists('x/again'), 'the recorded name stays'),
  },
  {
    name: 'a name of the root',
    kinds: ['extra-directory-name'],
    plant: (store) => store.putDentry(store.newDentry('x', 'root', { ino: ROOT_INO, type: DT_DIR })),
  },
  {
    name: 'a damaged dentry of which only the type is wrong',
    kinds: ['bad-row-checksum'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      store.sql(slot, 'UPDATE dentries SET type = 4 WHERE dir = ? AND position = ?', dentry.dir, dentry.position);
    },
    healed: (store) => must(store.dentry('a/f2').dentry.type === DT_REG, 'its type is right'),
  },
  {
    name: 'a damaged dentry that names no inode',
    kinds: ['bad-row-checksum', 'orphan-inode'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      const { dir, position, ino } = dentry;
      store.sql(slot, 'UPDATE dentries SET ino = ? WHERE dir = ? AND position = ?', ino + 4096 * 999, dir, position);
    },
    healed: (store) => must(store.exists('a/f2') && !store.exists('lost+found'), 'the name is where it was'),
  },
  {
    name: 'a damaged dentry whose name is wrong',
    kinds: ['bad-row-checksum', 'orphan-inode'],
    left: ['bad-row-checksum'],
    plant: (store) => {
      const { slot, dentry } = store.dentry('a/f2');
      const { dir, position } = dentry;
      store.sql(slot, 'UPDATE dentries SET name = ? WHERE dir = ? AND position = ?', Buffer.from('g2'), dir, position);
    },
    healed: (store) => must(store.exists('lost+found'), 'its inode has a name'),
  },
];
