/**
 * Makes a backup of a store's metadata, mounted or not: rows of the databases in short slices, then the journal from before
 * the first of them. It reads what the daemon has committed and written, and asks it for nothing but a note at the end.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bootId } from '../../base/boot.ts';
import { isErrno } from '../../base/errno.ts';
import { silentLog } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import type { BackupEnd, BackupHeader } from '../../shard/backup/format_v1.ts';
import { BackupSource } from '../../shard/backup/source.ts';
import { BackupWriter } from '../../shard/backup/writer.ts';
import { Journal } from '../../shard/journal/journal.ts';
import { JournalTail, Overtaken } from '../../shard/journal/tail.ts';
import { holdsOn } from '../claims.ts';
import { readConfig } from '../config.ts';
import { flushFolder } from '../durable_file.ts';
import { Failure } from '../failure.ts';
import { configPath, metaFolder } from '../store_paths.ts';
import type { BackupProgress } from './progress.ts';
import { Spool } from './spool.ts';

/** How often the journal is looked at while rows are read: a writer must not get round its ring in between. */
const POLL_MS = 50;
const POLL_ROWS = 256;
/** A daemon makes a barrier each commit interval, one second by default. */
const COVER_MS = 60_000;
const ATTEMPTS = 3;
const WRITE_BYTES = 1024 * 1024;

export interface BackupJob {
  readonly store: string;
  readonly file: string;
  /** A daemon is at work. If not, the caller holds the store's lock. */
  readonly isMounted: boolean;
  readonly progress: BackupProgress;
}

export interface BackedUp {
  readonly end: BackupEnd;
  readonly firstLsn: number;
  readonly bytes: number;
}

/** The file has its name only once it is whole and durable; an earlier one of that name stays until then. */
export async function makeBackup(job: BackupJob): Promise<BackedUp> {
  for (let attempt = 1; ; attempt++) {
    const output = new Output(`${job.file}.tmp`);
    try {
      const made = await writeBackup(job, output);
      output.finish();
      renameSync(`${job.file}.tmp`, job.file);
      flushFolder(dirname(job.file));
      return made;
    } catch (thrown) {
      output.abandon();
      if (!(thrown instanceof Overtaken) || attempt === ATTEMPTS) throw thrown;
    }
  }
}

async function writeBackup(job: BackupJob, output: Output): Promise<BackedUp> {
  const { store, progress } = job;
  const config = readConfig(store);
  const meta = metaFolder(store);
  const backing = new PosixBacking();
  // Before the databases are looked at: what it begins with, and later, is what they may lack.
  const tail = JournalTail.open(backing, { path: join(meta, 'journal'), storeId: config.storeId });
  const spool = output.spool();
  const source = BackupSource.open(meta, new SystemClock().now());
  try {
    spool.add(tail.poll());
    const facts = source.facts();
    if (facts.storeId !== config.storeId)
      throw new Failure(
        `Cannot back up ${store}: its metadata are of store ${facts.storeId}, expected ${config.storeId}`,
      );
    const header: BackupHeader = {
      storeId: facts.storeId,
      created: new Date().toISOString(),
      folder: store,
      config: readFileSync(configPath(store), 'utf8'),
      shards: facts.shards,
      slots: Buffer.from(facts.slots).toString('base64'),
      hashKey: Buffer.from(facts.hashKey).toString('base64'),
      volumes: config.volumes.map(({ dataCells = 1, parityCells = 0, ...volume }) => ({
        ...volume,
        dataCells,
        parityCells,
      })),
      firstLsn: tail.firstLsn,
    };
    const writer = new BackupWriter((bytes) => output.write(bytes), header);
    let lookedMs = Date.now();
    for (const mutation of source.rows()) {
      writer.row(mutation);
      if (writer.rows % POLL_ROWS !== 0) continue;
      progress.rows(writer.rows);
      const nowMs = Date.now();
      if (nowMs - lookedMs < POLL_MS) continue;
      lookedMs = nowMs;
      spool.add(tail.poll());
    }
    writer.flushRows();
    await followToEnd(job, { tail, source, spool });
    for (const record of spool.records()) writer.record(record);
    const { starts, generation } = source.facts();
    const end = writer.end({ damaged: source.damaged, starts, generation });
    return { end, firstLsn: tail.firstLsn, bytes: writer.bytes };
  } finally {
    source.close();
    spool.close();
  }
}

/** Everything that was written before the last row was read is in the backup, if a barrier covers it in time. */
async function followToEnd(
  job: BackupJob,
  from: { readonly tail: JournalTail; readonly source: BackupSource; readonly spool: ReturnType<Output['spool']> },
): Promise<void> {
  const { tail, source, spool } = from;
  spool.add(tail.poll());
  if (!job.isMounted) {
    spool.add(uncovered(job, tail));
    return;
  }
  const wanted = Math.max(tail.lastLsn, source.committedLsn());
  for (const endMs = Date.now() + COVER_MS; tail.coveredLsn < wanted; spool.add(tail.poll())) {
    if (Date.now() > endMs)
      throw new Failure(`Cannot back up ${job.store}: no barrier for ${COVER_MS / 1000} s; see \`pacsfs status\``);
    await sleep(POLL_MS);
  }
}

/** Nobody writes: what the next mount would take counts. */
function uncovered(job: BackupJob, tail: JournalTail): ReturnType<JournalTail['poll']> {
  const config = readConfig(job.store);
  const { storeId } = config;
  const path = join(metaFolder(job.store), 'journal');
  const holds = holdsOn(job.store, config, true);
  const options = {
    backing: new PosixBacking(),
    path,
    storeId,
    bootId: bootId(),
    holds,
    readOnly: true,
    log: silentLog,
  };
  const journal = Journal.open(options);
  if (isErrno(journal)) throw new Failure(`Cannot read the journal in ${path}: ${journal.name}`);
  const { lsn } = journal;
  journal.close();
  return tail.rest().filter((record) => record.lsn <= lsn);
}

/** Gathers small writes. */
class Output {
  readonly #path: string;
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(WRITE_BYTES);
  #filled = 0;
  #isOpen = true;

  constructor(path: string) {
    this.#path = path;
    // Names of files and xattrs are patients' data.
    this.#fd = openSync(path, 'w', 0o600);
  }

  spool(): Spool {
    return new Spool(`${this.#path}.records`);
  }

  write(bytes: Uint8Array): void {
    if (this.#filled + bytes.length > this.#buffer.length) this.#flush();
    if (bytes.length > this.#buffer.length) {
      this.#writeAll(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  finish(): void {
    this.#flush();
    fsyncSync(this.#fd);
    this.#close();
  }

  abandon(): void {
    this.#close();
    rmSync(this.#path, { force: true });
  }

  #flush(): void {
    this.#writeAll(this.#buffer.subarray(0, this.#filled));
    this.#filled = 0;
  }

  #writeAll(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done, bytes.length - done);
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }
}

/** Whether two paths are on one disk: then one failure takes both. */
export function isSameDevice(a: string, b: string): boolean {
  return statSync(a).dev === statSync(b).dev;
}
