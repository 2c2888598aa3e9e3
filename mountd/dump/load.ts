/**
 * Loading a dump: new databases are made beside the empty ones and take their place once they are whole. Nothing of the
 * store changes before that; in between there is no system.db, without which nothing counts as a store.
 */
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { isErrno } from '../../base/errno.ts';
import { SystemClock } from '../../base/time.ts';
import type { Ino, Lsn } from '../../base/units.ts';
import { Loader } from '../../shard/loader.ts';
import { formatNamespace } from '../../shard/store.ts';
import { readConfig, type StoreConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import { metaFolder } from '../store_paths.ts';
import {
  DUMP_MAGIC,
  DUMP_VERSION,
  dentryOf,
  type Header,
  headerSchema,
  inodeOf,
  partitionOf,
  type Row,
  rowSchema,
  targetOf,
  xattrOf,
} from './format_v1.ts';
import { type Line, readLines } from './line_reader.ts';
import { checksumText } from './lines.ts';
import { checkFresh, clearLoading, loadingFolder, putInPlace } from './replace.ts';
import { type DumpedVolume, type FoundVolumes, findVolumes } from './volumes.ts';

export interface LoadJob {
  readonly store: string;
  readonly config: StoreConfig;
  readonly input: Readable;
}

export interface Loaded {
  readonly storeId: string;
  readonly inodes: number;
  readonly damaged: number;
  readonly missing: FoundVolumes['missing'];
  /** The folder that was dumped, where it is still a store of the same id. */
  readonly twin: string | undefined;
}

export async function loadDump(job: LoadJob): Promise<Loaded> {
  checkFresh(metaFolder(job.store));
  clearLoading(job.store);
  try {
    return await loadRows(job);
  } finally {
    clearLoading(job.store);
  }
}

async function loadRows(job: LoadJob): Promise<Loaded> {
  let header: Header | undefined;
  let loading: Loading | undefined;
  try {
    for await (const line of readLines(job.input)) {
      if (header === undefined) header = parseHeader(line);
      else {
        if (loading?.isComplete === true) throw refuse(line, 'more lines behind the end');
        loading ??= new Loading(job, header);
        loading.take(line);
      }
    }
    if (loading?.isComplete !== true || header === undefined)
      throw new Failure('Cannot load: no end line found: the dump was cut off');
    loading.finish();
  } finally {
    loading?.close();
  }
  const found = loading.volumes;
  putInPlace(job.store, { storeId: header.store, volumes: found.volumes });
  const { inode = 0, damaged = 0 } = loading.counts;
  const { store: storeId, folder } = header;
  return { storeId, inodes: inode, damaged, missing: found.missing, twin: isTwin(job, header) ? folder : undefined };
}

function isTwin(job: LoadJob, header: Header): boolean {
  if (resolve(header.folder) === resolve(job.store)) return false;
  try {
    return readConfig(header.folder).storeId === header.store;
  } catch {
    return false;
  }
}

function parseHeader(line: Line): Header {
  const value = parseJson(line);
  const isDump = typeof value === 'object' && value !== null && 'pacsfs' in value && value.pacsfs === DUMP_MAGIC;
  if (!isDump) throw refuse(line, `no header of a pacsfs dump found`);
  if ('version' in value && typeof value.version === 'number' && value.version > DUMP_VERSION)
    throw refuse(line, `newer format, version ${value.version} found, this pacsfs knows up to ${DUMP_VERSION}`);
  const parsed = headerSchema.safeParse(value);
  if (!parsed.success) throw refuse(line, describe(parsed.error.issues[0]));
  return parsed.data;
}

/** Rows on their way into the new databases. */
class Loading {
  readonly counts: Partial<Record<Row['row'], number>> = {};
  isComplete = false;
  readonly #job: LoadJob;
  readonly #header: Header;
  readonly #dumpedVolumes: DumpedVolume[] = [];
  #volumes: FoundVolumes | undefined;
  #loader: Loader | undefined;

  constructor(job: LoadJob, header: Header) {
    this.#job = job;
    this.#header = header;
  }

  get volumes(): FoundVolumes {
    const { store } = this.#job;
    this.#volumes ??= findVolumes(this.#dumpedVolumes, {
      store,
      from: this.#header.folder,
      storeId: this.#header.store,
    });
    return this.#volumes;
  }

  take(line: Line): void {
    const parsed = rowSchema.safeParse(parseJson(line));
    if (!parsed.success) throw refuse(line, describe(parsed.error.issues[0]));
    const row = parsed.data;
    if (row.row === 'end') this.#end(line, row);
    else {
      this.counts[row.row] = (this.counts[row.row] ?? 0) + 1;
      try {
        this.#put(row);
      } catch (thrown) {
        if (thrown instanceof Error && thrown.name === 'AssertionError') throw refuse(line, thrown.message);
        throw thrown;
      }
    }
  }

  finish(): void {
    this.#open().finish();
  }

  close(): void {
    this.#loader?.close();
    this.#loader = undefined;
  }

  #put(row: Exclude<Row, { row: 'end' }>): void {
    if (row.row === 'volume') {
      this.#dumpedVolumes.push(row);
      return;
    }
    if (row.row === 'damaged') return;
    const loader = this.#open();
    switch (row.row) {
      case 'aggregate': {
        const { row: _, ...aggregate } = row;
        loader.putAggregate(aggregate as Parameters<Loader['putAggregate']>[0]);
        break;
      }
      case 'inode':
        loader.putInode(inodeOf(row));
        break;
      case 'dentry':
        loader.putDentry(row.slot as Parameters<Loader['putDentry']>[0], dentryOf(row));
        break;
      case 'partition':
        loader.putPartition(partitionOf(row));
        break;
      case 'xattr':
        loader.putXattr(xattrOf(row));
        break;
      case 'symlink':
        loader.putSymlink(row.ino as Ino, targetOf(row));
        break;
      case 'sharer': {
        const { aggregate, rangeStart, ino } = row;
        loader.putSharer({ aggregate, rangeStart, ino } as Parameters<Loader['putSharer']>[0]);
        break;
      }
      case 'sequence':
        loader.putSequence({ slot: row.slot, nextSequence: row.nextSequence } as Parameters<Loader['putSequence']>[0]);
        break;
    }
  }

  #end(line: Line, end: Extract<Row, { row: 'end' }>): void {
    const expected = checksumText(line.crcBefore);
    if (end.crc32c !== expected)
      throw refuse(line, `checksum ${end.crc32c} found, expected ${expected}: the dump was changed`);
    for (const kind of new Set([...Object.keys(end.counts), ...Object.keys(this.counts)]) as Set<Row['row']>) {
      const [found, promised] = [this.counts[kind] ?? 0, end.counts[kind] ?? 0];
      if (found !== promised) throw refuse(line, `${found} ${kind} rows found, expected ${promised}`);
    }
    this.isComplete = true;
  }

  /** Made when the volumes are known, which come first. */
  #open(): Loader {
    if (this.#loader !== undefined) return this.#loader;
    const { store, config } = this.#job;
    const now = new SystemClock().now();
    const folder = loadingFolder(store);
    const made = formatNamespace(folder, {
      storeId: this.#header.store,
      shardCount: config.shards,
      now,
      volumes: this.volumes.rows,
      hashKey: Buffer.from(this.#header.hashKey, 'base64'),
      ballastBytes: 0,
      lsn: this.#header.lsn as Lsn,
    });
    if (isErrno(made)) throw new Failure(`Cannot make the metadata in ${folder}: ${made.name}`);
    this.#loader = Loader.open(folder, { now, lsn: this.#header.lsn as Lsn });
    this.#loader.putStarts(this.#header.starts);
    return this.#loader;
  }
}

function parseJson(line: Line): unknown {
  try {
    return JSON.parse(line.text);
  } catch {
    throw refuse(line, 'it is not JSON');
  }
}

function describe(issue: { readonly path: readonly PropertyKey[]; readonly message: string } | undefined): string {
  return issue === undefined ? 'not understood' : `${issue.path.map(String).join('.') || 'row'}: ${issue.message}`;
}

function refuse(line: Line, reason: string): Failure {
  return new Failure(`Cannot load, line ${line.number}: ${reason}`);
}
