/**
 * Directories of many partitions that were removed and that nobody holds any more: they go in small records, when there
 * is time. What is left at the end goes then, or at the next mount.
 */
import { hasManyPartitions, removeSomePartitions } from '../shard/partition_removal.ts';
import type { Core } from './core.ts';
import type { Chore } from './maintenance.ts';
import { reclaimOrphan } from './operations/remove.ts';

export class LargeOrphans implements Chore {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  get hasWork(): boolean {
    return this.#core.largeOrphans.size > 0;
  }

  step(): boolean {
    const { largeOrphans, namespace } = this.#core;
    for (const ino of largeOrphans) {
      const inode = namespace.inode(ino);
      if (inode !== undefined && hasManyPartitions(inode)) {
        removeSomePartitions(namespace, inode);
      } else {
        largeOrphans.delete(ino);
        reclaimOrphan(this.#core, ino);
      }
      return true;
    }
    return false;
  }
}
