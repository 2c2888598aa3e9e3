/**
 * The supervisor: a small process that outlives accidents of the daemon. It holds the store lock, the descriptor of
 * /dev/fuse, what INIT agreed and the open table, has a daemon open the store, mounts, and waits. A daemon that dies is
 * replaced on the live mount. When one has ended in order, the mount and the lock end after it, in this order: so a free
 * lock says that everything is durable.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { dirname } from 'node:path';
import { flock, LOCK_EX, LOCK_NB } from '../base/libc.ts';
import type { Negotiated } from '../fs/kernel/init.ts';
import { type DaemonEnd, DaemonProcess, exitCodeOf } from './daemon_process.ts';
import { Deaths } from './deaths.ts';
import { CRASHED, FAILED, Failure, failureOf } from './failure.ts';
import { mountFuse, openFuse, raiseReadAhead, unmountFuse } from './fuse_mount.ts';
import { StoreLock } from './lock.ts';
import type { DaemonToSupervisor, MountRequest, Takeover } from './messages.ts';
import { FILESYSTEM_TYPE, type MountEntry } from './mount_table.ts';
import { Notifier } from './notifier.ts';
import { Refuser } from './refuser.ts';
import { MOUNT_DELAY_MS, Spare } from './spare.ts';
import { logPath, openTablePath } from './store_paths.ts';

const NICENESS = -10;
/** Reasons go into the lock's record, which others read in one piece. */
const REASON_CHARACTERS = 200;

export interface SupervisorEvents {
  /** The mount answers. */
  ready(): void;
  /** For people: what goes on, a line each. */
  say(line: string): void;
}

/** How a mount ended: 0, or an exit code and its reason. */
interface Outcome {
  readonly code: number;
  readonly reason?: string;
}

/** Serves one mount to its end. Resolves to the exit code; throws a Failure when it never became a mount. */
export async function supervise(request: MountRequest, events: SupervisorEvents): Promise<number> {
  protectFromOutOfMemory();
  raisePriority();
  const lock = StoreLock.acquire(request.store, { purpose: 'mount', force: request.force });
  lock.update({ mountPoint: request.mountPoint, binding: 'kernel' });
  try {
    const fuseFd = openFuse();
    const supervisor = new Supervisor(request, { lock, fuseFd, events });
    const outcome = await supervisor.run();
    lock.release(outcome);
    if (supervisor.failure !== undefined) throw supervisor.failure;
    return outcome.code;
  } catch (error) {
    if (lock.record.state === 'held') lock.release({ code: FAILED, reason: String(error) });
    throw error;
  }
}

class Supervisor {
  /** Why it never became a mount. */
  failure: Failure | undefined;
  readonly #request: MountRequest;
  readonly #lock: StoreLock;
  readonly #events: SupervisorEvents;
  readonly #fuseFd: number;
  readonly #openTable: string;
  readonly #deaths: Deaths;
  readonly #spare: Spare;
  readonly #notifier: Notifier;
  /** The daemon that serves or is about to. */
  #daemon: DaemonProcess;
  /** Answers in place of a daemon, once there will be none. */
  #refuser: Refuser | undefined;
  /** What was agreed with the kernel: from then on the mount answers, and a daemon that dies is replaced. */
  #negotiated: Negotiated | undefined;
  /** When the daemon died that is being replaced. */
  #diedMs = 0;
  /** Set while the mount stands. */
  #mounted: MountEntry | undefined;
  #isStopping = false;
  #unmounting: Promise<void> | undefined;

  constructor(request: MountRequest, parts: { lock: StoreLock; fuseFd: number; events: SupervisorEvents }) {
    this.#request = request;
    this.#lock = parts.lock;
    this.#events = parts.events;
    this.#fuseFd = parts.fuseFd;
    this.#deaths = new Deaths(request.options.restarts);
    this.#openTable = makeOpenTable(request);
    this.#notifier = new Notifier(parts.fuseFd);
    const descriptors = { fuseFd: parts.fuseFd, lockFd: parts.lock.fd };
    const daemonRequest = { ...request, supervisorPid: process.pid };
    this.#spare = new Spare(
      () => new DaemonProcess(daemonRequest, descriptors, (message, from) => this.#hear(message, from)),
    );
    this.#daemon = this.#spare.take();
    this.#lock.update({ daemonPid: this.#daemon.pid });
  }

  async run(): Promise<Outcome> {
    const stop = () => this.stop();
    const hangUp = () => this.#request.foreground && this.stop();
    process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', hangUp);
    try {
      return await this.#serve();
    } finally {
      process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', hangUp);
      await this.#cleanUp();
    }
  }

  /** Ends the mount in an orderly way: no new requests, then the daemon, or the next one, makes everything durable. */
  stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    if (this.#negotiated === undefined) {
      this.failure ??= new Failure('Cannot mount: stopped by a signal before it was ready');
    }
    void this.#unmount().then(() => {
      this.#daemon.tell({ kind: 'stop' });
      this.#refuser?.stop();
    });
  }

  async #serve(): Promise<Outcome> {
    this.#daemon.begin({ openTable: this.#openTable, takeover: undefined });
    for (;;) {
      const end = await this.#daemon.ended;
      if (this.#negotiated === undefined) return this.#neverReady(end);
      if (end.failure !== undefined) return await this.#giveUp(this.#negotiated, end.failure.message);
      if (end.exitCode !== undefined) return this.#orderly(end.exitCode);
      this.#diedMs = performance.now();
      this.#deaths.note(this.#diedMs);
      if (this.#deaths.isLoop) {
        const often = `the daemon died ${this.#deaths.recent} times within a minute`;
        return await this.#giveUp(this.#negotiated, `${often}, at last ${end.reason}`);
      }
      this.#replace(this.#negotiated, end);
    }
  }

  /** The dead one has been waited for: none of its threads can still write. */
  #replace(negotiated: Negotiated, end: DaemonEnd): void {
    const { reason } = end;
    const dead = this.#daemon.pid;
    const takeover: Takeover = { negotiated, restarts: this.#deaths.total, reason, time: new Date().toISOString() };
    this.#daemon = this.#spare.take();
    this.#daemon.begin({ openTable: this.#openTable, takeover });
    if (this.#isStopping) void this.#unmount().then(() => this.#daemon.tell({ kind: 'stop' }));
    // What follows need not come before the next answer; nor need it survive this process.
    this.#noteState({ daemonPid: this.#daemon.pid, restarts: this.#deaths.total, health: 'restarting', reason });
    this.#events.say(
      `The daemon ${dead} has died (${reason}); ${this.#daemon.pid} takes over ${this.#request.mountPoint}`,
    );
  }

  /** From now on every request is refused, so that nobody hangs, until somebody unmounts. */
  async #giveUp(negotiated: Negotiated, why: string): Promise<Outcome> {
    const { mountPoint, store } = this.#request;
    this.#refuser = new Refuser(this.#fuseFd, negotiated.maxWrite);
    if (this.#isStopping) void this.#unmount().then(() => this.#refuser?.stop());
    this.#noteState({ health: 'failed', restarts: this.#deaths.total, reason: why });
    this.#events.say(
      `No daemon serves ${mountPoint} any more: ${why}. Every access gets an input/output error until it is unmounted: ` +
        `see ${logPath(store)}, \`pacsfs unmount ${mountPoint}\`, run \`pacsfs fsck ${store}\`, mount it again`,
    );
    await this.#refuser.ended;
    return { code: CRASHED, reason: brief(why) };
  }

  #neverReady(end: DaemonEnd): Outcome {
    const log = this.#request.foreground ? '' : `; see ${logPath(this.#request.store)}`;
    const what = `Cannot mount ${this.#request.mountPoint}: the daemon ended at its start`;
    this.failure ??= end.failure ?? new Failure(`${what} (${end.reason})${log}`);
    return { code: exitCodeOf(end), reason: brief(this.failure.message) };
  }

  #orderly(code: number): Outcome {
    if (code === 0) return { code };
    const reason = `the daemon could not make everything durable (${code})`;
    this.#events.say(`${this.#request.mountPoint}: ${reason}; see ${logPath(this.#request.store)}`);
    return { code, reason };
  }

  #hear(message: DaemonToSupervisor, from: DaemonProcess): void {
    if (from !== this.#daemon) return;
    try {
      this.#obey(message);
    } catch (error) {
      this.failure ??= failureOf(`mount ${this.#request.mountPoint}`, error);
      this.stop();
    }
  }

  #obey(message: DaemonToSupervisor): void {
    if (message.kind === 'opened') this.#mount();
    else if (message.kind === 'stopWanted') this.stop();
    else if (message.kind === 'ready') this.#ready(message.negotiated);
    else if (message.kind === 'notify') this.#notify(message.message);
  }

  #mount(): void {
    if (this.#isStopping || this.#negotiated !== undefined) return;
    this.#mounted = mountFuse(this.#request, this.#fuseFd);
    this.#daemon.tell({ kind: 'mounted' });
  }

  #notify(message: string): void {
    const connection = this.#mounted?.device.split(':')[1];
    if (connection !== undefined) this.#notifier.send(message, connection);
  }

  #ready(negotiated: Negotiated): void {
    if (this.#negotiated !== undefined) {
      this.#spare.prepare();
      const pauseMs = Math.round(performance.now() - this.#diedMs);
      this.#noteState({ health: undefined });
      this.#events.say(`Daemon ${this.#daemon.pid} answers, ${pauseMs} ms after its predecessor's end`);
      return;
    }
    this.#spare.prepare(MOUNT_DELAY_MS);
    this.#negotiated = negotiated;
    if (this.#mounted !== undefined) raiseReadAhead(this.#mounted);
    this.#lock.update({ adminSocket: this.#request.adminSocket });
    if (!this.#isStopping) this.#events.ready();
  }

  /** For `pacsfs status` while no daemon answers. */
  #noteState(state: {
    daemonPid?: number;
    restarts?: number;
    health?: 'restarting' | 'failed' | undefined;
    reason?: string;
  }) {
    const { reason, ...rest } = state;
    try {
      this.#lock.update({ ...rest, ...(reason === undefined ? {} : { reason: brief(reason) }) }, { durable: false });
    } catch (error) {
      // On a full disk the mount must go on.
      this.#events.say(failureOf("write the lock's record", error).message);
    }
  }

  /** The daemon must be alive or about to be, or the descriptor closed: unmounting may write back pages of mappings. */
  #unmount(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = undefined;
    if (mounted !== undefined) {
      this.#unmounting = unmountFuse(mounted).then((line) => {
        if (line !== undefined) this.#events.say(line);
      });
    }
    return this.#unmounting ?? Promise.resolve();
  }

  async #cleanUp(): Promise<void> {
    this.#notifier.end();
    await this.#spare.end();
    // Closing the last descriptor frees whoever waits for an answer that will never come.
    closeSync(this.#fuseFd);
    rmSync(this.#request.adminSocket, { force: true });
    rmSync(this.#openTable, { force: true });
    await this.#unmount();
  }
}

/**
 * Empty, for the first daemon to lay out. Its lock, held to the end of this process, keeps a copy of the store apart: it has
 * the same id, so the same run files, and may name the same volumes and journal folders.
 */
function makeOpenTable({ store, storeId }: MountRequest): string {
  const path = openTablePath(storeId);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const left = openSync(path, 'a', 0o600);
    const isFree = flock(left, LOCK_EX | LOCK_NB) === 0;
    closeSync(left);
    if (!isFree)
      throw new Failure(
        `Cannot mount ${store}: a copy of it with the same id ${storeId} is mounted; \`findmnt -t ${FILESYSTEM_TYPE}\` shows where`,
      );
    rmSync(path, { force: true });
    flock(openSync(path, 'wx', 0o600), LOCK_EX | LOCK_NB);
  } catch (error) {
    throw failureOf(`make ${path}`, error);
  }
  return path;
}

function brief(reason: string): string {
  return reason.slice(0, REASON_CHARACTERS);
}

function protectFromOutOfMemory(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // Not allowed here (a container, another user): it goes without.
  }
}

/**
 * Every program that uses the mount waits for its daemon, which inherits this: it goes before them, unless somebody has
 * chosen otherwise (`nice`, `Nice=` of a unit).
 */
function raisePriority(): void {
  try {
    if (getPriority() === 0) setPriority(NICENESS);
  } catch {
    // Not allowed here (a container, another user): it goes without.
  }
}
