/**
 * The tables of a shard and of `system.db`, as steps from one version of a schema to the next. A step, once released,
 * never changes; a new version is a new step at the end. `schema_history` keeps which ran when.
 */

export interface SchemaStep {
  /** Version that the step leads to; kept in `PRAGMA user_version`. */
  readonly version: number;
  readonly what: string;
  readonly sql: string;
  /** A database that lacks it can be read all the same. */
  readonly isIndexOnly?: boolean;
}

/** `PRAGMA application_id` of every database of a store: "pacs". */
export const APPLICATION_ID = 0x70616373;
export const PAGE_BYTES = 8192;

const MAX = '9007199254740991';
const COMMON = `
  CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE schema_history(version INTEGER PRIMARY KEY, applied_sec INTEGER NOT NULL, what TEXT NOT NULL) STRICT;
  INSERT INTO meta VALUES('lsn', 0);
`;

/** Every key begins with the slot (a row id is slot × 2^41 + sequence): a slot is one range of each table. */
export const SHARD_SCHEMA: readonly SchemaStep[] = [
  {
    version: 1,
    what: 'first version',
    sql: `${COMMON}
      CREATE TABLE dentries(
        slot INTEGER NOT NULL CHECK(slot BETWEEN 0 AND 4095),
        dir INTEGER NOT NULL CHECK(dir BETWEEN 1 AND ${MAX}),
        position INTEGER NOT NULL CHECK(position BETWEEN 16 AND ${MAX}),
        name BLOB NOT NULL CHECK(length(name) BETWEEN 1 AND 255),
        ino INTEGER NOT NULL CHECK(ino BETWEEN 1 AND ${MAX}),
        type INTEGER NOT NULL CHECK(type BETWEEN 0 AND 15),
        crc INTEGER NOT NULL,
        PRIMARY KEY(slot, dir, position)) STRICT, WITHOUT ROWID;
      CREATE TABLE inodes(
        id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND ${MAX}),
        row BLOB NOT NULL) STRICT;
      CREATE TABLE partitions(
        slot INTEGER NOT NULL CHECK(slot BETWEEN 0 AND 4095),
        dir INTEGER NOT NULL CHECK(dir BETWEEN 1 AND ${MAX}),
        part INTEGER NOT NULL CHECK(part BETWEEN 0 AND 4095),
        entries INTEGER NOT NULL CHECK(entries BETWEEN 0 AND ${MAX}),
        directories INTEGER NOT NULL CHECK(directories BETWEEN 0 AND ${MAX}),
        changed_sec INTEGER NOT NULL,
        changed_nsec INTEGER NOT NULL CHECK(changed_nsec BETWEEN 0 AND 999999999),
        lsn INTEGER NOT NULL CHECK(lsn BETWEEN 0 AND 281474976710655),
        boundary INTEGER NOT NULL CHECK(boundary BETWEEN 16 AND 9007199254740992),
        crc INTEGER NOT NULL,
        PRIMARY KEY(slot, dir, part)) STRICT, WITHOUT ROWID;
      CREATE TABLE extents(
        id INTEGER NOT NULL CHECK(id BETWEEN 1 AND ${MAX}),
        list INTEGER NOT NULL CHECK(list BETWEEN 0 AND 1),
        offset INTEGER NOT NULL CHECK(offset BETWEEN 0 AND ${MAX}),
        row BLOB NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY(id, list, offset)) STRICT, WITHOUT ROWID;
      CREATE TABLE xattrs(
        id INTEGER NOT NULL CHECK(id BETWEEN 1 AND ${MAX}),
        name BLOB NOT NULL CHECK(length(name) BETWEEN 1 AND 255),
        value BLOB NOT NULL CHECK(length(value) <= 65536),
        crc INTEGER NOT NULL,
        PRIMARY KEY(id, name)) STRICT, WITHOUT ROWID;
      CREATE TABLE symlinks(
        id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND ${MAX}),
        target BLOB NOT NULL CHECK(length(target) BETWEEN 1 AND 4095),
        crc INTEGER NOT NULL) STRICT;
      CREATE TABLE slots(
        slot INTEGER PRIMARY KEY CHECK(slot BETWEEN 0 AND 4095),
        next_sequence INTEGER NOT NULL CHECK(next_sequence BETWEEN 1 AND 2199023255552)) STRICT;
      CREATE TABLE own_files(id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND ${MAX})) STRICT;
      CREATE TABLE orphans(id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND ${MAX})) STRICT;
    `,
  },
  {
    version: 2,
    what: 'index of partitions being split or merged',
    isIndexOnly: true,
    sql: 'CREATE INDEX moving ON partitions(slot, dir, part) WHERE boundary < 9007199254740992;',
  },
];

export const SYSTEM_SCHEMA: readonly SchemaStep[] = [
  {
    version: 1,
    what: 'first version',
    sql: `${COMMON}
      CREATE TABLE slots(
        slot INTEGER PRIMARY KEY CHECK(slot BETWEEN 0 AND 4095),
        shard INTEGER NOT NULL CHECK(shard BETWEEN 0 AND 255)) STRICT;
      CREATE TABLE volumes(
        id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND 65535),
        name TEXT NOT NULL,
        tier TEXT NOT NULL CHECK(tier IN ('hot', 'warm', 'cold')),
        kind TEXT NOT NULL CHECK(kind IN ('dir', 'mirror', 'ec')),
        paths TEXT NOT NULL,
        data_cells INTEGER NOT NULL CHECK(data_cells BETWEEN 0 AND 255),
        parity_cells INTEGER NOT NULL CHECK(parity_cells BETWEEN 0 AND 255),
        copy_epoch INTEGER NOT NULL DEFAULT 0 CHECK(copy_epoch BETWEEN 0 AND ${MAX})) STRICT;
      CREATE TABLE aggregates(
        id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND 281474976710655),
        volume INTEGER NOT NULL CHECK(volume BETWEEN 1 AND 65535),
        state TEXT NOT NULL CHECK(state IN ('open', 'sealed', 'dead')),
        written INTEGER NOT NULL CHECK(written BETWEEN 0 AND ${MAX}),
        live INTEGER NOT NULL CHECK(live BETWEEN 0 AND ${MAX}),
        newest_mtime_sec INTEGER NOT NULL,
        last_read_day INTEGER NOT NULL CHECK(last_read_day BETWEEN 0 AND ${MAX})) STRICT;
      CREATE TABLE sharers(
        aggregate INTEGER NOT NULL CHECK(aggregate BETWEEN 1 AND 281474976710655),
        range_start INTEGER NOT NULL CHECK(range_start BETWEEN 0 AND ${MAX}),
        ino INTEGER NOT NULL CHECK(ino BETWEEN 1 AND ${MAX}),
        PRIMARY KEY(aggregate, range_start, ino)) STRICT, WITHOUT ROWID;
      CREATE TABLE migrations(
        id INTEGER PRIMARY KEY CHECK(id BETWEEN 1 AND ${MAX}),
        state TEXT NOT NULL,
        job TEXT NOT NULL) STRICT;
    `,
  },
];
