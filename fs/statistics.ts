/** What a mount tells of itself: its state, and for statfs(2) the volumes' space added up after redundancy. */
import { E, isErrno, type Result } from '../base/errno.ts';
import type { CompactionStatus } from './compactor.ts';
import { type Core, NAME_MAX } from './core.ts';
import type { ReadsStatus } from './reads/reads.ts';
import type { FilesystemStatistics } from './types.ts';

const BLOCK = 4096;

export interface FilesystemStatus {
  readonly openFiles: number;
  readonly waitingFiles: number;
  /** Own files made ahead of their use: empty, and nobody's yet. */
  readonly ownAhead: number;
  readonly barriers: number;
  /** fsync(2) and what else waited for a barrier. */
  readonly fsyncs: number;
  /** Flushes of files and folders that were asked of the host, those of the databases left out. */
  readonly flushes: number;
  /** Files that were made durable by a copy in a segment. */
  readonly copies: number;
  /** Writes whose answer was held back until earlier ones were on the disk. */
  readonly heldWrites: number;
  /** Inodes whose handles were passed through to their own files. */
  readonly passedThrough: number;
  /** Where reader threads answer READs. */
  readonly reads: ReadsStatus | undefined;
  /** What was moved out of aggregates of which little was live. */
  readonly compaction: CompactionStatus;
  readonly broken: string | undefined;
}

/** Inodes are rows, made as they are needed: as many are free as the free space could hold at one block each. */
export function statistics(core: Core): Result<FilesystemStatistics> {
  let total = 0;
  let free = 0;
  let available = 0;
  const seen = new Set<string>();
  for (const space of core.data.space()) {
    // Volumes that share a host filesystem show the same figures; they count once.
    const stat = core.backing.stat(space.volume.paths[0] ?? '');
    const key = isErrno(stat) ? space.volume.name : `${stat.device}`;
    if (seen.has(key)) continue;
    seen.add(key);
    total += space.total;
    free += space.free;
    available += space.available;
  }
  if (seen.size === 0) return E.EIO;
  return {
    blockSize: BLOCK,
    blocks: Math.floor(total / BLOCK),
    blocksFree: Math.floor(free / BLOCK),
    blocksAvailable: Math.floor(available / BLOCK),
    files: Math.floor(total / BLOCK),
    filesFree: Math.floor(available / BLOCK),
    nameMax: NAME_MAX,
  };
}
