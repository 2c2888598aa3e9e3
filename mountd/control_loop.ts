/**
 * The control thread's loop: serve requests until there are none, then sleep in poll(2) until the kernel, another thread
 * or a timer wants something. It never returns to the event loop, so whoever posts to this thread rings its bell.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { DataStore } from '../aggregate/store.ts';
import { isErrno } from '../base/errno.ts';
import { POLLERR, POLLIN, poll } from '../base/libc.ts';
import type { Log } from '../base/log.ts';
import { ino } from '../base/units.ts';
import type { Filesystem } from '../fs/filesystem.ts';
import type { Session } from '../fs/kernel/session.ts';
import type { Answer, ControlToMain, MainToControl, Query } from './messages.ts';
import type { Bell } from './wake.ts';
import type { WorkerPool } from './worker_pool.ts';

/** Requests served before messages and timers get their turn. */
const REQUESTS_A_ROUND = 64;
/** How long the end may wait for workers to pack what waits; what is left stays in own files, which are durable too. */
const DRAIN_MS = 60_000;
/** Longest sleep: a lost wake-up would cost no more than this. */
const MAX_SLEEP_MS = 1_000;

export interface ControlParts {
  readonly filesystem: Filesystem;
  readonly data: DataStore;
  readonly session: Session;
  readonly workers: WorkerPool;
  readonly bell: Bell;
  readonly mainPort: MessagePort;
  readonly log: Log;
  readonly fuseFd: number;
  readonly wakeFd: number;
}

export class ControlLoop {
  readonly #parts: ControlParts;
  /** Two `struct pollfd`: the device, and the bell. */
  readonly #polled = new Uint8Array(16);
  readonly #view = new DataView(this.#polled.buffer);
  /** Until the descriptor belongs to a mount it must not be read. */
  #isMounted = false;
  #isReady = false;
  #isStopping = false;
  #hasEnded = false;

  constructor(parts: ControlParts) {
    this.#parts = parts;
    this.#view.setInt32(0, parts.fuseFd, true);
    this.#view.setInt16(4, POLLIN, true);
    this.#view.setInt32(8, parts.wakeFd, true);
    this.#view.setInt16(12, POLLIN, true);
  }

  /** Serves until the mount is gone or a stop is wanted; what was read by then is answered. */
  run(): void {
    this.#hearMain();
    while (!this.#hasEnded) {
      const isIdle = this.#serve();
      const untilNextMs = this.#parts.filesystem.tick();
      if (this.#isStopping && isIdle) break;
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
    while (!isDone && performance.now() < endMs) {
      const untilNextMs = this.#parts.filesystem.tick();
      if (!isDone) this.#sleep(Math.max(0, Math.min(MAX_SLEEP_MS, untilNextMs)));
    }
    if (!isDone) this.#parts.log.warn({ afterMs: DRAIN_MS }, 'Some files were not packed before the end');
  }

  /** True when the kernel has no more requests for now, or none may be taken. */
  #serve(): boolean {
    if (!this.#isServing) return true;
    const state = this.#parts.session.serve(REQUESTS_A_ROUND);
    if (state === 'unmounted') this.#hasEnded = true;
    if (!this.#isReady && this.#parts.session.negotiated !== undefined) {
      this.#isReady = true;
      this.#post({ kind: 'ready' });
    }
    return state !== 'busy';
  }

  /** Without its mount the device reports errors; while too much waits to be packed, writers wait for the workers. */
  get #isServing(): boolean {
    return this.#isMounted && !this.#parts.filesystem.isFull;
  }

  #sleep(timeoutMs: number): void {
    this.#view.setInt32(0, this.#isServing ? this.#parts.fuseFd : -1, true);
    poll(this.#polled, Math.ceil(timeoutMs));
    if ((this.#view.getInt16(14, true) & (POLLIN | POLLERR)) === 0) return;
    this.#parts.bell.silence();
    this.#hearMain();
    this.#parts.workers.collect((done) => this.#parts.filesystem.workerDone(done));
  }

  #hearMain(): void {
    const { mainPort } = this.#parts;
    for (let next = receiveMessageOnPort(mainPort); next !== undefined; next = receiveMessageOnPort(mainPort)) {
      const message = next.message as MainToControl;
      if (message.kind === 'mounted') this.#isMounted = true;
      else if (message.kind === 'stop') this.#isStopping = true;
      else this.#answer(message.id, message.query);
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
    }
  }

  #status(): object {
    const { filesystem, data, session } = this.#parts;
    const spaces = data.space().map(({ volume, total, free, available }) => {
      return { volume: volume.name, tier: volume.tier, kind: volume.kind, total, free, available };
    });
    const core = filesystem.status();
    return {
      ...(data.missing.length > 0 ? { health: 'degraded: a volume is missing' } : {}),
      ...(core.broken === undefined
        ? {}
        : { health: 'broken: takes no more changes; unmount, check the disk, run `pacsfs fsck`, mount again' }),
      ...core,
      spaces,
      missingVolumes: data.missing,
      openDescriptors: data.openFiles,
      requests: session.countsByName(),
    };
  }

  #post(message: ControlToMain): void {
    this.#parts.mainPort.postMessage(message);
  }
}
