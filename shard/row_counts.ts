/** How many rows a shard has, counted in short slices, so that a reader beside a daemon holds no snapshot for long. */
import type { ShardDatabase } from './shard_database.ts';

/** The tables that hold what users made; sequences and indexes are left out. */
const KEYS = {
  inodes: ['id'],
  dentries: ['slot', 'dir', 'position'],
  partitions: ['slot', 'dir', 'part'],
  extents: ['id', 'list', 'offset'],
  xattrs: ['id', 'name'],
  symlinks: ['id'],
} as const;
const SLICE = 10_000;

export type CountedTable = keyof typeof KEYS;
export type RowCounts = Readonly<Record<CountedTable, number>>;

/** `onSlice` is told how many rows were counted since it was called last. */
export function countRows(shard: ShardDatabase, onSlice: (rows: number) => void): RowCounts {
  shard.writeDeferred();
  const count = (table: CountedTable) => countTable(shard, { table, onSlice });
  return {
    inodes: count('inodes'),
    dentries: count('dentries'),
    partitions: count('partitions'),
    extents: count('extents'),
    xattrs: count('xattrs'),
    symlinks: count('symlinks'),
  };
}

function countTable(
  { file }: ShardDatabase,
  of: { readonly table: CountedTable; readonly onSlice: (rows: number) => void },
): number {
  const { table, onSlice } = of;
  const columns = KEYS[table];
  const key = columns.join(', ');
  const marks = columns.map(() => '?').join(', ');
  const last = file
    .prepare<unknown[], unknown[]>(
      `SELECT ${key} FROM ${table} WHERE (${key}) > (${marks}) ORDER BY ${key} LIMIT 1 OFFSET ${SLICE - 1}`,
    )
    .raw(true);
  const rest = file.prepare<unknown[], number>(`SELECT count(*) FROM ${table} WHERE (${key}) > (${marks})`).pluck(true);
  let after: unknown[] = columns.map((column) => (column === 'name' ? Buffer.alloc(0) : -1));
  for (let rows = 0; ; rows += SLICE) {
    const next = last.get(...after);
    if (next === undefined) {
      const remaining = rest.get(...after) ?? 0;
      onSlice(remaining);
      return rows + remaining;
    }
    onSlice(SLICE);
    after = next;
  }
}
