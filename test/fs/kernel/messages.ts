/** Requests for tests: built whole, put into an exchange, served; what came back. */
import { viewOf } from '../../../base/bytes.ts';
import { silentLog } from '../../../base/log.ts';
import { dispatch } from '../../../fs/kernel/dispatch.ts';
import { type BindingOptions, Exchange } from '../../../fs/kernel/exchange.ts';
import type { Negotiated } from '../../../fs/kernel/init.ts';
import { InitFlag, inHeaderBytes } from '../../../fs/kernel/protocol.ts';
import type { Operations } from '../../../fs/types.ts';
import { type Call, recordingOperations } from './recording_operations.ts';

/** What a kernel of today and this binding agree on. */
export const NEGOTIATED: Negotiated = {
  major: 7,
  minor: 45,
  maxReadahead: 131_072,
  flags: InitFlag.SETXATTR_EXT,
  flags2: 0,
  maxBackground: 64,
  congestionThreshold: 48,
  maxWrite: 1_048_576,
  maxPages: 256,
  maxStackDepth: 0,
};

export interface Bench {
  readonly exchange: Exchange;
  readonly calls: Call[];
  /** Replies that were sent later, as hex. */
  readonly later: string[];
}

/** `outcome`: what the device says to replies that are sent later, other than their length. */
export function bench(
  options: BindingOptions = {},
  replaced: Partial<Operations> = {},
  device: { readonly outcome?: number } = {},
): Bench {
  const calls: Call[] = [];
  const later: string[] = [];
  const exchange = new Exchange({
    operations: recordingOperations(calls, replaced),
    log: silentLog,
    options: { negotiated: NEGOTIATED, ...options },
    transmit: (reply) => {
      later.push(Buffer.from(reply).toString('hex'));
      return device.outcome ?? reply.length;
    },
  });
  return { exchange, calls, later };
}

/** A message with its header; body parts are bytes or text (latin1). */
export function message(opcode: number, node: number, ...body: readonly (Uint8Array | string)[]): Uint8Array {
  const bytes = Buffer.concat([
    new Uint8Array(inHeaderBytes),
    ...body.map((part) => Buffer.from(part as string, 'latin1')),
  ]);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, opcode, true);
  view.setUint32(8, 77, true);
  view.setBigUint64(16, BigInt(node), true);
  return bytes;
}

/** 32-bit words, little-endian. */
export function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  values.forEach((value, index) => {
    viewOf(bytes).setUint32(index * 4, value, true);
  });
  return bytes;
}

/** The reply; empty when there is none. What lies in the reply's buffer before is noise, as in a running daemon. */
export function serve(exchange: Exchange, request: Uint8Array): Uint8Array {
  exchange.reply.fill(0xa5, 0, 2048);
  exchange.request.set(request);
  return exchange.reply.slice(0, dispatch(exchange, request.length));
}

/** Positive errno of a reply, 0 for success, undefined when there was no reply. */
export function errnoOfReply(reply: Uint8Array): number | undefined {
  return reply.length === 0 ? undefined : Math.abs(viewOf(reply).getInt32(4, true));
}
