/** Stores for tests: small, in a folder of their own that goes with the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import type { Extent, VolumeRow } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import type { Clock, Timespec } from '../../base/time.ts';
import { type AggregateId, type Ino, ROOT_INO, type VolumeId } from '../../base/units.ts';
import { emptyInode } from '../../shard/empty_inode.ts';
import { DT_DIR, DT_REG, type Inode } from '../../shard/rows.ts';
import {
  checkpointDatabase,
  formatNamespace,
  type NamespaceOptions,
  NamespaceStore,
  SINGLE_PARTITION,
} from '../../shard/store.ts';

export const VOLUME: VolumeRow = {
  id: 1 as VolumeId,
  name: 'hot',
  tier: 'hot',
  kind: 'dir',
  paths: ['/store/volumes/hot'],
  dataCells: 1,
  parityCells: 0,
};

/** A clock that says what it is told; each look at it takes a second. */
export class TestClock implements Clock {
  sec = 1_700_000_000;

  now(): Timespec {
    this.sec += 1;
    return { sec: this.sec, nsec: 123_456_789 };
  }

  lastTick(): Timespec {
    return this.now();
  }

  monotonicMs(): number {
    return this.sec * 1000;
  }
}

export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pacsfs-shard-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface TestStoreOptions extends Partial<NamespaceOptions> {
  readonly shardCount?: number;
}

export class TestStore {
  folder: string;
  readonly clock = new TestClock();
  readonly #options: TestStoreOptions;
  store: NamespaceStore;

  constructor(options: TestStoreOptions = {}, folder = scratchFolder()) {
    this.folder = folder;
    this.#options = options;
    const { shardCount = 4 } = options;
    const made = formatNamespace(folder, {
      storeId: '5b0c2f4e-0000-4000-8000-000000000001',
      shardCount,
      now: this.clock.now(),
      volumes: [VOLUME],
      hashKey: new Uint8Array(16).fill(7),
      ballastBytes: options.ballastBytes ?? 0,
      journal: { segmentBytes: 256 << 10 },
    });
    assert(made === undefined, 'Cannot format a test store');
    this.store = this.open();
    onTestFinished(() => this.store.close());
  }

  open(folder = this.folder, more: Partial<NamespaceOptions> = {}): NamespaceStore {
    return NamespaceStore.open(folder, {
      log: silentLog,
      clock: this.clock,
      ballastBytes: 0,
      reserveBytes: 0,
      ...this.#options,
      ...more,
    });
  }

  /** The store that is open is in another folder from now on. */
  moveTo(folder: string): void {
    this.folder = folder;
  }

  reopen(): NamespaceStore {
    this.store.close();
    this.store = this.open();
    return this.store;
  }

  get(ino: Ino): Inode {
    const found = this.store.inode(ino);
    assert(found !== undefined, `No inode ${ino}`);
    return found;
  }

  root(): Inode {
    return this.get(ROOT_INO);
  }

  /** Makes a file or directory and returns its row. */
  make(dir: Inode, name: string | Uint8Array, row: Partial<Inode> = {}): Inode {
    const { store } = this;
    const bytes = typeof name === 'string' ? Buffer.from(name) : name;
    const place = store.placeFor(dir, bytes);
    assert(!isErrno(place), `No place: ${isErrno(place) ? place.name : ''}`);
    const now = this.clock.now();
    const isDirectory = ((row.mode ?? 0o100644) & 0o170000) === 0o040000;
    const record = store.begin();
    const slot = isDirectory ? store.slotForDirectory(dir.ino, bytes) : store.partitionOf(dir, place).slot;
    const ino = record.newIno(slot);
    record.putInode({ ...plainInode(ino, now), parent: dir.ino, position: place, ...row });
    record.putDentry(dir, { dir: dir.ino, position: place, name: bytes, ino, type: isDirectory ? DT_DIR : DT_REG });
    record.touchDirectory(dir, { entries: 1, directories: isDirectory ? 1 : 0, now });
    store.commit(record);
    return this.get(ino);
  }

  makeDirectory(dir: Inode, name: string): Inode {
    return this.make(dir, name, { mode: 0o040755, partitions: SINGLE_PARTITION });
  }

  unlink(dir: Inode, name: string | Uint8Array): void {
    const bytes = typeof name === 'string' ? Buffer.from(name) : name;
    const dentry = this.store.lookup(dir, bytes);
    assert(dentry !== undefined, 'Nothing to unlink');
    const record = this.store.begin();
    record.deleteDentry(dir, dentry);
    record.deleteInode(dentry.ino);
    const directories = dentry.type === DT_DIR ? -1 : 0;
    record.touchDirectory(dir, { entries: -1, directories, now: this.clock.now() });
    this.store.commit(record);
  }

  names(dir: Inode): string[] {
    return this.store.list(dir, 0, 1_000_000).map((dentry) => Buffer.from(dentry.name).toString());
  }
}

export function plainInode(ino: Ino, now: Timespec): Inode {
  return { ...emptyInode(ino, 0o100644, now), uid: 1000, gid: 1001, generation: 3 };
}

export function extentAt(fileOffset: number, length = 70_000, shared = false): Extent {
  return {
    fileOffset,
    length,
    volume: 1 as VolumeId,
    aggregate: 12 as AggregateId,
    offset: 4096 + fileOffset * 512,
    rangeStart: 4096 + fileOffset * 512,
    rangeLength: length,
    checksums: new Uint32Array(Math.ceil(length / 65536)).fill(0xdeadbeef),
    shared,
  };
}

/**
 * A barrier in steps: transactions that it covers are committed, logs moved; what comes between its beginning and the next
 * one waits, when it does not end.
 */
export function cycle(store: NamespaceStore, ends: boolean): void {
  const { lsn } = store;
  // Whatever their age: the first look notes since when they are dirty.
  for (const nowMs of [0, Number.MAX_SAFE_INTEGER]) store.barrierBegins(nowMs);
  if (!ends) return;
  if (lsn > store.durableLsn) {
    assert(store.appendBarrier(lsn) === undefined, 'No room in the journal of a test store');
    store.barrierFlushed(lsn, 0);
  }
  for (let more = true; more; ) {
    more = store.turn() === true;
    for (const path of store.takeMoves()) store.moved(path, checkpointDatabase(path));
  }
}
