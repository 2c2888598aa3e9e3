/** What the program's processes and threads say to each other; plain data, as structured clones and JSON carry it. */
import type { MessagePort } from 'node:worker_threads';
import type { SegmentMemory } from '../aggregate/segments.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { Negotiated } from '../fs/kernel/init.ts';
import type { RingMemory } from '../fs/reads/ring.ts';
import type { StoreOptions } from './config.ts';
import type { MigrationQuery } from './migrations.ts';
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
  /** Folders besides the metadata folder that the journal is written to. */
  readonly journals: readonly string[];
  readonly storeOptions: StoreOptions;
  readonly options: MountOptions;
  /** Take over the lock of another machine. */
  readonly force: boolean;
  readonly foreground: boolean;
}

/** The daemon's. It loads its modules and waits for a Service. */
export interface DaemonRequest extends MountRequest {
  readonly supervisorPid: number;
}

/** What a daemon is to serve, told when its time comes. */
export interface Service {
  /** Path of the file that says which inodes are open; it is the supervisor's and lives as long as the mount. */
  readonly openTable: string;
  /** Undefined for the first daemon of a mount. */
  readonly takeover: Takeover | undefined;
}

/** What a daemon has to know of its predecessors on a live mount. */
export interface Takeover {
  /** What the first of them agreed with the kernel: there is no second INIT. */
  readonly negotiated: Negotiated;
  /** Daemons of this mount that have died. */
  readonly restarts: number;
  /** How the last of them ended, and when: ISO 8601. */
  readonly reason: string;
  readonly time: string;
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
  /** The kernel's INIT has been answered, or the mount taken over: it answers from now on. */
  | { readonly kind: 'ready'; readonly negotiated: Negotiated }
  /** The kernel shall drop a name, see notifier.ts: the notification, in base64. */
  | { readonly kind: 'notify'; readonly message: string }
  /** Somebody wants the daemon to stop; unmounting is the supervisor's. */
  | { readonly kind: 'stopWanted' }
  /** It cannot serve, and no other could. */
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number }
  /** It ends in order; whoever ends without this has died. */
  | { readonly kind: 'ended'; readonly exitCode: number };

export type SupervisorToDaemon =
  /** Once, before all others. */
  | { readonly kind: 'begin'; readonly service: Service }
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
  readonly journals: readonly string[];
  readonly storeOptions: StoreOptions;
  readonly mountOptions: MountOptions;
  readonly mainPort: MessagePort;
  readonly workerPorts: readonly MessagePort[];
  readonly readMemory: ReadMemory;
}

/** What the control thread shares with reader threads. */
export interface ReadMemory {
  /** One for each of them. */
  readonly rings: readonly RingMemory[];
  readonly segments: SegmentMemory;
}

export type MainToControl =
  | { readonly kind: 'begin'; readonly service: Service }
  | { readonly kind: 'mounted' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'query'; readonly id: number; readonly query: Query };

export type Query =
  | { readonly kind: 'status' }
  | { readonly kind: 'inode'; readonly ino: number }
  | { readonly kind: 'sync'; readonly packed: boolean }
  /** A backup is complete that has everything below this LSN. */
  | { readonly kind: 'backup'; readonly lsn: number }
  /** Shards, their slots, and what is on its way between them. */
  | { readonly kind: 'shards' }
  /** Databases of so many further shards have been made. */
  | { readonly kind: 'addShards'; readonly count: number }
  /** What compaction has done, and is doing; `begin`: a pass over everything is wanted. */
  | { readonly kind: 'compaction'; readonly begin: boolean }
  /** Files on their way between volumes. */
  | { readonly kind: 'migrations'; readonly query: MigrationQuery }
  /** For tests: the thread throws. */
  | { readonly kind: 'crash' };

export type ControlToMain =
  | { readonly kind: 'opened' }
  | { readonly kind: 'ready'; readonly negotiated: Negotiated }
  | { readonly kind: 'failed'; readonly message: string; readonly exitCode: number }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'notify'; readonly message: string }
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

/** `workerData` of a reader thread. */
export interface ReaderSetup {
  readonly index: number;
  readonly wakeFd: number;
  readonly ring: RingMemory;
  readonly segments: SegmentMemory;
  /** Milliseconds by which a test has it wait for the disk each time. */
  readonly delayMs: number;
}

/** `workerData` of the thread that refuses what nobody serves any more. */
export interface RefuserSetup {
  readonly fuseFd: number;
  /** Bytes of the largest WRITE. */
  readonly maxWrite: number;
  /** One element, shared; not 0 = end. */
  readonly isStopping: Int32Array;
}

/** Set in the environment of `pacsfs mount`, it gives the admin interface `POST /crash`: see TEST_THREADS. */
export const TEST_HOOKS = 'PACSFS_TEST_HOOKS';
/** Beside it: milliseconds by which each read of a volume is delayed, as if its disk were slow. */
export const TEST_READ_DELAY = 'PACSFS_TEST_READ_DELAY';
/** Threads that a test can have crash. */
export const TEST_THREADS = ['main', 'control', 'worker'] as const;
export type TestThread = (typeof TEST_THREADS)[number];
