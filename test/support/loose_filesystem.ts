/**
 * A `Filesystem` without a mount, over real stores in a temporary folder: its clock stands still, its workers work when
 * they are told to, its disk fails on request, and it can be dropped as a kill would drop it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PackWorker } from '../../aggregate/pack_worker.ts';
import { punch } from '../../aggregate/punch.ts';
import { DataStore, type DataStoreOptions, formatVolume } from '../../aggregate/store.ts';
import { assert } from '../../base/assert.ts';
import { isErrno, type Result } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import type { Log } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { type Clock, SystemClock, type Timespec } from '../../base/time.ts';
import { type Ino, MIB, type VolumeId } from '../../base/units.ts';
import type { FilesystemOptions } from '../../fs/core.ts';
import { Filesystem } from '../../fs/filesystem.ts';
import type { WorkerDone, WorkerJob } from '../../fs/types.ts';
import { Progress } from '../../mountd/fsck/progress.ts';
import { runFsck } from '../../mountd/fsck/rounds.ts';
import { formatNamespace, type NamespaceOptions, NamespaceStore } from '../../shard/store.ts';
import { RecordingBacking } from './recording_backing.ts';

export const STORE_ID = '7d0c3f0e-58d5-4e0b-9d39-1f3a6d2f9a11';

/** Stands still until it is moved; wall time goes a microsecond on with each look, so that no two changes tie. */
export class StillClock implements Clock {
  readonly #start = Date.now() * 1000;
  readonly #wall = new SystemClock();
  #micros = 0;
  ms = 1_000_000;
  /** When set, wall time is the machine's, for what compares it with the times of files on disk. */
  isWallReal = false;

  now(): Timespec {
    if (this.isWallReal) return this.#wall.now();
    this.#micros += 1;
    const micros = this.#start + this.#micros + (this.ms - 1_000_000) * 1000;
    return { sec: Math.floor(micros / 1e6), nsec: (micros % 1e6) * 1000 };
  }

  monotonicMs(): number {
    return this.ms;
  }

  advance(ms: number): void {
    this.ms += ms;
  }
}

/** Keeps what was logged as warning or error. */
export class KeptLog implements Log {
  readonly lines: { readonly level: string; readonly fields: object; readonly message: string }[] = [];

  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields, message });
  }

  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields, message });
  }

  info(): void {}
  debug(): void {}

  has(part: string): boolean {
    return this.lines.some(({ message }) => message.includes(part));
  }
}

export interface LooseOptions {
  readonly filesystem?: Partial<FilesystemOptions>;
  readonly data?: DataStoreOptions;
  readonly namespace?: Partial<NamespaceOptions>;
  readonly shardCount?: number;
  /** `dir` volumes, the first one hot, the others warm. Default 1. */
  readonly volumes?: number;
  /** Folder on a disk of its own; default a new one in the system's temporary folder. */
  readonly folder?: string;
}

const OPTIONS: FilesystemOptions = {
  readOnly: false,
  acl: true,
  layoutXattrs: false,
  noAtime: false,
  packBelow: 8 * MIB,
  packDelayMs: 1_000,
  commitIntervalMs: 1_000,
  landingFiles: 8_192,
  landingBytes: 1024 * MIB,
};

export class LooseFilesystem {
  readonly folder: string;
  readonly clock = new StillClock();
  readonly log = new KeptLog();
  readonly backing = new RecordingBacking(new PosixBacking());
  readonly volumes: readonly VolumeRow[];
  /** Change it before `kill` or `restart` to play a reboot. */
  bootId = 'boot-1';
  readonly #options: LooseOptions;
  readonly #worker = new PackWorker(this.backing);
  #queue: WorkerJob[] = [];
  filesystem: Filesystem;
  namespace: NamespaceStore;
  data: DataStore;

  constructor(options: LooseOptions = {}) {
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), 'pacsfs-loose-'));
    this.#options = options;
    this.volumes = Array.from({ length: options.volumes ?? 1 }, (_, i) => volumeRow(i + 1, this.folder));
    const made = formatNamespace(this.metaFolder, {
      storeId: STORE_ID,
      shardCount: options.shardCount ?? 2,
      now: this.clock.now(),
      volumes: this.volumes,
      ballastBytes: options.namespace?.ballastBytes ?? 0,
    });
    assert(made === undefined, `Cannot format: ${isErrno(made) ? made.name : ''}`);
    for (const volume of this.volumes) value(formatVolume(this.backing, volume, { storeId: STORE_ID }));
    const opened = this.#open();
    this.filesystem = opened.filesystem;
    this.namespace = opened.namespace;
    this.data = opened.data;
  }

  get metaFolder(): string {
    return join(this.folder, 'meta');
  }

  // Life

  /** As kill -9: nothing since the last barrier is in the databases; backing files stay as they are. */
  kill(): void {
    this.#queue = [];
    this.data.close();
    this.namespace.close();
  }

  /** The next start of the daemon; call `kill` or `stop` before it. */
  open(more: Partial<FilesystemOptions> = {}): void {
    const opened = this.#open(more);
    this.filesystem = opened.filesystem;
    this.namespace = opened.namespace;
    this.data = opened.data;
  }

  crash(more: Partial<FilesystemOptions> = {}): void {
    this.kill();
    this.open(more);
  }

  /** A clean stop, as the control loop makes it. */
  stop(): void {
    this.#settle(this.filesystem.beginStop());
    value(this.filesystem.shutDown());
  }

  remove(): void {
    this.backing.disarm();
    try {
      this.kill();
    } catch {
      // Closed already.
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  // Workers and time

  /** Jobs posted and not done. */
  get jobs(): readonly WorkerJob[] {
    return this.#queue;
  }

  /** One look at the time; workers do not work. */
  tick(): number {
    return this.filesystem.tick();
  }

  /** The workers do what was posted, and say so. */
  work(): void {
    for (const job of this.#queue.splice(0)) this.filesystem.workerDone(structuredClone(this.#perform(job)));
  }

  /** Lets time pass until nothing waits to be packed, without `sync`. */
  pack(): void {
    this.clock.advance(10_000);
    for (let round = 0; round < 1_000; round++) {
      this.tick();
      if (this.#queue.length === 0) return;
      this.work();
    }
    throw new Error('Packing does not end');
  }

  /** `pacsfs sync`. */
  sync(): Result<void> {
    return this.#settle(this.filesystem.sync());
  }

  /** A barrier is due; nothing is packed for it. */
  barrier(): void {
    this.clock.advance(1_000);
    this.tick();
  }

  // Checks

  /** Damage that fsck finds, as `kind` or `kind x n`, notes left out; the store must be closed. */
  damage(options: { readonly wasClean?: boolean; readonly repair?: boolean } = {}): string[] {
    const found: string[] = [];
    const outcome = runFsck({
      store: this.folder,
      storeId: STORE_ID,
      volumes: this.volumes,
      wasClean: options.wasClean ?? true,
      repair: options.repair ?? false,
      contents: true,
      progress: new Progress(),
      onFound: (finding, severity) => {
        if (severity === 'damage') found.push(`${finding.kind} ${JSON.stringify(finding.where)} ${finding.found}`);
      },
      onLeft: () => {},
    });
    if (options.repair !== true) return found;
    return outcome.damageLeft === 0 ? [] : [`${outcome.damageLeft} left`];
  }

  /** Stops, has fsck look, and starts again. */
  damageNow(): string[] {
    this.stop();
    const found = this.damage();
    this.open();
    return found;
  }

  #perform(job: WorkerJob): WorkerDone {
    const cloned = structuredClone(job);
    if (cloned.kind === 'pack') return { kind: 'pack', result: this.#worker.pack(cloned.job) };
    for (const range of cloned.punches) punch(range, this.backing);
    return { kind: 'punch', punches: cloned.punches };
  }

  #settle(deferred: ReturnType<Filesystem['sync']>): Result<void> {
    let outcome: { readonly result: Result<void> } | undefined;
    deferred.whenSettled((result) => {
      outcome = { result };
    });
    for (let round = 0; round < 10_000 && outcome === undefined; round++) {
      this.tick();
      this.work();
    }
    assert(outcome !== undefined, 'A sync does not end');
    return outcome.result;
  }

  #open(more: Partial<FilesystemOptions> = {}) {
    const { log, clock, backing } = this;
    const options = { ...OPTIONS, ...this.#options.filesystem, ...more };
    const { readOnly } = options;
    const namespace = NamespaceStore.open(this.metaFolder, {
      log,
      clock,
      backing,
      readOnly,
      ballastBytes: 0,
      reserveBytes: 0,
      ...this.#options.namespace,
    });
    const data = value(
      DataStore.open({
        backing,
        storeId: STORE_ID,
        start: readOnly ? namespace.generation : namespace.raiseStart(this.bootId),
        volumes: this.volumes,
        aggregates: namespace.aggregates(),
        options: { aggregateBytes: 8 * MIB, reserveBytes: 0, clock, readOnly, ...this.#options.data },
        log,
      }),
    );
    const workers = { post: (job: WorkerJob) => void this.#queue.push(job) };
    const filesystem = new Filesystem({ namespace, data, backing, clock, log, workers, options });
    return { namespace, data, filesystem };
  }
}

function volumeRow(id: number, folder: string): VolumeRow {
  const name = id === 1 ? 'hot' : `warm${id}`;
  const tier = id === 1 ? 'hot' : 'warm';
  const paths = [join(folder, 'volumes', name)];
  return { id: id as VolumeId, name, tier, kind: 'dir', paths, dataCells: 0, parityCells: 0 };
}

export function value<T>(result: Result<T>): T {
  assert(!isErrno(result), `Errno ${isErrno(result) ? result.name : ''}, expected a value`);
  return result;
}

export type { Ino };
