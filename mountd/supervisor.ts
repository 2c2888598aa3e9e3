/**
 * The supervisor: a small process that outlives accidents of the daemon. It holds the store lock and the descriptor of
 * /dev/fuse, has the daemon open the store, mounts, and waits. However the daemon ends, the mount and the lock end after
 * it, in this order: so a free lock says that everything is durable.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { E, errnoFromThrown, errnoOf } from '../base/errno.ts';
import { MNT_DETACH, mount, umount2 } from '../base/libc.ts';
import { CRASHED, FAILED, Failure, failureOf } from './failure.ts';
import { StoreLock } from './lock.ts';
import type { DaemonRequest, DaemonToSupervisor, MountRequest, SupervisorToDaemon } from './messages.ts';
import { FILESYSTEM_TYPE, type MountEntry, readMountTable } from './mount_table.ts';
import { logPath } from './store_paths.ts';

const READ_AHEAD_KIB = 1024;
const SIGNAL_BASE = 128;
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGABRT: 6,
  SIGBUS: 7,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

export interface SupervisorEvents {
  /** The mount answers. */
  ready(): void;
  /** For people: what goes on, a line each. */
  say(line: string): void;
}

/** Serves one mount to its end. Resolves to the exit code; throws a Failure when it never became a mount. */
export async function supervise(request: MountRequest, events: SupervisorEvents): Promise<number> {
  protectFromOutOfMemory();
  const lock = StoreLock.acquire(request.store, { purpose: 'mount', force: request.force });
  lock.update({ mountPoint: request.mountPoint, binding: 'kernel' });
  try {
    const fuseFd = openFuse();
    const supervisor = new Supervisor(request, { lock, fuseFd, events });
    const code = await supervisor.run();
    const failure = supervisor.failure;
    lock.release({ code, ...(failure === undefined ? {} : { reason: failure.message }) });
    if (failure !== undefined) throw failure;
    return code;
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
  readonly #daemon: ChildProcess;
  /** Set while the mount stands. */
  #mounted: MountEntry | undefined;
  #isReady = false;
  #isStopping = false;

  constructor(request: MountRequest, parts: { lock: StoreLock; fuseFd: number; events: SupervisorEvents }) {
    this.#request = request;
    this.#lock = parts.lock;
    this.#events = parts.events;
    this.#fuseFd = parts.fuseFd;
    this.#daemon = startDaemon({ ...request, supervisorPid: process.pid }, [parts.fuseFd, parts.lock.fd]);
    this.#lock.update({ daemonPid: this.#daemon.pid ?? 0 });
  }

  async run(): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#daemon.once('error', (error) => {
        this.failure ??= failureOf('start the daemon', error);
        resolve(FAILED);
      });
      this.#daemon.once('exit', (code, signal) => resolve(code ?? SIGNAL_BASE + (SIGNAL_NUMBERS[signal ?? ''] ?? 0)));
    });
    this.#daemon.on('message', (message: DaemonToSupervisor) => {
      try {
        this.#hear(message);
      } catch (error) {
        this.failure ??= failureOf(`mount ${this.#request.mountPoint}`, error);
        this.stop();
      }
    });
    const stop = () => this.stop();
    const hangUp = () => this.#request.foreground && this.stop();
    process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', hangUp);
    const code = await ended;
    process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', hangUp);
    if (!this.#isReady) {
      const log = this.#request.foreground ? '' : `; see ${logPath(this.#request.store)}`;
      this.failure ??= new Failure(
        `Cannot mount ${this.#request.mountPoint}: the daemon ended at its start (${code})${log}`,
      );
    }
    this.#cleanUp(code);
    return code;
  }

  /** Ends the mount in an orderly way: no new requests, then the daemon makes everything durable. */
  stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    if (!this.#isReady) this.failure ??= new Failure('Cannot mount: stopped by a signal before it was ready');
    this.#unmount();
    this.#tell({ kind: 'stop' });
  }

  #hear(message: DaemonToSupervisor): void {
    switch (message.kind) {
      case 'opened':
        this.#mount();
        break;
      case 'ready':
        this.#isReady = true;
        if (this.#mounted !== undefined) raiseReadAhead(this.#mounted);
        this.#lock.update({ adminSocket: this.#request.adminSocket });
        if (!this.#isStopping) this.#events.ready();
        break;
      case 'stopWanted':
        this.stop();
        break;
      case 'failed':
        this.failure ??= new Failure(message.message, message.exitCode);
        break;
    }
  }

  #mount(): void {
    if (this.#isStopping) return;
    mountFuse(this.#request, this.#fuseFd);
    this.#mounted = readMountTable().findLast((entry) => entry.mountPoint === this.#request.mountPoint);
    this.#tell({ kind: 'mounted' });
  }

  #tell(message: SupervisorToDaemon): void {
    if (this.#daemon.connected) this.#daemon.send(message, () => {});
  }

  /** The daemon must be alive, or the descriptor closed: unmounting may write back pages of mappings. */
  #unmount(): void {
    const mounted = this.#mounted;
    if (mounted === undefined) return;
    this.#mounted = undefined;
    // Somebody else may have unmounted it, and even mounted something else there since.
    const present = readMountTable().findLast((entry) => entry.mountPoint === mounted.mountPoint);
    if (present?.device !== mounted.device) return;
    if (umount2(mounted.mountPoint, 0) === 0) return;
    const outcome = umount2(mounted.mountPoint, MNT_DETACH);
    this.#events.say(
      outcome === 0
        ? `${mounted.mountPoint} is busy: detached; programs that still use it get errors from now on`
        : `Cannot unmount ${mounted.mountPoint}: errno ${-outcome}; use \`umount -l ${mounted.mountPoint}\``,
    );
  }

  #cleanUp(code: number): void {
    // Closing the last descriptor frees whoever waits for an answer that will never come.
    closeSync(this.#fuseFd);
    rmSync(this.#request.adminSocket, { force: true });
    if (code !== 0 && this.failure === undefined) {
      const what = code === CRASHED ? 'crashed' : 'ended';
      this.#events.say(
        `The daemon ${what} (${code}); ${this.#request.mountPoint} is unmounted, what was not yet durable may be lost; ` +
          `mount it again, see ${logPath(this.#request.store)}`,
      );
    }
    this.#unmount();
  }
}

function startDaemon(request: DaemonRequest, descriptors: readonly [fuseFd: number, lockFd: number]): ChildProcess {
  const program = fileURLToPath(new URL('./daemon.js', import.meta.url));
  const daemon = spawn(process.execPath, ['--max-semi-space-size=16', program, JSON.stringify(request)], {
    stdio: ['ignore', 'inherit', 'inherit', ...descriptors, 'ipc'],
  });
  // The daemon may be killed when memory is short; this process may not, and its child has inherited that.
  if (daemon.pid !== undefined) tryWrite(`/proc/${daemon.pid}/oom_score_adj`, '0');
  return daemon;
}

function openFuse(): number {
  try {
    return openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const errno = errnoOf(errnoFromThrown(error));
    if (errno === E.ENOENT || errno === E.ENODEV || errno === E.ENXIO) {
      throw new Failure('Cannot mount: this system has no /dev/fuse; load the kernel module with `modprobe fuse`');
    }
    throw failureOf('open /dev/fuse', error);
  }
}

function mountFuse(request: MountRequest, fuseFd: number): void {
  const outcome = mount({
    source: request.store,
    target: request.mountPoint,
    type: FILESYSTEM_TYPE,
    flags: request.options.flags,
    data: `fd=${fuseFd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`,
  });
  if (outcome === 0) return;
  const errno = errnoOf(-outcome);
  const what = `Cannot mount ${request.mountPoint}`;
  if (errno === E.EPERM) throw new Failure(`${what}: no permission; mounting needs root (sudo)`);
  if (errno === E.ENODEV) throw new Failure(`${what}: the kernel does not know FUSE; load it with \`modprobe fuse\``);
  throw new Failure(`${what}: ${errno.name} (errno ${errno.number})`);
}

/** Whatever INIT says, the kernel reads ahead 128 KiB, until somebody writes this. Needs root; without it, as it was. */
function raiseReadAhead(mounted: MountEntry): void {
  tryWrite(`/sys/class/bdi/${mounted.device}/read_ahead_kb`, `${READ_AHEAD_KIB}`);
}

function protectFromOutOfMemory(): void {
  tryWrite('/proc/self/oom_score_adj', '-1000');
}

function tryWrite(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch {
    // Not allowed here (a container, another user): it goes without.
  }
}
