/**
 * One answer to READ, made of pieces that lie where they are read from: they are checked against their checksums there, and
 * leave in one call behind their header. Nothing is copied on the way but by the kernel.
 *
 * fuse_out_header: len 0, error i32 4, unique 8
 */
import { viewOf } from '../../base/bytes.ts';
import { CHECKSUM_BLOCK, crc32c } from '../../base/crc32c.ts';
import { E } from '../../base/errno.ts';
import { addressOf, alignedBuffer, IOVEC_BYTES, writev } from '../../base/libc.ts';
import { MIB } from '../../base/units.ts';
import { outHeaderBytes } from '../kernel/protocol.ts';

/** Pieces of one answer, at most. */
export const PIECES_MAX = 24;
const ZEROS_BYTES = MIB;

export type WriteGathered = (fd: number, iovecs: Uint8Array, count: number) => number;

export class Answer {
  readonly #write: WriteGathered;
  readonly #header = alignedBuffer(outHeaderBytes);
  readonly #headerView = viewOf(this.#header);
  readonly #iovecs = new Uint8Array(IOVEC_BYTES * (PIECES_MAX + 1));
  readonly #iovecView = viewOf(this.#iovecs);
  #zeros: number | undefined;
  #count = 0;
  #length = 0;

  constructor(write: WriteGathered = writev) {
    this.#write = write;
    this.#put(0, addressOf(this.#header), outHeaderBytes);
  }

  begin(): void {
    this.#count = 0;
    this.#length = 0;
  }

  /** Bytes at an address, which stay there until it has been sent. */
  add(address: number, length: number): void {
    this.#count += 1;
    this.#length += length;
    this.#put(this.#count, address, length);
  }

  /** At most 1 MiB. */
  addZeros(length: number): void {
    this.#zeros ??= addressOf(alignedBuffer(ZEROS_BYTES));
    this.add(this.#zeros, length);
  }

  /** False when the kernel finds it wrong, which leaves the request without an answer. */
  send(to: { readonly device: number; readonly uniqueLow: number; readonly uniqueHigh: number }): boolean {
    const view = this.#headerView;
    view.setUint32(0, outHeaderBytes + this.#length, true);
    view.setInt32(4, 0, true);
    view.setUint32(8, to.uniqueLow, true);
    view.setUint32(12, to.uniqueHigh, true);
    let outcome: number;
    do outcome = this.#write(to.device, this.#iovecs, this.#count + 1);
    while (outcome === -E.EINTR.number);
    // Nobody waits for it any more, or the mount is gone.
    return outcome >= 0 || outcome === -E.ENOENT.number || outcome === -E.ENODEV.number;
  }

  #put(index: number, address: number, length: number): void {
    this.#iovecView.setBigUint64(index * IOVEC_BYTES, BigInt(address), true);
    this.#iovecView.setBigUint64(index * IOVEC_BYTES + 8, BigInt(length), true);
  }
}

/** Whether bytes are what was written; `checksums` has one for each 64 KiB, or is empty where nobody knows. */
export function isIntact(bytes: Uint8Array, checksums: Uint32Array): boolean {
  for (let block = 0; block < checksums.length; block++) {
    const at = block * CHECKSUM_BLOCK;
    if (crc32c(bytes.subarray(at, at + CHECKSUM_BLOCK)) !== checksums[block]) return false;
  }
  return true;
}
