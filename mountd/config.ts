/**
 * `store.yaml`: what a store consists of and how it is to behave. `format` writes it, people edit its options, every
 * command reads it. An error names the file, the line and the reason.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { z } from 'zod';
import { E, errnoFromThrown, errnoOf } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import { count, flawText, readSettings, size } from '../base/settings.ts';
import { formatSize } from '../base/sizes.ts';
import { GIB, MIB, volumeId } from '../base/units.ts';
import { SPLIT_AT, SPLIT_AT_LEAST } from '../shard/split_rules.ts';
import { Failure, failureOf } from './failure.ts';
import { configPath } from './store_paths.ts';
import { kindRefusal } from './volume_argument.ts';

/** Version of store.yaml and with it of the whole store; a newer one is refused. */
export const STORE_VERSION = 1;
export const MAX_SHARDS = 256;
const SEGMENT_BYTES = 4 * MIB;

const optionsSchema = z.strictObject({
  /** Settled files up to this are packed; 0 packs nothing. */
  packBelow: size({ least: 0, most: 256 * MIB }).default(8 * MIB),
  /** How long a settled file waits for company before its directory is packed. */
  packDelayMs: count({ least: 0, most: 3_600_000 }).default(1_000),
  /** A barrier is made this often while anything changes. */
  commitIntervalMs: count({ least: 10, most: 300_000 }).default(1_000),
  /** At this many settled files, or bytes of them, that wait to be packed, new files are held back. */
  landingLimitFiles: count({ least: 1, most: 1_000_000 }).default(8_192),
  landingLimitBytes: size({ least: SEGMENT_BYTES, most: 1024 * GIB }).default(GIB),
  aggregateBytes: size({ least: 2 * SEGMENT_BYTES, most: 512 * MIB, multiple: SEGMENT_BYTES }).default(64 * MIB),
  /** The first fsync of a small file copies it into a segment, flushes its own file, or does what is faster now. */
  fsyncMode: z.enum(['auto', 'copy', 'flush']).default('auto'),
  /**
   * Bytes written to large files that may wait to be written to the disk; from there on they are, and their writers wait.
   * 0 = half of what the host would hold before it writes by itself.
   */
  dirtyLimit: size({ least: 0, most: 64 * GIB }).default(0),
  /** Memory for segments of aggregates that are being read in their order; 0 = read nothing ahead. */
  segmentCache: size({ least: 0, most: 16 * GIB, multiple: SEGMENT_BYTES }).default(64 * MIB),
  /** Worker threads; 0 = one more than cores, at least 3, at most 8. */
  workers: count({ least: 0, most: 64 }).default(0),
  /** A shard's write-ahead log is checkpointed beyond this. */
  walLimit: size({ least: MIB, most: 16 * GIB }).default(4 * MIB),
  /** Bytes of journal that a journal folder keeps for want of a backup. */
  journalRetain: size({ least: 64 * MIB, most: 1024 * GIB }).default(16 * GIB),
  /** Descriptors that own files and aggregates may hold at a time. */
  fdLimit: count({ least: 64, most: 100_000 }).default(1_024),
  /** Entries from which a partition of a directory may split; it does at one to two times as many. */
  splitAt: count({ least: SPLIT_AT_LEAST, most: 2 ** 24 }).default(SPLIT_AT),
  /** Inodes that the daemon keeps in memory. */
  inodeCache: count({ least: 1_024, most: 100_000_000 }).default(65_536),
});

const pathText = z.string().min(1, 'an empty path found, expected one');
const volumeSchema = z
  .strictObject({
    id: count({ least: 1, most: 65_535 }),
    name: z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, 'expected a name of a-z, 0-9, - and _ that begins with a letter'),
    tier: z.enum(['hot', 'warm', 'cold']),
    kind: z.enum(['dir', 'mirror', 'ec']),
    paths: z.array(pathText).min(1),
    dataCells: count({ least: 1, most: 32 }).optional(),
    parityCells: count({ least: 1, most: 16 }).optional(),
  })
  .superRefine((volume, context) => {
    if (volume.kind === 'dir' && volume.paths.length !== 1) {
      context.addIssue({ code: 'custom', message: `${volume.paths.length} paths found, a 'dir' volume has exactly 1` });
    }
    if (volume.kind === 'ec' && (volume.dataCells === undefined || volume.parityCells === undefined)) {
      context.addIssue({ code: 'custom', message: `an 'ec' volume needs dataCells and parityCells` });
    }
    const cells = (volume.dataCells ?? 0) + (volume.parityCells ?? 0);
    if (volume.kind === 'ec' && volume.paths.length < cells) {
      const message = `${volume.paths.length} paths found, expected at least ${cells}, one for each cell`;
      context.addIssue({ code: 'custom', message });
    }
  });

const storeSchema = z.strictObject({
  version: z.literal(STORE_VERSION),
  storeId: z.uuid('expected a UUID'),
  created: z.string(),
  shards: count({ least: 1, most: MAX_SHARDS }),
  journals: z.array(pathText).default([]),
  volumes: z.array(volumeSchema).min(1, 'no volume found, expected at least one'),
  options: optionsSchema.default(() => optionsSchema.parse({})),
});

export type StoreOptions = z.output<typeof optionsSchema>;
export type VolumeConfig = z.output<typeof volumeSchema>;
export type StoreConfig = z.output<typeof storeSchema>;

export function defaultOptions(): StoreOptions {
  return optionsSchema.parse({});
}

/** Reads STORE/store.yaml; throws a Failure for no store, not a store, a newer format, or an error in the file. */
export function readConfig(store: string): StoreConfig {
  let text: string;
  try {
    text = readFileSync(configPath(store), 'utf8');
  } catch (error) {
    const errno = errnoOf(errnoFromThrown(error));
    if (errno === E.ENOENT || errno === E.ENOTDIR) throw notAStore(store, error);
    throw failureOf(`read ${configPath(store)}`, error);
  }
  return parseConfig(text, configPath(store));
}

/** `path` is for messages only. */
export function parseConfig(text: string, path: string): StoreConfig {
  const read = readSettings(text, storeSchema, {
    before: newerFormat,
    unknownWord: 'see `pacsfs config show` for the known ones',
  });
  if ('flaws' in read) throw new Failure(`Cannot use ${path}, ${flawText(read.flaws[0], 'store')}`);
  checkVolumes(read.value, path);
  return read.value;
}

function newerFormat(raw: unknown): string | undefined {
  const version = typeof raw === 'object' && raw !== null && 'version' in raw ? raw.version : undefined;
  if (typeof version !== 'number' || version <= STORE_VERSION) return undefined;
  return `newer format, version ${version} found, this pacsfs knows up to ${STORE_VERSION}; update pacsfs`;
}

function checkVolumes(config: StoreConfig, path: string): void {
  for (const word of ['id', 'name'] as const) {
    const seen = new Set<unknown>();
    for (const volume of config.volumes) {
      if (seen.has(volume[word])) throw new Failure(`Cannot use ${path}: two volumes have the ${word} ${volume[word]}`);
      seen.add(volume[word]);
    }
  }
  const refusal = kindRefusal(config.volumes);
  if (refusal !== undefined) throw new Failure(`Cannot use ${path}: ${refusal}`);
}

function notAStore(store: string, error: unknown): Failure {
  let listed = true;
  try {
    readFileSync(store);
  } catch (reading) {
    listed = errnoOf(errnoFromThrown(reading)) === E.EISDIR;
  }
  if (!listed && errnoOf(errnoFromThrown(error)) === E.ENOENT) {
    return new Failure(`No such store: ${store} does not exist; make one with \`pacsfs format ${store}\``);
  }
  return new Failure(`Not a store: ${store} holds no store.yaml; make a store with \`pacsfs format\``);
}

/** The volumes as the other parts know them, with absolute paths: those in the file are relative to the store. */
export function volumeRows(config: StoreConfig, store: string): VolumeRow[] {
  return config.volumes.map((volume) => ({
    id: volumeId(volume.id),
    name: volume.name,
    tier: volume.tier,
    kind: volume.kind,
    paths: volume.paths.map((path) => resolve(store, path)),
    dataCells: volume.dataCells ?? 1,
    parityCells: volume.parityCells ?? 0,
  }));
}

const SIZES: readonly (keyof StoreOptions)[] = [
  'journalRetain',
  'packBelow',
  'landingLimitBytes',
  'aggregateBytes',
  'dirtyLimit',
  'walLimit',
  'segmentCache',
];

/** The options with sizes in words, as they stand in the file. */
export function describeOptions(options: StoreOptions): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name,
      typeof value === 'number' && SIZES.includes(name as keyof StoreOptions) ? formatSize(value) : value,
    ]),
  );
}

/** The text of a new store.yaml; only options that were chosen are written, so that defaults may get better. */
export function renderConfig(config: Omit<StoreConfig, 'options'> & { options: Partial<StoreOptions> }): string {
  const head =
    '# A pacsfs store. Volumes are added by `pacsfs volume`; options may be edited here and hold from the next mount.\n' +
    '# `pacsfs config show STORE` prints every option with its present value.\n';
  const chosen = Object.keys(config.options).length > 0 ? config.options : undefined;
  return head + stringify({ ...config, options: chosen }, { lineWidth: 0 });
}
