/**
 * Positions: where a name stands in its directory's order. 49 bits of SipHash-2-4 of the name, then 4 bits that tell
 * names with equal hashes apart:
 *
 *     52                                             4 3      0
 *     +-----------------------------------------------+--------+
 *     | top 49 bits of the keyed hash                 | 0..15  |
 *     +-----------------------------------------------+--------+
 *
 * Values below 16 are readdir cookies of their own (0 start, 1 and 2 `.` and `..`), so a hash of 0 counts as 1.
 */
import { assert } from '../base/assert.ts';
import { SipHash } from '../base/siphash.ts';
import { type Ino, type Position, SLOT_COUNT, type Slot } from '../base/units.ts';

/** Names that can share one 49-bit hash in one directory. */
export const POSITIONS_PER_HASH = 16;
export const MAX_NAME_BYTES = 255;

/** 49 bits, 0 to 2^49 - 1, of a name. Tests hand in their own to provoke collisions. */
export type NameHash = (name: Uint8Array) => number;

export class Placement {
  readonly #sip: SipHash;
  readonly #nameHash: NameHash;
  /** Parent and name, for the hash that chooses a directory's slot. */
  readonly #scratch = new Uint8Array(8 + MAX_NAME_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);

  constructor(key: Uint8Array, nameHash?: NameHash) {
    this.#sip = new SipHash(key);
    this.#nameHash = nameHash ?? ((name) => this.#hash49(name));
  }

  /** The first of the 16 positions that the name may take. */
  base(name: Uint8Array): Position {
    assert(name.length >= 1 && name.length <= MAX_NAME_BYTES, `Name of ${name.length} bytes, expected 1 to 255`);
    return (Math.max(this.#nameHash(name), 1) * POSITIONS_PER_HASH) as Position;
  }

  /** Where a new directory's inode goes: subdirectories of one directory spread over all slots. */
  slotForDirectory(parent: Ino, name: Uint8Array): Slot {
    this.#scratchView.setUint32(0, parent % 2 ** 32, true);
    this.#scratchView.setUint32(4, Math.floor(parent / 2 ** 32), true);
    this.#scratch.set(name, 8);
    return (this.#sip.hash(this.#scratch, 8 + name.length).low() % SLOT_COUNT) as Slot;
  }

  #hash49(name: Uint8Array): number {
    this.#sip.hash(name);
    return this.#sip.high() * 2 ** 17 + (this.#sip.low() >>> 15);
  }
}
