/**
 * Rows of one slot in one shard as a move sees them: taken and put as they are, unread, a slice at a time in the order of
 * their keys. A row with a wrong checksum moves like any other, and fsck finds it where it went.
 */
import type Database from 'better-sqlite3';
import type { Slot } from '../base/units.ts';
import { firstRowIdOf } from './row_id.ts';
import type { SqliteFile } from './sqlite_file.ts';

type Value = number | Buffer | null;
/** The columns of a row, those of its key first. */
export type SlotRow = readonly Value[];
/** Key of the last row that was taken. */
export type SlotKey = readonly (number | Uint8Array)[];

interface SlotTable {
  readonly name: string;
  /** The first one is the slot, or a row id, which begins with it. */
  readonly key: readonly string[];
  readonly others: readonly string[];
  /** Rows of a slice: of those that are large fewer. */
  readonly slice: number;
}

const SLICE = 64;

/** In the order in which they are copied. */
const TABLES: readonly SlotTable[] = [
  { name: 'dentries', key: ['slot', 'dir', 'position'], others: ['name', 'ino', 'type', 'crc'], slice: SLICE },
  { name: 'inodes', key: ['id'], others: ['row'], slice: SLICE },
  {
    name: 'partitions',
    key: ['slot', 'dir', 'part'],
    others: ['entries', 'directories', 'changed_sec', 'changed_nsec', 'lsn', 'boundary', 'crc'],
    slice: SLICE,
  },
  { name: 'extents', key: ['id', 'list', 'offset'], others: ['row', 'crc'], slice: SLICE },
  { name: 'xattrs', key: ['id', 'name'], others: ['value', 'crc'], slice: 4 },
  { name: 'symlinks', key: ['id'], others: ['target', 'crc'], slice: SLICE },
  { name: 'slots', key: ['slot'], others: ['next_sequence'], slice: 1 },
  { name: 'own_files', key: ['id'], others: [], slice: SLICE },
  { name: 'orphans', key: ['id'], others: [], slice: SLICE },
];
export const SLOT_TABLES = TABLES.length;

/** Names of the tables that hold rows of slots, in the order of their numbers here. */
export function slotTableName(table: number): string {
  return TABLES[table]?.name ?? '';
}

interface TableStatements {
  readonly after: Database.Statement<unknown[], Value[]>;
  readonly put: Database.Statement<unknown[]>;
  readonly remove: Database.Statement<unknown[]>;
}

export class SlotRows {
  readonly #file: SqliteFile;
  readonly #statements: (TableStatements | undefined)[] = [];
  readonly #sliceLimit: number;

  /** `sliceLimit`: rows of a slice at most, for tests. */
  constructor(file: SqliteFile, sliceLimit = SLICE) {
    this.#file = file;
    this.#sliceLimit = sliceLimit;
  }

  /** The next rows of a slot in a table, from its beginning without a key; none: the table has no more. */
  after(table: number, slot: Slot, key?: SlotKey): SlotRow[] {
    const { key: columns } = tableOf(table);
    return this.#of(table).after.all(...(key ?? beginning(columns, slot)), endOf(columns, slot));
  }

  put(table: number, row: SlotRow): void {
    this.#file.willWrite();
    this.#of(table).put.run(...row);
  }

  /** Removes the first rows of a slot in a table; returns how many. */
  remove(table: number, slot: Slot): number {
    const columns = tableOf(table).key.length;
    const rows = this.after(table, slot);
    for (const row of rows) {
      this.#file.willWrite();
      this.#of(table).remove.run(...row.slice(0, columns));
    }
    return rows.length;
  }

  /** Whether any table has a row of the slot. */
  has(slot: Slot): boolean {
    return TABLES.some((_, table) => this.after(table, slot).length > 0);
  }

  /** Whether no slot has any row. */
  get isEmpty(): boolean {
    return TABLES.every(({ name }) => this.#file.prepare(`SELECT 1 FROM ${name} LIMIT 1`).get() === undefined);
  }

  #of(table: number): TableStatements {
    const known = this.#statements[table];
    if (known !== undefined) return known;
    const made = prepare(this.#file, tableOf(table), this.#sliceLimit);
    this.#statements[table] = made;
    return made;
  }
}

export function keyOf(table: number, row: SlotRow): SlotKey {
  return row.slice(0, tableOf(table).key.length) as SlotKey;
}

export function areEqualRows(a: SlotRow, b: SlotRow): boolean {
  return (
    a.length === b.length &&
    a.every((value, i) => {
      const other = b[i];
      return Buffer.isBuffer(value) ? Buffer.isBuffer(other) && value.equals(other) : value === other;
    })
  );
}

function tableOf(table: number): SlotTable {
  const found = TABLES[table];
  if (found === undefined) throw new RangeError(`Table ${table} of a slot, expected 0 to ${SLOT_TABLES - 1}`);
  return found;
}

function prepare(file: SqliteFile, { name, key, others, slice }: SlotTable, limit: number): TableStatements {
  const all = [...key, ...others];
  const marks = (columns: readonly string[]) => columns.map(() => '?').join(', ');
  const isKey = key.map((column) => `${column} = ?`).join(' AND ');
  return {
    after: file
      .prepare<unknown[], Value[]>(
        `SELECT ${all.join(', ')} FROM ${name} WHERE (${key.join(', ')}) > (${marks(key)}) AND ${key[0]} < ? ORDER BY ${key.join(', ')} LIMIT ${Math.min(slice, limit)}`,
      )
      .raw(true),
    put: file.prepare(`INSERT OR REPLACE INTO ${name}(${all.join(', ')}) VALUES(${marks(all)})`),
    remove: file.prepare(`DELETE FROM ${name} WHERE ${isKey}`),
  };
}

/** A key that lies before all of the slot's and behind all of the one before. */
function beginning(columns: readonly string[], slot: Slot): SlotKey {
  const first = columns[0] === 'slot' ? slot : firstRowIdOf(slot);
  if (columns.length === 1) return [first - 1];
  return columns.map((column, i) => (i === 0 ? first : column === 'name' ? Buffer.alloc(0) : -1));
}

function endOf(columns: readonly string[], slot: Slot): number {
  return columns[0] === 'slot' ? slot + 1 : firstRowIdOf((slot + 1) as Slot);
}
