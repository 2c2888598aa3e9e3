/**
 * Backups of a store that changes all the while: whatever lies between two slices, the restored store is the one moment
 * at which the backup ends. `PACSFS_SEED` repeats a walk that failed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import type { AggregateId, Ino } from '../../base/units.ts';
import type { BackupEnd } from '../../shard/backup/format_v1.ts';
import { BackupError } from '../../shard/backup/reader.ts';
import { Restoration } from '../../shard/backup/restore.ts';
import { BackupSource } from '../../shard/backup/source.ts';
import { BackupWriter } from '../../shard/backup/writer.ts';
import { JournalTail, Overtaken, type TailRecord } from '../../shard/journal/tail.ts';
import { FLAG_XATTRS } from '../../shard/rows.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { cycle, scratchFolder, TestStore, VOLUME } from './fixture.ts';

const SEED = firstSeed('PACSFS_SEED');
const WALKS = 5;
const STORE_ID = '5b0c2f4e-0000-4000-8000-000000000001';
const backing = new PosixBacking();

/** Changes of every kind of row, in a store whose databases commit now and then. */
class Walk {
  readonly test = new TestStore({ shardCount: 3, cachedInodes: 50, cachedPartitions: 4, shardTxnRows: 40 });
  readonly #random: Random;
  #directories: Ino[] = [];
  #count = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    for (let i = 0; i < 5; i++) this.#directories.push(this.test.makeDirectory(this.test.root(), `dir${i}`).ino);
    for (let i = 0; i < 400; i++) this.change();
    this.barrier();
  }

  barrier(): void {
    assert(!isErrno(this.test.store.barrier()), 'A barrier failed');
  }

  change(): void {
    const { test } = this;
    const { store } = test;
    const dir = test.get(this.#directories[this.#random.below(5)] ?? (1 as Ino));
    const name = Buffer.from(`${dir.ino}/${this.#random.below(120)}`.replace('/', '-'));
    const key = name.toString();
    const found = store.findName(dir, name);
    this.#count += 1;
    if (isErrno(found)) {
      test.make(dir, key);
      return;
    }
    const inode = test.get(found.ino);
    const record = store.begin();
    switch (this.#random.below(6)) {
      case 0: {
        record.deleteDentry(dir, found);
        record.touchDirectory(dir, { entries: -1, directories: 0, now: test.clock.now(), position: found.position });
        record.deleteInode(inode.ino);
        break;
      }
      case 1:
        record.putInode({ ...inode, flags: inode.flags | FLAG_XATTRS });
        record.putXattr(inode.ino, Buffer.from(`user.${this.#random.below(4)}`), this.#random.bytes(40));
        break;
      case 2: {
        const extents = Array.from({ length: this.#random.below(9) }, (_, i) => ({
          fileOffset: i * 65_536,
          length: 65_536,
          volume: VOLUME.id,
          aggregate: (1 + this.#random.below(5)) as AggregateId,
          offset: i * 65_536,
          rangeStart: i * 65_536,
          rangeLength: 65_536,
          checksums: Uint32Array.of(this.#random.below(1000)),
          shared: false,
        }));
        record.putInode({ ...inode, layout: 'packed', own: undefined, extents, size: this.#count });
        break;
      }
      case 3:
        record.putInode({
          ...inode,
          layout: 'own',
          own: { volume: VOLUME.id, start: 1, number: this.#count },
          extents: [],
        });
        break;
      case 4:
        record.putAggregate({
          id: (1 + this.#random.below(9)) as AggregateId,
          volume: VOLUME.id,
          state: 'sealed',
          written: this.#count,
          live: 0,
          newestMtimeSec: 5,
          lastReadDay: 0,
        });
        record.putSharer(3 as AggregateId, 4096 * this.#random.below(9), inode.ino);
        break;
      default:
        // Lists that it has stay as they are.
        record.putInode({ ...inode, uid: this.#count });
    }
    store.commit(record);
    if (this.#random.below(10) === 0) this.barrier();
    if (this.#random.below(10) === 0) cycle(store, this.#random.below(2) === 0);
  }
}

interface Made {
  readonly path: string;
  readonly end: BackupEnd;
}

/** What mountd/backup does, with a change after each few rows. */
function backUp(walk: Walk, random: Random): Made {
  const { folder, clock } = walk.test;
  const tail = JournalTail.open(backing, { path: join(folder, 'journal'), storeId: STORE_ID });
  const source = BackupSource.open(folder, clock.now());
  const records: TailRecord[] = [...tail.poll()];
  const facts = source.facts();
  const chunks: Buffer[] = [];
  const writer = new BackupWriter((bytes) => chunks.push(Buffer.from(bytes)), {
    storeId: facts.storeId,
    created: 'now',
    folder,
    config: '',
    shards: facts.shards,
    slots: Buffer.from(facts.slots).toString('base64'),
    hashKey: Buffer.from(facts.hashKey).toString('base64'),
    volumes: [],
    firstLsn: tail.firstLsn,
  });
  for (const row of source.rows()) {
    writer.row(row);
    if (random.below(4) !== 0) continue;
    walk.change();
    if (random.below(20) === 0) records.push(...tail.poll());
  }
  writer.flushRows();
  walk.barrier();
  records.push(...tail.poll());
  expect(tail.coveredLsn).toBe(walk.test.store.lsn);
  for (const record of records) writer.record(record);
  const end = writer.end({ damaged: source.damaged, starts: facts.starts, generation: facts.generation });
  source.close();
  const path = join(folder, 'backup');
  writeFileSync(path, Buffer.concat(chunks));
  return { path, end };
}

function restore(path: string): { readonly folder: string; readonly lsn: number } {
  const folder = join(scratchFolder(), 'meta');
  const file = backing.open(path);
  if (isErrno(file)) throw new Error('No backup');
  const clock = { sec: 1, nsec: 0 };
  const job = {
    backing,
    file,
    folder,
    now: clock,
    bootId: 'b',
    journals: [],
    volumes: () => [VOLUME],
    onBytes: () => {},
  };
  const restoration = new Restoration(job);
  try {
    const { lsn, end } = restoration.run();
    restoration.finish({ lsn, starts: end.starts, generation: end.generation, sequenceGap: 0 });
    return { folder, lsn };
  } finally {
    restoration.close();
    file.close();
  }
}

/** Every row of a store, as text. */
function rowsOf(store: NamespaceStore): string[] {
  const rows: unknown[] = [
    store.aggregates(),
    [...store.allSharers()],
    [...store.orphans()],
    [...store.ownFileInodes()],
  ];
  for (let shard = 0; shard < store.shardCount; shard++) {
    const scan = store.scan(shard);
    rows.push(
      ...scan.inodes(),
      ...scan.dentries(),
      ...scan.partitions(),
      ...scan.xattrs(),
      ...scan.symlinks(),
      scan.sequences(),
    );
  }
  return rows.map((row) => JSON.stringify(row));
}

describe('backup of a changing store', () => {
  for (let i = 0; i < WALKS; i++) {
    const seed = SEED + i;
    it(`seed ${seed}`, () => {
      process.stdout.write(`backup of a changing store: PACSFS_SEED=${seed}\n`);
      const walk = new Walk(seed);
      const made = backUp(walk, new Random(seed + 1));
      expect(made.end.damaged).toBe(0);
      const restored = restore(made.path);
      expect(restored.lsn).toBe(walk.test.store.lsn);
      const copy = walk.test.open(restored.folder);
      expect(rowsOf(copy)).toEqual(rowsOf(walk.test.store));
      expect(copy.lsn).toBe(walk.test.store.lsn);
      copy.close();
    });
  }
});

describe('a backup that is not whole', () => {
  it('is refused wherever it was cut, changed or lengthened', () => {
    const walk = new Walk(SEED);
    const { path } = backUp(walk, new Random(SEED));
    const bytes = readFileSync(path);
    const random = new Random(SEED);
    const damaged = [
      Buffer.concat([bytes, bytes.subarray(bytes.length - 50)]),
      ...Array.from({ length: 6 }, () => bytes.subarray(0, random.below(bytes.length))),
      ...Array.from({ length: 6 }, () => {
        const changed = Buffer.from(bytes);
        const at = random.below(bytes.length);
        changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
        return changed;
      }),
    ];
    for (const each of damaged) {
      // Reserved bytes of the preamble say nothing yet.
      if (each.length === bytes.length && each.subarray(16).equals(bytes.subarray(16))) continue;
      writeFileSync(path, each);
      expect(() => restore(path)).toThrow(BackupError);
    }
    writeFileSync(path, bytes);
    expect(restore(path).lsn).toBe(walk.test.store.lsn);
  });

  it('a journal that went round under its reader is noticed', () => {
    const walk = new Walk(SEED);
    const tail = JournalTail.open(backing, { path: join(walk.test.folder, 'journal'), storeId: STORE_ID });
    tail.poll();
    expect(() => {
      for (let i = 0; i < 32_000; i++) {
        walk.change();
        if (i % 16_000 !== 15_999) continue;
        walk.barrier();
        walk.test.store.checkpoint();
        // Whatever it gives follows what it gave before.
        const next = tail.lastLsn + 1;
        const [first] = tail.poll();
        if (first !== undefined) expect(first.lsn).toBe(next);
      }
    }).toThrow(Overtaken);
  });
});
