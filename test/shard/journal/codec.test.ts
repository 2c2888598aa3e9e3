import { describe, expect, it } from 'vitest';
import type { Lsn } from '../../../base/units.ts';
import { decodeRecord, type JournalRecord } from '../../../shard/journal/record_codec.ts';
import { RecordEncoder } from '../../../shard/journal/record_encoder.ts';
import { Random } from '../../support/random.ts';
import { extentAt, plainInode } from '../fixture.ts';
import { KINDS, randomMutation, randomRecord } from './random_records.ts';

const encoder = new RecordEncoder(19);

function encode(record: JournalRecord): Uint8Array {
  const end = encoder.encode(record);
  return encoder.bytes.slice(19, end);
}

/** As plain values, without the rows' bytes. */
function plain(record: JournalRecord | undefined): unknown {
  if (record === undefined) return undefined;
  const mutations = [...record.mutations].map((mutation) => {
    if (mutation.kind !== 'inode') return mutation;
    const { row: _, ...rest } = mutation;
    return rest;
  });
  const text = JSON.stringify({ ...record, mutations }, (_, value: unknown) =>
    typeof value === 'bigint'
      ? `${value}n`
      : value instanceof Uint8Array || value instanceof Uint32Array
        ? [...value]
        : value,
  );
  return JSON.parse(text) as unknown;
}

describe('a record as bytes', () => {
  it.each(KINDS)('comes back: %s', (kind) => {
    const random = new Random(11);
    for (let i = 0; i < 50; i++) {
      const record: JournalRecord = { lsn: 5 as Lsn, mutations: [randomMutation(random, kind)], completes: undefined };
      expect(plain(decodeRecord(5 as Lsn, encode(record)))).toEqual(plain(record));
    }
  });

  it('comes back with many mutations and the request that it completes', () => {
    const random = new Random(12);
    for (let i = 0; i < 300; i++) {
      const record = randomRecord(random, i as Lsn);
      expect(plain(decodeRecord(i as Lsn, encode(record)))).toEqual(plain(record));
    }
  });

  it('cut off anywhere is none', () => {
    const random = new Random(13);
    for (const kind of KINDS) {
      const mutations = [randomMutation(random, kind), randomMutation(random, kind)];
      const bytes = encode({ lsn: 5 as Lsn, mutations });
      const first = encode({ lsn: 5 as Lsn, mutations: mutations.slice(0, 1) }).length;
      for (let end = 0; end < Math.min(bytes.length, 3000); end++) {
        if (end === 1 || end === first) continue;
        expect([kind, end, decodeRecord(5 as Lsn, bytes.subarray(0, end))]).toEqual([kind, end, undefined]);
      }
    }
  });

  it('of random bytes is none or something, never an exception', () => {
    const random = new Random(14);
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from({ length: 1 + random.below(80) }, () => random.below(i % 2 === 0 ? 256 : 20));
      expect(() => decodeRecord(1 as Lsn, bytes)).not.toThrow();
    }
  });

  it('of an inode whose long list did not change keeps the row, and leaves the list out', () => {
    const extents = Array.from({ length: 6 }, (_, i) => extentAt(i * 70_000));
    const inode = { ...plainInode(4097 as never, { sec: 1, nsec: 2 }), layout: 'packed' as const, extents };
    const put = { kind: 'inode' as const, inode, lists: 0, own: 'keep' as const, orphan: 'keep' as const };
    const first = encode({ lsn: 1 as Lsn, mutations: [put] });
    const found = decodeRecord(1 as Lsn, first);
    expect(first.length).toBeLessThan(120);
    // Encoded once more, as a surviving journal's records are, it is the same.
    expect(encode(found as JournalRecord)).toEqual(first);
  });
});
