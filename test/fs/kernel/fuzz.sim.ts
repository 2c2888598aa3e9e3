/** Truncated, oversized, mutated and random messages: none may throw, and each gets the answer its kind allows. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { viewOf } from '../../../base/bytes.ts';
import { dispatch } from '../../../fs/kernel/dispatch.ts';
import { OPCODE_TABLE } from '../../../fs/kernel/opcode_table.ts';
import { ERRNO_LIMIT, inHeaderBytes, OPCODE_LIMIT } from '../../../fs/kernel/protocol.ts';
import { Random } from '../../support/random.ts';
import { type Bench, bench } from './messages.ts';

const ROUNDS = 20_000;
const seed = Number(process.env['PACSFS_SEED'] ?? Date.now() % 1_000_000);

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

/** Whatever reaches the operations is what they may rely on. */
function checkCalls(calls: Bench['calls']): void {
  for (const value of calls.flat().flatMap((part) => (typeof part === 'object' ? Object.values(part ?? {}) : [part]))) {
    if (typeof value === 'number') expect(Number.isSafeInteger(value)).toBe(true);
  }
  for (const [, caller, parent, name] of calls.filter(
    ([operation]) => operation === 'unlink' || operation === 'lookup',
  )) {
    expect(caller).toMatch(/^\d+:\d+:\d+$/);
    expect(parent).toBeGreaterThanOrEqual(1);
    expect(name).toMatch(/^[^/\0]{1,255}$/s);
  }
}

it(`no message harms the daemon (seed ${seed})`, { timeout: 120_000 }, () => {
  console.info(`kernel messages: PACSFS_SEED=${seed}`);
  const { exchange, calls } = bench();
  const answered = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const kind = KINDS[round % KINDS.length];
    const request = kind?.() ?? golden();
    exchange.request.set(request);
    calls.length = 0;
    const context = `seed ${seed}, round ${round}: ${Buffer.from(request).toString('hex')}`;
    let length = 0;
    expect(() => {
      length = dispatch(exchange, request.length);
    }, context).not.toThrow();
    checkCalls(calls);
    const silent = OPCODE_TABLE[exchange.opcode]?.silent === true;
    expect(length === 0, context).toBe(silent);
    if (silent) continue;
    const error = exchange.replyView.getInt32(4, true);
    expect(exchange.replyView.getUint32(0, true), context).toBe(length);
    expect(exchange.reply.slice(8, 16), context).toEqual(request.slice(8, 16));
    expect(error <= 0 && error > -ERRNO_LIMIT, context).toBe(true);
    if (error < 0) expect(length, context).toBe(16);
    const key = `${kind?.name} ${error === 0 ? 'ok' : 'refused'}`;
    answered.set(key, (answered.get(key) ?? 0) + 1);
  }
  // Every kind is both refused and, now and then, served: neither half of the check is empty.
  expect([...answered.keys()].sort()).toEqual(KINDS.flatMap(({ name }) => [`${name} ok`, `${name} refused`]).sort());
});
