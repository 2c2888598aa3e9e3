/**
 * Makes a store with as many files as wanted, fast: `node dist/bench/populate.js STORE --files N`. Rows are written by the
 * shard layer's own loader; files are packed, of sizes like those of images, and read as zeros from aggregates that are
 * holes. For measuring what a large store costs; `pacsfs fsck` finds nothing in it.
 */
import { existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import cliProgress from 'cli-progress';
import { openVolume } from '../aggregate/volume_set.ts';
import { isErrno } from '../base/errno.ts';
import { PosixBacking } from '../base/posix_backing.ts';
import { SystemClock } from '../base/time.ts';
import type { Lsn } from '../base/units.ts';
import { format } from '../mountd/commands/format.ts';
import { readConfig, volumeRows } from '../mountd/config.ts';
import { configPath, metaFolder } from '../mountd/store_paths.ts';
import { journalPath } from '../shard/format.ts';
import { Journal } from '../shard/journal/journal.ts';
import { Loader } from '../shard/loader.ts';
import { SPLIT_AT, SPLIT_AT_LEAST, splitThreshold } from '../shard/split_rules.ts';
import { Bytes } from './populate/bytes.ts';
import { MIN_NAME_BYTES } from './populate/names.ts';
import { Rows } from './populate/rows.ts';
import { Tree } from './populate/tree.ts';

const USAGE = `Usage: populate STORE --files N [--directories D] [--name-bytes B] [--empty] [--shards S] [--split-at P]

Makes STORE, which must not exist, with N files (up to 10^8) in D directories (default one for 1,000 files; one may hold
all of them, and then has the partitions that it would have after its splits), names of B bytes (${MIN_NAME_BYTES} to 255, default 64). --empty: no file has bytes. --split-at P: partitions
split at P names (default ${SPLIT_AT}).
`;
const MAX_FILES = 100_000_000;
const FILES_A_DIRECTORY = 1_000;
/** Epoch of the rows that are made: one start made them all. */
const START = 1;
const LINE_MS = 10_000;

interface Wanted {
  readonly store: string;
  readonly files: number;
  readonly directories: number;
  readonly nameBytes: number;
  readonly shards: string;
  readonly empty: boolean;
  readonly splitAt: number;
}

function main(): number {
  const wanted = parse();
  if (wanted === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (existsSync(configPath(wanted.store))) {
    process.stderr.write(`Cannot populate ${wanted.store}: it is a store already, expected none\n`);
    return 1;
  }
  format(wanted.store, { shards: wanted.shards, journal: [], volume: [] });
  const startedMs = performance.now();
  populate(wanted);
  const seconds = (performance.now() - startedMs) / 1000;
  const rate = Math.round(wanted.files / seconds).toLocaleString('en-US');
  const { files, directories } = wanted;
  console.log(`${files} files in ${directories} directories: ${seconds.toFixed(1)} s, ${rate} files/s`);
  return 0;
}

function parse(): Wanted | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      files: { type: 'string' },
      directories: { type: 'string' },
      'name-bytes': { type: 'string', default: '64' },
      shards: { type: 'string', default: '16' },
      empty: { type: 'boolean', default: false },
      'split-at': { type: 'string', default: String(SPLIT_AT) },
    },
  });
  const [store] = positionals;
  const files = Number(values.files);
  const directories = Number(values.directories ?? Math.max(1, Math.round(files / FILES_A_DIRECTORY)));
  const nameBytes = Number(values['name-bytes']);
  const isWithin = (value: number, least: number, most: number) =>
    Number.isInteger(value) && value >= least && value <= most;
  if (store === undefined || positionals.length > 1 || !isWithin(files, 1, MAX_FILES)) return undefined;
  if (!isWithin(directories, 1, files) || !isWithin(nameBytes, MIN_NAME_BYTES, 255)) return undefined;
  const splitAt = Number(values['split-at']);
  if (!isWithin(splitAt, SPLIT_AT_LEAST, MAX_FILES)) return undefined;
  const { shards, empty } = values;
  return { store: resolve(store), files, directories, nameBytes, shards, empty, splitAt };
}

function populate(wanted: Wanted): void {
  const { store, files } = wanted;
  const config = readConfig(store);
  const now = new SystemClock().now();
  const [row] = volumeRows(config, store);
  const volume = row === undefined ? undefined : openVolume(row, { backing: new PosixBacking() });
  if (volume === undefined || isErrno(volume)) throw new Error(`Cannot open the volume of ${store}`);
  const lsn = (1 + files + wanted.directories) as Lsn;
  beginJournal(store, { storeId: config.storeId, lsn });
  const loader = Loader.open(metaFolder(store), { now, lsn });
  const progress = new FilesProgress(files);
  try {
    const placement = loader.placement();
    const bytes = new Bytes({
      volume,
      storeId: config.storeId,
      start: START,
      aggregateBytes: config.options.aggregateBytes,
      nowSec: now.sec,
      put: (aggregate) => loader.putAggregate(aggregate),
    });
    loader.putStarts(START);
    new Rows({
      loader,
      placement,
      tree: new Tree(wanted.directories, placement),
      shardOf: (slot) => loader.shardOf(slot),
      files,
      nameBytes: wanted.nameBytes,
      splitAt: ({ ino }, index) => splitThreshold(wanted.splitAt, ino, index),
      bytes: wanted.empty ? undefined : bytes,
      now,
      generation: START,
      onFiles: (count) => progress.advance(count),
    }).write();
    bytes.finish();
    loader.finish();
  } finally {
    progress.end();
    loader.close();
  }
}

/** Anew, behind the rows to come: one that ends before what the databases have would be called lost. */
function beginJournal(store: string, behind: { readonly storeId: string; readonly lsn: Lsn }): void {
  const path = journalPath(metaFolder(store));
  rmSync(path, { recursive: true });
  const made = Journal.create(new PosixBacking(), { path, ...behind });
  if (made < 0) throw new Error(`Cannot make the journal ${path}: errno ${-made}`);
}

/** A bar on a terminal, a line now and then elsewhere. */
class FilesProgress {
  readonly #total: number;
  readonly #bar: cliProgress.SingleBar | undefined;
  #done = 0;
  #lineMs = Date.now();

  constructor(total: number) {
    this.#total = total;
    if (!process.stderr.isTTY) return;
    const format = 'files [{bar}] {percentage} %, {value}';
    this.#bar = new cliProgress.SingleBar({ format, stream: process.stderr, hideCursor: true });
    this.#bar.start(total, 0);
  }

  advance(count: number): void {
    this.#done += count;
    this.#bar?.update(this.#done);
    if (this.#bar !== undefined || Date.now() - this.#lineMs < LINE_MS) return;
    this.#lineMs = Date.now();
    process.stderr.write(`populate: ${this.#done} files, ${Math.floor((100 * this.#done) / this.#total)} %\n`);
  }

  end(): void {
    this.#bar?.stop();
  }
}

process.exitCode = main();
