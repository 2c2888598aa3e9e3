/** Where an own file has data and where holes. */
import type { BackingFile } from '../base/backing.ts';
import { alignDown, alignUp } from '../base/bytes.ts';
import { E, errnoOf, type Result } from '../base/errno.ts';
import { BLOCK_BYTES } from './pack.ts';

/** Bytes `from` to `to` (exclusive) of a file; `from` is a multiple of 4,096. */
export interface Run {
  readonly from: number;
  readonly to: number;
}

/**
 * Runs of data in order, widened to 4 KiB boundaries (holes smaller than that are data) and cut at `size`. A host that
 * cannot tell holes from data has one run.
 */
export function dataRuns(file: BackingFile, size: number): Result<readonly Run[]> {
  const runs: { from: number; to: number }[] = [];
  let at = 0;
  while (at < size) {
    const data = file.seek(at, 'data');
    if (data === -E.ENXIO.number) break;
    if (data === -E.EINVAL.number || data === -E.EOPNOTSUPP.number) return [{ from: 0, to: size }];
    if (data < 0) return errnoOf(-data);
    if (data >= size) break;
    const hole = file.seek(data, 'hole');
    if (hole < 0 && hole !== -E.ENXIO.number) return errnoOf(-hole);
    const from = alignDown(data, BLOCK_BYTES);
    const to = Math.min(hole < 0 ? size : alignUp(Math.max(hole, data + 1), BLOCK_BYTES), size);
    const last = runs.at(-1);
    if (last !== undefined && last.to >= from) last.to = to;
    else runs.push({ from, to });
    at = to;
  }
  return runs;
}
