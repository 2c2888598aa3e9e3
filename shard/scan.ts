/**
 * Walks over all rows of a shard, for fsck and dump: in key order, a slice of at most `SLICE` rows per statement, so that
 * memory stays constant and no statement is open while the caller works. Rows that the caller changes meanwhile are seen
 * in either state.
 */
import { type Ino, SLOT_COUNT, type Slot, slotOf } from '../base/units.ts';
import { firstRowIdOf, inoOfRowId, SEQUENCE_LIMIT } from './row_id.ts';
import type { Dentry, Inode, Partition } from './rows.ts';
import { DAMAGED, type DentryColumns, type PartitionColumns, type ShardDatabase } from './shard_database.ts';

const SLICE = 1024;

/** A row whose checksum or contents are wrong: all that is known is its key. */
export class DamagedRow {
  readonly table: 'dentries' | 'inodes' | 'partitions' | 'xattrs' | 'symlinks';
  readonly slot: Slot;
  /** The inode that it belongs to; of a dentry or partition the directory. */
  readonly ino: Ino;
  /** Position of a dentry, index of a partition. */
  readonly place: number;
  /** Name of an xattr. */
  readonly name: Uint8Array | undefined;
  /** What a damaged dentry says: none of it is proven. */
  readonly dentry: Dentry | undefined;

  constructor(row: Omit<DamagedRow, 'name' | 'dentry'> & { readonly name?: Uint8Array; readonly dentry?: Dentry }) {
    this.table = row.table;
    this.slot = row.slot;
    this.ino = row.ino;
    this.place = row.place;
    this.name = row.name;
    this.dentry = row.dentry;
  }
}

export interface ScannedDentry {
  readonly slot: Slot;
  readonly dentry: Dentry;
}

export interface ScannedXattr {
  readonly ino: Ino;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
}

export interface ScannedSymlink {
  readonly ino: Ino;
  readonly target: Uint8Array;
}

export interface ExtentKey {
  readonly ino: Ino;
  /** 0 the extents, 1 the second list. */
  readonly list: number;
  readonly offset: number;
}

export interface SlotSequence {
  readonly slot: Slot;
  /** First sequence that was never reserved. */
  readonly nextSequence: number;
}

function damagedDentry(slot: Slot, dir: Ino, columns: DentryColumns): DamagedRow {
  const [place, name, ino, type] = columns;
  const dentry: Dentry = { dir, position: place as Dentry['position'], name, ino: ino as Ino, type };
  return new DamagedRow({ table: 'dentries', slot, ino: dir, place, dentry });
}

type Key3 = [slot: number, dir: number, place: number];

export class ShardScan {
  readonly #shard: ShardDatabase;
  readonly #has: (slot: number) => boolean;
  readonly #first: number;
  readonly #last: number;

  /** `has`: rows of other slots are left out; `only`: all but this slot are, without being read. */
  constructor(
    shard: ShardDatabase,
    options: { readonly has?: (slot: Slot) => boolean; readonly only?: Slot | undefined } = {},
  ) {
    this.#shard = shard;
    const { has, only } = options;
    this.#has = has === undefined ? () => true : (slot) => has(slot as Slot);
    this.#first = only ?? 0;
    this.#last = only ?? SLOT_COUNT - 1;
    shard.writeDeferred();
  }

  /** Row ids below that of the first row that is wanted, and the last that may be. */
  get #ids(): { readonly before: number; readonly to: number } {
    return { before: firstRowIdOf(this.#first as Slot) - 1, to: firstRowIdOf((this.#last + 1) as Slot) - 1 };
  }

  #hasId(id: number): boolean {
    return this.#has(Math.floor(id / SEQUENCE_LIMIT));
  }

  *dentries(): Generator<ScannedDentry | DamagedRow> {
    const statement = this.#shard.file
      .prepare<Key3, [slot: number, dir: number, ...DentryColumns]>(
        `SELECT slot, dir, position, name, ino, type, crc FROM dentries WHERE (slot, dir, position) > (?, ?, ?) AND slot <= ${this.#last} ORDER BY slot, dir, position LIMIT ${SLICE}`,
      )
      .raw(true);
    let last: Key3 = [this.#first, 0, 0];
    for (;;) {
      const slice = statement.all(...last);
      for (const [slotNumber, dirNumber, ...columns] of slice) {
        last = [slotNumber, dirNumber, columns[0]];
        if (!this.#has(slotNumber)) continue;
        const slot = slotNumber as Slot;
        const dir = dirNumber as Ino;
        const dentry = this.#shard.dentryOfRow(slot, dir, columns);
        yield dentry === undefined ? damagedDentry(slot, dir, columns) : { slot, dentry };
      }
      if (slice.length < SLICE) return;
    }
  }

  *inodes(): Generator<Inode | DamagedRow> {
    const statement = this.#shard.file
      .prepare<[number], [number, Buffer]>(
        `SELECT id, row FROM inodes WHERE id > ? AND id <= ${this.#ids.to} ORDER BY id LIMIT ${SLICE}`,
      )
      .raw(true);
    let last = this.#ids.before;
    for (;;) {
      const slice = statement.all(last);
      for (const [id, row] of slice) {
        last = id;
        if (!this.#hasId(id)) continue;
        const ino = inoOfRowId(id);
        const inode = this.#shard.inodeOfRow(ino, row);
        yield inode === DAMAGED ? new DamagedRow({ table: 'inodes', slot: slotOf(ino), ino, place: 0 }) : inode;
      }
      if (slice.length < SLICE) return;
    }
  }

  *partitions(): Generator<Partition | DamagedRow> {
    const statement = this.#shard.file
      .prepare<Key3, [...Key3, ...PartitionColumns]>(
        `SELECT slot, dir, part, entries, directories, changed_sec, changed_nsec, lsn, boundary, crc FROM partitions WHERE (slot, dir, part) > (?, ?, ?) AND slot <= ${this.#last} ORDER BY slot, dir, part LIMIT ${SLICE}`,
      )
      .raw(true);
    let last: Key3 = [this.#first, 0, 0];
    for (;;) {
      const slice = statement.all(...last);
      for (const [slotNumber, dirNumber, index, ...columns] of slice) {
        last = [slotNumber, dirNumber, index];
        if (!this.#has(slotNumber)) continue;
        const slot = slotNumber as Slot;
        const dir = dirNumber as Ino;
        const partition = this.#shard.partitionOfRow({ slot, dir, index }, columns);
        yield partition === DAMAGED ? new DamagedRow({ table: 'partitions', slot, ino: dir, place: index }) : partition;
      }
      if (slice.length < SLICE) return;
    }
  }

  *xattrs(): Generator<ScannedXattr | DamagedRow> {
    const statement = this.#shard.file
      .prepare<[number, Uint8Array], [number, Buffer]>(
        `SELECT id, name FROM xattrs WHERE (id, name) > (?, ?) AND id <= ${this.#ids.to} ORDER BY id, name LIMIT ${SLICE}`,
      )
      .raw(true);
    let last: [number, Uint8Array] = [this.#ids.before + 1, new Uint8Array(0)];
    for (;;) {
      const slice = statement.all(...last);
      for (const [id, name] of slice) {
        last = [id, name];
        if (!this.#hasId(id)) continue;
        const ino = inoOfRowId(id);
        // One at a time: a slice of values might be 64 MiB.
        const value = this.#shard.xattr(ino, name);
        if (value === undefined) continue;
        yield value === DAMAGED
          ? new DamagedRow({ table: 'xattrs', slot: slotOf(ino), ino, place: 0, name })
          : { ino, name, value };
      }
      if (slice.length < SLICE) return;
    }
  }

  *symlinks(): Generator<ScannedSymlink | DamagedRow> {
    for (const ino of this.#numbers('symlinks')) {
      const target = this.#shard.symlink(ino);
      if (target === undefined) continue;
      yield target === DAMAGED
        ? new DamagedRow({ table: 'symlinks', slot: slotOf(ino), ino, place: 0 })
        : { ino, target };
    }
  }

  /** Keys of the table `extents`; the rows themselves come with their inodes. */
  *extentKeys(): Generator<ExtentKey> {
    const statement = this.#shard.file
      .prepare<Key3, Key3>(
        `SELECT id, list, offset FROM extents WHERE (id, list, offset) > (?, ?, ?) AND id <= ${this.#ids.to} ORDER BY id, list, offset LIMIT ${SLICE}`,
      )
      .raw(true);
    let last: Key3 = [this.#ids.before + 1, -1, -1];
    for (;;) {
      const slice = statement.all(...last);
      for (const key of slice) {
        last = key;
        if (!this.#hasId(key[0])) continue;
        yield { ino: inoOfRowId(key[0]), list: key[1], offset: key[2] };
      }
      if (slice.length < SLICE) return;
    }
  }

  sequences(): SlotSequence[] {
    const rows = this.#shard.file
      .prepare<[], [number, number]>('SELECT slot, next_sequence FROM slots ORDER BY slot')
      .raw(true)
      .all();
    return rows
      .filter(([slot]) => slot >= this.#first && slot <= this.#last && this.#has(slot))
      .map(([slot, nextSequence]) => ({ slot: slot as Slot, nextSequence }));
  }

  orphans(): Generator<Ino> {
    return this.#numbers('orphans');
  }

  ownFiles(): Generator<Ino> {
    return this.#numbers('own_files');
  }

  *#numbers(table: 'orphans' | 'own_files' | 'symlinks'): Generator<Ino> {
    const statement = this.#shard.file
      .prepare<[number], number>(
        `SELECT id FROM ${table} WHERE id > ? AND id <= ${this.#ids.to} ORDER BY id LIMIT ${SLICE}`,
      )
      .pluck(true);
    let last = this.#ids.before;
    for (;;) {
      const slice = statement.all(last);
      for (const id of slice) {
        last = id;
        if (this.#hasId(id)) yield inoOfRowId(id);
      }
      if (slice.length < SLICE) return;
    }
  }
}
