/**
 * Names, attributes and contents of a store are for whoever runs it alone: nobody else may read around the permissions that
 * the mount enforces. New files and folders are made so; those of stores that earlier versions made are tightened here.
 */
import { chmodSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { VolumeRow } from '../base/layout.ts';
import { mirrorPath } from '../shard/journal/mirror.ts';
import { metaFolder } from './store_paths.ts';

/** What group and others may do. */
const OTHERS = 0o077;
/** Of a volume, whose own folder is the operator's: behind these nothing can be reached. */
const VOLUME_FOLDERS = ['own', 'aggregates', 'lost'];

export interface PrivatePlaces {
  readonly store: string;
  readonly storeId: string;
  readonly volumes: readonly Pick<VolumeRow, 'paths'>[];
  /** Folders that the journal is written to besides. */
  readonly journals: readonly string[];
}

/** Takes what others may do from all of it that is there; returns what could not be changed, as lines for people. */
export function keepPrivate({ store, storeId, volumes, journals }: PrivatePlaces): string[] {
  const complaints: string[] = [];
  for (const path of [metaFolder(store), ...journals.map((journal) => mirrorPath(journal, storeId))])
    tighten(path, { isDeep: true, complaints });
  for (const volume of volumes.flatMap(({ paths }) => paths))
    for (const name of VOLUME_FOLDERS) tighten(join(volume, name), { isDeep: false, complaints });
  return complaints;
}

function tighten(path: string, how: { readonly isDeep: boolean; readonly complaints: string[] }): void {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || found.isSymbolicLink()) return;
    if ((found.mode & OTHERS) !== 0) chmodSync(path, found.mode & 0o7777 & ~OTHERS);
    if (!how.isDeep || !found.isDirectory()) return;
    for (const name of readdirSync(path)) tighten(join(path, name), how);
  } catch (error) {
    // One that goes meanwhile, a log of SQLite's above all, needs nothing.
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    if (code !== 'ENOENT') how.complaints.push(`Cannot keep ${path} from others: ${code}`);
  }
}
