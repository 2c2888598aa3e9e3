/**
 * Where the volumes of a dumped store are now. A path of the dumped store.yaml counts from the store folder: the new one
 * if the volume was moved there, else the old one. Their identity files decide.
 */
import { isAbsolute, resolve } from 'node:path';
import { readIdentity } from '../../aggregate/identity.ts';
import { isErrno } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { volumeId } from '../../base/units.ts';
import type { VolumeConfig } from '../config.ts';
import type { Row } from './format_v1.ts';

export type DumpedVolume = Extract<Row, { row: 'volume' }>;

export interface FoundVolumes {
  /** For store.yaml. */
  readonly volumes: readonly VolumeConfig[];
  /** For system.db. */
  readonly rows: readonly VolumeRow[];
  readonly missing: readonly { readonly name: string; readonly path: string }[];
}

export function findVolumes(
  dumped: readonly DumpedVolume[],
  at: { readonly store: string; readonly from: string; readonly storeId: string },
): FoundVolumes {
  const backing = new PosixBacking();
  const missing: { name: string; path: string }[] = [];
  const volumes: VolumeConfig[] = [];
  const rows: VolumeRow[] = [];
  for (const { row: _, ...volume } of dumped) {
    const isThere = (path: string): boolean => {
      const identity = readIdentity(backing, path);
      return !isErrno(identity) && identity.store === at.storeId && identity.volumeId === volume.id;
    };
    const paths = volume.paths.map((path) => {
      if (!isAbsolute(path) && isThere(resolve(at.store, path))) return path;
      const old = resolve(at.from, path);
      if (!isThere(old)) missing.push({ name: volume.name, path: old });
      return old;
    });
    const { id, name, tier, kind, dataCells, parityCells } = volume;
    const cells = kind === 'ec' ? { dataCells, parityCells } : {};
    volumes.push({ id, name, tier, kind, paths, ...cells });
    rows.push({ ...volume, id: volumeId(id), paths: paths.map((path) => resolve(at.store, path)) });
  }
  return { volumes, rows, missing };
}
