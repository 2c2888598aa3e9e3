/** The conversation with the kernel over one /dev/fuse descriptor: read a message, have it served, write the reply. */
import { assert } from '../../base/assert.ts';
import { Durations } from '../../base/durations.ts';
import { E, errnoOf } from '../../base/errno.ts';
import { read, write } from '../../base/libc.ts';
import type { Log } from '../../base/log.ts';
import type { Ino } from '../../base/units.ts';
import type { Operations } from '../types.ts';
import { dispatch } from './dispatch.ts';
import { type BindingOptions, Exchange } from './exchange.ts';
import type { Negotiated } from './init.ts';
import { invalidateAttributes, resendRequests } from './notifications.ts';
import { OPCODE_TABLE } from './opcode_table.ts';
import { inHeaderBytes, OPCODE_LIMIT, outHeaderBytes } from './protocol.ts';

/** What the session reads from and writes to: bytes moved, or -errno. Never waits. */
export interface Device {
  read(into: Uint8Array): number;
  write(message: Uint8Array): number;
}

export interface SessionArguments {
  /** /dev/fuse, opened O_NONBLOCK and mounted; it stays the caller's. */
  readonly fd: number;
  /** Stands in for the descriptor. */
  readonly device?: Device;
  readonly operations: Operations;
  readonly log: Log;
  readonly options?: BindingOptions;
}

/**
 * `idle`: no request waits. `busy`: the budget was used up, more may wait. `unmounted`: the mount is gone, for good.
 */
export type Served = 'idle' | 'busy' | 'unmounted';

/** So many failed reads of the device without one good in between are a bug, not bad luck. */
const READ_FAILURES_MAX = 64;
/** Requests between two looks at what else is to be done, and bytes of a message from which it waits for one. */
const BETWEEN_REQUESTS = 4;
const LARGE_BYTES = 131_072;
/** Fewer than the requests that the journal remembers as carried out (1,024). */
const UNANSWERED_MAX = 1_000;
/** Not among the errors that the rest of the code knows. */
const ECONNABORTED = 103;

export class Session {
  /** Requests by opcode; 0 counts those of unknown opcodes. */
  readonly counts = new Float64Array(OPCODE_LIMIT);
  /** From reading a request until its reply has been written, or it is put off: all that time it has this thread. */
  readonly serving = new Durations();
  readonly #device: Device;
  readonly #log: Log;
  readonly #exchange: Exchange;
  #unmounted = false;
  #readFailures = 0;
  #served = 0;

  constructor(given: SessionArguments) {
    const { fd } = given;
    this.#device = given.device ?? { read: (into) => read(fd, into), write: (message) => write(fd, message) };
    this.#log = given.log;
    this.#exchange = new Exchange({
      operations: given.operations,
      log: given.log,
      options: given.options ?? {},
      transmit: (reply) => this.#transmit(reply),
    });
  }

  /** What was agreed with the kernel; undefined before its INIT. */
  get negotiated(): Negotiated | undefined {
    return this.#exchange.negotiated;
  }

  /** From reading a request that was put off until its reply was written: most of them wait for a disk. */
  get puttingOff(): Durations {
    return this.#exchange.puttingOff;
  }

  /** Requests whose answer an operation has put off. */
  get deferredReplies(): number {
    return this.#exchange.deferredReplies;
  }

  /** True while so many requests are carried out and not answered that no more may be: a successor knows only the last ones. */
  get isFull(): boolean {
    return this.#exchange.deferredReplies >= UNANSWERED_MAX;
  }

  /** Requests read so far. */
  get served(): number {
    return this.#served;
  }

  /** Requests by opcode name; those that never came are left out. */
  countsByName(): Record<string, number> {
    const named: Record<string, number> = {};
    this.counts.forEach((count, opcode) => {
      if (count > 0) named[OPCODE_TABLE[opcode]?.name ?? (opcode === 0 ? 'UNKNOWN' : `OPCODE_${opcode}`)] = count;
    });
    return named;
  }

  /**
   * Reads and answers up to `budget` requests, and never waits for one. `between` is called every few requests and before
   * each large one, which may take as long as many others: it may send replies, and serve no request.
   */
  serve(budget: number, between?: (isLarge: boolean) => void): Served {
    const exchange = this.#exchange;
    for (let left = budget; left > 0 && !this.#unmounted; left -= 1) {
      if (this.isFull) return 'idle';
      const received = this.#device.read(exchange.request);
      if (received < 0) {
        if (received === -E.EAGAIN.number) return 'idle';
        this.#readFailed(-received);
        continue;
      }
      this.#readFailures = 0;
      const beganMs = performance.now();
      if (received < inHeaderBytes) {
        this.#log.error({ received }, 'Dropped a message from the kernel that is shorter than its header');
        continue;
      }
      const isLarge = received >= LARGE_BYTES;
      if (isLarge || left % BETWEEN_REQUESTS === 0) between?.(isLarge);
      const length = dispatch(exchange, received);
      this.counts[exchange.opcode] = (this.counts[exchange.opcode] ?? 0) + 1;
      this.#served += 1;
      if (length > 0) this.#reply(length);
      this.serving.record(performance.now() - beganMs);
    }
    return this.#unmounted ? 'unmounted' : 'busy';
  }

  /** Has the kernel forget an inode's attributes, and nothing else. */
  invalidateAttributes(node: Ino): void {
    this.#transmit(invalidateAttributes(node));
  }

  /** After taking over a live mount: has every request that the predecessor left unanswered come again. */
  resendRequests(): void {
    this.#transmit(resendRequests());
  }

  /** ENOENT: the request was taken back before it was read. ECONNABORTED: the connection was aborted. */
  #readFailed(number: number): void {
    if (number === E.EINTR.number || number === E.ENOENT.number) return;
    if (number === E.ENODEV.number || number === ECONNABORTED) {
      this.#unmounted = true;
      return;
    }
    this.#readFailures += 1;
    this.#log.error({ errno: errnoOf(number).name, number }, 'Cannot read a request from the kernel');
    assert(this.#readFailures < READ_FAILURES_MAX, `Cannot read from /dev/fuse: errno ${number}, expected a request`);
  }

  #reply(length: number): void {
    const exchange = this.#exchange;
    const outcome = this.#transmit(exchange.reply.subarray(0, length));
    exchange.sent(outcome >= 0);
    if (outcome >= 0) return;
    // A reply that the kernel finds wrong leaves the client waiting unless a plain one follows.
    if (outcome === -E.EINVAL.number && length > outHeaderBytes) {
      this.#transmit(exchange.reply.subarray(0, exchange.finish(-E.EIO.number)));
    }
  }

  /** Bytes written, or -errno. ENOENT: nobody waits for this reply any more (or the kernel does not have the inode). */
  #transmit(message: Uint8Array): number {
    let outcome = this.#device.write(message);
    while (outcome === -E.EINTR.number) outcome = this.#device.write(message);
    if (outcome === -E.ENODEV.number) this.#unmounted = true;
    else if (outcome < 0 && outcome !== -E.ENOENT.number) {
      const fields = { errno: errnoOf(-outcome).name, opcode: this.#exchange.opcode, bytes: message.length };
      this.#log.error(fields, 'The kernel did not take a reply');
    }
    return outcome;
  }
}
