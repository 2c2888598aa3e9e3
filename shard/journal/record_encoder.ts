/** Writes records in the form that record_codec.ts draws. */
import { assert } from '../../base/assert.ts';
import { setI64, setU48, setU53, viewOf } from '../../base/bytes.ts';
import type { Extent } from '../../base/layout.ts';
import type { Ino, Slot } from '../../base/units.ts';
import { encodeExtent, MAX_EXTENT_BYTES } from '../extent_format.ts';
import { InodeEncoder } from '../inode_format.ts';
import { LIST_EXTENTS, LIST_SECOND, type Mutation } from '../mutation.ts';
import { setTime, TIME_BYTES } from '../time_format.ts';
import { BIT_REQUEST, CHANGES, type JournalRecord, STATES, setRequest } from './record_codec.ts';

/** What any mutation takes at most besides its names, values and lists. */
const FIXED_BYTES = 64;
const FIRST_BUFFER_BYTES = 256 * 1024;

/** Encodes into one buffer that grows and is used over and over; `head` bytes before the payload are the caller's. */
export class RecordEncoder {
  readonly #head: number;
  readonly #inodes = new InodeEncoder();
  #bytes = new Uint8Array(FIRST_BUFFER_BYTES);
  #view = viewOf(this.#bytes);
  #at = 0;

  constructor(head: number) {
    this.#head = head;
    this.#at = head;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get view(): DataView {
    return this.#view;
  }

  /** Where the payload ends in `bytes`. Rows of inodes are left in their mutations, for whoever applies them next. */
  encode(record: JournalRecord): number {
    this.#at = this.#head;
    const { completes } = record;
    this.#view.setUint8(this.#at, completes === undefined ? 0 : BIT_REQUEST);
    this.#at += 1;
    if (completes !== undefined) this.#at = setRequest(this.#view, this.#at, completes);
    for (const mutation of record.mutations) {
      this.#need(FIXED_BYTES);
      this.#mutation(mutation);
    }
    return this.#at;
  }

  #need(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + bytes));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
    this.#view = viewOf(grown);
  }

  #mutation(mutation: Mutation): void {
    const view = this.#view;
    const at = this.#at;
    switch (mutation.kind) {
      case 'inode':
        this.#inode(mutation);
        break;
      case 'no-inode': {
        const { extents, xattrs, symlink, own, orphan } = mutation;
        view.setUint8(at, 2);
        setU53(view, at + 1, mutation.ino);
        const bits = +extents | (+xattrs << 1) | (+symlink << 2) | (+own << 3) | (+orphan << 4);
        view.setUint8(at + 9, bits);
        this.#at = at + 10;
        break;
      }
      case 'dentry': {
        const { dir, position, ino, type, name } = mutation.dentry;
        this.#slotted(3, mutation.slot, dir);
        setU53(view, at + 11, position);
        setU53(view, at + 19, ino);
        view.setUint8(at + 27, type);
        this.#at = at + 28;
        this.#short(name);
        break;
      }
      case 'no-dentry':
        this.#slotted(4, mutation.slot, mutation.dir);
        setU53(view, at + 11, mutation.position);
        this.#at = at + 19;
        break;
      case 'partition': {
        const row = mutation.partition;
        this.#slotted(5, row.slot, row.dir);
        view.setUint16(at + 11, row.index, true);
        setU53(view, at + 13, row.entries);
        setU53(view, at + 21, row.directories);
        setTime(view, at + 29, row.changed);
        setU48(view, at + 29 + TIME_BYTES, row.lsn);
        view.setFloat64(at + 35 + TIME_BYTES, row.boundary, true);
        this.#at = at + 43 + TIME_BYTES;
        break;
      }
      case 'no-partition':
        this.#slotted(6, mutation.slot, mutation.dir);
        view.setUint16(at + 11, mutation.index, true);
        this.#at = at + 13;
        break;
      default:
        this.#rare(mutation);
    }
  }

  /** Those that few records have. */
  #rare(mutation: Exclude<Mutation, { kind: 'inode' | 'no-inode' | 'dentry' | 'no-dentry' }>): void {
    const view = this.#view;
    const at = this.#at;
    switch (mutation.kind) {
      case 'no-dentries':
        this.#slotted(19, mutation.slot, mutation.dir);
        setU53(view, at + 11, mutation.from);
        setU53(view, at + 19, mutation.to);
        this.#at = at + 27;
        break;
      case 'xattr':
        this.#keyed(7, mutation.ino);
        this.#short(mutation.name);
        this.#long(mutation.value);
        break;
      case 'no-xattr':
        this.#keyed(8, mutation.ino);
        this.#short(mutation.name);
        break;
      case 'no-xattrs':
        this.#keyed(9, mutation.ino);
        break;
      case 'symlink':
        this.#keyed(10, mutation.ino);
        this.#long(mutation.target);
        break;
      case 'no-symlink':
        this.#keyed(11, mutation.ino);
        break;
      case 'sequence':
        this.#slotted(12, mutation.slot, mutation.next);
        this.#at = at + 11;
        break;
      case 'index':
        this.#keyed(13, mutation.ino);
        view.setUint8(this.#at, (mutation.index === 'orphans' ? 1 : 0) | (mutation.present ? 2 : 0));
        this.#at += 1;
        break;
      case 'aggregate': {
        const { row } = mutation;
        view.setUint8(at, 14);
        setU48(view, at + 1, row.id);
        view.setUint16(at + 7, row.volume, true);
        view.setUint8(at + 9, STATES.indexOf(row.state));
        setU53(view, at + 10, row.written);
        setU53(view, at + 18, row.live);
        setI64(view, at + 26, row.newestMtimeSec);
        setU53(view, at + 34, row.lastReadDay);
        this.#at = at + 42;
        break;
      }
      case 'no-aggregate':
        view.setUint8(at, 15);
        setU48(view, at + 1, mutation.id);
        this.#at = at + 7;
        break;
      case 'sharer':
      case 'no-sharer':
        view.setUint8(at, mutation.kind === 'sharer' ? 16 : 17);
        setU48(view, at + 1, mutation.aggregate);
        setU53(view, at + 7, mutation.rangeStart);
        setU53(view, at + 15, mutation.ino);
        this.#at = at + 23;
        break;
      case 'meta':
        this.#meta(mutation.key, mutation.value);
        break;
      case 'slot':
        view.setUint8(at, 20);
        view.setUint16(at + 1, mutation.slot, true);
        view.setUint8(at + 3, mutation.shard);
        view.setUint8(at + 4, mutation.from);
        this.#at = at + 5;
        break;
      case 'migration':
        view.setUint8(at, 22);
        setU53(view, at + 1, mutation.row.id);
        this.#at = at + 9;
        this.#short(Buffer.from(mutation.row.state));
        this.#long(Buffer.from(mutation.row.job));
        break;
      case 'no-migration':
        view.setUint8(at, 23);
        setU53(view, at + 1, mutation.id);
        this.#at = at + 9;
        break;
      case 'shards':
        view.setUint8(at, 21);
        view.setUint16(at + 1, mutation.count, true);
        this.#at = at + 3;
        break;
      default:
        assert(false, `Mutation '${mutation.kind}' has no bytes`);
    }
  }

  #inode(mutation: Extract<Mutation, { kind: 'inode' }>): void {
    const { inode, lists } = mutation;
    // One that came out of a journal has its row: of lists that did not change it knows only the length.
    const row = mutation.row ?? this.#inodes.encode(inode);
    this.#need(FIXED_BYTES + row.length);
    const at = this.#at;
    this.#view.setUint8(at, 1);
    setU53(this.#view, at + 1, inode.ino);
    const changes = lists | (CHANGES.indexOf(mutation.own) << 2) | (CHANGES.indexOf(mutation.orphan) << 4);
    this.#view.setUint8(at + 9, changes);
    this.#view.setUint16(at + 10, row.length, true);
    this.#bytes.set(row, at + 12);
    this.#at = at + 12 + row.length;
    // Whoever applies the record next need not make it again.
    mutation.row = this.#bytes.subarray(at + 12, this.#at);
    if ((lists & LIST_EXTENTS) !== 0) this.#list(inode.extents);
    if ((lists & LIST_SECOND) !== 0) this.#list(inode.second);
  }

  #list(extents: readonly Extent[]): void {
    this.#need(4 + extents.length * MAX_EXTENT_BYTES);
    this.#view.setUint32(this.#at, extents.length, true);
    this.#at += 4;
    for (const extent of extents) this.#at = encodeExtent(this.#view, this.#at, extent);
  }

  #meta(key: string, value: string | number): void {
    this.#view.setUint8(this.#at, 18);
    this.#at += 1;
    this.#short(Buffer.from(key));
    this.#need(FIXED_BYTES);
    this.#view.setUint8(this.#at, typeof value === 'number' ? 0 : 1);
    this.#at += 1;
    if (typeof value === 'string') this.#long(Buffer.from(value));
    else {
      this.#view.setFloat64(this.#at, value, true);
      this.#at += 8;
    }
  }

  /** A kind and an inode. */
  #keyed(kind: number, ino: Ino): void {
    this.#view.setUint8(this.#at, kind);
    setU53(this.#view, this.#at + 1, ino);
    this.#at += 9;
  }

  /** A kind, a slot and a number: 11 bytes, which the caller counts. */
  #slotted(kind: number, slot: Slot, value: number): void {
    this.#view.setUint8(this.#at, kind);
    this.#view.setUint16(this.#at + 1, slot, true);
    setU53(this.#view, this.#at + 3, value);
  }

  #short(bytes: Uint8Array): void {
    assert(bytes.length <= 255, `Name of ${bytes.length} bytes, expected at most 255`);
    this.#need(1 + bytes.length);
    this.#view.setUint8(this.#at, bytes.length);
    this.#bytes.set(bytes, this.#at + 1);
    this.#at += 1 + bytes.length;
  }

  #long(bytes: Uint8Array): void {
    this.#need(4 + bytes.length);
    this.#view.setUint32(this.#at, bytes.length, true);
    this.#bytes.set(bytes, this.#at + 4);
    this.#at += 4 + bytes.length;
  }
}
