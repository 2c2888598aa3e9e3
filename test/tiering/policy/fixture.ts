/** A store of three tiers, and files in it. */
import type { VolumeRow } from '../../../base/layout.ts';
import { volumeId } from '../../../base/units.ts';
import type { FileFacts } from '../../../tiering/policy/facts.ts';
import { ownerNames } from '../../../tiering/policy/owner_names.ts';
import { parsePolicy } from '../../../tiering/policy/parse.ts';
import type { Policy } from '../../../tiering/policy/policy.ts';
import type { PolicyContext } from '../../../tiering/policy/schema.ts';

function volume(id: number, name: string, rest: Pick<VolumeRow, 'tier' | 'kind'>): VolumeRow {
  return { id: volumeId(id), name, ...rest, paths: [`/${name}`], dataCells: 1, parityCells: 0 };
}

export const HOT = volume(1, 'hot', { tier: 'hot', kind: 'dir' });
export const FLASH = volume(2, 'flash2', { tier: 'hot', kind: 'dir' });
export const WARM = volume(3, 'disks', { tier: 'warm', kind: 'dir' });
export const COLD = volume(4, 'vault', { tier: 'cold', kind: 'ec' });

export const CONTEXT: PolicyContext = {
  volumes: [HOT, FLASH, WARM, COLD],
  names: ownerNames('root:x:0:0:::\npacs:x:1001:1001:::\nbroken\n', 'wheel:x:10:\nstaff:x:50:pacs\n'),
};

export const DAY = 86_400;
/** 1 June 2026, noon UTC. */
export const NOW = Date.UTC(2026, 5, 1, 12) / 1000;

export function file(facts: Partial<Omit<FileFacts, 'path'>> & { readonly path?: string } = {}): FileFacts {
  const { path = 'patient/study/1.dcm', ...others } = facts;
  return {
    path: () => new TextEncoder().encode(path),
    size: 250_000,
    storedBytes: 250_000,
    mtimeSec: NOW - 10 * DAY,
    atimeSec: NOW - 10 * DAY,
    uid: 1001,
    gid: 50,
    project: 0,
    isPinned: false,
    place: HOT,
    recalledSec: undefined,
    ...others,
  };
}

/** What follows `version: 1`. */
export function policy(text: string, context: PolicyContext = CONTEXT): Policy {
  const parsed = parsePolicy(`version: 1\n${text}`, 'tiering.yaml', context);
  if ('policy' in parsed) return parsed.policy;
  throw new Error(parsed.flaws.join('\n'));
}
