/**
 * Tells the kernel to drop names. It may have to wait until a request in the same directory has been answered, and not even
 * SIGKILL ends such a wait: so no thread of a daemon does it, whose death has to be waited for before the next one may
 * answer, but a process of its own, for which nobody waits. One at a time; it ends when it has told what it was given.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { allowOutOfMemoryKill } from './daemon_process.ts';
import { programFile } from './program_files.ts';

/** Names that wait for the process before them; more are left out, and asked for again in their time. */
const WAITING_MAX = 1_024;

/** A batch of notifications, encoded, in base64. */
export type NotifierBatch = readonly string[];

export class Notifier {
  readonly #fuseFd: number;
  #child: ChildProcess | undefined;
  #waiting: string[] = [];
  #isOver = false;

  constructor(fuseFd: number) {
    this.#fuseFd = fuseFd;
  }

  /** `connection`: number of the FUSE connection under /sys/fs/fuse. */
  send(message: string, connection: string): void {
    if (this.#isOver || this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push(message);
    // What comes with it goes with it.
    if (this.#waiting.length === 1) setImmediate(() => this.#start(connection));
  }

  /** Nothing more is told. What hangs by now goes on as soon as the mount is served or gone. */
  end(): void {
    this.#isOver = true;
    this.#waiting = [];
    if (this.#child?.connected === true) this.#child.disconnect();
  }

  #start(connection: string): void {
    if (this.#child !== undefined || this.#waiting.length === 0) return;
    const batch: NotifierBatch = this.#waiting;
    this.#waiting = [];
    const child = spawn(process.execPath, [programFile('notifier_main'), connection], {
      stdio: ['ignore', 'ignore', 'inherit', this.#fuseFd, 'ipc'],
    });
    this.#child = child;
    child.unref();
    allowOutOfMemoryKill(child.pid);
    const over = () => {
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#start(connection);
    };
    child.once('exit', over).once('error', over);
    child.send(batch, () => {});
  }
}
