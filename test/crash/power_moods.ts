/** What a power cut keeps: from nothing that was not flushed to all of it, and every mixture between. */
import type { Random } from '../support/random.ts';
import type { KeepCommits } from './power_databases.ts';
import type { Mood } from './power_disk.ts';
import type { Keep } from './power_file.ts';

export interface Cut extends Mood {
  readonly databases: KeepCommits;
}

export const ALL: Cut = { files: () => ({ kind: 'all' }), names: 1, databases: 'all' };
const NONE: Cut = { files: () => ({ kind: 'none' }), names: 0, databases: 'none' };

/** `changes`: how many the disk has seen. */
export function drawCut(random: Random, changes: number): Cut {
  const kind = random.below(20);
  const names = [0, 0.5, 1][random.below(3)] ?? 1;
  const databases = (['none', 'all', 'some', 'torn'] as const)[random.below(4)] ?? 'torn';
  if (kind === 0) return NONE;
  if (kind === 1) return ALL;
  // Metadata of the host ahead of all data, and behind it.
  if (kind === 2) return { ...NONE, names: 1, databases };
  if (kind === 3) return { ...ALL, names: 0, databases };
  if (kind < 7) {
    const keep: Keep = { kind: 'prefix', change: changes - random.below(1 + random.below(200)) };
    return { files: () => keep, names, databases };
  }
  const share = [0.1, 0.5, 0.9][random.below(3)] ?? 0.5;
  if (kind < 10) return { files: () => ({ kind: 'changes', share }), names, databases };
  if (kind < 12) return { files: () => ({ kind: 'units', share }), names, databases };
  return { files: anyKeep, names, databases };
}

/** Each file as it comes. */
function anyKeep(random: Random): Keep {
  const share = [0.1, 0.5, 0.9][random.below(3)] ?? 0.5;
  return (
    ([{ kind: 'none' }, { kind: 'all' }, { kind: 'changes', share }, { kind: 'units', share }] as const)[
      random.below(4)
    ] ?? { kind: 'all' }
  );
}
