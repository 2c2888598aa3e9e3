/** Reads tiering.yaml. An error names the line, the place, what was found and what was expected; no text throws. */
import type { Tier, VolumeRow } from '../../base/layout.ts';
import { type Contradiction, type Flaw, flawText, readSettings } from '../../base/settings.ts';
import { formatSize } from '../../base/sizes.ts';
import type { VolumeId } from '../../base/units.ts';
import { PACK_EVERYTHING, type Packing, type Policy, type Watermark } from './policy.ts';
import {
  DEFAULT_AGGREGATE_BYTES,
  LOWER_TIERS,
  POLICY_VERSION,
  type PolicyContext,
  type PolicyText,
  policySchema,
} from './schema.ts';
import { shadowOf } from './shadows.ts';
import { descent, type Target, TIERS, targetText } from './target.ts';
import { type Zone, zoneOf } from './windows.ts';

export const POLICY_FILE = 'tiering.yaml';

/** One line each, as in 'Cannot use /srv/pacs/tiering.yaml, line 4: rules.0.to: ...'. */
export type ParsedPolicy = { readonly policy: Policy } | { readonly flaws: readonly [string, ...string[]] };

/** `path` is for messages only. */
export function parsePolicy(text: string, path: string, context: PolicyContext): ParsedPolicy {
  const read = readSettings(text, policySchema(context), {
    before: newerFormat,
    after: (found) => contradictions(found, context),
    unknownWord: 'docs/tiering.md has the known ones',
  });
  if ('value' in read) return { policy: policyOf(read.value, context) };
  const line = (flaw: Flaw) => `Cannot use ${path}, ${flawText(flaw, 'policy')}`;
  const [first, ...others] = read.flaws;
  return { flaws: [line(first), ...others.map(line)] };
}

/** Of a store without tiering.yaml: nothing moves by itself. */
export function emptyPolicy(context: PolicyContext): Policy {
  return policyOf(policySchema(context).parse({ version: POLICY_VERSION }), context);
}

function newerFormat(raw: unknown): string | undefined {
  const version = typeof raw === 'object' && raw !== null && 'version' in raw ? raw.version : undefined;
  if (typeof version !== 'number' || version <= POLICY_VERSION) return undefined;
  return `newer format, version ${version} found, this pacsfs knows up to ${POLICY_VERSION}; update pacsfs`;
}

/** What is wrong with parts that are right by themselves. */
function* contradictions(found: PolicyText, context: PolicyContext): Generator<Contradiction> {
  const seen = new Map<string, number>();
  for (const [index, { name }] of found.rules.entries()) {
    const before = seen.get(name);
    if (before !== undefined) {
      yield { path: ['rules', index, 'name'], reason: `rule ${before + 1} has the name '${name}' already` };
    }
    seen.set(name, before ?? index);
    const shadow = shadowOf(found.rules, index);
    if (shadow !== undefined) {
      const reason = `rule '${name}' never acts: '${shadow.name}' before it takes every file; expected the narrower first`;
      yield { path: ['rules', index, 'name'], reason };
    }
  }
  yield* watermarkFlaws(found, context);
  for (const [section, entries] of [
    ['watermarks', found.watermarks],
    ['bandwidth.to', found.bandwidth.to ?? []],
  ] as const) {
    const words = new Map<string, string>();
    for (const [target, , word] of entries) {
      const other = words.get(targetText(target));
      if (other !== undefined) {
        yield { path: [...section.split('.'), word], reason: `'${other}' and '${word}' are the same volume` };
      }
      words.set(targetText(target), word);
    }
  }
  for (const tier of LOWER_TIERS) {
    const packing = found.packing[tier as 'warm' | 'cold'];
    if (packing === undefined) continue;
    const coded = context.volumes.find((volume) => volume.tier === tier && volume.kind === 'ec');
    if (coded !== undefined && packing.packBelow !== PACK_EVERYTHING) {
      const reason = `volume '${coded.name}' is of kind 'ec', which holds packed files only, expected 'all'`;
      yield { path: ['packing', tier, 'packBelow'], reason };
    }
    const { packBelow, aggregateBytes } = packingOf(tier as 'warm' | 'cold', packing);
    if (packBelow !== PACK_EVERYTHING && packBelow > aggregateBytes) {
      const reason = `${formatSize(packBelow)} found, expected at most aggregateBytes, which is ${formatSize(aggregateBytes)}, or 'all'`;
      yield { path: ['packing', tier, 'packBelow'], reason };
    }
  }
}

function* watermarkFlaws(found: PolicyText, { volumes }: PolicyContext): Generator<Contradiction> {
  for (const [target, watermark, word] of found.watermarks) {
    const place = ['watermarks', word];
    for (const volume of volumesOf(target, volumes)) {
      const to = watermark.to ?? nextTier(volume.tier, volumes);
      if (to === undefined) {
        yield { path: place, reason: `no volume of a tier below '${volume.tier}' is there to take its files` };
      } else if (descent(to, volume) <= 0) {
        const reason = `'${targetText(to)}' is not of a tier below '${volume.tier}', expected one that is`;
        yield { path: [...place, 'to'], reason };
      } else continue;
      break;
    }
  }
}

function volumesOf(target: Target, volumes: readonly VolumeRow[]): readonly VolumeRow[] {
  return target.kind === 'volume' ? [target.volume] : volumes.filter(({ tier }) => tier === target.tier);
}

function nextTier(tier: Tier, volumes: readonly VolumeRow[]): Target | undefined {
  const below = TIERS.slice(TIERS.indexOf(tier) + 1).find((lower) => volumes.some((volume) => volume.tier === lower));
  return below === undefined ? undefined : { kind: 'tier', tier: below };
}

function policyOf(found: PolicyText, { volumes }: PolicyContext): Policy {
  const watermarks = new Map<VolumeId, Watermark>();
  // A volume's own watermark counts more than its tier's.
  for (const kind of ['tier', 'volume'] as const) {
    for (const [target, watermark] of found.watermarks.filter(([{ kind: found }]) => found === kind)) {
      for (const volume of volumesOf(target, volumes)) {
        const to = watermark.to ?? nextTier(volume.tier, volumes);
        if (to !== undefined) watermarks.set(volume.id, { ...watermark, to });
      }
    }
  }
  const tiers = new Map<Tier, number>();
  const ofVolumes = new Map<VolumeId, number>();
  for (const [target, rate] of found.bandwidth.to ?? []) {
    if (target.kind === 'tier') tiers.set(target.tier, rate);
    else ofVolumes.set(target.volume.id, rate);
  }
  return {
    rules: found.rules,
    watermarks,
    windows: found.windows ?? [],
    zone: found.timeZone ?? (zoneOf(undefined) as Zone),
    bandwidth: { total: found.bandwidth.total, tiers, volumes: ofVolumes },
    minResidenceSec: found.minResidence,
    packing: new Map((['warm', 'cold'] as const).map((tier) => [tier, packingOf(tier, found.packing[tier])])),
  };
}

function packingOf(
  tier: 'warm' | 'cold',
  found: { readonly packBelow: number; readonly aggregateBytes?: number | undefined } | undefined,
): Packing {
  return {
    packBelow: found?.packBelow ?? PACK_EVERYTHING,
    aggregateBytes: found?.aggregateBytes ?? DEFAULT_AGGREGATE_BYTES[tier],
  };
}
