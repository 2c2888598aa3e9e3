/**
 * Before anything names what a job has copied: it is on the disk, and there it is what was read. A source that is whole
 * elsewhere must not be given up for bytes that a failing disk never took, and a disk that fails breaks nothing by it.
 */
import { type Backing, type BackingFile, type FlushTarget, flushTarget } from '../base/backing.ts';
import { alignUp } from '../base/bytes.ts';
import { haveChecksums } from '../base/crc32c.ts';
import { E } from '../base/errno.ts';
import type { MovedPiece } from './moves.ts';
import { BLOCK_BYTES } from './pack.ts';

export interface Proof {
  readonly backing: Backing;
  /** What to flush besides, so that a new file's name is durable. */
  readonly names: readonly FlushTarget[];
  readonly pieces: readonly MovedPiece[];
  /** For the longest piece, aligned to 4,096: with O_DIRECT the host's cache is passed by. */
  readonly buffer: Uint8Array;
}

/** 0, or the -errno of the flush or read that failed; -EIO also where it is not what was written. No flush is tried again. */
export function prove(file: BackingFile, { backing, names, pieces, buffer }: Proof): number {
  let outcome = file.flush();
  for (const name of names) if (outcome >= 0) outcome = flushTarget(backing, name);
  for (const { rangeStart, length, checksums } of pieces) {
    if (outcome < 0) return outcome;
    const count = file.read(buffer.subarray(0, alignUp(length, BLOCK_BYTES)), rangeStart);
    if (count < 0) outcome = count;
    else if (count < length || !haveChecksums(buffer.subarray(0, length), checksums)) outcome = -E.EIO.number;
  }
  return Math.min(outcome, 0);
}
