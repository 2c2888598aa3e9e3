/** A data store over real files in a temporary folder, and the few steps that most of its tests take. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PackDirectory, PackFile, PackJob, PackResult } from '../../aggregate/pack.ts';
import { PackWorker } from '../../aggregate/pack_worker.ts';
import { DataStore, type DataStoreOptions, formatVolume, type PackedFile } from '../../aggregate/store.ts';
import { assert } from '../../base/assert.ts';
import { isErrno, type Result } from '../../base/errno.ts';
import type { AggregateRow, Extent, OwnName, VolumeRow } from '../../base/layout.ts';
import { silentLog } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { type AggregateId, type Ino, type Lsn, MIB, type VolumeId } from '../../base/units.ts';
import { FaultBacking } from '../support/fault_backing.ts';

export const STORE_ID = '0f8fad5b-d9cb-469f-a165-70867728950e';
export const HOT = 1 as VolumeId;
const encoder = new TextEncoder();
const ROOT: PackDirectory = {
  ino: 1 as Ino,
  name: new Uint8Array(0),
  mode: 0o40755,
  uid: 0,
  gid: 0,
  above: undefined,
};
/** /patient/study */
export const DIRECTORY: PackDirectory = {
  ino: 4711 as Ino,
  name: encoder.encode('study'),
  mode: 0o40750,
  uid: 1000,
  gid: 1001,
  above: { ...ROOT, ino: 4710 as Ino, name: encoder.encode('patient'), above: ROOT },
};

export function value<T>(result: Result<T>): T {
  assert(!isErrno(result), `Errno ${isErrno(result) ? result.name : ''}, expected a value`);
  return result;
}

export class TemporaryStore {
  readonly root = mkdtempSync(join(tmpdir(), 'pacsfs-aggregate-'));
  readonly backing = new FaultBacking(new PosixBacking());
  readonly volumes: readonly VolumeRow[];
  readonly worker = new PackWorker(this.backing);
  readonly options: DataStoreOptions;
  data: DataStore;
  /** What the namespace would have on disk. */
  readonly rows = new Map<AggregateId, AggregateRow>();
  #start = 0;
  #nextIno = 100_001;

  constructor(options: DataStoreOptions = {}, volumeCount = 1) {
    this.options = { reserveBytes: 0, ...options };
    this.volumes = Array.from({ length: volumeCount }, (_, i) => volumeRow(i + 1, join(this.root, `hot${i + 1}`)));
    for (const volume of this.volumes) value(formatVolume(this.backing, volume, { storeId: STORE_ID }));
    this.data = this.#open();
  }

  /** As after a crash: nothing is closed in order, the rows are those of the last record. */
  reopen(): void {
    this.data.close();
    this.data = this.#open();
  }

  /** A record: the changed rows reach the disk. */
  commit(): void {
    for (const row of this.data.ledger.takeChangedRows()) this.rows.set(row.id, row);
    for (const id of this.data.ledger.deletableAggregates()) this.rows.delete(id);
  }

  barrier(): void {
    value(this.data.flush());
    this.commit();
    this.data.barrierBegins();
    this.data.barrierDone();
  }

  /** A settled own file with these contents. */
  own(contents: Uint8Array, volume = HOT): PackFile {
    const made = value(this.data.createOwn(volume));
    assert(made.file.write(contents, 0) >= 0, 'Cannot write an own file');
    return this.describe(made.name, contents.length);
  }

  describe(own: OwnName, size: number): PackFile {
    const ino = this.#nextIno++ as Ino;
    return {
      ino,
      own,
      size,
      name: encoder.encode(`file-${ino}`),
      directory: DIRECTORY,
      mode: 0o100644,
      uid: 1000,
      gid: 1000,
      mtime: { sec: 1_700_000_000 + (ino % 1000), nsec: 5 },
    };
  }

  job(files: readonly PackFile[]): PackJob {
    const job = this.data.startPack(files, { lsn: 7 as Lsn });
    assert(job !== undefined, 'No packing job, expected one');
    return job;
  }

  /** Packs the files, all accepted; what the worker says crosses a structured clone, as between threads. */
  pack(files: readonly PackFile[]): readonly PackedFile[] {
    return this.finish(this.run(this.job(files)));
  }

  run(job: PackJob): PackResult {
    return structuredClone(this.worker.pack(structuredClone(job)));
  }

  finish(result: PackResult, accepts: (file: PackedFile) => boolean = () => true): readonly PackedFile[] {
    const packed = result.files.filter((file) => file.status === 'packed' && accepts(file));
    const finished = this.data.finishPack(result, new Set(packed.map((file) => file.ino)));
    for (const row of finished.rows) this.rows.set(row.id, row);
    return finished.switched;
  }

  read(extents: readonly Extent[], size: number): Uint8Array | number {
    const into = new Uint8Array(size);
    const count = this.data.read(extents, { offset: 0, length: size, size }, into);
    return count === size ? into : count;
  }

  release(extents: readonly Extent[]): void {
    this.data.ledger.release(extents, { stillShared: () => false });
    this.commit();
  }

  aggregatePath(id: number): string {
    return join(this.root, 'hot1', 'aggregates', String(Math.floor(id / 4096)), String(id));
  }

  remove(): void {
    this.data.close();
    rmSync(this.root, { recursive: true, force: true });
  }

  #open(): DataStore {
    this.#start += 1;
    return value(
      DataStore.open({
        backing: this.backing,
        storeId: STORE_ID,
        start: this.#start,
        volumes: this.volumes,
        aggregates: [...this.rows.values()],
        options: this.options,
        log: silentLog,
      }),
    );
  }
}

export function volumeRow(id: number, path: string): VolumeRow {
  return {
    id: id as VolumeId,
    name: `hot${id}`,
    tier: 'hot',
    kind: 'dir',
    paths: [path],
    dataCells: 0,
    parityCells: 0,
  };
}

export const SMALL_AGGREGATE = 8 * MIB;

/** Equality of contents; `toEqual` takes seconds for megabytes. */
export function isSame(found: Uint8Array | number, expected: Uint8Array): boolean {
  return typeof found !== 'number' && Buffer.compare(found, expected) === 0;
}
