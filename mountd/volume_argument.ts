/** The argument of `format --volume`: NAME=TIER:KIND:ARGS, with dir:PATH, mirror:PATH,PATH... or ec:K+M:PATH,PATH... */
import { resolve } from 'node:path';
import type { Tier, VolumeKind, VolumeRow } from '../base/layout.ts';
import { usage } from './failure.ts';

export interface VolumeArgument {
  readonly name: string;
  readonly tier: Tier;
  readonly kind: VolumeKind;
  /** Absolute. */
  readonly paths: readonly string[];
  /** `ec` only. */
  readonly dataCells?: number;
  readonly parityCells?: number;
}

const TIERS: readonly string[] = ['hot', 'warm', 'cold'] satisfies Tier[];
export const MAX_DATA_CELLS = 32;
export const MAX_PARITY_CELLS = 16;

/** Throws a usage Failure that quotes the argument. */
export function parseVolumeArgument(text: string): VolumeArgument {
  const wrong = (reason: string) => usage(`Cannot use --volume '${text}': ${reason}`);
  const match = /^([^=]*)=([^:]*):([^:]*):(.*)$/.exec(text);
  if (match === null) throw wrong('expected NAME=TIER:KIND:ARGS, such as hot=hot:dir:/srv/flash');
  const [, name = '', tier = '', kind = '', args = ''] = match;
  if (!/^[a-z][a-z0-9_-]{0,31}$/.test(name)) {
    throw wrong(`name '${name}' found, expected a-z, 0-9, - and _ that begin with a letter, at most 32`);
  }
  if (!TIERS.includes(tier)) throw wrong(`tier '${tier}' found, expected ${TIERS.join(', ')}`);
  switch (kind) {
    case 'dir': {
      const paths = parsePaths(args, wrong);
      if (paths.length !== 1) throw wrong(`${paths.length} paths found, a 'dir' volume has exactly 1`);
      return { name, tier: tier as Tier, kind, paths };
    }
    case 'mirror': {
      const paths = parsePaths(args, wrong);
      if (paths.length < 2) throw wrong(`${paths.length} path found, a 'mirror' volume has at least 2`);
      return { name, tier: tier as Tier, kind, paths };
    }
    case 'ec':
      return { name, tier: tier as Tier, kind, ...parseErasureCoding(args, wrong) };
    default:
      throw wrong(`kind '${kind}' found, expected dir, mirror or ec`);
  }
}

type Wrong = (reason: string) => Error;

function parseErasureCoding(args: string, wrong: Wrong): Pick<VolumeArgument, 'paths' | 'dataCells' | 'parityCells'> {
  const match = /^(\d+)\+(\d+):(.*)$/.exec(args);
  if (match === null) throw wrong('expected ec:K+M:PATH,PATH..., such as ec:8+2:/disk1,/disk2,...');
  const dataCells = Number(match[1]);
  const parityCells = Number(match[2]);
  if (dataCells < 1 || dataCells > MAX_DATA_CELLS || parityCells < 1 || parityCells > MAX_PARITY_CELLS) {
    throw wrong(`${dataCells}+${parityCells} found, expected 1 to ${MAX_DATA_CELLS} + 1 to ${MAX_PARITY_CELLS}`);
  }
  const paths = parsePaths(match[3] ?? '', wrong);
  if (paths.length < dataCells + parityCells) {
    throw wrong(`${paths.length} paths found, expected at least ${dataCells + parityCells}, one for each cell`);
  }
  return { paths, dataCells, parityCells };
}

function parsePaths(text: string, wrong: Wrong): string[] {
  const paths = text.split(',');
  if (paths.some((path) => path === '')) throw wrong('an empty path found');
  if (text.includes(':')) throw wrong("':' found in a path; such paths go into store.yaml");
  const absolute = paths.map((path) => resolve(path));
  if (new Set(absolute).size !== absolute.length) throw wrong('the same path found twice');
  return absolute;
}

/** What is wrong with the first volume that this version cannot serve. */
export function kindRefusal(volumes: readonly Pick<VolumeRow, 'name' | 'kind' | 'tier'>[]): string | undefined {
  for (const { name, kind, tier } of volumes) {
    if (kind === 'mirror') return `volume '${name}' of kind 'mirror': this version serves 'dir' and 'ec' volumes only`;
    if (kind === 'ec' && tier === 'hot')
      return `volume '${name}' of kind 'ec' on tier 'hot': new files are written there, and an 'ec' volume is written once`;
  }
  return undefined;
}
