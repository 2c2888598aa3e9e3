/** A directory of names and what must hold of it at any moment, whatever is being split or merged. */
import { expect } from 'vitest';
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import type { Ino, Position } from '../../base/units.ts';
import { partitionIndexes, partitionSlot } from '../../shard/partition_map.ts';
import { DT_DIR, type Inode } from '../../shard/rows.ts';
import { DamagedRow } from '../../shard/scan.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import type { TestStore } from './fixture.ts';

export interface ModelName {
  readonly ino: Ino;
  readonly position: number;
  readonly isDirectory: boolean;
}

/** Names of one directory. */
export type ModelNames = Map<string, ModelName>;

export function inOrder(names: ModelNames): [string, ModelName][] {
  return [...names].sort(([, a], [, b]) => a.position - b.position);
}

export function directory(store: NamespaceStore, ino: Ino): Inode {
  const dir = store.inode(ino);
  assert(dir !== undefined, `No directory ${ino}`);
  return dir;
}

/** Every name is found, the listing is the model's, counts are those of the rows, every row lies where it is looked for. */
export function expectDirectory(store: NamespaceStore, ino: Ino, names: ModelNames): void {
  const dir = directory(store, ino);
  expect(listed(store, dir, 0)).toEqual(inOrder(names).map(([name, { ino: of }]) => [name, of]));
  for (const [name, of] of names)
    expect([name, store.lookup(dir, Buffer.from(name))]).toMatchObject([name, { ino: of.ino, position: of.position }]);
  const subdirectories = [...names.values()].filter(({ isDirectory }) => isDirectory).length;
  expect(store.totals(dir)).toMatchObject({ entries: names.size, directories: subdirectories });
  expectRows(store, dir, names);
}

/** Of the rows as they stand in the databases. */
function expectRows(store: NamespaceStore, dir: Inode, names: ModelNames): void {
  const counted = new Map<number, { entries: number; directories: number }>();
  const rows = new Map<number, { entries: number; directories: number }>();
  let dentries = 0;
  for (let shard = 0; shard < store.shardCount; shard++) {
    const scan = store.scan(shard);
    for (const row of scan.dentries()) {
      assert(!(row instanceof DamagedRow), 'A damaged dentry');
      if (row.dentry.dir !== dir.ino) continue;
      dentries += 1;
      const home = store.partitionOf(dir, row.dentry.position);
      expect({ position: row.dentry.position, slot: row.slot }).toEqual({
        position: row.dentry.position,
        slot: home.slot,
      });
      const count = counted.get(home.index) ?? { entries: 0, directories: 0 };
      count.entries += 1;
      if (row.dentry.type === DT_DIR) count.directories += 1;
      counted.set(home.index, count);
    }
    for (const row of scan.partitions()) {
      assert(!(row instanceof DamagedRow), 'A damaged partition');
      if (row.dir !== dir.ino) continue;
      expect(row.slot).toBe(partitionSlot(dir.ino, row.index));
      rows.set(row.index, { entries: row.entries, directories: row.directories });
    }
  }
  expect(dentries).toBe(names.size);
  const indexes = partitionIndexes(dir.partitions);
  expect([...rows.keys()].sort((a, b) => a - b)).toEqual(indexes);
  for (const index of indexes)
    expect([index, rows.get(index)]).toEqual([index, counted.get(index) ?? { entries: 0, directories: 0 }]);
}

/** The rest of a listing, in replies of a few names. */
export function listed(store: NamespaceStore, dir: Inode, after: number, limit = 37): [string, Ino][] {
  const found: [string, Ino][] = [];
  for (let from = after; ; ) {
    const slice = store.list(dir, from, limit);
    for (const { name, ino } of slice) found.push([Buffer.from(name).toString(), ino]);
    from = slice.at(-1)?.position ?? from;
    if (slice.length < limit) return found;
  }
}

/** Operations as the filesystem makes them, on a store and on the model of one of its directories. */
export class SplitModel {
  readonly test: TestStore;
  readonly dir: Ino;
  readonly names: ModelNames = new Map();

  constructor(test: TestStore, dir: Ino) {
    this.test = test;
    this.dir = dir;
  }

  get row(): Inode {
    return this.test.get(this.dir);
  }

  create(name: string, isDirectory = false): void {
    const made = isDirectory ? this.test.makeDirectory(this.row, name) : this.test.make(this.row, name);
    this.names.set(name, { ino: made.ino, position: made.position, isDirectory });
  }

  unlink(name: string): void {
    this.test.unlink(this.row, name);
    this.names.delete(name);
  }

  /** In one record, as RENAME does: what bore the new name is gone. */
  rename(from: string, to: string): void {
    const { store } = this.test;
    const source = store.lookup(this.row, Buffer.from(from));
    const target = store.lookup(this.row, Buffer.from(to));
    const moved = this.names.get(from);
    assert(source !== undefined && moved !== undefined && from !== to, 'Nothing to rename');
    const place = target?.position ?? store.placeFor(this.row, Buffer.from(to));
    assert(!isErrno(place), 'No place');
    const now = this.test.clock.now();
    const record = store.begin();
    const remove = (position: Position, type: number) => {
      record.deleteDentry(this.row, { position });
      const directories = type === DT_DIR ? -1 : 0;
      record.touchDirectory(this.row, { entries: -1, directories, now, position });
    };
    remove(source.position, source.type);
    if (target !== undefined) {
      remove(target.position, target.type);
      record.deleteInode(target.ino);
    }
    record.putDentry(this.row, { ...source, position: place, name: Buffer.from(to) });
    const directories = source.type === DT_DIR ? 1 : 0;
    record.touchDirectory(this.row, { entries: 1, directories, now, position: place });
    const inode = record.inode(source.ino);
    assert(inode !== undefined, 'No inode');
    record.putInode({ ...inode, parent: this.dir, position: place });
    store.commit(record);
    this.names.delete(from);
    this.names.set(to, { ...moved, position: place });
  }

  check(store = this.test.store): void {
    expectDirectory(store, this.dir, this.names);
  }
}
