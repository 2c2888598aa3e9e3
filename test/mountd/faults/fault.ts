/** A fault to plant in the store of fsck.mount.ts: what is found, what heals. */
import { inoOf, type Slot } from '../../../base/units.ts';
import type { Kind } from '../../../mountd/fsck/kinds.ts';
import type { PlantedStore } from '../../support/planted_store.ts';

export interface Fault {
  readonly name: string;
  /** All of them are found; what follows from the fault may be found too. */
  readonly kinds: readonly Kind[];
  /** What a repair leaves; absent: nothing. */
  readonly left?: readonly Kind[];
  plant(store: PlantedStore): void;
  /** What holds after a repair. */
  healed?(store: PlantedStore): void;
}

/** A number that no inode has. */
export const NOBODY = inoOf(77 as Slot, 5_000);

/** For `healed`. */
export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`Not healed: ${what}`);
}
