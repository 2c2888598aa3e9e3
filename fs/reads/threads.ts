/** What the operation core is given to have READs answered elsewhere. */
import type { SegmentMemory } from '../../aggregate/segments.ts';
import type { RingMemory } from './ring.ts';

export interface ReadThreads {
  /** One for each thread. */
  readonly rings: readonly RingMemory[];
  readonly segments: SegmentMemory;
  /** The descriptor that requests come from, and answers go to. */
  readonly device: () => number;
}
