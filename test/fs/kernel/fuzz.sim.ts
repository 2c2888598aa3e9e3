/** Truncated, oversized, mutated and random messages: none may throw, and each gets the answer its kind allows. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { equalBytes, viewOf } from '../../../base/bytes.ts';
import { dispatch } from '../../../fs/kernel/dispatch.ts';
import type { Exchange } from '../../../fs/kernel/exchange.ts';
import { OPCODE_TABLE } from '../../../fs/kernel/opcode_table.ts';
import { ERRNO_LIMIT, inHeaderBytes, OPCODE_LIMIT, outHeaderBytes } from '../../../fs/kernel/protocol.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { type Bench, bench } from './messages.ts';

const ROUNDS = 20_000;
const seed = firstSeed('PACSFS_SEED');

const chance = new Random(seed);
const random = (limit: number): number => chance.below(limit);

const goldens = (
  JSON.parse(readFileSync(new URL('../../golden/fuse-messages.json', import.meta.url), 'utf8')) as { request: string }[]
).map((golden) => Uint8Array.from(Buffer.from(golden.request, 'hex')));

function golden(): Uint8Array {
  return goldens[random(goldens.length)]?.slice() ?? new Uint8Array(inHeaderBytes);
}

/** Says its own length in the header, as the kernel would. */
function sized(request: Uint8Array): Uint8Array {
  if (request.length >= 4) viewOf(request).setUint32(0, request.length, true);
  return request;
}

const INTERESTING = [0, 1, 7, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1f_ffff, 0x20_0000];

const KINDS: readonly (() => Uint8Array)[] = [
  function truncated() {
    const whole = golden();
    const cut = whole.subarray(0, inHeaderBytes + random(whole.length - inHeaderBytes + 1));
    return random(4) === 0 ? cut : sized(cut);
  },
  function oversized() {
    return sized(new Uint8Array(Buffer.concat([golden(), chance.bytes(random(300))])));
  },
  function mutatedField() {
    const request = golden();
    for (let change = 1 + random(3); change > 0; change -= 1) {
      const at = 8 + 4 * random(Math.max(1, Math.floor((request.length - 8) / 4)));
      const value = random(2) === 0 ? (INTERESTING[random(INTERESTING.length)] ?? 0) : random(2 ** 32);
      if (at + 4 <= request.length) viewOf(request).setUint32(at, value, true);
    }
    return request;
  },
  function mutatedByte() {
    const request = golden();
    for (let change = 1 + random(4); change > 0; change -= 1) request[random(request.length)] = random(256);
    return request;
  },
  function noise() {
    const request = sized(chance.bytes(inHeaderBytes + random(400)));
    viewOf(request).setUint32(4, random(OPCODE_LIMIT + 4), true);
    request.fill(0, 36, 40);
    return request;
  },
];

/** Whatever reaches the operations is what they may rely on; what is wrong otherwise. */
function wrongCall(calls: Bench['calls']): string | undefined {
  const values = calls.flat().flatMap((part) => (typeof part === 'object' ? Object.values(part ?? {}) : [part]));
  const wrong = values.find((value) => typeof value === 'number' && !Number.isSafeInteger(value));
  if (wrong !== undefined) return `number ${wrong}`;
  for (const [operation, , parent, name] of calls) {
    if (operation !== 'unlink' && operation !== 'lookup') continue;
    if (!(Number(parent) >= 1)) return `parent ${parent}`;
    if (!/^[^/\0]{1,255}$/s.test(String(name))) return `name ${name}`;
  }
  return undefined;
}

/** What is wrong with the reply of `length` bytes to this request. */
function wrongReply(exchange: Exchange, request: Uint8Array, length: number): string | undefined {
  const isSilent = OPCODE_TABLE[exchange.opcode]?.silent === true;
  if (isSilent || length === 0) return isSilent === (length === 0) ? undefined : `reply of ${length} bytes`;
  const error = exchange.replyView.getInt32(4, true);
  if (exchange.replyView.getUint32(0, true) !== length) return 'length in the header';
  if (!equalBytes(exchange.reply.subarray(8, 16), request.subarray(8, 16))) return 'another unique';
  if (error > 0 || error <= -ERRNO_LIMIT) return `error ${error}`;
  return error < 0 && length !== outHeaderBytes ? 'error with a payload' : undefined;
}

it(`no message harms the daemon (seed ${seed})`, { timeout: 120_000 }, () => {
  console.info(`kernel messages: PACSFS_SEED=${seed}`);
  const { exchange, calls } = bench();
  const answered = new Set<string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const kind = KINDS[round % KINDS.length] ?? golden;
    const request = kind();
    exchange.request.set(request);
    calls.length = 0;
    let wrong: unknown;
    try {
      const length = dispatch(exchange, request.length);
      wrong = wrongCall(calls) ?? wrongReply(exchange, request, length);
      if (length > 0) answered.add(`${kind.name} ${length > outHeaderBytes ? 'served' : 'refused'}`);
    } catch (thrown) {
      wrong = thrown;
    }
    expect(wrong, `round ${round}: ${wrong && Buffer.from(request).toString('hex')}`).toBeUndefined();
  }
  // Every kind is both refused and, now and then, served: neither half of the check is empty.
  expect([...answered].sort()).toEqual(KINDS.flatMap(({ name }) => [`${name} refused`, `${name} served`]).sort());
});
