/**
 * What aggregates say of files, gathered for the rebuild of a store: a database of its own that lives only that long and
 * is not made durable, so that memory does not bound how many files can come back.
 */
import Database from 'better-sqlite3';
import { viewOf } from '../base/bytes.ts';
import type { Extent, OwnName } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import type { AggregateId, Ino, Lsn, VolumeId } from '../base/units.ts';
import { decodeExtent, encodeExtent, MAX_EXTENT_BYTES } from './extent_format.ts';
import { makePrivate } from './sqlite_file.ts';

/** Whether the bytes are what was written, were given back to the host as dead, or something else. */
export type PartState = 'whole' | 'punched' | 'damaged';

/**
 * Which packing a part is of: of two of one inode the later has the higher start, or the same and a higher LSN, or that too
 * and a higher place. LSNs of records that a reboot has dropped, and inode numbers of theirs, are given again; starts never.
 */
export interface PackingMark {
  readonly lsn: Lsn;
  readonly start: number;
  readonly aggregate: AggregateId;
  /** Byte of the aggregate at which the batch begins. */
  readonly at: number;
}

/** What one batch says of a file. */
export interface FilePart extends PackingMark {
  readonly ino: Ino;
  readonly dir: Ino;
  readonly name: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Timespec;
  /** Of the whole file, in whatever batch; see aggregate/index_v1.ts. */
  readonly dataBytes: number;
  readonly own: OwnName | undefined;
  readonly state: PartState;
  readonly extents: readonly Extent[];
}

/** Where a file goes: the part that says so, with the extents of all parts of its packing. */
export interface ChosenFile extends FilePart {
  /** The directory that it goes to, which is not always the one that the part names. */
  readonly place: Ino;
}

type Columns = [
  ino: number,
  start: number,
  lsn: number,
  aggregate: number,
  at: number,
  dir: number,
  name: Buffer,
  mode: number,
  uid: number,
  gid: number,
  size: number,
  mtimeSec: number,
  mtimeNsec: number,
  dataBytes: number,
  ownVolume: number,
  ownStart: number,
  ownNumber: number,
  state: PartState,
  extents: Buffer,
];

const PART = 'ino, start, lsn, aggregate, at, dir, name, mode, uid, gid, size, mtime_sec, mtime_nsec, data_bytes';
const COLUMNS = `${PART}, own_volume, own_start, own_number, state, extents`;
const MARKS = COLUMNS.replaceAll(/\w+/g, '?');
const TYPES = `ino INTEGER NOT NULL, lsn INTEGER NOT NULL, start INTEGER NOT NULL, aggregate INTEGER NOT NULL,
  at INTEGER NOT NULL, dir INTEGER NOT NULL, name BLOB NOT NULL, mode INTEGER NOT NULL, uid INTEGER NOT NULL,
  gid INTEGER NOT NULL, size INTEGER NOT NULL, mtime_sec INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL,
  data_bytes INTEGER NOT NULL, own_volume INTEGER NOT NULL, own_start INTEGER NOT NULL, own_number INTEGER NOT NULL,
  state TEXT NOT NULL, extents BLOB NOT NULL`;
const SLICE = 512;
const CACHE_KIB = 65_536;

export class Catalogue {
  readonly #db: Database.Database;
  readonly #putPart: Database.Statement<unknown[]>;
  readonly #putChosen: Database.Statement<unknown[]>;
  readonly #partsFrom: Database.Statement<unknown[], Columns>;
  readonly #chosenFrom: Database.Statement<unknown[], [number, ...Columns]>;

  /** The file must not exist. */
  constructor(path: string) {
    makePrivate(path);
    this.#db = new Database(path);
    for (const pragma of ['journal_mode = OFF', 'synchronous = OFF', `cache_size = -${CACHE_KIB}`])
      this.#db.pragma(pragma);
    this.#db.exec(`
      CREATE TABLE parts(${TYPES}, PRIMARY KEY(ino, start, lsn, aggregate, at)) WITHOUT ROWID;
      CREATE TABLE chosen(place INTEGER NOT NULL, ${TYPES}, PRIMARY KEY(place, name, start, lsn, ino)) WITHOUT ROWID;
      BEGIN;
    `);
    this.#putPart = this.#db.prepare(`INSERT OR REPLACE INTO parts(${COLUMNS}) VALUES(${MARKS})`);
    this.#putChosen = this.#db.prepare(`INSERT OR REPLACE INTO chosen(place, ${COLUMNS}) VALUES(?, ${MARKS})`);
    this.#partsFrom = this.#db
      .prepare<unknown[], Columns>(
        `SELECT ${COLUMNS} FROM parts WHERE (ino, start, lsn, aggregate, at) > (?, ?, ?, ?, ?) ORDER BY ino, start, lsn, aggregate, at LIMIT ${SLICE}`,
      )
      .raw(true);
    this.#chosenFrom = this.#db
      .prepare<unknown[], [number, ...Columns]>(
        `SELECT place, ${COLUMNS} FROM chosen WHERE place = ? AND (name, start, lsn, ino) > (?, ?, ?, ?) ORDER BY name, start, lsn, ino LIMIT ${SLICE}`,
      )
      .raw(true);
  }

  addPart(part: FilePart): void {
    this.#putPart.run(...columnsOf(part));
  }

  choose(file: ChosenFile): void {
    this.#putChosen.run(file.place, ...columnsOf(file));
  }

  /** All parts of one inode after the other, each inode's from the oldest packing to the newest. */
  *inodes(): Generator<readonly FilePart[]> {
    let parts: FilePart[] = [];
    for (const part of this.#allParts()) {
      if (parts.length > 0 && parts[0]?.ino !== part.ino) {
        yield parts;
        parts = [];
      }
      parts.push(part);
    }
    if (parts.length > 0) yield parts;
  }

  /** How many parts there are. */
  get parts(): number {
    return Number(this.#db.prepare('SELECT count(*) FROM parts').pluck().get());
  }

  /** Directories that something goes into. */
  places(): Ino[] {
    return this.#db.prepare<[], number>('SELECT DISTINCT place FROM chosen ORDER BY place').pluck().all() as Ino[];
  }

  /** What goes into a directory, in the order of names; of one name the oldest first. What is chosen meanwhile may show. */
  *chosenIn(place: Ino): Generator<ChosenFile> {
    let last: [Uint8Array | string, number, number, number] = [new Uint8Array(0), -1, 0, 0];
    for (;;) {
      const slice = this.#chosenFrom.all(place, ...last);
      for (const [, ...columns] of slice) {
        last = [columns[6], columns[1], columns[2], columns[0]];
        yield { ...partOf(columns), place };
      }
      if (slice.length < SLICE) return;
    }
  }

  *#allParts(): Generator<FilePart> {
    let last: number[] = [0, 0, 0, 0, 0];
    for (;;) {
      const slice = this.#partsFrom.all(...last);
      for (const columns of slice) {
        last = columns.slice(0, 5) as number[];
        yield partOf(columns);
      }
      if (slice.length < SLICE) return;
    }
  }

  close(): void {
    this.#db.close();
  }
}

function columnsOf(part: FilePart): Columns {
  const { ino, lsn, start, aggregate, at, dir, name, mode, uid, gid, size, mtime, dataBytes, own, state } = part;
  const { volume, start: ownStart, number } = own ?? { volume: 0, start: 0, number: 0 };
  const bytes = Buffer.alloc(part.extents.length * MAX_EXTENT_BYTES);
  const view = viewOf(bytes);
  let end = 0;
  for (const extent of part.extents) end = encodeExtent(view, end, extent);
  const extents = bytes.subarray(0, end);
  const { sec, nsec } = mtime;
  return [
    ...([ino, start, lsn, aggregate, at, dir, Buffer.from(name), mode, uid, gid, size, sec, nsec, dataBytes] as const),
    ...([volume, ownStart, number, state, extents] as const),
  ];
}

function partOf(columns: Columns): FilePart {
  const [ino, start, lsn, aggregate, at, dir, name, mode, uid, gid, size, sec, nsec, dataBytes] = columns;
  const [volume, ownStart, number, state, bytes] = columns.slice(14) as [number, number, number, PartState, Buffer];
  return {
    ino: ino as Ino,
    lsn: lsn as Lsn,
    start,
    aggregate: aggregate as AggregateId,
    at,
    dir: dir as Ino,
    name,
    mode,
    uid,
    gid,
    size,
    mtime: { sec, nsec },
    dataBytes,
    own: volume === 0 ? undefined : { volume: volume as VolumeId, start: ownStart, number },
    state,
    extents: extentsOf(bytes),
  };
}

function extentsOf(bytes: Uint8Array): Extent[] {
  const view = viewOf(bytes);
  const extents: Extent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const decoded = decodeExtent(view, at, bytes.length);
    if (decoded === undefined) break;
    extents.push(decoded.extent);
    at = decoded.end;
  }
  return extents;
}
