/**
 * One request and its reply at a time, in two buffers that are allocated and touched once (a device read into an absent
 * page would end the client's request with EIO). Both are placed so that the data of a WRITE and of a READ lie at a page
 * border, as O_DIRECT wants.
 *
 * fuse_in_header:  len 0, opcode 4, unique 8, nodeid 16, uid 24, gid 28, pid 32, total_extlen u16 36 (in 8 bytes)
 * fuse_out_header: len 0, error i32 4, unique 8
 */
import { unreachable } from '../../base/assert.ts';
import { getU53, viewOf } from '../../base/bytes.ts';
import { type Errno, isErrno, type Result } from '../../base/errno.ts';
import { alignedBuffer } from '../../base/libc.ts';
import type { Log } from '../../base/log.ts';
import type { Ino } from '../../base/units.ts';
import { type Caller, Deferred, type Operations } from '../types.ts';
import type { Negotiated, NegotiationOptions } from './init.ts';
import {
  BODY,
  ERRNO_LIMIT,
  InitFlag,
  inHeaderBytes,
  MAX_IO_BYTES,
  MAX_REQUEST_OVERHEAD_BYTES,
  OPCODE_LIMIT,
  outHeaderBytes,
  PAYLOAD,
  writeInBytes,
} from './protocol.ts';

export interface BindingOptions extends NegotiationOptions {
  /** Answer EROFS to whatever changes something, beside the kernel's own check of the mount. */
  readonly readOnly?: boolean;
  /** How long the kernel may remember that a name does not exist; 0, the default: not at all. */
  readonly negativeEntrySec?: number;
  /** What the predecessor of this daemon agreed with the kernel on a mount that is taken over. */
  readonly negotiated?: Negotiated | undefined;
}

export interface ExchangeArguments {
  readonly operations: Operations;
  readonly log: Log;
  readonly options: BindingOptions;
  /** Writes one reply to the device; the bytes written or -errno. */
  readonly transmit: (reply: Uint8Array) => number;
}

/** What a handler returns when there is no reply, or a later one. */
export const NO_REPLY = Number.NEGATIVE_INFINITY;

const PAGE_BYTES = 4096;
const REQUEST_BYTES = MAX_IO_BYTES + MAX_REQUEST_OVERHEAD_BYTES;
const REPLY_BYTES = outHeaderBytes + MAX_IO_BYTES;
const REQUEST_START = PAGE_BYTES - inHeaderBytes - writeInBytes;
const REPLY_START = REQUEST_BYTES + 2 * PAGE_BYTES - outHeaderBytes;

/** An open that its reply did not bring to the kernel, and that nobody else will release. */
interface Opened {
  readonly ino: Ino;
  readonly handle: number;
  readonly directory: boolean;
}

export class Exchange {
  readonly operations: Operations;
  readonly log: Log;
  readonly options: BindingOptions;
  /** The whole message; valid until the next one. */
  readonly request: Uint8Array;
  readonly requestView: DataView;
  /** Header and payload. */
  readonly reply: Uint8Array;
  readonly replyView: DataView;
  /** Where the payload goes. */
  readonly payload: Uint8Array;
  readonly #transmit: (reply: Uint8Array) => number;

  negotiated: Negotiated | undefined;
  opcode = 0;
  /** The inode that the request is about; NaN when the field holds what no inode has. */
  node = Number.NaN;
  /** Where the request ends, extensions left out. */
  end = 0;
  /** Replies that an operation has put off. */
  deferredReplies = 0;
  #opened: Opened | undefined;

  constructor(given: ExchangeArguments) {
    this.operations = given.operations;
    this.log = given.log;
    this.options = given.options;
    this.#transmit = given.transmit;
    this.negotiated = given.options.negotiated;
    const arena = alignedBuffer(REPLY_START + REPLY_BYTES, PAGE_BYTES);
    this.request = arena.subarray(REQUEST_START, REQUEST_START + REQUEST_BYTES);
    this.requestView = viewOf(this.request);
    this.reply = arena.subarray(REPLY_START, REPLY_START + REPLY_BYTES);
    this.replyView = viewOf(this.reply);
    this.payload = this.reply.subarray(PAYLOAD);
  }

  get ino(): Ino {
    return this.node as Ino;
  }

  get caller(): Caller {
    return {
      uid: this.requestView.getUint32(24, true),
      gid: this.requestView.getUint32(28, true),
      pid: this.requestView.getUint32(32, true),
    };
  }

  get hasExtendedSetxattr(): boolean {
    return this.negotiated !== undefined && (this.negotiated.flags & InitFlag.SETXATTR_EXT) !== 0;
  }

  /** Reads the header of a message of `received` bytes (at least a header's); false when its lengths are wrong. */
  begin(received: number): boolean {
    const view = this.requestView;
    const opcode = view.getUint32(4, true);
    this.opcode = opcode < OPCODE_LIMIT ? opcode : 0;
    this.node = getU53(view, 16);
    this.end = received - view.getUint16(36, true) * 8;
    this.#opened = undefined;
    return view.getUint32(0, true) === received && this.end >= BODY;
  }

  /** Writes the reply's header for a handler's outcome and returns the reply's length; 0 when there is none. */
  finish(outcome: number): number {
    if (outcome === NO_REPLY) return 0;
    const length = PAYLOAD + Math.max(0, outcome);
    const view = this.replyView;
    if (!(outcome > -ERRNO_LIMIT && length <= this.reply.length)) {
      unreachable(`outcome ${outcome} of opcode ${this.opcode}, expected an errno or a length`);
    }
    view.setUint32(0, length, true);
    view.setInt32(4, Math.min(0, outcome), true);
    view.setUint32(8, this.requestView.getUint32(8, true), true);
    view.setUint32(12, this.requestView.getUint32(12, true), true);
    return length;
  }

  /** Remembers what to release should the reply of this open not arrive. */
  opened(open: Opened): void {
    this.#opened = open;
  }

  /** The kernel did not take the reply: an open that it does not know of will never be released by it. */
  undo(): void {
    const open = this.#opened;
    if (open === undefined) return;
    this.#opened = undefined;
    if (open.directory) this.operations.releaseDirectory(open.ino, open.handle);
    else this.operations.release(open.ino, open.handle);
  }

  /** Sends a notification; only kinds that wait for no request (see notifications.ts). */
  notify(message: Uint8Array): void {
    this.#transmit(message);
  }

  /** The outcome of an operation that may answer later; the reply is sent when it does. */
  settle(result: Result<void> | Deferred<void>): number {
    if (!(result instanceof Deferred)) return isErrno(result) ? -result.number : 0;
    const reply = new Uint8Array(outHeaderBytes);
    const view = viewOf(reply);
    view.setUint32(0, outHeaderBytes, true);
    reply.set(this.request.subarray(8, 16), 8);
    this.deferredReplies += 1;
    result.whenSettled((settled) => {
      this.deferredReplies -= 1;
      view.setInt32(4, isErrno(settled) ? -settled.number : 0, true);
      this.#transmit(reply);
    });
    return NO_REPLY;
  }
}

/** A handler's outcome for an error. */
export function fail(errno: Errno): number {
  return -errno.number;
}
