/**
 * What a rebuild starts from: store.yaml if it is there; else the identity files of the volumes, which say of which store
 * and which volume each folder is. What they do not say must be given, or is taken to be as `format` makes it.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { type Identity, readIdentity } from '../../aggregate/identity.ts';
import { isErrno } from '../../base/errno.ts';
import type { Tier, VolumeRow } from '../../base/layout.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { defaultOptions, readConfig, STORE_VERSION, type StoreConfig, volumeRows } from '../config.ts';
import { Failure } from '../failure.ts';
import { OPERATIONAL, USAGE } from '../fsck/exit_codes.ts';
import { isWithin } from '../mount_table.ts';
import { configPath } from '../store_paths.ts';
import { parseVolumeArgument } from '../volume_argument.ts';

const DEFAULT_SHARDS = 16;

export interface Sources {
  readonly store: string;
  readonly config: StoreConfig;
  readonly volumes: readonly VolumeRow[];
  /** store.yaml was lost: the rebuild writes a new one. */
  readonly isConfigNew: boolean;
}

/** `volume`: as for `format`, looked at when store.yaml is lost. */
export function findSources(store: string, options: { readonly volume?: readonly string[] }): Sources {
  const given = options.volume ?? [];
  if (existsSync(configPath(store))) {
    if (given.length > 0)
      throw new Failure(`Cannot use --volume: ${configPath(store)} is there and says where the volumes are`, USAGE);
    const config = readConfig(store);
    return { store, config, volumes: volumeRows(config, store), isConfigNew: false };
  }
  if (!existsSync(store) || !statSync(store).isDirectory())
    throw new Failure(`No such store: ${store} is not a folder; make it, if it was lost too`, OPERATIONAL);
  const found = given.length > 0 ? given.map(identityOfArgument) : lookForVolumes(store);
  if (found.length === 0)
    throw new Failure(
      `Cannot rebuild ${store}: no store.yaml and no volume found in ${join(store, 'volumes')}; ` +
        'give each volume with --volume NAME=TIER:dir:PATH',
      OPERATIONAL,
    );
  const config = configOf(store, found);
  return { store, config, volumes: volumeRows(config, store), isConfigNew: true };
}

interface FoundVolume {
  readonly identity: Identity;
  readonly path: string;
  readonly tier: Tier;
}

function lookForVolumes(store: string): FoundVolume[] {
  const folder = join(store, 'volumes');
  if (!existsSync(folder)) return [];
  const found: FoundVolume[] = [];
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    const identity = readIdentity(new PosixBacking(), path);
    if (!isErrno(identity)) found.push({ identity, path, tier: 'hot' });
  }
  return found;
}

function identityOfArgument(text: string): FoundVolume {
  const { name, tier, kind, paths } = parseVolumeArgument(text);
  const path = resolve(paths[0] ?? '');
  if (kind !== 'dir')
    throw new Failure(`Cannot use volume '${name}' of kind '${kind}': this version serves 'dir' volumes only`, USAGE);
  const identity = readIdentity(new PosixBacking(), path);
  if (isErrno(identity))
    throw new Failure(`Cannot use volume '${name}': no identity file found in ${path} (${identity.name})`, OPERATIONAL);
  if (identity.volume !== name)
    throw new Failure(`Cannot use ${path} as '${name}': it is volume '${identity.volume}'`, OPERATIONAL);
  return { identity, path, tier };
}

function configOf(store: string, found: readonly FoundVolume[]): StoreConfig {
  const [first] = found;
  for (const { identity, path } of found) {
    if (identity.store === first?.identity.store) continue;
    throw new Failure(
      `Cannot rebuild ${store}: ${path} is of store ${identity.store}, ${first?.path} of ${first?.identity.store}; ` +
        'give the volumes of one store with --volume NAME=TIER:dir:PATH',
      OPERATIONAL,
    );
  }
  const twice = found.find(
    ({ identity }, at) => found.findIndex((o) => o.identity.volumeId === identity.volumeId) < at,
  );
  if (twice !== undefined)
    throw new Failure(`Cannot rebuild ${store}: two folders are volume '${twice.identity.volume}'`, OPERATIONAL);
  const volumes = found.map(({ identity, path, tier }) => ({
    id: identity.volumeId,
    name: identity.volume,
    tier,
    kind: 'dir' as const,
    paths: [isWithin(path, store) ? relative(store, path) : path],
  }));
  volumes.sort((a, b) => a.id - b.id);
  const storeId = first?.identity.store ?? '';
  const created = new Date().toISOString();
  const options = defaultOptions();
  return { version: STORE_VERSION, storeId, created, shards: DEFAULT_SHARDS, journals: [], volumes, options };
}
