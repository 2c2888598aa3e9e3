import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../base/units.ts';
import { parseConfig, readConfig, renderConfig, type StoreConfig, volumeRows } from '../../mountd/config.ts';

const ID = '77443e04-fd5e-4cec-82c3-2b13c9b26f23';
const HEAD = `version: 1\nstoreId: ${ID}\ncreated: 2026-01-01\nshards: 16\n`;
const VOLUMES = 'volumes:\n  - id: 1\n    name: hot\n    tier: hot\n    kind: dir\n    paths: [volumes/hot]\n';
const TOO_FEW = '  - {id: 2, name: c, tier: cold, kind: ec, paths: [/a, /b], dataCells: 2, parityCells: 1}\n';

describe('store.yaml', () => {
  it('reads sizes in words and fills in defaults', () => {
    const config = parseConfig(`${HEAD}${VOLUMES}options:\n  packBelow: 4 MiB\n  workers: 5\n`, 'store.yaml');
    expect(config.options).toMatchObject({
      packBelow: 4 * MIB,
      workers: 5,
      packDelayMs: 1000,
      aggregateBytes: 64 * MIB,
    });
    expect(parseConfig(HEAD + VOLUMES, 'store.yaml').options.packBelow).toBe(8 * MIB);
  });

  it('reads back what it wrote', () => {
    const config: Omit<StoreConfig, 'options'> = parseConfig(HEAD + VOLUMES, 'store.yaml');
    const text = renderConfig({ ...config, options: { packBelow: MIB } });
    expect(parseConfig(text, 'store.yaml')).toEqual(parseConfig(`${HEAD}${VOLUMES}options: {packBelow: 1MiB}`, 'x'));
  });

  it('takes paths of volumes from the store folder, absolute ones as they are', () => {
    const config = parseConfig(HEAD + VOLUMES.replace('volumes/hot', 'volumes/hot'), 'store.yaml');
    expect(volumeRows(config, '/srv/pacs')[0]).toMatchObject({ id: 1, paths: ['/srv/pacs/volumes/hot'] });
    const other = parseConfig(HEAD + VOLUMES.replace('volumes/hot', '/flash/hot'), 'store.yaml');
    expect(volumeRows(other, '/srv/pacs')[0]).toMatchObject({ paths: ['/flash/hot'] });
  });

  const flaws: [what: string, text: string, message: RegExp][] = [
    ['a newer format', `${HEAD.replace('version: 1', 'version: 2')}${VOLUMES}`, /newer format, version 2 .* up to 1/],
    ['an alias of nothing', `${HEAD}${VOLUMES}options: *gone\n`, /use store.yaml.*alias/],
    [
      'a kind to come',
      `${HEAD}${VOLUMES.replace('dir', 'mirror')}`,
      /'hot' of kind 'mirror'.*'dir' and 'ec' volumes only/,
    ],
    ['an ec volume with too few paths', `${HEAD}${VOLUMES}${TOO_FEW}`, /2 paths found, expected at least 3/],
    [
      'an ec volume for new files',
      `${HEAD}${VOLUMES}${TOO_FEW.replace('dataCells: 2', 'dataCells: 1').replace('cold', 'hot')}`,
      /'ec' on tier 'hot'/,
    ],
    ['an unknown option', `${HEAD}${VOLUMES}options:\n  packBellow: 1\n`, /line 12: options.packBellow: unknown word/],
    ['a bad size', `${HEAD}${VOLUMES}options:\n  packBelow: lots\n`, /line 12: options.packBelow: 'lots' is no size/],
    ['a size out of range', `${HEAD}${VOLUMES}options:\n  packBelow: 1 GiB\n`, /1 GiB found, expected 0 to 256 MiB/],
    ['an odd multiple', `${HEAD}${VOLUMES}options:\n  aggregateBytes: 9 MiB\n`, /expected a multiple of 4 MiB/],
    ['too few shards', `${HEAD.replace('16', '0')}${VOLUMES}`, /line 4: shards: 0 found, expected at least 1/],
    ['no volumes', HEAD, /line 1: volumes/],
    [
      'two volumes of one name',
      HEAD + VOLUMES + VOLUMES.slice(9).replace('id: 1', 'id: 2'),
      /two volumes have the name hot/,
    ],
    ['a dir volume of two paths', HEAD + VOLUMES.replace(']', ', b]'), /line 6: volumes.0: 2 paths found/],
    ['no YAML', 'version: [1', /line 1: /],
    ['something else', 'just text', /line 1: /],
    ['an id that is none', HEAD.replace(ID, 'abc') + VOLUMES, /line 2: storeId: expected a UUID/],
  ];
  it.each(flaws)('refuses %s with its line and reason', (_, text, message) => {
    expect(() => parseConfig(text, 'store.yaml')).toThrow(message);
    expect(() => parseConfig(text, 'store.yaml')).toThrow(/^Cannot use store.yaml[^\n]*$/);
  });
});

describe('reading a store', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pacsfs-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('tells no store, not a store and a store apart', () => {
    expect(() => readConfig(join(folder, 'none'))).toThrow(/^No such store: .*none does not exist/);
    expect(() => readConfig(folder)).toThrow(/^Not a store: /);
    writeFileSync(join(folder, 'file'), '');
    expect(() => readConfig(join(folder, 'file'))).toThrow(/^Not a store: /);
    mkdirSync(join(folder, 'store'));
    writeFileSync(join(folder, 'store', 'store.yaml'), HEAD + VOLUMES);
    expect(readConfig(join(folder, 'store')).storeId).toBe(ID);
  });
});
