/**
 * A record as bytes: the payload of a RECORD frame; little-endian. First what request it completes, then its mutations
 * until the end, each a kind and its fields:
 *
 *     u8 bits: 1 a request follows: u64 unique, u32 opcode, u64 node, u64 inode
 *
 *      1 inode      u64 ino, u8 changes, u16 length, row (inode_format.ts), per changed list u32 count, extents
 *      2 no-inode   u64 ino, u8 bits                   10 symlink     u64 ino, u32 length, target
 *      3 dentry     u16 slot, u64 dir, u64 position,   11 no-symlink  u64 ino
 *                   u64 ino, u8 type, u8 length, name  12 sequence    u16 slot, u64 next
 *      4 no-dentry  u16 slot, u64 dir, u64 position    13 index       u64 ino, u8 bits
 *      5 partition  u16 slot, u64 dir, u16 index,      14 aggregate   u48 id, u16 volume, u8 state, u64 written,
 *                   u64 entries, u64 directories,                     u64 live, i64 newest mtime, u64 last-read day
 *                   time, u48 lsn, f64 boundary        15 no-aggregate  u48 id
 *      6 no-partition  u16 slot, u64 dir, u16 index    16 sharer      u48 aggregate, u64 range start, u64 ino
 *      7 xattr      u64 ino, u8 length, name,          17 no-sharer   likewise
 *                   u32 length, value                  18 meta        u8 length, key, u8 type, f64 | u32 length, text
 *      8 no-xattr   u64 ino, u8 length, name
 *      9 no-xattrs  u64 ino                            19 no-dentries  u16 slot, u64 dir, u64 from, u64 to
 *     20 slot       u16 slot, u8 shard, u8 from        21 shards      u16 count
 *     22 migration  u64 id, u8 length, state,          23 no-migration  u64 id
 *                   u32 length, job
 */
import { getI64, getU48, getU53, setU53, viewOf } from '../../base/bytes.ts';
import type { AggregateState, Extent } from '../../base/layout.ts';
import {
  type AggregateId,
  type Ino,
  type Lsn,
  type Position,
  type ShardId,
  type Slot,
  slotOf,
  type VolumeId,
} from '../../base/units.ts';
import { decodeExtent } from '../extent_format.ts';
import { decodeInode } from '../inode_format.ts';
import { type IndexChange, LIST_EXTENTS, LIST_SECOND, type Mutation } from '../mutation.ts';
import { getTime, TIME_BYTES } from '../time_format.ts';

/** A request of the kernel that a record completes, so that it is not carried out again when it is sent again. */
export interface CompletedRequest {
  /** The kernel's number of the request, without bit 63. */
  readonly unique: bigint;
  readonly opcode: number;
  /** The inode that the request was for. */
  readonly node: number;
  /** The inode that it made, or the one it was done to. */
  readonly ino: Ino;
}

export interface JournalRecord {
  readonly lsn: Lsn;
  readonly mutations: Iterable<Mutation>;
  readonly completes?: CompletedRequest | undefined;
}

export const REQUEST_BYTES = 28;
/** Of a dentry and of a partition, what follows the slot: a name's length and the name not counted. */
const DENTRY_HEAD_BYTES = 25;
const PARTITION_BYTES = 8 + 2 + 8 + 8 + TIME_BYTES + 6 + 8;
export const BIT_REQUEST = 1;
export const CHANGES: readonly IndexChange[] = ['keep', 'add', 'remove'];
export const STATES: readonly AggregateState[] = ['open', 'sealed', 'dead'];
const text = new TextDecoder('utf-8', { fatal: true });

export function setRequest(view: DataView, at: number, request: CompletedRequest): number {
  view.setBigUint64(at, request.unique, true);
  view.setUint32(at + 8, request.opcode, true);
  setU53(view, at + 12, request.node);
  setU53(view, at + 20, request.ino);
  return at + REQUEST_BYTES;
}

export function getRequest(view: DataView, at: number): CompletedRequest {
  return {
    unique: view.getBigUint64(at, true),
    opcode: view.getUint32(at + 8, true),
    node: getU53(view, at + 12),
    ino: getU53(view, at + 20) as Ino,
  };
}

/** Whether anybody lacks what a record changes in a slot: the rest of it need not be told. */
export type Wants = (lsn: Lsn, slot: Slot) => boolean;

/**
 * The record of a payload; undefined when it is none, whatever its checksum says. Names and values are copies. Rows of
 * slots that are not wanted may be left out.
 */
export function decodeRecord(lsn: Lsn, payload: Uint8Array, wants?: Wants): JournalRecord | undefined {
  try {
    return new RecordReader(payload, wants).read(lsn);
  } catch (thrown) {
    // Past the end, or no UTF-8.
    if (thrown instanceof RangeError || thrown instanceof TypeError) return undefined;
    throw thrown;
  }
}

class Malformed extends RangeError {}

class RecordReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #wants: Wants | undefined;
  #at = 0;

  constructor(bytes: Uint8Array, wants: Wants | undefined) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#wants = wants;
  }

  read(lsn: Lsn): JournalRecord {
    const bits = this.#u8();
    let completes: CompletedRequest | undefined;
    if ((bits & BIT_REQUEST) !== 0) {
      completes = getRequest(this.#view, this.#at);
      this.#at += REQUEST_BYTES;
    }
    const mutations: Mutation[] = [];
    while (this.#at < this.#bytes.length) if (!this.#skip(lsn)) mutations.push(this.#mutation());
    return { lsn, mutations, completes };
  }

  /** Passes over the next mutation if it is an inode, a dentry or a partition of a slot that is not wanted. */
  #skip(lsn: Lsn): boolean {
    if (this.#wants === undefined) return false;
    const begin = this.#at;
    const kind = this.#u8();
    const slot = kind === 1 ? slotOf(this.#ino()) : kind === 3 || kind === 5 ? this.#slot() : undefined;
    if (slot === undefined || this.#wants(lsn, slot)) {
      this.#at = begin;
      return false;
    }
    if (kind === 3) {
      this.#take(DENTRY_HEAD_BYTES);
      this.#take(this.#u8());
    } else if (kind === 5) this.#take(PARTITION_BYTES);
    else {
      const lists = this.#u8();
      this.#take(this.#u16());
      if ((lists & LIST_EXTENTS) !== 0) this.#list();
      if ((lists & LIST_SECOND) !== 0) this.#list();
    }
    return true;
  }

  #mutation(): Mutation {
    const kind = this.#u8();
    switch (kind) {
      case 1:
        return this.#inode();
      case 2: {
        const ino = this.#ino();
        const bits = this.#u8();
        const bit = (mask: number) => (bits & mask) !== 0;
        return {
          kind: 'no-inode',
          ino,
          extents: bit(1),
          xattrs: bit(2),
          symlink: bit(4),
          own: bit(8),
          orphan: bit(16),
        };
      }
      case 3: {
        const slot = this.#slot();
        const dir = this.#ino();
        const position = this.#u53() as Position;
        const ino = this.#ino();
        const type = this.#u8();
        return { kind: 'dentry', slot, dentry: { dir, position, ino, type, name: this.#short() } };
      }
      case 4:
        return { kind: 'no-dentry', slot: this.#slot(), dir: this.#ino(), position: this.#u53() as Position };
      case 5:
        return this.#partition();
      case 6:
        return { kind: 'no-partition', slot: this.#slot(), dir: this.#ino(), index: this.#u16() };
      case 7:
        return { kind: 'xattr', ino: this.#ino(), name: this.#short(), value: this.#long() };
      case 8:
        return { kind: 'no-xattr', ino: this.#ino(), name: this.#short() };
      case 9:
        return { kind: 'no-xattrs', ino: this.#ino() };
      case 10:
        return { kind: 'symlink', ino: this.#ino(), target: this.#long() };
      case 11:
        return { kind: 'no-symlink', ino: this.#ino() };
      case 12:
        return { kind: 'sequence', slot: this.#slot(), next: this.#u53() };
      case 13: {
        const ino = this.#ino();
        const bits = this.#u8();
        return { kind: 'index', ino, index: (bits & 1) !== 0 ? 'orphans' : 'own_files', present: (bits & 2) !== 0 };
      }
      case 14:
        return this.#aggregate();
      case 15:
        return { kind: 'no-aggregate', id: this.#u48() as AggregateId };
      case 16:
      case 17: {
        const aggregate = this.#u48() as AggregateId;
        const rangeStart = this.#u53();
        return { kind: kind === 16 ? 'sharer' : 'no-sharer', aggregate, rangeStart, ino: this.#ino() };
      }
      case 18:
        return this.#meta();
      case 19: {
        const slot = this.#slot();
        const dir = this.#ino();
        const from = this.#u53() as Position;
        return { kind: 'no-dentries', slot, dir, from, to: this.#u53() as Position };
      }
      case 20:
        return { kind: 'slot', slot: this.#slot(), shard: this.#u8() as ShardId, from: this.#u8() as ShardId };
      case 21:
        return { kind: 'shards', count: this.#u16() };
      case 22: {
        const id = this.#u53();
        const state = text.decode(this.#short());
        return { kind: 'migration', row: { id, state, job: text.decode(this.#long()) } };
      }
      case 23:
        return { kind: 'no-migration', id: this.#u53() };
      default:
        throw new Malformed(`mutation ${kind}`);
    }
  }

  #inode(): Mutation {
    const ino = this.#ino();
    const changes = this.#u8();
    const row = this.#take(this.#u16());
    const decoded = decodeInode(ino, row);
    const own = CHANGES[(changes >> 2) & 3];
    const orphan = CHANGES[(changes >> 4) & 3];
    if (decoded === undefined || own === undefined || orphan === undefined) throw new Malformed('inode');
    const lists = changes & (LIST_EXTENTS | LIST_SECOND);
    // A list that has rows and did not change is not here; its length is, in the row as it stands.
    const extents = (lists & LIST_EXTENTS) !== 0 ? this.#list() : decoded.inode.extents;
    const second = (lists & LIST_SECOND) !== 0 ? this.#list() : decoded.inode.second;
    return { kind: 'inode', inode: { ...decoded.inode, extents, second }, lists, own, orphan, row: row.slice() };
  }

  #list(): Extent[] {
    const count = this.#u32();
    const list: Extent[] = [];
    for (let i = 0; i < count; i++) {
      const decoded = decodeExtent(this.#view, this.#at, this.#bytes.length);
      if (decoded === undefined) throw new Malformed('extent');
      list.push(decoded.extent);
      this.#at = decoded.end;
    }
    return list;
  }

  #partition(): Mutation {
    const slot = this.#slot();
    const dir = this.#ino();
    const index = this.#u16();
    const entries = this.#u53();
    const directories = this.#u53();
    const changed = getTime(this.#view, this.#at);
    this.#at += TIME_BYTES;
    const lsn = this.#u48() as Lsn;
    const boundary = this.#f64();
    if (changed === undefined) throw new Malformed('time');
    return { kind: 'partition', partition: { slot, dir, index, entries, directories, changed, lsn, boundary } };
  }

  #aggregate(): Mutation {
    const id = this.#u48() as AggregateId;
    const volume = this.#u16() as VolumeId;
    const state = STATES[this.#u8()];
    const written = this.#u53();
    const live = this.#u53();
    const newestMtimeSec = getI64(this.#view, this.#at);
    this.#at += 8;
    const lastReadDay = this.#u53();
    if (state === undefined) throw new Malformed('state');
    return { kind: 'aggregate', row: { id, volume, state, written, live, newestMtimeSec, lastReadDay } };
  }

  #meta(): Mutation {
    const key = text.decode(this.#short());
    const value = this.#u8() === 0 ? this.#f64() : text.decode(this.#long());
    return { kind: 'meta', key, value };
  }

  #take(count: number): Uint8Array {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new Malformed('end');
    this.#at = at + count;
    return this.#bytes.subarray(at, at + count);
  }

  #short(): Uint8Array {
    return this.#take(this.#u8()).slice();
  }

  #long(): Uint8Array {
    return this.#take(this.#u32()).slice();
  }

  #u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  #u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2, true);
  }

  #u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  #u48(): number {
    this.#at += 6;
    return getU48(this.#view, this.#at - 6);
  }

  #u53(): number {
    this.#at += 8;
    const value = getU53(this.#view, this.#at - 8);
    if (Number.isNaN(value)) throw new Malformed('number');
    return value;
  }

  #f64(): number {
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8, true);
  }

  #ino(): Ino {
    return this.#u53() as Ino;
  }

  #slot(): Slot {
    const slot = this.#u16();
    if (slot > 4095) throw new Malformed('slot');
    return slot as Slot;
  }
}
