/** The volumes of a store: those that are present, and why the others are not. */
import type { Backing } from '../base/backing.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import type { VolumeId } from '../base/units.ts';
import { DirVolume } from './dir_volume.ts';
import { identityComplaint, readIdentity } from './identity.ts';
import type { VolumeSpace } from './store_options.ts';
import type { Volume, VolumeKinds } from './volume.ts';

export interface MissingVolume {
  readonly volume: VolumeId;
  readonly name: string;
  readonly path: string;
  readonly reason: string;
}

export interface OpenVolume {
  readonly backing: Backing;
  /** Default: `dir` only. */
  readonly kinds?: VolumeKinds | undefined;
  readonly storeId?: string | undefined;
}

/** The volume behind a row, its identity not asked for; EOPNOTSUPP for a kind that `kinds` does not have. */
export function openVolume(row: VolumeRow, options: OpenVolume): Result<Volume> {
  const { backing, kinds = {}, storeId } = options;
  if (row.kind === 'dir') return row.paths.length === 1 ? new DirVolume(row, backing) : E.EOPNOTSUPP;
  return kinds[row.kind]?.(row, { backing, storeId }) ?? E.EOPNOTSUPP;
}

export interface VolumeSet {
  readonly present: ReadonlyMap<VolumeId, Volume>;
  readonly missing: readonly MissingVolume[];
  /** Directories of present volumes without the right identity: what they held comes from the others. */
  readonly degraded: readonly MissingVolume[];
}

/** Opens what carries the right identity; EOPNOTSUPP as soon as one volume is of a kind that `kinds` does not have. */
export function openVolumes(
  rows: readonly VolumeRow[],
  options: OpenVolume & { readonly storeId: string },
): Result<VolumeSet> {
  const present = new Map<VolumeId, Volume>();
  const missing: MissingVolume[] = [];
  const degraded: MissingVolume[] = [];
  for (const row of rows) {
    const volume = openVolume(row, options);
    if (isErrno(volume)) return volume;
    const wrong: MissingVolume[] = [];
    for (const [position, path] of row.paths.entries()) {
      const reason = directoryComplaint(row, position, options);
      if (reason !== undefined) wrong.push({ volume: row.id, name: row.name, path, reason });
    }
    const [first] = wrong;
    if (first !== undefined && row.paths.length - wrong.length < directoriesNeeded(row)) {
      missing.push(first);
      continue;
    }
    present.set(row.id, volume);
    degraded.push(...wrong);
  }
  return { present, missing, degraded };
}

/** Says once what is not there. */
export function logMissing({ missing, degraded }: VolumeSet, log: Log): void {
  for (const { volume, reason } of missing) {
    log.error({ volume, reason }, 'Volume is missing: its files cannot be read');
  }
  for (const { volume, path, reason } of degraded) {
    log.error({ volume, path, reason }, 'A directory of a volume is missing: the others stand in for it');
  }
}

/** Directories of the right identity below which a volume cannot be read. */
function directoriesNeeded(row: VolumeRow): number {
  return row.kind === 'ec' ? row.dataCells : 1;
}

/** Why a directory of a volume must not be used, or undefined when it is the right one. */
export function directoryComplaint(
  volume: VolumeRow,
  position: number,
  options: { readonly backing: Backing; readonly storeId: string },
): string | undefined {
  const identity = readIdentity(options.backing, volume.paths[position] ?? '');
  if (identity === E.EUCLEAN) return 'its identity file cannot be understood';
  if (isErrno(identity)) return `its identity file cannot be read: ${identity.name}`;
  return identityComplaint(identity, { storeId: options.storeId, volume, position });
}

/** Numbers of the own files of one start on a volume, in no order; none where they cannot be listed. For any thread. */
export function listOwnFiles(backing: Backing, row: VolumeRow, start: number): Float64Array {
  const volume = openVolume(row, { backing });
  const names = isErrno(volume) ? volume : volume.ownNames(start);
  return isErrno(names) ? new Float64Array(0) : Float64Array.from(names, ({ number }) => number);
}

/** What the lists of all folders hold together, or the first error. */
export function gather<T>(
  folders: readonly number[],
  list: (folder: number) => Result<readonly T[]>,
): Result<readonly T[]> {
  const all: T[] = [];
  for (const folder of folders) {
    const found = list(folder);
    if (isErrno(found)) return found;
    // Not by a spread: there may be as many as there are dedicated files.
    for (const each of found as readonly T[]) all.push(each);
  }
  return all;
}

/** Of those that answer; what is written ahead of use is room for whoever wants it. */
export function spacesOf(volumes: Iterable<Volume>, aheadOn: (volume: VolumeId) => number): readonly VolumeSpace[] {
  const spaces: VolumeSpace[] = [];
  for (const volume of volumes) {
    const space = volume.space();
    if (isErrno(space)) continue;
    const ahead = aheadOn(volume.row.id);
    const { total, free, available } = space;
    spaces.push({ volume: volume.row, total, free: free + ahead, available: available + ahead, ahead });
  }
  return spaces;
}
