/**
 * The directories of a populated store: a tree in which each has at most 256 subdirectories, the files spread evenly over
 * all of them. Numbers are known before a row is written, so that rows can be written in the order of their keys.
 */
import { assert } from '../../base/assert.ts';
import {
  FIRST_FREE_SEQUENCE,
  type Ino,
  inoOf,
  type Position,
  ROOT_INO,
  SLOT_COUNT,
  type Slot,
} from '../../base/units.ts';
import type { Placement } from '../../shard/position.ts';

const FAN_OUT = 256;

export interface Directory {
  /** 0 to D - 1; -1 is the root. */
  readonly index: number;
  readonly ino: Ino;
  readonly slot: Slot;
  readonly name: Uint8Array;
  readonly parent: Ino;
  /** Of its name in the parent. */
  readonly position: Position;
}

export class Tree {
  readonly root: Directory;
  readonly directories: readonly Directory[];
  /** First sequence of each slot that no directory has. */
  readonly nextSequence = new Float64Array(SLOT_COUNT).fill(FIRST_FREE_SEQUENCE);

  constructor(count: number, placement: Placement) {
    const rootSlot = (ROOT_INO % SLOT_COUNT) as Slot;
    const none = { name: new Uint8Array(0), parent: ROOT_INO, position: 0 as Position };
    this.root = { index: -1, ino: ROOT_INO, slot: rootSlot, ...none };
    const made: Directory[] = [];
    for (let index = 0; index < count; index++) {
      const parent = (index < FAN_OUT ? this.root : made[Math.floor(index / FAN_OUT) - 1]) ?? this.root;
      const name = Buffer.from(`study-${String(index).padStart(8, '0')}`);
      const slot = placement.slotForDirectory(parent.ino, name);
      const sequence = this.nextSequence[slot] ?? 0;
      this.nextSequence[slot] = sequence + 1;
      const position = placement.base(name);
      made.push({ index, ino: inoOf(slot, sequence), slot, name, parent: parent.ino, position });
    }
    this.directories = made;
    for (const directory of [this.root, ...made]) {
      const positions = new Set(this.childrenOf(directory).map((child) => child.position));
      assert(positions.size === this.childrenOf(directory).length, 'Two subdirectories at one position: format again');
    }
  }

  childCountOf({ index }: Directory): number {
    return Math.max(0, Math.min(FAN_OUT, this.directories.length - (index + 1) * FAN_OUT));
  }

  childrenOf({ index }: Directory): readonly Directory[] {
    return this.directories.slice((index + 1) * FAN_OUT, (index + 2) * FAN_OUT);
  }
}
