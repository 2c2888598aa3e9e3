/**
 * A `Filesystem` without a mount, over real stores in a temporary folder: its clock stands still, its workers work when
 * they are told to, its disk fails on request, and it can be dropped as a kill would drop it.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BATCH_BUFFER_BYTES } from '../../aggregate/batch.ts';
import { rangesHold } from '../../aggregate/claims.ts';
import { compareContents } from '../../aggregate/compare.ts';
import { packFiles } from '../../aggregate/pack_worker.ts';
import { punch } from '../../aggregate/punch.ts';
import { listResidents } from '../../aggregate/residents.ts';
import { DataStore, formatVolume, listOwnFiles, makeOwnFiles } from '../../aggregate/store.ts';
import { assert } from '../../base/assert.ts';
import { flushTarget, writeBackTarget, writeTarget } from '../../base/backing.ts';
import { isErrno, type Result } from '../../base/errno.ts';
import type { VolumeRow, WrittenRange } from '../../base/layout.ts';
import { alignedBuffer } from '../../base/libc.ts';
import type { Log } from '../../base/log.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { type Ino, type Lsn, MIB, type VolumeId } from '../../base/units.ts';
import type { FilesystemOptions } from '../../fs/core.ts';
import { Filesystem } from '../../fs/filesystem.ts';
import { OpenTable, type TableMemory } from '../../fs/open_table.ts';
import type { AwaitedKind, WorkerDone, WorkerJob, WorkerJobs } from '../../fs/types.ts';
import { Progress } from '../../mountd/fsck/progress.ts';
import { runFsck } from '../../mountd/fsck/rounds.ts';
import { type CheckpointOutcome, checkpointDatabase, formatNamespace, NamespaceStore } from '../../shard/store.ts';
import { ClockedBacking } from './clocked_backing.ts';
import type { LooseOptions } from './loose_options.ts';
import { RecordingBacking } from './recording_backing.ts';
import { StillClock } from './still_clock.ts';

export type { LooseOptions } from './loose_options.ts';
export { StillClock } from './still_clock.ts';

export const STORE_ID = '7d0c3f0e-58d5-4e0b-9d39-1f3a6d2f9a11';

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
  fsyncMode: 'auto',
  dirtyLimit: 256 * MIB,
};

/** What an open table lies in: kept when the table is dropped. */
export class KeptMemory implements TableMemory {
  #words = new Int32Array(0);

  map(bytes: number): Int32Array {
    if (bytes / 4 > this.#words.length) {
      const longer = new Int32Array(bytes / 4);
      longer.set(this.#words);
      this.#words = longer;
    }
    return this.#words;
  }
}

export class LooseFilesystem {
  /** Claims read by all of them, and what became of them. */
  static readonly claims = { held: 0, refused: 0 };
  readonly folder: string;
  readonly clock: StillClock;
  readonly log = new KeptLog();
  readonly backing: RecordingBacking;
  readonly volumes: readonly VolumeRow[];
  /** Change it before `kill` or `restart` to play a reboot. */
  bootId: string;
  /** Outlives the daemons of a mount. */
  readonly tableMemory = new KeptMemory();
  readonly #options: LooseOptions;
  /** The last record that the newest open found, before it made any of its own. */
  foundLsn = 0 as Lsn;
  #queue: WorkerJob[] = [];
  readonly #unheard = new Map<WorkerJob, WorkerDone>();
  #packBuffer: Uint8Array | undefined;
  filesystem: Filesystem;
  namespace: NamespaceStore;
  data: DataStore;

  constructor(options: LooseOptions = {}) {
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), 'pacsfs-loose-'));
    this.#options = options;
    this.clock = options.clock ?? new StillClock();
    this.backing = new RecordingBacking(options.disk ?? new ClockedBacking(new PosixBacking(), this.clock));
    this.bootId = options.bootId ?? 'boot-1';
    const folder = options.volumesFolder ?? this.folder;
    this.volumes = Array.from({ length: options.volumes ?? 1 }, (_, i) => volumeRow(i + 1, folder));
    if (options.isFormatted !== true) this.#format();
    const opened = this.#open();
    this.filesystem = opened.filesystem;
    this.namespace = opened.namespace;
    this.data = opened.data;
  }

  #format(): void {
    const options = this.#options;
    const made = formatNamespace(this.metaFolder, {
      storeId: STORE_ID,
      shardCount: options.shardCount ?? 2,
      now: this.clock.now(),
      volumes: this.volumes,
      ballastBytes: options.namespace?.ballastBytes ?? 0,
      ...(options.hashKey === undefined ? {} : { hashKey: options.hashKey }),
      ...(options.journalShape === undefined ? {} : { journal: options.journalShape }),
      ...(options.disk === undefined ? {} : { backing: options.disk }),
      journal: { segmentBytes: 256 << 10 },
    });
    assert(made === undefined, `Cannot format: ${isErrno(made) ? made.name : ''}`);
    for (const volume of this.volumes) value(formatVolume(this.backing, volume, { storeId: STORE_ID }));
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

  /** As kill -9 of the daemon on a mount that lives on: the next one takes over. */
  replace(more: Partial<FilesystemOptions> = {}): void {
    this.crash({ ...more, takeover: true });
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
  look(): number {
    return this.filesystem.tick();
  }

  /**
   * A look at the time; then the workers do what somebody waits for, a barrier's flushes above all, and nothing else. What
   * is asked of the filesystem before (an fsync) is answered after.
   */
  tick(): number {
    for (let round = 0; round < 1_000; round++) {
      const untilMs = this.look();
      const urgent = this.#queue.filter(isUrgent);
      if (urgent.length === 0) return untilMs;
      while (urgent.length > 0) {
        const [job] = urgent.splice(this.#options.nextUrgent?.(urgent.length) ?? 0, 1);
        if (job !== undefined) this.#do(job);
      }
    }
    throw new Error('Barriers do not end');
  }

  /** The workers do what was posted, or some of it, and say so. */
  work(which: (job: WorkerJob) => boolean = () => true): void {
    for (const job of this.#queue.filter(which)) this.#do(job);
  }

  /** As `work`, but the daemon has not heard of it yet. */
  workUnheard(which: (job: WorkerJob) => boolean = () => true): void {
    for (const job of this.#queue.filter(which)) this.#unheard.set(job, this.#perform(job));
  }

  /** Unless somebody has waited for it meanwhile. */
  #do(job: WorkerJob): void {
    if (!this.#queue.includes(job)) return;
    this.#queue = this.#queue.filter((queued) => queued !== job);
    this.filesystem.workerDone(structuredClone(this.#perform(job)));
  }

  #await<K extends AwaitedKind>(kind: K, id: number): Extract<WorkerDone, { readonly kind: K }> {
    const job = this.#queue.find((queued) => queued.kind === kind && idOf(queued) === id);
    assert(job !== undefined, `Nobody is at the ${kind} ${id} that is waited for`);
    this.#queue = this.#queue.filter((queued) => queued !== job);
    return structuredClone(this.#perform(job)) as Extract<WorkerDone, { readonly kind: K }>;
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

  /** `pacsfs compact --wait`. */
  compact(): void {
    const pass = this.filesystem.compactor.ask();
    for (let round = 0; round < 10_000 && this.filesystem.compactor.status.done < pass; round++) {
      this.clock.advance(1_000);
      this.tick();
      this.work();
    }
    assert(this.filesystem.compactor.status.done >= pass, 'Compaction does not end');
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
      bootId: this.bootId,
      contents: true,
      ...(this.#options.disk === undefined ? {} : { backing: this.#options.disk }),
      ...(this.#options.namespace === undefined ? {} : { namespace: this.#options.namespace }),
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
    const unheard = this.#unheard.get(job);
    if (unheard !== undefined) return unheard;
    const cloned = structuredClone(job);
    switch (cloned.kind) {
      case 'pack':
        this.#packBuffer ??= this.#options.packBuffer ?? alignedBuffer(BATCH_BUFFER_BYTES);
        return { kind: 'pack', result: packFiles(cloned.job, { backing: this.backing, buffer: this.#packBuffer }) };
      case 'punch':
        for (const range of cloned.punches) punch(range, this.backing);
        return { kind: 'punch', id: cloned.id };
      case 'compare':
        return { kind: 'compare', id: cloned.id, outcome: compareContents(cloned.job, this.backing) };
      case 'residents':
        return { kind: 'residents', residents: listResidents(cloned.job, this.backing) };
      case 'list':
        return { kind: 'list', numbers: listOwnFiles(this.backing, cloned.volume, cloned.start) };
      case 'flush': {
        const outcomes = cloned.targets.map((target) => flushTarget(this.backing, target));
        return { kind: 'flush', id: cloned.id, outcomes };
      }
      case 'writeBack':
        return {
          kind: 'writeBack',
          id: cloned.id,
          outcome: writeBackTarget(this.backing, cloned.target, cloned.range),
        };
      case 'write':
        return { kind: 'write', id: cloned.id, outcome: writeTarget(this.backing, cloned.target, cloned) };
      case 'checkpoint':
        return { kind: 'checkpoint', id: cloned.id, outcome: this.#checkpoint(cloned.path) };
      case 'own':
        return { kind: 'own', id: cloned.id, result: makeOwnFiles(this.backing, cloned.batch) };
      case 'unlink':
        return { kind: 'unlink', id: cloned.id, outcomes: cloned.paths.map((path) => this.backing.unlink(path)) };
    }
  }

  #checkpoint(path: string): CheckpointOutcome {
    const watch = this.#options.namespace?.watch;
    return checkpointDatabase(path, {
      moved: (isComplete) => watch?.checkpointed(path, isComplete),
      begunAnew: () => watch?.committed(path, 0 as Lsn),
    });
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
    const wanted = { ...OPTIONS, ...this.#options.filesystem, ...more };
    const namespace = NamespaceStore.open(this.metaFolder, {
      log,
      clock,
      backing,
      readOnly: wanted.readOnly,
      holds: (ranges) => this.holds(ranges, wanted.readOnly),
      bootId: this.bootId,
      isTakeover: wanted.takeover === true,
      ballastBytes: 0,
      reserveBytes: 0,
      ...this.#options.namespace,
    });
    try {
      return this.#serve(namespace, wanted);
    } catch (thrown) {
      namespace.close();
      throw thrown;
    }
  }

  /** Whether a claim of the journal is true. */
  holds(ranges: readonly WrittenRange[], readOnly: boolean): boolean {
    const { volumes, backing } = this;
    const isTrue = rangesHold(ranges, { volumes, storeId: STORE_ID, backing, readOnly });
    LooseFilesystem.claims[isTrue ? 'held' : 'refused'] += 1;
    return isTrue;
  }

  #serve(namespace: NamespaceStore, wanted: FilesystemOptions) {
    const { log, clock, backing } = this;
    this.foundLsn = namespace.lsn;
    const { readOnly } = namespace;
    const options = { ...wanted, readOnly };
    const data = value(
      DataStore.open({
        backing,
        storeId: STORE_ID,
        start: readOnly ? namespace.start : namespace.raiseStart({ takeover: options.takeover === true }),
        volumes: this.volumes,
        aggregates: namespace.aggregates(),
        options: { aggregateBytes: 8 * MIB, reserveBytes: 0, ownAhead: 0, clock, readOnly, ...this.#options.data },
        log,
      }),
    );
    const workers: WorkerJobs = {
      post: (job) => void this.#queue.push(job),
      await: (kind, id) => this.#await(kind, id),
    };
    // A daemon that takes over finds what its predecessor left; the first one of a mount finds nothing.
    const openTable = value(OpenTable.over(this.tableMemory, { isFresh: options.takeover !== true }));
    const { readThreads } = this.#options;
    const parts = { namespace, data, backing, clock, log, workers, options, openTable };
    const filesystem = new Filesystem(readThreads === undefined ? parts : { ...parts, readThreads });
    return { namespace, data, filesystem };
  }
}

function idOf(job: WorkerJob): number | undefined {
  if (job.kind === 'pack') return job.job.id;
  return 'id' in job ? job.id : undefined;
}

function isUrgent(job: WorkerJob): boolean {
  return job.kind === 'pack' ? job.isUrgent : job.kind !== 'list' && job.kind !== 'punch' && job.kind !== 'residents';
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
