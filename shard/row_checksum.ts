/**
 * CRC32C over key and values of the rows that are columns, kept in their last column as a signed 32-bit integer (SQLite
 * stores that in 4 bytes). Field order and widths are those of docs/formats/namespace.md.
 */
import { crc32c } from '../base/crc32c.ts';
import type { Ino } from '../base/units.ts';
import { MAX_NAME_BYTES } from './position.ts';
import { rowIdOf } from './row_id.ts';
import type { Dentry, Partition } from './rows.ts';

const DENTRY_HEAD = 27;
const PARTITION_BYTES = 56;
const TWO_32 = 2 ** 32;

export class RowChecksums {
  readonly #bytes = new Uint8Array(DENTRY_HEAD + MAX_NAME_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  dentry(slot: number, dentry: Dentry): number {
    this.#view.setUint16(0, slot, true);
    this.#u64(2, dentry.dir);
    this.#u64(10, dentry.position);
    this.#u64(18, dentry.ino);
    this.#view.setUint8(26, dentry.type);
    this.#bytes.set(dentry.name, DENTRY_HEAD);
    return crc32c(this.#bytes.subarray(0, DENTRY_HEAD + dentry.name.length)) | 0;
  }

  partition(partition: Partition): number {
    const view = this.#view;
    view.setUint16(0, partition.slot, true);
    this.#u64(2, partition.dir);
    view.setUint16(10, partition.index, true);
    this.#u64(12, partition.entries);
    this.#u64(20, partition.directories);
    this.#u64(28, partition.changed.sec);
    view.setUint32(36, partition.changed.nsec, true);
    this.#u64(40, partition.lsn);
    this.#u64(48, partition.boundary);
    return crc32c(this.#bytes.subarray(0, PARTITION_BYTES)) | 0;
  }

  /** Of an xattr: inode, name, value; with an empty name, of a symlink's target. */
  attached(ino: Ino, name: Uint8Array, value: Uint8Array): number {
    this.#u64(0, rowIdOf(ino));
    this.#view.setUint16(8, name.length, true);
    this.#bytes.set(name, 10);
    return crc32c(value, crc32c(this.#bytes.subarray(0, 10 + name.length))) | 0;
  }

  /** Of a row of `extents`: the BLOB is an extent as extent_format.ts has it. */
  extentRow(ino: Ino, list: number, row: Uint8Array): number {
    this.#u64(0, rowIdOf(ino));
    this.#view.setUint8(8, list);
    return crc32c(row, crc32c(this.#bytes.subarray(0, 9))) | 0;
  }

  /** Two's complement, so that seconds before 1970 have a place too. */
  #u64(at: number, value: number): void {
    const high = Math.floor(value / TWO_32);
    this.#view.setUint32(at, value - high * TWO_32, true);
    this.#view.setInt32(at + 4, high, true);
  }
}
