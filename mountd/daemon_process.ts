/**
 * One daemon process as its supervisor sees it: started without a task, so that its modules are loaded when it gets one,
 * then told to serve, listened to, and waited for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { FAILED, Failure, failureOf } from './failure.ts';
import type { DaemonRequest, DaemonToSupervisor, Service, SupervisorToDaemon } from './messages.ts';
import { programFile } from './program_files.ts';

export interface DaemonEnd {
  /** What the daemon said it ends with; undefined when it died. */
  readonly exitCode: number | undefined;
  /** For people: how it ended. */
  readonly reason: string;
  /** Why it could not begin to serve, when it said so. */
  readonly failure: Failure | undefined;
}

export interface DaemonDescriptors {
  readonly fuseFd: number;
  /** The lock stays taken until the last daemon is gone. */
  readonly lockFd: number;
}

/**
 * Of all threads. What survives a collection of young objects is copied while nothing else is done, 5 ms with 16 MB and
 * under load, 2 ms with 4, at a quarter more in sum: rows that were made last stay in caches.
 */
const SEMI_SPACE_MB = 4;

export class DaemonProcess {
  /** Settles when the process is gone, whatever its threads waited for, and all that it said has been heard. */
  readonly ended: Promise<DaemonEnd>;
  readonly #child: ChildProcess;
  #exitCode: number | undefined;
  #failure: Failure | undefined;
  #isGone = false;

  constructor(
    request: DaemonRequest,
    descriptors: DaemonDescriptors,
    hear: (message: DaemonToSupervisor, from: DaemonProcess) => void,
  ) {
    const { fuseFd, lockFd } = descriptors;
    this.#child = spawn(
      process.execPath,
      [`--max-semi-space-size=${SEMI_SPACE_MB}`, programFile('daemon'), JSON.stringify(request)],
      { stdio: ['ignore', 'inherit', 'inherit', fuseFd, lockFd, 'ipc'] },
    );
    // The daemon may be killed when memory is short; the supervisor may not, and its child has inherited that.
    allowOutOfMemoryKill(this.#child.pid);
    this.#child.on('message', (message: DaemonToSupervisor) => {
      if (message.kind === 'ended') this.#exitCode = message.exitCode;
      else if (message.kind === 'failed') this.#failure = new Failure(message.message, message.exitCode);
      else hear(message, this);
    });
    this.ended = this.#end();
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  begin(service: Service): void {
    this.tell({ kind: 'begin', service });
  }

  tell(message: SupervisorToDaemon): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** For one that has no task. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #end(): Promise<DaemonEnd> {
    const child = this.#child;
    const failed = new Promise<string>((resolve) => {
      child.once('error', (error) => {
        if (child.pid !== undefined) return;
        this.#failure ??= failureOf('start the daemon', error);
        resolve('could not be started');
      });
    });
    const exited = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) =>
        resolve(signal === null ? `ended with code ${code}` : `killed by ${signal}`),
      );
    });
    // Its last words and its end come by different ways, in either order.
    const silent = new Promise<void>((resolve) => child.once('disconnect', resolve));
    const reason = await Promise.race([failed, Promise.all([exited, silent]).then(([how]) => how)]);
    this.#isGone = true;
    return { exitCode: this.#exitCode, reason, failure: this.#failure };
  }
}

/** The exit code of a mount whose daemon could not end in order. */
export function exitCodeOf(end: DaemonEnd): number {
  return end.failure?.exitCode ?? end.exitCode ?? FAILED;
}

/** Of a child of the supervisor, which itself may not be killed. */
export function allowOutOfMemoryKill(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '0');
  } catch {
    // Not allowed here (a container, another user): it goes without.
  }
}
