/** Migrations between two volumes in the simulation of power cuts. */
import { ROOT_INO } from '../../base/units.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import type { Random } from '../support/random.ts';

/** Waiting for their turn, at most: they go on with whatever is done next. */
const PENDING = 2;

/** Everything is to move to one of the volumes; some of it does. */
export function migrateSome(loose: LooseFilesystem, random: Random): void {
  const { list } = loose.filesystem.migrator;
  const request = `${loose.namespace.start}-${loose.namespace.lsn}`;
  if (list.pending.length < PENDING)
    list.ask({ request, roots: [ROOT_INO], to: random.below(2) === 0 ? 'warm' : 'hot' });
  for (let turns = 4 + random.below(20); turns > 0; turns--) {
    loose.clock.advance(100);
    loose.tick();
    loose.work();
  }
}
