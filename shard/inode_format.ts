/**
 * An inode as the BLOB of its row, version 1; little-endian:
 *
 *      0 u8   version = 1             20 u64 size               59 time ctime
 *      1 u8   layout                  28 u48 lsn                68 what the presence bits say, in their order
 *      2 u16  presence bits           34 u64 parent                ...
 *      4 u16  flags                   42 u64 position           -4 u32 CRC32C over row id (u64) and all before it
 *      6 u16  mode                    50 time btime
 *      8 u32  uid
 *     12 u32  gid
 *     16 u32  generation
 *
 *     bit 0 mtime (else ctime)        bit 5 retain-until, u40     bit 10 second list inline, likewise
 *     bit 1 atime (else btime)        bit 6 holds, u32            bit 11 second list in `extents`: u32 count
 *     bit 2 nlink, u32 (else 1)       bit 7 own: u16 u32 u48      bit 12 partitions: u16 length, bytes (else, for a
 *     bit 3 rdev, u32                 bit 8 extents: u8, extents         directory, the single bit 0)
 *     bit 4 project, u32              bit 9 extents in `extents`: u32 count
 *
 * Layout: 0 none, 1 own, 2 packed; 3 is reserved for inline data. What comes from disk is checked, never asserted.
 */
import { assert } from '../base/assert.ts';
import { getU48, getU53, setU48, setU53, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import type { Extent, OwnName } from '../base/layout.ts';
import { EPOCH, type Timespec } from '../base/time.ts';
import type { Ino, Lsn, VolumeId } from '../base/units.ts';
import { decodeExtent, encodeExtent, MAX_EXTENT_BYTES } from './extent_format.ts';
import { MAX_BITMAP_BYTES, NO_PARTITIONS, SINGLE_PARTITION } from './partition_map.ts';
import { rowIdOf } from './row_id.ts';
import type { Inode, LayoutKind } from './rows.ts';
import { getSecond, getTime, SECOND_BYTES, sameTime, setSecond, setTime, TIME_BYTES } from './time_format.ts';

const VERSION = 1;
/** Extents that stand in the row itself; more of them are rows of `extents`. */
export const INLINE_EXTENTS = 4;
const LAYOUTS: readonly LayoutKind[] = ['none', 'own', 'packed'];

const HAS_MTIME = 1 << 0;
const HAS_ATIME = 1 << 1;
const HAS_NLINK = 1 << 2;
const HAS_RDEV = 1 << 3;
const HAS_PROJECT = 1 << 4;
const HAS_RETAIN = 1 << 5;
const HAS_HOLDS = 1 << 6;
const HAS_OWN = 1 << 7;
const HAS_EXTENTS = 1 << 8;
const HAS_EXTENT_ROWS = 1 << 9;
const HAS_SECOND = 1 << 10;
const HAS_SECOND_ROWS = 1 << 11;
const HAS_PARTITIONS = 1 << 12;
const ALL_BITS = (1 << 13) - 1;

const FIXED_BYTES = 68;
const CHECKSUM_BYTES = 4;
const KEY_BYTES = 8;
const OWN_BYTES = 12;
const MAX_ROW_BYTES =
  FIXED_BYTES + 2 * TIME_BYTES + 64 + 2 * INLINE_EXTENTS * MAX_EXTENT_BYTES + MAX_BITMAP_BYTES + CHECKSUM_BYTES;

const MODE_TYPE = 0o170000;
const MODE_DIRECTORY = 0o040000;
const NO_EXTENTS: readonly Extent[] = [];

/** Rows of the table `extents` that a decoded row relies on. */
export interface DecodedInode {
  readonly inode: Inode;
  readonly extentRows: number;
  readonly secondRows: number;
}

export class InodeEncoder {
  /** Row id, then the row: the checksum is taken over both. Overwritten by every call. */
  readonly #bytes = new Uint8Array(KEY_BYTES + MAX_ROW_BYTES);
  readonly #view = viewOf(this.#bytes);
  readonly #row = this.#bytes.subarray(KEY_BYTES);
  readonly #rowView = viewOf(this.#row);

  /** The row's bytes, valid until the next call. Lists longer than `INLINE_EXTENTS` are only counted in it. */
  encode(inode: Inode): Uint8Array {
    const view = this.#rowView;
    setU53(this.#view, 0, rowIdOf(inode.ino));
    encodeFixed(view, inode);
    const present = presenceOf(inode);
    view.setUint16(2, present, true);
    let at = encodeScalars(view, inode, present);
    at = encodeList(view, at, inode.extents);
    at = encodeList(view, at, inode.second);
    if ((present & HAS_PARTITIONS) !== 0) {
      view.setUint16(at, inode.partitions.length, true);
      this.#row.set(inode.partitions, at + 2);
      at += 2 + inode.partitions.length;
    }
    view.setUint32(at, crc32c(this.#bytes.subarray(0, KEY_BYTES + at)), true);
    return this.#row.subarray(0, at + CHECKSUM_BYTES);
  }
}

function encodeFixed(view: DataView, inode: Inode): void {
  const { mode, flags, uid, gid, generation } = inode;
  assert(mode <= 0xffff && flags <= 0xffff, `Mode ${mode} or flags ${flags} of more than 16 bits`);
  view.setUint8(0, VERSION);
  view.setUint8(1, LAYOUTS.indexOf(inode.layout));
  view.setUint16(4, flags, true);
  view.setUint16(6, mode, true);
  view.setUint32(8, uid, true);
  view.setUint32(12, gid, true);
  view.setUint32(16, generation, true);
  setU53(view, 20, inode.size);
  setU48(view, 28, inode.lsn);
  setU53(view, 34, inode.parent);
  setU53(view, 42, inode.position);
  setTime(view, 50, inode.btime);
  setTime(view, 59, inode.ctime);
}

function presenceOf(inode: Inode): number {
  assert((inode.own !== undefined) === (inode.layout === 'own'), 'Own file and layout of an inode disagree');
  let present = 0;
  if (!sameTime(inode.mtime, inode.ctime)) present |= HAS_MTIME;
  if (!sameTime(inode.atime, inode.btime)) present |= HAS_ATIME;
  if (inode.nlink !== 1) present |= HAS_NLINK;
  if (inode.rdev !== 0) present |= HAS_RDEV;
  if (inode.project !== 0) present |= HAS_PROJECT;
  if (inode.retainUntilSec !== 0) present |= HAS_RETAIN;
  if (inode.holds !== 0) present |= HAS_HOLDS;
  if (inode.own !== undefined) present |= HAS_OWN;
  if (inode.extents.length > 0) present |= inode.extents.length > INLINE_EXTENTS ? HAS_EXTENT_ROWS : HAS_EXTENTS;
  if (inode.second.length > 0) present |= inode.second.length > INLINE_EXTENTS ? HAS_SECOND_ROWS : HAS_SECOND;
  const { partitions } = inode;
  if (partitions.length > 1 || (partitions[0] ?? 1) !== 1) present |= HAS_PARTITIONS;
  assert(partitions.length <= MAX_BITMAP_BYTES, `Bitmap of ${partitions.length} bytes, expected at most 512`);
  return present;
}

function encodeScalars(view: DataView, inode: Inode, present: number): number {
  let at = FIXED_BYTES;
  if ((present & HAS_MTIME) !== 0) {
    setTime(view, at, inode.mtime);
    at += TIME_BYTES;
  }
  if ((present & HAS_ATIME) !== 0) {
    setTime(view, at, inode.atime);
    at += TIME_BYTES;
  }
  const put = (bit: number, value: number) => {
    if ((present & bit) === 0) return;
    view.setUint32(at, value, true);
    at += 4;
  };
  put(HAS_NLINK, inode.nlink);
  put(HAS_RDEV, inode.rdev);
  put(HAS_PROJECT, inode.project);
  if ((present & HAS_RETAIN) !== 0) {
    setSecond(view, at, inode.retainUntilSec);
    at += SECOND_BYTES;
  }
  put(HAS_HOLDS, inode.holds);
  if (inode.own !== undefined) {
    view.setUint16(at, inode.own.volume, true);
    view.setUint32(at + 2, inode.own.start, true);
    setU48(view, at + 6, inode.own.number);
    at += OWN_BYTES;
  }
  return at;
}

function encodeList(view: DataView, start: number, list: readonly Extent[]): number {
  if (list.length === 0) return start;
  if (list.length > INLINE_EXTENTS) {
    view.setUint32(start, list.length, true);
    return start + 4;
  }
  view.setUint8(start, list.length);
  let at = start + 1;
  for (const extent of list) at = encodeExtent(view, at, extent);
  return at;
}

/** The inode of a row, or undefined when the row is damaged: wrong checksum, version, length or values. */
export function decodeInode(ino: Ino, row: Uint8Array): DecodedInode | undefined {
  const end = row.length - CHECKSUM_BYTES;
  if (end < FIXED_BYTES || row[0] !== VERSION) return undefined;
  const view = viewOf(row);
  if (crc32c(row.subarray(0, end), keyChecksum(ino)) !== view.getUint32(end, true)) return undefined;
  return new InodeReader(ino, view, end).read();
}

const keyBytes = new Uint8Array(KEY_BYTES);
const keyView = viewOf(keyBytes);

function keyChecksum(ino: Ino): number {
  setU53(keyView, 0, rowIdOf(ino));
  return crc32c(keyBytes);
}

/** Walks a row whose checksum is right; a read past the end or an impossible value makes the whole row undefined. */
class InodeReader {
  readonly #ino: Ino;
  readonly #view: DataView;
  readonly #end: number;
  #at = FIXED_BYTES;
  #failed = false;

  constructor(ino: Ino, view: DataView, end: number) {
    this.#ino = ino;
    this.#view = view;
    this.#end = end;
  }

  read(): DecodedInode | undefined {
    const view = this.#view;
    const present = view.getUint16(2, true);
    const layout = LAYOUTS[view.getUint8(1)];
    const btime = getTime(view, 50);
    const ctime = getTime(view, 59);
    const size = getU53(view, 20);
    const parent = getU53(view, 34);
    const position = getU53(view, 42);
    if (layout === undefined || btime === undefined || ctime === undefined) return undefined;
    if (Number.isNaN(size + parent + position) || (present & ~ALL_BITS) !== 0) return undefined;
    if ((layout === 'own') !== ((present & HAS_OWN) !== 0)) return undefined;
    const mode = view.getUint16(6, true);
    const mtime = (present & HAS_MTIME) !== 0 ? this.#time() : ctime;
    const atime = (present & HAS_ATIME) !== 0 ? this.#time() : btime;
    const nlink = (present & HAS_NLINK) !== 0 ? this.#u32() : 1;
    const rdev = (present & HAS_RDEV) !== 0 ? this.#u32() : 0;
    const project = (present & HAS_PROJECT) !== 0 ? this.#u32() : 0;
    const retainUntilSec = (present & HAS_RETAIN) !== 0 ? this.#second() : 0;
    const holds = (present & HAS_HOLDS) !== 0 ? this.#u32() : 0;
    const own = (present & HAS_OWN) !== 0 ? this.#own() : undefined;
    const extents = (present & HAS_EXTENTS) !== 0 ? this.#list() : NO_EXTENTS;
    const extentRows = (present & HAS_EXTENT_ROWS) !== 0 ? this.#u32() : 0;
    const second = (present & HAS_SECOND) !== 0 ? this.#list() : NO_EXTENTS;
    const secondRows = (present & HAS_SECOND_ROWS) !== 0 ? this.#u32() : 0;
    const partitions = this.#partitions(present, mode);
    if (this.#failed || this.#at !== this.#end) return undefined;
    const inode: Inode = {
      ino: this.#ino,
      mode,
      uid: view.getUint32(8, true),
      gid: view.getUint32(12, true),
      nlink,
      size,
      atime,
      mtime,
      ctime,
      btime,
      rdev,
      flags: view.getUint16(4, true),
      generation: view.getUint32(16, true),
      layout,
      own,
      extents,
      second,
      parent: parent as Ino,
      position,
      project,
      retainUntilSec,
      holds,
      lsn: getU48(view, 28) as Lsn,
      partitions,
    };
    return { inode, extentRows, secondRows };
  }

  /** Moves on by `count` bytes and returns where they begin; 0 (a place that exists) once the row has ended. */
  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#end) {
      this.#failed = true;
      return 0;
    }
    this.#at = at + count;
    return at;
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #second(): number {
    return getSecond(this.#view, this.#take(SECOND_BYTES));
  }

  #time(): Timespec {
    const time = getTime(this.#view, this.#take(TIME_BYTES));
    if (time === undefined) this.#failed = true;
    return time ?? EPOCH;
  }

  #own(): OwnName {
    const at = this.#take(OWN_BYTES);
    const volume = this.#view.getUint16(at, true);
    if (volume === 0) this.#failed = true;
    return {
      volume: volume as VolumeId,
      start: this.#view.getUint32(at + 2, true),
      number: getU48(this.#view, at + 6),
    };
  }

  #list(): readonly Extent[] {
    const count = this.#view.getUint8(this.#take(1));
    if (count === 0 || count > INLINE_EXTENTS) this.#failed = true;
    const list: Extent[] = [];
    while (!this.#failed && list.length < count) {
      const decoded = decodeExtent(this.#view, this.#at, this.#end);
      if (decoded === undefined) {
        this.#failed = true;
      } else {
        list.push(decoded.extent);
        this.#at = decoded.end;
      }
    }
    return list;
  }

  #partitions(present: number, mode: number): Uint8Array {
    if ((present & HAS_PARTITIONS) === 0)
      return (mode & MODE_TYPE) === MODE_DIRECTORY ? SINGLE_PARTITION : NO_PARTITIONS;
    const length = this.#view.getUint16(this.#take(2), true);
    const at = this.#take(length);
    if (length === 0 || length > MAX_BITMAP_BYTES) this.#failed = true;
    if (this.#failed) return NO_PARTITIONS;
    // A copy, so that a cached inode does not hold on to its whole row.
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length).slice();
  }
}
