/** Requests that the journal remembers as carried out are those whose records it has, wherever a kill falls. */
import { expect, test } from 'vitest';
import { isErrno } from '../../../base/errno.ts';
import { silentLog } from '../../../base/log.ts';
import type { Ino, Lsn } from '../../../base/units.ts';
import { Journal } from '../../../shard/journal/journal.ts';
import { SectorDisk, Stopped } from './sector_disk.ts';

const PATH = '/meta/journal';
const SEGMENT = 128 << 10;

function open(disk: SectorDisk): Journal {
  const journal = Journal.open({
    backing: disk,
    path: PATH,
    storeId: 's',
    bootId: 'boot',
    readOnly: false,
    log: silentLog,
    segments: 4,
  });
  if (isErrno(journal)) throw new Error(`No journal: ${journal.name}`);
  return journal;
}

/** A record of about `bytes` that completes the request of its own number. */
function append(journal: Journal, bytes: number): void {
  const lsn = (journal.lsn + 1) as Lsn;
  const value = new Uint8Array(bytes).fill(lsn);
  const outcome = journal.append({
    lsn,
    mutations: [{ kind: 'xattr', ino: 5 as Ino, name: new Uint8Array(1), value }],
    completes: { unique: BigInt(lsn), opcode: 1, node: 1, ino: 5 as Ino },
  });
  expect(outcome).toBe(0);
}

test.each([
  ['goes into the next segment', 100_000, 60_000],
  ['goes there in pieces', 100_000, 300_000],
])('a record that %s', (_, before, bytes) => {
  let moments = 0;
  for (let calls = 0; ; calls++) {
    const disk = new SectorDisk();
    const shape = { segmentBytes: SEGMENT, segments: 4 };
    expect(Journal.create(disk, { path: PATH, storeId: 's', lsn: 1 as Lsn, shape })).toBe(0);
    const journal = open(disk);
    expect(journal.raiseStart({ start: 1, generation: 1, bootId: 'boot' })).toBe(0);
    append(journal, before);
    disk.stopAfter(calls);
    let isStopped = false;
    try {
      append(journal, bytes);
    } catch (thrown) {
      if (!(thrown instanceof Stopped)) throw thrown;
      isStopped = true;
    }
    disk.stopAfter(Number.POSITIVE_INFINITY);
    const next = open(disk);
    const found = [2, 3].map((unique) => next.executed(BigInt(unique)) !== undefined);
    expect([calls, ...found]).toEqual([calls, true, next.lsn >= 3]);
    moments += 1;
    if (!isStopped) break;
  }
  expect(moments).toBeGreaterThan(2);
});
