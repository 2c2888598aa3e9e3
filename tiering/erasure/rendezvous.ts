/**
 * Which of a volume's directories an aggregate's cells go to: each directory has a score for each aggregate, and those
 * with the highest k+m take the cells, in the order of their scores. So parity and load lie evenly, and a directory more
 * moves the place of few cells. Directories are known by their positions, which are told by store.yaml also while a disk is
 * away, and stay when it is replaced.
 *
 * It says where cells are made and looked for first. Where they are only the cell files tell.
 *
 * Sources: D. Thaler, C. V. Ravishankar, Using name-based mappings to increase hit rates, 1998; the mixing function is
 * that of MurmurHash3, A. Appleby 2011.
 */
import type { AggregateId } from '../../base/units.ts';

/** Positions, highest score first. */
export function positionsFor(aggregate: AggregateId, directories: number): readonly number[] {
  const scored = Array.from({ length: directories }, (_, position) => ({
    position,
    score: scoreOf(aggregate, position),
  }));
  scored.sort((a, b) => b.score - a.score || a.position - b.position);
  return scored.map(({ position }) => position);
}

function scoreOf(aggregate: AggregateId, position: number): number {
  const low = mix(aggregate % 2 ** 32);
  const high = mix(low ^ Math.floor(aggregate / 2 ** 32));
  return mix(high ^ Math.imul(position + 1, 0x9e3779b1));
}

function mix(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
