/** What the program's processes and threads say to each other; plain data, as structured clones and JSON carry it. */
import type { MessagePort } from 'node:worker_threads';
import type { VolumeRow } from '../base/layout.ts';
import type { StoreOptions } from './config.ts';
import type { MountOptions } from './mount_options.ts';

/** The supervisor's argument, as JSON on its command line: `ps` shows what it serves. */
export interface MountRequest {
  /** Absolute paths. */
  readonly store: string;
  readonly mountPoint: string;
  readonly adminSocket: string;
  /** What store.yaml says, read and checked by the command: the processes behind it start without a YAML parser. */
  readonly storeId: string;
  readonly volumes: readonly VolumeRow[];
  readonly storeOptions: StoreOptions;
  readonly options: MountOptions;
  /** Take over the lock of another machine. */
  readonly force: boolean;
  readonly foreground: boolean;
}

/** The daemon's. */
export interface DaemonRequest extends MountRequest {
  readonly supervisorPid: number;
}

/** Descriptors that the daemon is started with. */
export const FUSE_FD = 3;
export const LOCK_FD = 4;
/** Where the supervisor's report goes when it was started in the background. */
export const REPORT_FD = 3;

/** The one line that a background supervisor writes to whoever started it. */
export type SupervisorReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number };

export type DaemonToSupervisor =
  /** The store is open and whole; now it may be mounted. */
  | { readonly kind: 'opened' }
  /** The kernel's INIT has been answered. */
  | { readonly kind: 'ready' }
  /** Somebody wants the daemon to stop; unmounting is the supervisor's. */
  | { readonly kind: 'stopWanted' }
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number };

export type SupervisorToDaemon =
  /** The descriptor belongs to a mount from now on. */
  | { readonly kind: 'mounted' }
  /** Unmounted or detached: answer what is there, make everything durable, end. */
  | { readonly kind: 'stop' };

/** `workerData` of the control thread. */
export interface ControlSetup {
  readonly store: string;
  readonly storeId: string;
  readonly fuseFd: number;
  /** An eventfd that whoever posts to this thread writes to. */
  readonly wakeFd: number;
  readonly volumes: readonly VolumeRow[];
  readonly storeOptions: StoreOptions;
  readonly mountOptions: MountOptions;
  readonly mainPort: MessagePort;
  readonly workerPorts: readonly MessagePort[];
}

export type MainToControl =
  | { readonly kind: 'mounted' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'query'; readonly id: number; readonly query: Query };

export type Query =
  | { readonly kind: 'status' }
  | { readonly kind: 'inode'; readonly ino: number }
  | { readonly kind: 'sync'; readonly packed: boolean };

export type ControlToMain =
  | { readonly kind: 'opened' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  /** Everything is durable and closed (or, with a message, it is not). */
  | { readonly kind: 'ended'; readonly exitCode: number };

export type Answer =
  | { readonly kind: 'value'; readonly value: unknown }
  /** `errno` is the name, as in ENOENT. */
  | { readonly kind: 'error'; readonly errno: string };

/** `workerData` of a worker thread. */
export interface WorkerSetup {
  readonly index: number;
  readonly wakeFd: number;
  readonly controlPort: MessagePort;
}
