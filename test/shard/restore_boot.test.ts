import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { type AggregateId, ROOT_INO } from '../../base/units.ts';
import { Restoration } from '../../shard/backup/restore.ts';
import { BackupSource } from '../../shard/backup/source.ts';
import { BackupWriter } from '../../shard/backup/writer.ts';
import { scratchFolder, TestStore, VOLUME } from './fixture.ts';

const backing = new PosixBacking();

function backUp(test: TestStore): string {
  const source = BackupSource.open(test.folder, test.clock.now());
  const facts = source.facts();
  const chunks: Buffer[] = [];
  const writer = new BackupWriter((bytes) => chunks.push(Buffer.from(bytes)), {
    storeId: facts.storeId,
    created: 'now',
    folder: test.folder,
    config: '',
    shards: facts.shards,
    slots: Buffer.from(facts.slots).toString('base64'),
    hashKey: Buffer.from(facts.hashKey).toString('base64'),
    volumes: [],
    firstLsn: test.store.lsn,
  });
  for (const row of source.rows()) writer.row(row);
  writer.flushRows();
  writer.end({ damaged: source.damaged, starts: facts.starts, generation: facts.generation });
  source.close();
  const path = join(scratchFolder(), 'backup');
  writeFileSync(path, Buffer.concat(chunks));
  return path;
}

test.each([
  ['the same boot: no reboot is seen, and what records name is to be flushed', 'boot 1', ['after', 'before'], false],
  ['another boot: records behind the last barrier never happened', 'boot 2', ['before'], true],
])('a surviving journal of %s', (_, bootId, names, rebooted) => {
  const other = scratchFolder();
  const lost = new TestStore({ shardCount: 1, bootId: 'boot 1', journal: { folders: [other] } });
  lost.store.raiseStart();
  lost.make(lost.root(), 'before');
  lost.store.barrier();
  const path = backUp(lost);
  lost.make(lost.root(), 'after');
  const record = lost.store.begin();
  const row = { id: 7 as AggregateId, volume: VOLUME.id, state: 'open', written: 1, live: 1 } as const;
  record.putAggregate({ ...row, newestMtimeSec: 0, lastReadDay: 0 });
  lost.store.commit(record);
  lost.store.close();

  const file = backing.open(path);
  if (isErrno(file)) throw new Error('No backup');
  const folder = join(scratchFolder(), 'meta');
  const now = { sec: 1, nsec: 0 };
  const job = { backing, file, folder, now, bootId, journals: [other], volumes: () => [VOLUME], onBytes: () => {} };
  const restoration = new Restoration(job);
  const { lsn } = restoration.run();
  const { starts, generation, touched } = restoration;
  restoration.finish({ lsn, starts, generation, sequenceGap: 0 });
  restoration.close();
  file.close();
  expect([...touched.keys()]).toEqual(rebooted ? [] : [7]);
  const restored = lost.open(folder, { bootId, journal: {} });
  expect(restored.rebooted).toBe(rebooted);
  const root = restored.inode(ROOT_INO);
  const found = root === undefined ? [] : restored.list(root, 0, 10).map(({ name }) => Buffer.from(name).toString());
  expect(found.sort()).toEqual(names);
  restored.close();
});
