/**
 * One request and its reply at a time, in two buffers that are allocated and touched once (a device read into an absent
 * page would end the client's request with EIO). Both are placed so that the data of a WRITE and of a READ lie at a page
 * border, as O_DIRECT wants. A WRITE may keep its buffer while another thread works with it: a few others take its place.
 *
 * fuse_in_header:  len 0, opcode 4, unique 8, nodeid 16, uid 24, gid 28, pid 32, total_extlen u16 36 (in 8 bytes)
 * fuse_out_header: len 0, error i32 4, unique 8
 */
import { unreachable } from '../../base/assert.ts';
import { getU53, viewOf } from '../../base/bytes.ts';
import { Durations } from '../../base/durations.ts';
import { type Errno, isErrno, type Result } from '../../base/errno.ts';
import { alignedBuffer, sharedBuffer } from '../../base/libc.ts';
import type { Log } from '../../base/log.ts';
import type { Ino } from '../../base/units.ts';
import { type Caller, Deferred, type Loan, type Operations, type ReadRequest, type ReadTicket } from '../types.ts';
import type { Negotiated, NegotiationOptions } from './init.ts';
import {
  BODY,
  ERRNO_LIMIT,
  entryOutBytes,
  InitFlag,
  inHeaderBytes,
  MAX_IO_BYTES,
  MAX_REQUEST_OVERHEAD_BYTES,
  OPCODE_LIMIT,
  openOutBytes,
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
const REPLY_START = PAGE_BYTES - outHeaderBytes;
/** Buffers for requests; all but one of them may be kept at a time. */
const REQUEST_BUFFERS = 4;

/** Bit 63 of a request's number, in its upper half. */
const RESENT = 2 ** 31;
const UNIQUE_MASK = 2n ** 63n - 1n;
/** The longest payload of a reply that may come later: CREATE's. */
const LATER_PAYLOAD_BYTES = entryOutBytes + openOutBytes;

/** Where a handler puts the payload of its reply. */
export interface ReplyPlace {
  readonly view: DataView;
  /** Called once the reply has been written: whether the kernel took it. */
  whenSent(act: (wasTaken: boolean) => void): void;
}

export class Exchange {
  readonly operations: Operations;
  readonly log: Log;
  readonly options: BindingOptions;
  /** The whole message; valid until the next one. */
  request: Uint8Array;
  requestView: DataView;
  /** Buffers that are neither kept nor in use; they are made when they are first wanted. */
  readonly #free: Uint8Array[] = [];
  #buffers = 1;
  /** The request's number as the kernel has it, in halves. */
  #uniqueLow = 0;
  #uniqueHigh = 0;
  readonly loan: Loan = { keep: () => this.#keep() };
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
  /** It was sent before, to a daemon that ended before it was answered. */
  isResent = false;
  /** Replies that an operation has put off. */
  deferredReplies = 0;
  /** From their reading to their reply. */
  readonly puttingOff = new Durations();
  #whenSent: ((wasTaken: boolean) => void) | undefined;
  readonly #here: ReplyPlace;

  constructor(given: ExchangeArguments) {
    this.operations = given.operations;
    this.log = given.log;
    this.options = given.options;
    this.#transmit = given.transmit;
    this.negotiated = given.options.negotiated;
    const arena = alignedBuffer(REPLY_START + REPLY_BYTES, PAGE_BYTES);
    this.request = requestBuffer();
    this.requestView = viewOf(this.request);
    this.reply = arena.subarray(REPLY_START, REPLY_START + REPLY_BYTES);
    this.replyView = viewOf(this.reply);
    this.payload = this.reply.subarray(PAYLOAD);
    this.#here = {
      view: this.replyView,
      whenSent: (act) => {
        this.#whenSent = act;
      },
    };
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

  /** The request's number without the mark of one sent again. */
  get unique(): bigint {
    return this.requestView.getBigUint64(8, true) & UNIQUE_MASK;
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
    this.#uniqueLow = view.getUint32(8, true);
    this.#uniqueHigh = view.getUint32(12, true);
    this.isResent = this.#uniqueHigh >= RESENT;
    this.end = received - view.getUint16(36, true) * 8;
    this.#whenSent = undefined;
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
    writeHeader(view, {
      length,
      error: Math.min(0, outcome),
      unique: { low: this.#uniqueLow, high: this.#uniqueHigh },
    });
    return length;
  }

  /** See `ReplyPlace`: for the reply that is made at once. */
  whenSent(act: (wasTaken: boolean) => void): void {
    this.#whenSent = act;
  }

  /** The reply has been written. */
  sent(wasTaken: boolean): void {
    const act = this.#whenSent;
    this.#whenSent = undefined;
    act?.(wasTaken);
  }

  /** Sends a notification; only kinds that wait for no request (see notifications.ts). */
  notify(message: Uint8Array): void {
    this.#transmit(message);
  }

  /**
   * The outcome of an operation that may answer later. `encode` writes a success at PAYLOAD of the place that it is given
   * and returns its length (or -errno); a late one goes into a buffer of its own, the request's bytes are gone by then.
   */
  answer<T>(result: Result<T> | Deferred<T>, encode: (place: ReplyPlace, value: T) => number): number {
    if (!(result instanceof Deferred)) return isErrno(result) ? fail(result) : encode(this.#here, result);
    const unique = { low: this.#uniqueLow, high: this.#uniqueHigh };
    this.deferredReplies += 1;
    const beganMs = performance.now();
    result.whenSettled((settled) => {
      this.deferredReplies -= 1;
      this.#answerLater(unique, settled, encode);
      this.puttingOff.record(performance.now() - beganMs);
    });
    return NO_REPLY;
  }

  /** For a READ of `size` bytes; who did not answer it elsewhere has it served here, when the reply's buffer is free. */
  readTicket(request: ReadRequest, size: number): ReadTicket {
    const unique = { low: this.#uniqueLow, high: this.#uniqueHigh };
    const answerHere = () => {
      const count = this.operations.read(request, this.payload.subarray(0, size));
      const length = PAYLOAD + Math.max(0, count);
      writeHeader(this.replyView, { length, error: Math.min(0, count), unique });
      this.#transmit(this.reply.subarray(0, length));
    };
    return { uniqueLow: unique.low, uniqueHigh: unique.high, answerHere };
  }

  /** The next request goes into another buffer. */
  #keep(): (() => void) | undefined {
    const kept = this.request;
    let next = this.#free.pop();
    if (next === undefined) {
      if (this.#buffers === REQUEST_BUFFERS) return undefined;
      this.#buffers += 1;
      next = requestBuffer();
    }
    this.request = next;
    this.requestView = viewOf(next);
    return () => void this.#free.push(kept);
  }

  #answerLater<T>(unique: Unique, settled: Result<T>, encode: (place: ReplyPlace, value: T) => number): void {
    const reply = new Uint8Array(PAYLOAD + LATER_PAYLOAD_BYTES);
    const view = viewOf(reply);
    let whenSent: ((wasTaken: boolean) => void) | undefined;
    const place: ReplyPlace = {
      view,
      whenSent: (act) => {
        whenSent = act;
      },
    };
    const outcome = isErrno(settled) ? fail(settled) : encode(place, settled);
    const length = PAYLOAD + Math.max(0, outcome);
    writeHeader(view, { length, error: Math.min(0, outcome), unique });
    const wasTaken = this.#transmit(reply.subarray(0, length)) >= 0;
    whenSent?.(wasTaken);
  }
}

/** A request's number, in halves. */
interface Unique {
  readonly low: number;
  readonly high: number;
}

function writeHeader(view: DataView, header: { length: number; error: number; unique: Unique }): void {
  view.setUint32(0, header.length, true);
  view.setInt32(4, header.error, true);
  view.setUint32(8, header.unique.low, true);
  view.setUint32(12, header.unique.high, true);
}

function requestBuffer(): Uint8Array {
  return sharedBuffer(REQUEST_START + REQUEST_BYTES, PAGE_BYTES).subarray(REQUEST_START);
}

/** A handler's outcome for an error. */
export function fail(errno: Errno): number {
  return -errno.number;
}
