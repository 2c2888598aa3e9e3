/** Where a rule sends files: a tier, or one volume of the store. */
import type { Tier, VolumeRow } from '../../base/layout.ts';

export const TIERS: readonly Tier[] = ['hot', 'warm', 'cold'];

/** A tier leaves it to the migration which of its volumes takes a file. */
export type Target =
  | { readonly kind: 'tier'; readonly tier: Tier }
  | { readonly kind: 'volume'; readonly tier: Tier; readonly volume: VolumeRow };

/** Where bytes lie now. */
export type Place = Pick<VolumeRow, 'id' | 'name' | 'tier'>;

const VOLUME_PREFIX = 'volume:';

/**
 * 'warm' is the tier, whatever volumes are called; 'volume:warm' is the volume of that name, and so is any name that is
 * no tier's. Gives what is wrong as text.
 */
export function parseTarget(value: unknown, volumes: readonly VolumeRow[]): Target | string {
  if (typeof value !== 'string') return `${JSON.stringify(value) ?? 'nothing'} found, expected ${expected(volumes)}`;
  const tier = TIERS.find((known) => known === value);
  if (tier !== undefined) {
    if (volumes.some((volume) => volume.tier === tier)) return { kind: 'tier', tier };
    return `no volume of this store is of tier '${tier}', expected ${expected(volumes)}`;
  }
  const name = value.startsWith(VOLUME_PREFIX) ? value.slice(VOLUME_PREFIX.length) : value;
  const volume = volumes.find((known) => known.name === name);
  if (volume === undefined) return `'${value}' is no tier or volume of this store, expected ${expected(volumes)}`;
  return { kind: 'volume', tier: volume.tier, volume };
}

function expected(volumes: readonly VolumeRow[]): string {
  const tiers = TIERS.filter((tier) => volumes.some((volume) => volume.tier === tier));
  const named = volumes.map(({ name }) => (TIERS.some((tier) => tier === name) ? `${VOLUME_PREFIX}${name}` : name));
  return `one of ${[...tiers, ...named].join(', ')}`;
}

/** As it stands in tiering.yaml. */
export function targetText(target: Target): string {
  if (target.kind === 'tier') return target.tier;
  const { name } = target.volume;
  return TIERS.some((tier) => tier === name) ? `${VOLUME_PREFIX}${name}` : name;
}

/** Whether what lies there is where the target wants it. */
export function includes(target: Target, place: Place): boolean {
  return target.kind === 'tier' ? target.tier === place.tier : target.volume.id === place.id;
}

/** Above 0: the target is of a slower tier (down), below 0: of a faster one (up), 0: of the same. */
export function descent(target: Target, place: Place): number {
  return rank(target.tier) - rank(place.tier);
}

function rank(tier: Tier): number {
  return TIERS.indexOf(tier);
}
