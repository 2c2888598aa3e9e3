/** Faults of inodes and of what hangs on them. */
import { sequenceOf, slotOf } from '../../../base/units.ts';
import { rowIdOf } from '../../../shard/row_id.ts';
import { FLAG_UNSETTLED, FLAG_XATTRS } from '../../../shard/rows.ts';
import { FAR_LSN } from '../../support/planted_store.ts';
import { type Fault, must, NOBODY } from './fault.ts';

export const INODE_FAULTS: readonly Fault[] = [
  {
    name: 'an unreadable inode',
    kinds: ['bad-row-checksum'],
    left: ['bad-row-checksum'],
    plant: (store) => {
      const ino = store.ino('a/f2');
      const flip = "UPDATE inodes SET row = CAST(substr(row, 1, 21) || x'ff' || substr(row, 23) AS BLOB) WHERE id = ?";
      store.sql(slotOf(ino), flip, rowIdOf(ino));
    },
    healed: (store) => must(store.exists('a/f2'), 'its name is kept'),
  },
  {
    name: 'a wrong number of links',
    kinds: ['wrong-nlink'],
    plant: (store) => store.changeInode('a/f1', { nlink: 7 }),
    healed: (store) => must(store.inode('a/f1').nlink === 2, 'two names are counted'),
  },
  {
    name: 'a directory with a wrong number of links',
    kinds: ['wrong-nlink'],
    plant: (store) => store.changeInode('a', { nlink: 3 }),
  },
  {
    name: 'a wrong parent',
    kinds: ['wrong-parent'],
    plant: (store) => store.changeInode('a/f2', { parent: store.ino('x') }),
    healed: (store) => must(store.inode('a/f2').parent === store.ino('a'), 'the parent is right'),
  },
  {
    name: "a directory's wrong position",
    kinds: ['wrong-parent'],
    plant: (store) => store.changeInode('a/b', { position: 4711 }),
  },
  {
    name: 'flags without xattrs, xattrs without flags',
    kinds: ['wrong-flag'],
    plant: (store) => {
      store.changeInode('a/f4', { flags: FLAG_XATTRS });
      store.changeInode('a/f3', { flags: 0 });
    },
  },
  {
    name: 'an unsettled packed file',
    kinds: ['wrong-flag'],
    plant: (store) => store.changeInode('a/f2', { flags: store.inode('a/f2').flags | FLAG_UNSETTLED }),
  },
  {
    name: 'a file without a layout',
    kinds: ['bad-layout'],
    left: ['bad-layout'],
    plant: (store) => store.changeInode('a/f2', { layout: 'none' }),
  },
  {
    name: 'a LSN from the future',
    kinds: ['wrong-lsn'],
    plant: (store) => store.changeInode('a/f2', { lsn: FAR_LSN }),
  },
  {
    name: 'a partition with a LSN from the future',
    kinds: ['wrong-lsn'],
    plant: (store) => {
      const dir = store.ino('a');
      store.change((databases) => {
        const row = databases.shardOf(slotOf(dir)).partition(slotOf(dir), dir, 0);
        if (typeof row !== 'object') throw new Error('No partition');
        databases.shardOf(slotOf(dir)).putPartition({ ...row, lsn: FAR_LSN });
      });
    },
  },
  {
    name: 'a slot that would give numbers away again',
    kinds: ['wrong-sequence'],
    plant: (store) => {
      const ino = store.ino('a/f2');
      store.sql(slotOf(ino), 'UPDATE slots SET next_sequence = ? WHERE slot = ?', sequenceOf(ino), slotOf(ino));
    },
  },
  {
    name: 'indexes that lack one and have another',
    kinds: ['wrong-index'],
    plant: (store) => {
      const big = store.ino('big');
      const other = store.ino('a/f2');
      store.sql(slotOf(big), 'DELETE FROM own_files WHERE id = ?', rowIdOf(big));
      store.sql(slotOf(other), 'INSERT INTO orphans(id) VALUES(?)', rowIdOf(other));
      store.sql(slotOf(NOBODY), 'INSERT INTO own_files(id) VALUES(?)', rowIdOf(NOBODY));
    },
  },
  {
    name: 'a symlink without a target',
    kinds: ['missing-symlink-target'],
    left: ['missing-symlink-target'],
    plant: (store) => {
      const ino = store.ino('a/sym');
      store.sql(slotOf(ino), 'DELETE FROM symlinks WHERE id = ?', rowIdOf(ino));
    },
  },
  {
    name: 'an unreadable symlink target',
    kinds: ['bad-row-checksum'],
    left: ['bad-row-checksum'],
    plant: (store) => {
      const ino = store.ino('a/sym');
      store.sql(slotOf(ino), "UPDATE symlinks SET target = x'2f' WHERE id = ?", rowIdOf(ino));
    },
  },
  {
    name: 'a symlink of a wrong size',
    kinds: ['wrong-symlink-size'],
    plant: (store) => store.changeInode('a/sym', { size: 1000 }),
  },
  {
    name: 'targets, xattrs and extents of nobody',
    kinds: ['stray-symlink', 'stray-xattr', 'stray-extent-row'],
    plant: (store) => {
      const slot = slotOf(NOBODY);
      store.change((databases) => {
        databases.shardOf(slot).putSymlink(NOBODY, Buffer.from('x'));
        databases.shardOf(slot).putXattr(NOBODY, Buffer.from('user.a'), Buffer.from('x'));
      });
      store.sql(slot, "INSERT INTO extents(id, list, offset, row, crc) VALUES(?, 0, 0, x'00', 0)", rowIdOf(NOBODY));
    },
  },
  {
    name: 'a target of a file',
    kinds: ['stray-symlink'],
    plant: (store) => {
      const ino = store.ino('a/f2');
      store.change((databases) => databases.shardOf(slotOf(ino)).putSymlink(ino, Buffer.from('x')));
    },
  },
  {
    name: 'an unreadable xattr',
    kinds: ['bad-row-checksum'],
    left: ['bad-row-checksum'],
    plant: (store) => {
      const ino = store.ino('a/f3');
      store.sql(slotOf(ino), "UPDATE xattrs SET value = x'00' WHERE id = ?", rowIdOf(ino));
    },
  },
  {
    name: 'an unreadable extent row',
    kinds: ['bad-row-checksum'],
    left: ['bad-row-checksum'],
    plant: (store) => {
      const ino = store.ino('a/holes');
      store.sql(slotOf(ino), 'UPDATE extents SET crc = crc + 1 WHERE id = ?', rowIdOf(ino));
    },
  },
];
