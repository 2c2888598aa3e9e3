/**
 * Makes a metadata folder from a backup: its rows, then its records, then what a journal that survived has on top. Until
 * the caller puts it in place the folder is nobody's, and an end in between leaves only something to remove.
 */
import { join } from 'node:path';
import type { Backing, BackingFile } from '../../base/backing.ts';
import { isErrno } from '../../base/errno.ts';
import type { OwnName, VolumeRow } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import type { Timespec } from '../../base/time.ts';
import { type AggregateId, type Lsn, type ShardId, SLOT_COUNT, type Slot, type VolumeId } from '../../base/units.ts';
import { applyMutations } from '../apply.ts';
import { StoreDatabases } from '../databases.ts';
import { formatNamespace, journalPath } from '../format.ts';
import { Journal } from '../journal/journal.ts';
import { decodeRecord, type JournalRecord } from '../journal/record_codec.ts';
import { SurvivingJournal } from '../journal/survivor.ts';
import { replay, withoutPlaces } from '../replay.ts';
import { ShardScan } from '../scan.ts';
import {
  type BackupEnd,
  type BackupFrame,
  type BackupHeader,
  END,
  HEADER,
  LSN_BYTES,
  lsnOf,
  RECORD,
  ROWS,
} from './format_v1.ts';
import { BackupError, readFrames } from './reader.ts';

/** Rows of open transactions, at most. */
const PENDING_ROWS = 20_000;

export interface RestoreJob {
  readonly backing: Backing;
  readonly file: BackingFile;
  /** To be made; on the disk of the store's metadata. */
  readonly folder: string;
  readonly now: Timespec;
  readonly bootId: string;
  /** Folders of journals that survived. */
  readonly journals: readonly string[];
  /** Where the volumes are now; asked once, before anything is made. */
  readonly volumes: (header: BackupHeader) => readonly VolumeRow[];
  readonly onBytes: (done: number) => void;
}

export interface Restored {
  readonly header: BackupHeader;
  readonly end: BackupEnd;
  /** The moment that the metadata is of now, and how many records of the journal led there. */
  readonly lsn: Lsn;
  readonly fromJournal: number;
}

/** Throws `BackupError` for a file, or a journal, that cannot be used. */
export class Restoration {
  readonly #job: RestoreJob;
  #databases: StoreDatabases | undefined;
  #header: BackupHeader | undefined;
  #end: BackupEnd | undefined;
  #rows = 0;
  #records = 0;
  #lsn = 0 as Lsn;
  #journal: SurvivingJournal | undefined;
  /** Aggregates that records tell of: under the same boot their bytes may not be durable yet. */
  readonly touched = new Map<AggregateId, VolumeId>();

  constructor(job: RestoreJob) {
    this.#job = job;
  }

  run(): Restored {
    for (const frame of readFrames(this.#job.file)) {
      if (this.#end !== undefined) throw new BackupError('it goes on behind its end');
      this.#take(frame);
      this.#job.onBytes(frame.end);
    }
    const [header, end] = [this.#header, this.#end];
    if (header === undefined || end === undefined) throw new BackupError('it has no end mark: it was interrupted');
    if (end.rows !== this.#rows || end.records !== this.#records || end.lsn !== this.#lsn)
      throw new BackupError(
        `${this.#rows} rows and ${this.#records} records found, expected ${end.rows} and ${end.records}`,
      );
    const backupLsn = this.#lsn;
    const fromJournal = this.#replayJournal();
    return { header, end, lsn: this.#lsn, fromJournal: fromJournal === 0 ? 0 : this.#lsn - backupLsn };
  }

  get starts(): number {
    return Math.max(this.#end?.starts ?? 0, this.#journal?.start ?? 0);
  }

  get generation(): number {
    return Math.max(this.#end?.generation ?? 0, this.#journal?.generation ?? 0);
  }

  /** Own files and aggregates that rows name. */
  named(): { readonly own: Iterable<OwnName>; readonly aggregates: ReadonlySet<AggregateId> } {
    const databases = this.#open();
    const own = function* (): Generator<OwnName> {
      for (const shard of databases.shards) {
        for (const ino of new ShardScan(shard).ownFiles()) {
          const inode = shard.inode(ino);
          if (typeof inode === 'object' && 'own' in inode && inode.own !== undefined) yield inode.own;
        }
      }
    };
    return { own: own(), aggregates: new Set([...databases.system.aggregates()].map(({ id }) => id)) };
  }

  /** Last of all. `lsn`, `starts` and `sequenceGap` leave out numbers that the lost store may have given. */
  finish(from: {
    readonly lsn: Lsn;
    readonly starts: number;
    readonly generation: number;
    readonly sequenceGap: number;
  }): void {
    const databases = this.#open();
    const { backing, folder } = this.#job;
    if (from.sequenceGap > 0) this.#skipSequences(from.sequenceGap);
    databases.system.putMeta('starts', from.starts);
    databases.system.putMeta('generation', from.generation);
    this.#commit(from.lsn);
    for (const { file } of databases.all) file.checkpoint();
    databases.close();
    this.#databases = undefined;
    const path = journalPath(folder);
    const names = backing.list(path);
    for (const name of isErrno(names) ? [] : names) backing.unlink(join(path, name));
    const made = Journal.create(backing, { path, storeId: this.#header?.storeId ?? '', lsn: from.lsn });
    if (made < 0) throw new BackupError(`the new journal cannot be made: errno ${-made}`);
    if (this.#journal?.isSameBoot === true) this.#keepBoot(path, from);
  }

  /** Nothing was lost but the metadata: the next mount must not take own files for what a reboot has left of them. */
  #keepBoot(path: string, { starts, generation }: { readonly starts: number; readonly generation: number }): void {
    const { backing, bootId } = this.#job;
    const storeId = this.#header?.storeId ?? '';
    const journal = Journal.open({ backing, path, storeId, bootId, readOnly: false, log: silentLog });
    if (isErrno(journal)) throw new BackupError(`the new journal cannot be opened: ${journal.name}`);
    const noted = journal.raiseStart({ start: starts, generation, bootId });
    journal.close();
    if (noted < 0) throw new BackupError(`the new journal cannot be written: errno ${-noted}`);
  }

  close(): void {
    this.#journal?.close();
    this.#databases?.close();
    this.#databases = undefined;
  }

  #open(): StoreDatabases {
    if (this.#databases === undefined) throw new BackupError('it does not begin with a header');
    return this.#databases;
  }

  #take(frame: BackupFrame): void {
    const { type, payload } = frame;
    if (this.#header === undefined) {
      if (type !== HEADER) throw new BackupError('it does not begin with a header');
      this.#begin(JSON.parse(Buffer.from(payload).toString()) as BackupHeader);
    } else if (type === ROWS) this.#takeRows(payload);
    else if (type === RECORD) this.#takeRecord(payload);
    else if (type === END) this.#end = JSON.parse(Buffer.from(payload).toString()) as BackupEnd;
    else throw new BackupError(`frame of kind ${type} found`);
  }

  #begin(header: BackupHeader): void {
    const { backing, folder, now, volumes } = this.#job;
    const lsn = (header.firstLsn - 1) as Lsn;
    const hashKey = Buffer.from(header.hashKey, 'base64');
    const { storeId, shards: shardCount } = header;
    const rows = volumes(header);
    const made = formatNamespace(folder, { storeId, shardCount, now, volumes: rows, hashKey, backing, lsn });
    if (isErrno(made)) throw new BackupError(`the databases cannot be made in ${folder}: ${made.name}`);
    this.#header = header;
    this.#lsn = lsn;
    this.#databases = this.#mapSlots(header);
  }

  #mapSlots(header: BackupHeader): StoreDatabases {
    const { folder, now } = this.#job;
    const databases = StoreDatabases.open(folder, { now, readOnly: false });
    const slots = Buffer.from(header.slots, 'base64');
    if (slots.length !== SLOT_COUNT) throw new BackupError('its map of slots is wrong');
    if (slots.every((shard, slot) => databases.shardIdOf(slot as Slot) === shard)) return databases;
    for (const [slot, shard] of slots.entries()) databases.system.putSlot(slot as Slot, shard as ShardId);
    databases.system.commit(this.#lsn);
    databases.close();
    return StoreDatabases.open(folder, { now, readOnly: false });
  }

  #takeRows(payload: Uint8Array): void {
    const record = decodeRecord(this.#lsn, payload);
    if (record === undefined) throw new BackupError('rows cannot be understood');
    const databases = this.#open();
    databases.applying.lsn = this.#lsn;
    const mutations = [...record.mutations];
    this.#rows += mutations.length;
    applyMutations(databases, mutations);
    if (databases.pendingRows > PENDING_ROWS) this.#commit(this.#lsn);
  }

  #takeRecord(payload: Uint8Array): void {
    const lsn = lsnOf(payload);
    if (lsn !== this.#lsn + 1) throw new BackupError(`record ${lsn} found, expected ${this.#lsn + 1}`);
    // Rows first, whole: records go on top of them.
    if (this.#records === 0) this.#commit(this.#lsn);
    const record = decodeRecord(lsn, payload.subarray(LSN_BYTES));
    if (record === undefined) throw new BackupError(`record ${lsn} cannot be understood`);
    this.#records += 1;
    this.#replay([record]);
  }

  #replay(records: Iterable<JournalRecord>): number {
    let count = 0;
    const { touched } = this;
    const noted = function* (note: (lsn: Lsn) => void) {
      for (const record of records) {
        for (const mutation of record.mutations)
          if (mutation.kind === 'aggregate') touched.set(mutation.row.id, mutation.row.volume);
        yield { ...record, mutations: withoutPlaces(record.mutations) };
        count += 1;
        note(record.lsn);
      }
    };
    const follow = noted((lsn) => {
      this.#lsn = lsn;
    });
    replay(this.#open(), follow, { pendingRows: PENDING_ROWS, full: (lsn) => this.#commit(lsn) });
    return count;
  }

  /** The journal that goes furthest, if it begins where the backup ends or before. */
  #replayJournal(): number {
    for (const path of this.#job.journals) {
      const found = this.#openJournal(path);
      if (this.#journal === undefined || found.lastLsn > this.#journal.lastLsn) {
        this.#journal?.close();
        this.#journal = found;
      } else found.close();
    }
    const journal = this.#journal;
    return journal === undefined || journal.lastLsn <= this.#lsn ? 0 : this.#replay(this.#following(journal));
  }

  /** A folder that was given to `--journal`, or the journal of a metadata folder itself. */
  #openJournal(path: string): SurvivingJournal {
    const { backing, bootId } = this.#job;
    const storeId = this.#header?.storeId ?? '';
    const found = SurvivingJournal.open({ backing, path, storeId, bootId });
    if (!isErrno(found)) return found;
    throw new BackupError(`no journal of store ${storeId} found in ${path} (${found.name})`);
  }

  *#following(journal: SurvivingJournal): Generator<JournalRecord> {
    let expected = this.#lsn + 1;
    for (const record of journal.records(expected as Lsn)) {
      if (record === undefined) throw new BackupError(`record ${expected} of the journal cannot be understood`);
      if (record.lsn !== expected)
        throw new BackupError(
          `it ends with record ${expected - 1}, the journal begins with ${record.lsn}: it is older than the journal goes back`,
        );
      expected += 1;
      yield record;
    }
  }

  #commit(lsn: Lsn): void {
    for (const database of this.#open().all)
      if (!database.commit(lsn)) throw new BackupError(`${database.file.path} cannot be written: the disk is full`);
  }

  #skipSequences(gap: number): void {
    const databases = this.#open();
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const shard = databases.shardOf(slot as Slot);
      const next = shard.nextSequence(slot as Slot) ?? 17;
      shard.putSequence(slot as Slot, Math.min(next + gap, 2 ** 41));
    }
  }
}
