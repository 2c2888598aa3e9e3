/**
 * The control thread's loop: serve requests until there are none, then sleep in poll(2) until the kernel, another thread
 * or a timer wants something. It never returns to the event loop, so whoever posts to this thread rings its bell.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { DataStore } from '../aggregate/store.ts';
import { unreachable } from '../base/assert.ts';
import { Durations } from '../base/durations.ts';
import { E, isErrno, type Result } from '../base/errno.ts';
import { POLLERR, POLLIN, poll } from '../base/libc.ts';
import type { Log } from '../base/log.ts';
import { ino, lsn } from '../base/units.ts';
import type { Filesystem } from '../fs/filesystem.ts';
import { canResend } from '../fs/kernel/notifications.ts';
import type { Session } from '../fs/kernel/session.ts';
import type { NamespaceStore } from '../shard/store.ts';
import { journalStatus } from './backup/journal_status.ts';
import type { FuseDevice } from './fuse_device.ts';
import type { Answer, ControlToMain, MainToControl, Query } from './messages.ts';
import { answerMigrations } from './migrations.ts';
import { missingStatus } from './missing_status.ts';
import { shardsStatus } from './shards/status.ts';
import type { Bell } from './wake.ts';
import type { WorkerPool } from './worker_pool.ts';

/** Requests served before messages and timers get their turn. */
const REQUESTS_A_ROUND = 64;
/** Rounds after a stop is wanted: many users may keep a mount that was not unmounted busy for ever. */
const STOP_ROUNDS = 256;
/** How long the end may wait for workers to pack what waits; what is left stays in own files, which are durable too. */
const DRAIN_MS = 60_000;
/** At the end: readers tell of their answers only when they could not give them. */
const READ_LOOK_MS = 2;
/** Longest sleep: a lost wake-up would cost no more than this. */
const MAX_SLEEP_MS = 1_000;

export interface ControlParts {
  readonly namespace: NamespaceStore;
  readonly filesystem: Filesystem;
  readonly data: DataStore;
  readonly session: Session;
  readonly workers: WorkerPool;
  readonly bell: Bell;
  readonly mainPort: MessagePort;
  readonly log: Log;
  readonly device: FuseDevice;
  readonly wakeFd: number;
  /** Use NOTIFY_RESEND where the kernel has it. */
  readonly resend: boolean;
}

export class ControlLoop {
  readonly #parts: ControlParts;
  /** Two `struct pollfd`: the device, and the bell. */
  readonly #polled = new Uint8Array(16);
  readonly #view = new DataView(this.#polled.buffer);
  /** Until the descriptor belongs to a mount it must not be read. */
  #isMounted = false;
  #isTakeover = false;
  #isCloned = false;
  #isReady = false;
  #isStopping = false;
  #hasEnded = false;
  /** What this thread does between two looks at the requests, sleep left out: those that come meanwhile wait for it. */
  readonly #working = new Durations();
  readonly #between = (isLarge: boolean) => this.#hearBetween(isLarge);

  constructor(parts: ControlParts) {
    this.#parts = parts;
    this.#view.setInt16(4, POLLIN, true);
    this.#view.setInt32(8, parts.wakeFd, true);
    this.#view.setInt16(12, POLLIN, true);
  }

  /** Serves until the mount is gone or a stop is wanted; what was read by then is answered. */
  run(): void {
    if (this.#parts.session.negotiated !== undefined) this.#takeOver();
    this.#hearMain();
    let roundsOfStop = 0;
    while (!this.#hasEnded) {
      const isIdle = this.#serve();
      const untilNextMs = this.#timed(() => this.#parts.filesystem.tick(this.#parts.session.served));
      if (this.#isStopping && (isIdle || ++roundsOfStop === STOP_ROUNDS)) break;
      this.#sleep(isIdle && !this.#hasEnded ? Math.max(0, Math.min(MAX_SLEEP_MS, untilNextMs)) : 0);
    }
    this.#drain();
  }

  /** Nothing is read from the kernel any more; the workers finish. */
  #drain(): void {
    this.#isMounted = false;
    let isDone = false;
    this.#parts.filesystem.beginStop().whenSettled(() => {
      isDone = true;
    });
    const endMs = performance.now() + DRAIN_MS;
    const { filesystem } = this.#parts;
    while (!(isDone && filesystem.isReadIdle) && performance.now() < endMs) {
      const untilNextMs = Math.min(filesystem.tick(), filesystem.isReadIdle ? MAX_SLEEP_MS : READ_LOOK_MS);
      if (!isDone || !filesystem.isReadIdle) this.#sleep(Math.max(0, Math.min(MAX_SLEEP_MS, untilNextMs)));
    }
    if (!isDone) this.#parts.log.warn({ afterMs: DRAIN_MS }, 'Some files were not packed before the end');
  }

  /** A live mount, whose INIT a predecessor has answered: what it had read and not answered comes again. */
  #takeOver(): void {
    this.#isTakeover = true;
    this.#isMounted = true;
    this.#chooseDevice();
    if (!this.#isCloned) this.#parts.session.resendRequests();
  }

  /** Before the first request is read that somebody waits for. */
  #chooseDevice(): void {
    const { session, device, log, resend } = this.#parts;
    if (resend && session.negotiated !== undefined && canResend(session.negotiated)) return;
    device.useClone();
    this.#isCloned = true;
    const why = resend ? 'this kernel cannot resend (before 6.9)' : 'mounted with noresend';
    log.warn({}, `Should the daemon die, requests it was just serving fail with ECONNABORTED: ${why}`);
  }

  /** True when the kernel has no more requests for now, or none may be taken. */
  #serve(): boolean {
    if (!this.#isServing) return true;
    const { session } = this.#parts;
    // INIT comes alone: the kernel sends nothing else until it is answered.
    const state = session.serve(session.negotiated === undefined ? 1 : REQUESTS_A_ROUND, this.#between);
    if (state === 'unmounted') this.#hasEnded = true;
    const { negotiated } = session;
    if (!this.#isReady && negotiated !== undefined) {
      this.#isReady = true;
      if (!this.#isTakeover) this.#chooseDevice();
      this.#post({ kind: 'ready', negotiated });
    }
    return state !== 'busy';
  }

  /** Without its mount the device reports errors; while too much waits to be packed or answered, others wait for the workers. */
  get #isServing(): boolean {
    const { filesystem, session } = this.#parts;
    return this.#isMounted && !filesystem.isFull && !session.isFull;
  }

  #sleep(timeoutMs: number): void {
    this.#view.setInt32(0, this.#isServing ? this.#parts.device.fd : -1, true);
    poll(this.#polled, Math.ceil(timeoutMs));
    if ((this.#view.getInt16(14, true) & (POLLIN | POLLERR)) === 0) return;
    this.#timed(() => this.#hear());
  }

  #timed<T>(act: () => T): T {
    const beganMs = performance.now();
    const outcome = act();
    this.#working.record(performance.now() - beganMs);
    return outcome;
  }

  /**
   * What somebody waits for must not lie behind a request that takes long. Behind short ones it may: those that come
   * together are to share segments and barriers.
   */
  #hearBetween(isLarge: boolean): void {
    this.#hear();
    if (isLarge) this.#parts.filesystem.tick(this.#parts.session.served);
  }

  /** What others have to say to this thread. */
  #hear(): void {
    if (!this.#parts.bell.silence()) return;
    this.#hearMain();
    this.#parts.workers.collect((done) => this.#parts.filesystem.workerDone(done));
  }

  #hearMain(): void {
    const { mainPort } = this.#parts;
    for (let next = receiveMessageOnPort(mainPort); next !== undefined; next = receiveMessageOnPort(mainPort)) {
      const message = next.message as MainToControl;
      if (message.kind === 'mounted') this.#isMounted = true;
      else if (message.kind === 'stop') this.#isStopping = true;
      else if (message.kind === 'query') this.#answer(message.id, message.query);
    }
  }

  #answer(id: number, query: Query): void {
    const reply = (answer: Answer) => this.#post({ kind: 'answer', id, answer });
    const { filesystem } = this.#parts;
    switch (query.kind) {
      case 'status':
        reply({ kind: 'value', value: this.#status() });
        break;
      case 'inode': {
        const found = filesystem.describe(ino(query.ino));
        reply(isErrno(found) ? { kind: 'error', errno: found.name } : { kind: 'value', value: found });
        break;
      }
      case 'sync':
        filesystem.sync().whenSettled((outcome) => {
          reply(isErrno(outcome) ? { kind: 'error', errno: outcome.name } : { kind: 'value', value: {} });
        });
        break;
      case 'backup':
        this.#parts.namespace.noteBackup(lsn(query.lsn));
        reply({ kind: 'value', value: {} });
        break;
      case 'shards':
        reply({ kind: 'value', value: shardsStatus(this.#parts.namespace) });
        break;
      case 'addShards': {
        const { namespace } = this.#parts;
        const added = this.#addShards(query.count);
        reply(
          isErrno(added) ? { kind: 'error', errno: added.name } : { kind: 'value', value: shardsStatus(namespace) },
        );
        break;
      }
      case 'compaction': {
        const begun = query.begin ? this.#beginCompaction() : undefined;
        const value = filesystem.compactor.status;
        reply(isErrno(begun) ? { kind: 'error', errno: begun.name } : { kind: 'value', value });
        break;
      }
      case 'migrations': {
        const told = answerMigrations(filesystem, query.query);
        reply(isErrno(told) ? { kind: 'error', errno: told.name } : { kind: 'value', value: told });
        break;
      }
      case 'crash':
        unreachable('a test wanted the control thread to crash');
    }
  }

  #beginCompaction(): Result<void> {
    const { namespace, filesystem } = this.#parts;
    if (namespace.readOnly || filesystem.status().broken !== undefined) return E.EROFS;
    if (namespace.low()) return E.ENOSPC;
    filesystem.compactor.ask();
  }

  #addShards(count: number): Result<void> {
    const { namespace, filesystem } = this.#parts;
    if (namespace.readOnly || filesystem.status().broken !== undefined) return E.EROFS;
    return namespace.low() ? E.ENOSPC : namespace.addShards(count);
  }

  #status(): object {
    const { filesystem, data, session } = this.#parts;
    const spaces = data.space().map(({ volume, ...space }) => {
      return { volume: volume.name, tier: volume.tier, kind: volume.kind, ...space };
    });
    const core = filesystem.status();
    return {
      ...(data.degraded.length > 0 ? { health: 'degraded: a directory of a volume is missing' } : {}),
      ...(data.missing.length > 0 ? { health: 'degraded: a volume is missing' } : {}),
      ...missingStatus(this.#parts.namespace),
      ...(core.broken === undefined
        ? {}
        : {
            health: `broken: ${core.broken}; it takes no changes: unmount, check the disk, \`pacsfs fsck --repair\`, mount again`,
          }),
      ...core,
      ...journalStatus(this.#parts.namespace),
      spaces,
      missingVolumes: data.missing,
      openDescriptors: data.openFiles,
      requests: session.countsByName(),
      times: {
        serving: session.serving.summary(),
        puttingOff: session.puttingOff.summary(),
        between: this.#working.summary(),
      },
    };
  }

  #post(message: ControlToMain): void {
    this.#parts.mainPort.postMessage(message);
  }
}
