/** Compaction in the simulation of power cuts. */
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import type { Random } from '../support/random.ts';

/** A pass begins, and goes on with whatever is done next. */
export function compactSome(loose: LooseFilesystem, random: Random): void {
  loose.filesystem.compactor.ask();
  for (let turns = 2 + random.below(12); turns > 0; turns--) {
    loose.clock.advance(100);
    loose.tick();
    loose.work();
  }
}
