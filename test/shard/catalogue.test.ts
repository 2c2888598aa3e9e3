import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AggregateId, Ino, Lsn, VolumeId } from '../../base/units.ts';
import { Catalogue, type FilePart } from '../../shard/catalogue.ts';
import { scratchFolder } from './fixture.ts';

function part(mark: { lsn: number; start: number; aggregate?: number; at?: number }, name: string): FilePart {
  const { lsn, start, aggregate = 1, at = 4096 } = mark;
  return {
    ...{
      ino: 4097 as Ino,
      dir: 1 as Ino,
      name: Buffer.from(name),
      mode: 0o100644,
      uid: 0,
      gid: 0,
      size: 0,
      dataBytes: 0,
    },
    ...{ lsn: lsn as Lsn, start, aggregate: aggregate as AggregateId, at },
    ...{ mtime: { sec: 0, nsec: 0 }, own: { volume: 1 as VolumeId, start, number: 1 }, state: 'whole', extents: [] },
  };
}

test('of two files of one number the one of the later daemon is newer: its LSNs may be lower after a power cut', () => {
  const catalogue = new Catalogue(join(scratchFolder(), 'catalogue.db'));
  catalogue.addPart(part({ lsn: 12, start: 6 }, 'durable'));
  catalogue.addPart(part({ lsn: 20, start: 5 }, 'dropped'));
  catalogue.addPart(part({ lsn: 12, start: 6, at: 8192 }, 'durable, packed again'));
  catalogue.addPart(part({ lsn: 11, start: 6, aggregate: 2 }, 'older'));
  const names = [...catalogue.inodes()].map((parts) => parts.map(({ name }) => Buffer.from(name).toString()));
  expect(names).toEqual([['dropped', 'older', 'durable', 'durable, packed again']]);
  for (const chosen of [part({ lsn: 12, start: 6 }, 'n'), part({ lsn: 20, start: 5 }, 'n')])
    catalogue.choose({ ...chosen, place: 1 as Ino });
  expect([...catalogue.chosenIn(1 as Ino)].map(({ start, lsn }) => [start, lsn])).toEqual([
    [5, 20],
    [6, 12],
  ]);
  catalogue.close();
});
