/** The schema of tiering.yaml: from what people write to a `Policy`, with a reason for whatever does not fit. */
import { z } from 'zod';
import type { Tier, VolumeRow } from '../../base/layout.ts';
import { formatSize, parseSize } from '../../base/sizes.ts';
import { GIB, KIB, MIB } from '../../base/units.ts';
import { Glob } from './glob.ts';
import type { OwnerNames } from './owner_names.ts';
import { type Conditions, PACK_EVERYTHING, type Rule } from './policy.ts';
import { formatShare, formatSpan, parseShare, parseSpan, SECONDS_PER_DAY, shown } from './spans.ts';
import { parseTarget, type Target, TIERS } from './target.ts';
import { MINUTES_PER_DAY, parseDays, parseTimeOfDay, type Window, zoneOf } from './windows.ts';

export const POLICY_VERSION = 1;
/** Every file is held against every rule. */
export const MAX_RULES = 256;
const MAX_LIST = 1_000;
const MAX_WINDOWS = 64;
const SEGMENT_BYTES = 4 * MIB;
const MAX_AGGREGATE_BYTES = 512 * MIB;
const DEFAULT_RESIDENCE_SEC = 7 * SECONDS_PER_DAY;
const ALL_DAYS = 127;

/** Of the store that the policy is for. */
export interface PolicyContext {
  readonly volumes: readonly VolumeRow[];
  readonly names: OwnerNames;
}

/** A value by a function that gives it, or what is wrong as text. */
function parsed<T extends number | object>(parse: (value: unknown) => T | string) {
  return z.unknown().transform((value, context): T => {
    const result = parse(value);
    if (typeof result !== 'string') return result;
    context.addIssue({ code: 'custom', message: result });
    return z.NEVER;
  });
}

/** One, or a list of them; never empty. */
function oneOrMore<T extends number | object>(parse: (value: unknown) => T | string) {
  return z.unknown().transform((value, context): T[] => {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    if (items.length === 0 || items.length > MAX_LIST) {
      context.addIssue({ code: 'custom', message: `${items.length} entries found, expected 1 to ${MAX_LIST}` });
    }
    return items.slice(0, MAX_LIST).map((item, index) => {
      const result = parse(item);
      if (typeof result !== 'string') return result;
      const path = Array.isArray(value) ? [index] : [];
      context.addIssue({ code: 'custom', message: result, path });
      return z.NEVER;
    });
  });
}

const flag = z.boolean({ error: (issue) => `${shown(issue.input)} found, expected true or false` });
const ageBy = z.enum(['mtime', 'atime'], { error: (issue) => `${shown(issue.input)} found, expected mtime or atime` });
const span = parsed(parseSpan);
const share = parsed(parseShare);

function map(what: string) {
  return { error: (issue: { readonly code?: string; readonly input?: unknown }) => notA(what, issue) };
}

/** Unknown words keep the message that `readSettings` makes of them. */
function notA(what: string, issue: { readonly code?: string; readonly input?: unknown }): string | undefined {
  return issue.code === 'invalid_type' ? `${shown(issue.input)} found, expected ${what}` : undefined;
}

function parseNumber(what: string, value: unknown): number | string {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  return `${shown(value)} is no ${what}, expected a whole number from 0 to ${2 ** 32 - 1}`;
}

function parseOwner(kind: 'user' | 'group', names: OwnerNames) {
  return (value: unknown): number | string => {
    if (typeof value !== 'string') return parseNumber(`${kind}'s number`, value);
    const number = names[kind](value);
    return number ?? `this machine knows no ${kind} '${value}'; expected one that it knows, or a number`;
  };
}

function parseBytes(value: unknown): number | string {
  const bytes = typeof value === 'number' ? value : typeof value === 'string' ? parseSize(value) : undefined;
  if (bytes !== undefined && Number.isSafeInteger(bytes) && bytes >= 0) return bytes;
  return `${shown(value)} is no size, expected one like '8 MiB' or 8388608`;
}

function parseRate(value: unknown): number | string {
  const match = typeof value === 'string' ? /^(.*)\/\s*s\s*$/i.exec(value) : null;
  const bytes = match === null ? undefined : parseSize(match[1] ?? '');
  if (bytes === undefined) return `${shown(value)} is no rate, expected one like '200 MiB/s'`;
  return bytes >= KIB ? bytes : `${shown(value)} found, expected at least '1 KiB/s'`;
}

function conditions({ volumes, names }: PolicyContext) {
  const paths = oneOrMore((value) => Glob.parse(value));
  return z
    .strictObject(
      {
        olderThan: span.optional(),
        youngerThan: span.optional(),
        by: ageBy.optional(),
        largerThan: parsed(parseBytes).optional(),
        smallerThan: parsed(parseBytes).optional(),
        paths: paths.optional(),
        notPaths: paths.optional(),
        user: oneOrMore(parseOwner('user', names)).optional(),
        group: oneOrMore(parseOwner('group', names)).optional(),
        project: oneOrMore((value) => parseNumber('project', value)).optional(),
        pinned: flag.optional(),
        on: oneOrMore((value) => parseTarget(value, volumes)).optional(),
      },
      map('conditions like {olderThan: 90d}'),
    )
    .transform((when, context): Conditions => {
      const flaw = (place: string, message: string) => context.addIssue({ code: 'custom', message, path: [place] });
      const { olderThan, youngerThan, largerThan, smallerThan } = when;
      if (olderThan !== undefined && youngerThan !== undefined && olderThan >= youngerThan) {
        flaw(
          'youngerThan',
          `no file is older than ${formatSpan(olderThan)} and younger than ${formatSpan(youngerThan)}, expected more than ${formatSpan(olderThan)}`,
        );
      }
      if (smallerThan !== undefined && smallerThan <= (largerThan ?? -1) + 1) {
        flaw('smallerThan', `no file has less than ${smallerThan} and more than ${largerThan ?? -1} bytes`);
      }
      if (when.by !== undefined && olderThan === undefined && youngerThan === undefined) {
        flaw('by', `it says what an age is counted by, and the rule has none, expected olderThan or youngerThan`);
      }
      return {
        by: when.by ?? 'mtime',
        olderThanSec: olderThan,
        youngerThanSec: youngerThan,
        largerThan,
        smallerThan,
        paths: when.paths,
        notPaths: when.notPaths,
        users: when.user && new Set(when.user),
        groups: when.group && new Set(when.group),
        projects: when.project && new Set(when.project),
        pinned: when.pinned,
        on: when.on,
      };
    });
}

function ruleSchema(context: PolicyContext) {
  return z
    .strictObject(
      {
        name: z
          .string({ error: (issue) => `${shown(issue.input)} found, expected a name` })
          .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, {
            error: (issue) =>
              `${shown(issue.input)} found, expected up to 64 of A-Z, a-z, 0-9, - and _, the first a letter`,
          }),
        when: conditions(context).optional(),
        to: parsed((value) => parseTarget(value, context.volumes)),
      },
      map('a rule with a name, when, and to'),
    )
    .transform(({ name, when, to }): Rule => ({ name, to, when: when ?? EVERY_FILE }));
}

const EVERY_FILE: Conditions = {
  by: 'mtime',
  olderThanSec: undefined,
  youngerThanSec: undefined,
  largerThan: undefined,
  smallerThan: undefined,
  paths: undefined,
  notPaths: undefined,
  users: undefined,
  groups: undefined,
  projects: undefined,
  pinned: undefined,
  on: undefined,
};

function watermarkSchema(context: PolicyContext) {
  return z
    .strictObject(
      {
        high: share,
        low: share,
        to: parsed((value) => parseTarget(value, context.volumes)).optional(),
        by: ageBy.default('atime'),
        anytime: flag.default(true),
      },
      map('a watermark like {high: 85%, low: 75%}'),
    )
    .superRefine(({ high, low }, issues) => {
      if (low >= high) {
        const message = `${formatShare(low)} found, expected less than high, which is ${formatShare(high)}`;
        issues.addIssue({ code: 'custom', message, path: ['low'] });
      }
    });
}

const windowSchema = z
  .strictObject(
    {
      days: parsed(parseDays).optional(),
      from: parsed(parseTimeOfDay).optional(),
      to: parsed(parseTimeOfDay).optional(),
    },
    map(`a window like {days: [mon-fri], from: '20:00', to: '06:00'}`),
  )
  .transform(({ days = ALL_DAYS, from = 0, to = MINUTES_PER_DAY }, issues): Window => {
    const flaw = (place: string, message: string) => issues.addIssue({ code: 'custom', message, path: [place] });
    if (from === MINUTES_PER_DAY) flaw('from', `'24:00' begins the next day, expected '00:00' to '23:59'`);
    else if (from === to) flaw('to', 'the window ends as it begins; for a whole day leave both out');
    return { days, from, to };
  });

function parseSizeWithin(bounds: { least: number; most: number; multiple: number }) {
  return (value: unknown): number | string => {
    const bytes = parseBytes(value);
    if (typeof bytes === 'string') return bytes;
    if (bytes < bounds.least || bytes > bounds.most) {
      return `${formatSize(bytes)} found, expected ${formatSize(bounds.least)} to ${formatSize(bounds.most)}`;
    }
    if (bytes % bounds.multiple === 0) return bytes;
    return `${formatSize(bytes)} found, expected a multiple of ${formatSize(bounds.multiple)}`;
  };
}

const packBelow = parseSizeWithin({ least: 0, most: MAX_AGGREGATE_BYTES, multiple: 1 });
const aggregateBytes = parseSizeWithin({
  least: 2 * SEGMENT_BYTES,
  most: MAX_AGGREGATE_BYTES,
  multiple: SEGMENT_BYTES,
});

const packingSchema = z.strictObject(
  {
    packBelow: parsed((value) => (value === 'all' ? PACK_EVERYTHING : packBelow(value))).default(PACK_EVERYTHING),
    aggregateBytes: parsed(aggregateBytes).optional(),
  },
  map('{packBelow: SIZE, aggregateBytes: SIZE}'),
);

/** Words that are volumes or tiers of the store, each with a value. */
function byTarget<S extends z.ZodType>(context: PolicyContext, schema: S) {
  return z
    .record(z.string(), schema, map('words that are tiers or volumes, each with a value'))
    .transform((entries, issues): [target: Target, value: z.output<S>, word: string][] =>
      Object.entries(entries).flatMap(([word, value]) => {
        const target = parseTarget(word, context.volumes);
        if (typeof target !== 'string') return [[target, value as z.output<S>, word]];
        issues.addIssue({ code: 'custom', message: target, path: [word] });
        return [];
      }),
    );
}

/** What stands in the file; `parsePolicy` makes a `Policy` of it. */
export function policySchema(context: PolicyContext) {
  return z.strictObject(
    {
      version: z.literal(POLICY_VERSION, {
        error: (issue) => `${shown(issue.input)} found, expected ${POLICY_VERSION}`,
      }),
      rules: z
        .array(ruleSchema(context), map('a list of rules'))
        .max(MAX_RULES, { error: `expected at most ${MAX_RULES} rules` })
        .default([]),
      watermarks: byTarget(context, watermarkSchema(context)).default([]),
      windows: z
        .array(windowSchema, map('a list of windows'))
        .min(1, { error: `no window found: nothing would ever move; to allow all times leave 'windows' out` })
        .max(MAX_WINDOWS, { error: `expected at most ${MAX_WINDOWS} windows` })
        .optional(),
      timeZone: parsed((value) => {
        if (typeof value !== 'string') return `${shown(value)} found, expected a time zone like 'Europe/Berlin'`;
        return zoneOf(value) ?? `this machine knows no time zone '${value}', expected one like 'Europe/Berlin'`;
      }).optional(),
      bandwidth: z
        .strictObject(
          { total: parsed(parseRate).optional(), to: byTarget(context, parsed(parseRate)).optional() },
          map('{total: RATE, to: {TIER|VOLUME: RATE}}'),
        )
        .default({}),
      minResidence: span.default(DEFAULT_RESIDENCE_SEC),
      packing: z
        .strictObject(
          {
            hot: z
              .undefined({
                error: 'store.yaml says how the hot tier packs (options.packBelow, options.aggregateBytes)',
              })
              .optional(),
            warm: packingSchema.optional(),
            cold: packingSchema.optional(),
          },
          map('tiers, each with {packBelow, aggregateBytes}'),
        )
        .default({}),
    },
    map('a policy that begins with version: 1'),
  );
}

export type PolicyText = z.output<ReturnType<typeof policySchema>>;

/** Of what a file does not say; the lower the tier, the larger its aggregates. */
export const DEFAULT_AGGREGATE_BYTES: Readonly<Record<Exclude<Tier, 'hot'>, number>> = {
  warm: GIB / 4,
  cold: GIB / 2,
};

export const LOWER_TIERS = TIERS.filter((tier) => tier !== 'hot');
