import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirVolume } from '../../aggregate/dir_volume.ts';
import { formatVolume } from '../../aggregate/identity.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { STORE_ID, value, volumeRow } from './temporary_store.ts';
import { describeVolume } from './volume_suite.ts';

describeVolume(
  'a volume that is one directory',
  () => {
    const root = mkdtempSync(join(tmpdir(), 'pacsfs-dir-volume-'));
    const row = volumeRow(1, join(root, 'hot'));
    const backing = new PosixBacking();
    value(formatVolume(backing, row, { storeId: STORE_ID }));
    const volume = new DirVolume(row, backing);
    return {
      volume,
      reopen: () => new DirVolume(row, backing),
      put: (id, bytes) => {
        const file = value(volume.createAggregate(id));
        file.write(bytes, 0);
        file.close();
      },
      remove: () => rmSync(root, { recursive: true }),
    };
  },
  { hasOwnFiles: true },
);
