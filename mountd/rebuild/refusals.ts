/** When metadata must not be replaced. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import { pacsfsMounts } from '../mount_table.ts';
import { metaFolder } from '../store_paths.ts';

/** A daemon whose lock file was deleted would not be noticed by its lock. */
export function refuseMounted(store: string, action: string, exitCode = 1): void {
  const mount = pacsfsMounts().find(({ source }) => source === store);
  if (mount === undefined) return;
  throw new Failure(
    `Cannot ${action} ${store}: it is mounted at ${mount.mountPoint}; \`pacsfs unmount ${mount.mountPoint}\` first`,
    exitCode,
  );
}

/** The folder of a store of this id that is mounted from elsewhere: its volumes are in use. */
export function mountedElsewhere(storeId: string): string | undefined {
  return pacsfsMounts().find(({ source }) => storeIdOf(source) === storeId)?.source;
}

function storeIdOf(store: string): string | undefined {
  try {
    return readConfig(store).storeId;
  } catch {
    return undefined;
  }
}

/** Databases are not given up without being told to, as long as some are left. */
export function refuseHealthy(store: string, action: string, exitCode = 1): void {
  const meta = metaFolder(store);
  const shards = join(meta, 'shards');
  const left = (existsSync(shards) ? readdirSync(shards) : []).filter((name) => name.endsWith('.db'));
  if (existsSync(join(meta, 'system.db'))) left.unshift('system.db');
  if (left.length === 0) return;
  throw new Failure(
    `Cannot ${action} ${store}: its metadata is not lost, ${left.length} databases found (${left[0]}, ...), expected none; ` +
      'use `pacsfs fsck --repair`, or --force to set them aside',
    exitCode,
  );
}
