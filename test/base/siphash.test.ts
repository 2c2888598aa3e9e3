import { expect, it } from 'vitest';
import { SipHash } from '../../base/siphash.ts';

const KEY = Uint8Array.from({ length: 16 }, (_, i) => i);

/** From the reference implementation's vectors.h: SipHash-2-4 of the bytes 0, 1, 2, ... under the key 0, 1, ..., 15. */
const VECTORS: readonly (readonly [length: number, hash: bigint])[] = [
  [0, 0x726fdb47dd0e0e31n],
  [1, 0x74f839c593dc67fdn],
  [7, 0xab0200f58b01d137n],
  [8, 0x93f5f5799a932462n],
  [15, 0xa129ca6149be45e5n],
];

it('gives the hashes of the reference', () => {
  const sip = new SipHash(KEY);
  for (const [length, hash] of VECTORS) {
    sip.hash(Uint8Array.from({ length }, (_, i) => i));
    expect((BigInt(sip.high()) << 32n) | BigInt(sip.low())).toBe(hash);
  }
});

it('hashes no more of a buffer than it is told to', () => {
  const sip = new SipHash(KEY);
  const long = Uint8Array.from({ length: 40 }, (_, i) => i * 7);
  for (let length = 0; length < 40; length++) {
    const whole = sip.hash(long, length).high();
    expect(sip.hash(long.slice(0, length)).high()).toBe(whole);
  }
});
