/** What the operation core and the two kernel bindings say to each other: inodes, never paths. */
import type { CompareJob } from '../aggregate/compare.ts';
import type { OwnBatch, OwnsMade } from '../aggregate/own_pool.ts';
import type { PackJob, PackResult } from '../aggregate/pack.ts';
import type { PunchJob } from '../aggregate/punch.ts';
import type { Residents, ResidentsJob } from '../aggregate/residents.ts';
import type { ByteRange, FlushTarget } from '../base/backing.ts';
import type { Result } from '../base/errno.ts';
import type { VolumeRow } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import type { Ino } from '../base/units.ts';
import type { CheckpointOutcome } from '../shard/store.ts';
import type { CompletedRequest, KernelRequest } from './requests.ts';

/** Who asks, as the kernel tells. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** stat(2), and btime of statx(2). */
export interface Attributes {
  readonly ino: Ino;
  readonly size: number;
  /** 512-byte blocks. */
  readonly blocks: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  readonly btime: Timespec;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

export interface AttributesReply {
  readonly attributes: Attributes;
  /** How long the kernel may keep them. */
  readonly validSec: number;
}

/** Answer to LOOKUP and to whatever makes a name. */
export interface Entry extends AttributesReply {
  readonly generation: number;
  readonly entryValidSec: number;
}

/** What SETATTR changes: only the fields that are there. 'now' is the daemon's clock. */
export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly atime?: Timespec | 'now';
  readonly mtime?: Timespec | 'now';
  readonly ctime?: Timespec;
  /** FATTR_KILL_SUIDGID, or SETATTR with an empty mask: drop setuid and setgid bits. */
  readonly killPrivileges?: boolean;
}

/** Options of mknod, mkdir, create and tmpfile. */
export interface NewNode {
  /** Type and permission bits as the caller gave them, umask not yet applied. */
  readonly mode: number;
  readonly umask: number;
  /** Devices only. */
  readonly rdev?: number;
}

export interface OpenReply {
  /** File handle: carries no state but the inode and the open flags. */
  readonly handle: number;
  /** FOPEN_* bits of the protocol. */
  readonly openFlags: number;
  /** With FOPEN_PASSTHROUGH: what the backing file is registered as. */
  readonly backingId?: number;
}

/** Answer to CREATE and TMPFILE. */
export interface CreateReply {
  readonly entry: Entry;
  readonly open: OpenReply;
}

export interface ReadRequest {
  readonly ino: Ino;
  readonly handle: number;
  readonly offset: number;
}

/** A READ whose answer may be given by another thread, straight to the device. */
export interface ReadTicket {
  /** The request's number as the kernel has it, in halves. */
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  /** Serves it on this thread after all; between requests only. */
  readonly answerHere: () => void;
}

/** What `read` returns when the answer is given by somebody else: no count, and no errno. */
export const ANSWERED_ELSEWHERE = Number.NEGATIVE_INFINITY;

export interface WriteRequest extends ReadRequest {
  /** FUSE_WRITE_KILL_SUIDGID. */
  readonly killPrivileges: boolean;
  /** FUSE_WRITE_CACHE: written back from the page cache, after the fact. */
  readonly fromCache: boolean;
}

export interface DirectoryRequest {
  readonly ino: Ino;
  /** Position of the entry after which to go on; 0 = from the start. */
  readonly cookie: number;
}

/** One entry of a listing as it is handed to the binding. */
export interface ListedEntry {
  readonly name: Uint8Array;
  readonly ino: Ino;
  /** DT_* */
  readonly type: number;
  /** Cookie of this entry: a listing that goes on after it passes this. */
  readonly cookie: number;
  /** Made only when asked for (READDIRPLUS); undefined for `.` and `..`. */
  readonly entry: Entry | undefined;
}

export interface FilesystemStatistics {
  readonly blockSize: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameMax: number;
}

/** An answer that comes later; the binding replies when it is settled, and serves other requests meanwhile. */
export class Deferred<T> {
  /** A holder, because success may be `undefined`. */
  #settled: { readonly result: Result<T> } | undefined;
  #listener: ((result: Result<T>) => void) | undefined;

  settle(result: Result<T>): void {
    if (this.#listener !== undefined) this.#listener(result);
    else this.#settled = { result };
  }

  whenSettled(listener: (result: Result<T>) => void): void {
    if (this.#settled !== undefined) listener(this.#settled.result);
    else this.#listener = listener;
  }
}

/** A request's bytes, which may outlive it. */
export interface Loan {
  /**
   * From here on they stay as they are until what this returns is called, and other threads may read them. Undefined when
   * too many are kept already. Whoever keeps them answers later.
   */
  keep(): (() => void) | undefined;
}

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

export const FOPEN_DIRECT_IO = 1;
export const FOPEN_KEEP_CACHE = 2;
export const FOPEN_NONSEEKABLE = 4;
export const FOPEN_CACHE_DIR = 8;
export const FOPEN_STREAM = 16;
export const FOPEN_NOFLUSH = 32;
export const FOPEN_PARALLEL_DIRECT_WRITES = 64;
export const FOPEN_PASSTHROUGH = 128;

/**
 * Every operation that a binding may ask for. All of them are synchronous, but those that may return a `Deferred`.
 * Byte counts are negative for -errno.
 */
export interface Operations {
  /**
   * Which request the next calls serve, before one that must be carried out once; undefined before any other. A binding
   * whose requests are never sent again need not call it.
   */
  serve?(request: KernelRequest | undefined): void;
  /** What became of a request that is sent again; undefined when it was not executed, as far as it matters. */
  executed?(unique: bigint): CompletedRequest | undefined;
  /** The reply of OPEN, CREATE or TMPFILE has been written, or RELEASE's: the open table may go on. */
  openAnswered?(ino: Ino): void;
  releaseAnswered?(ino: Ino, handle: number): void;
  lookup(caller: Caller, parent: Ino, name: Uint8Array): Result<Entry>;
  /** The kernel has dropped the inode from its memory. */
  forget(ino: Ino): void;
  getAttributes(ino: Ino): Result<AttributesReply>;
  setAttributes(caller: Caller, ino: Ino, changes: AttributeChanges): Result<AttributesReply>;
  readLink(ino: Ino): Result<Uint8Array>;
  makeNode(caller: Caller, at: { parent: Ino; name: Uint8Array }, node: NewNode): Result<Entry>;
  makeDirectory(caller: Caller, at: { parent: Ino; name: Uint8Array }, node: NewNode): Result<Entry>;
  makeSymlink(caller: Caller, at: { parent: Ino; name: Uint8Array }, target: Uint8Array): Result<Entry>;
  makeLink(caller: Caller, ino: Ino, at: { parent: Ino; name: Uint8Array }): Result<Entry>;
  unlink(caller: Caller, parent: Ino, name: Uint8Array): Result<void>;
  removeDirectory(caller: Caller, parent: Ino, name: Uint8Array): Result<void>;
  rename(
    caller: Caller,
    from: { parent: Ino; name: Uint8Array },
    to: { parent: Ino; name: Uint8Array; flags: number },
  ): Result<void> | Deferred<void>;
  /** `flags` are open(2)'s, without O_CREAT and O_EXCL. */
  open(caller: Caller, ino: Ino, flags: number): Result<OpenReply> | Deferred<OpenReply>;
  create(
    caller: Caller,
    at: { parent: Ino; name: Uint8Array; flags: number },
    node: NewNode,
  ): Result<CreateReply> | Deferred<CreateReply>;
  /** O_TMPFILE. */
  createUnnamed(
    caller: Caller,
    at: { parent: Ino; flags: number },
    node: NewNode,
  ): Result<CreateReply> | Deferred<CreateReply>;
  /**
   * Fills `into` from its start; the number of bytes read, fewer only at the end of the file. With a ticket the answer may
   * be given by somebody else: ANSWERED_ELSEWHERE.
   */
  read(request: ReadRequest, into: Uint8Array, ticket?: ReadTicket): number;
  /** `from` is valid until this returns, put off or not, unless it is kept by the loan. */
  write(request: WriteRequest, from: Uint8Array, loan?: Loan): number | Deferred<number>;
  release(ino: Ino, handle: number): void;
  flushFile(ino: Ino, options: { dataOnly: boolean }): Result<void> | Deferred<void>;
  flushDirectory(ino: Ino): Result<void> | Deferred<void>;
  openDirectory(caller: Caller, ino: Ino): Result<OpenReply>;
  releaseDirectory(ino: Ino, handle: number): void;
  /** Calls `take` for entry after entry until it returns false (the entry was not taken) or the end is reached. */
  listDirectory(
    request: DirectoryRequest & { readonly plus: boolean },
    take: (entry: ListedEntry) => boolean,
  ): Result<void>;
  statistics(): Result<FilesystemStatistics>;
  setXattr(
    caller: Caller,
    ino: Ino,
    change: { name: Uint8Array; value: Uint8Array; flags: number; killSetgid: boolean },
  ): Result<void>;
  getXattr(caller: Caller, ino: Ino, name: Uint8Array): Result<Uint8Array>;
  /** Names, each followed by NUL. */
  listXattrs(caller: Caller, ino: Ino): Result<Uint8Array>;
  removeXattr(caller: Caller, ino: Ino, name: Uint8Array): Result<void>;
  allocate(request: ReadRequest, range: { mode: number; length: number }): Result<void>;
  /** SEEK_DATA (3) or SEEK_HOLE (4): the offset found, or -errno. */
  seek(request: ReadRequest, whence: number): number;
  copyRange(from: ReadRequest, to: ReadRequest, options: { length: number; flags: number }): number;
}

/** What the core asks of worker threads, and what they answer; see `workerDone`. */
export type WorkerJob =
  /** `isUrgent`: an fsync or a rename waits for it. */
  | { readonly kind: 'pack'; readonly job: PackJob; readonly isUrgent: boolean }
  | { readonly kind: 'punch'; readonly id: number; readonly punches: readonly PunchJob[] }
  /** `isLong`: it may take seconds, and no short one may wait behind it. */
  | { readonly kind: 'flush'; readonly id: number; readonly targets: readonly FlushTarget[]; readonly isLong: boolean }
  /** Writes the dirty pages of a part of a file to the disk, without making anything durable. */
  | { readonly kind: 'writeBack'; readonly id: number; readonly target: FlushTarget; readonly range: ByteRange }
  /** Writes bytes, in memory that threads share, into an own file. */
  | {
      readonly kind: 'write';
      readonly id: number;
      readonly target: FlushTarget;
      readonly bytes: Uint8Array;
      readonly offset: number;
    }
  | { readonly kind: 'compare'; readonly id: number; readonly job: CompareJob }
  /** Removes own files by their paths. Nothing names them any more, durably, so it may happen at any time, or never. */
  | { readonly kind: 'unlink'; readonly id: number; readonly paths: readonly string[] }
  /** Makes own files ahead of their use. */
  | { readonly kind: 'own'; readonly id: number; readonly batch: OwnBatch }
  /** Moves the log of a database into it. */
  | { readonly kind: 'checkpoint'; readonly id: number; readonly path: string }
  /** Lists who may have bytes in an aggregate. */
  | { readonly kind: 'residents'; readonly job: ResidentsJob }
  /** Lists the own files of one start. */
  | { readonly kind: 'list'; readonly volume: VolumeRow; readonly start: number };

export type WorkerDone =
  | { readonly kind: 'pack'; readonly result: PackResult }
  | { readonly kind: 'punch'; readonly id: number }
  /** 0 or -errno for each target. */
  | { readonly kind: 'flush'; readonly id: number; readonly outcomes: readonly number[] }
  | { readonly kind: 'writeBack'; readonly id: number; readonly outcome: number }
  /** As `compareContents`. */
  | { readonly kind: 'compare'; readonly id: number; readonly outcome: number }
  /** The bytes written (all of them), or -errno. */
  | { readonly kind: 'write'; readonly id: number; readonly outcome: number }
  /** 0 or -errno for each path. */
  | { readonly kind: 'unlink'; readonly id: number; readonly outcomes: readonly number[] }
  | { readonly kind: 'own'; readonly id: number; readonly result: OwnsMade }
  | { readonly kind: 'checkpoint'; readonly id: number; readonly outcome: CheckpointOutcome }
  | { readonly kind: 'residents'; readonly residents: Residents }
  | { readonly kind: 'list'; readonly numbers: Float64Array };

/** Kinds of jobs that can be waited for. */
export type AwaitedKind = 'pack' | 'flush' | 'unlink' | 'write' | 'checkpoint' | 'punch' | 'own';

export interface WorkerJobs {
  post(job: WorkerJob): void;
  /** Waits for a job that was posted and not reported, whose answer `workerDone` then does not get; others keep theirs. */
  await<K extends AwaitedKind>(kind: K, id: number): Extract<WorkerDone, { readonly kind: K }>;
}
