/**
 * SipHash-2-4 of a byte string under a 128-bit key, in 32-bit halves.
 *
 * Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", 2012; test vectors from its appendix.
 * Keyed, so that nobody can choose file names that collide.
 */
import { assert } from './assert.ts';

export const SIPHASH_KEY_BYTES = 16;

export class SipHash {
  readonly #key: Int32Array;
  #low = 0;
  #high = 0;

  constructor(key: Uint8Array) {
    assert(key.length === SIPHASH_KEY_BYTES, `SipHash key of ${key.length} bytes, expected ${SIPHASH_KEY_BYTES}`);
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
    this.#key = Int32Array.from([0, 4, 8, 12], (at) => view.getInt32(at, true));
  }

  /** Runs the hash; `low()` and `high()` then hold the two 32-bit halves, until the next call. */
  hash(data: Uint8Array, length = data.length): this {
    const key = this.#key;
    const k0 = key[0] ?? 0;
    const k1 = key[1] ?? 0;
    const k2 = key[2] ?? 0;
    const k3 = key[3] ?? 0;
    // v0 to v3, low half (a) and high half (b); in variables, because this is on the way of every lookup.
    let a0 = k0 ^ 0x70736575;
    let b0 = k1 ^ 0x736f6d65;
    let a1 = k2 ^ 0x6e646f6d;
    let b1 = k3 ^ 0x646f7261;
    let a2 = k0 ^ 0x6e657261;
    let b2 = k1 ^ 0x6c796765;
    let a3 = k2 ^ 0x79746573;
    let b3 = k3 ^ 0x74656462;
    const compressions = 2 * ((length >>> 3) + 1);
    let low = 0;
    let high = 0;
    for (let step = 0; step < compressions + 4; step++) {
      if (step === compressions) {
        a2 ^= 0xff;
      } else if (step < compressions && (step & 1) === 0) {
        low = word(data, step * 4, length);
        high = word(data, step * 4 + 4, length);
        if (step === compressions - 2) high |= length << 24;
        a3 ^= low;
        b3 ^= high;
      }
      // v0 += v1; v2 += v3
      let sum = (a0 >>> 0) + (a1 >>> 0);
      b0 = (b0 + b1 + (sum > 0xffffffff ? 1 : 0)) | 0;
      a0 = sum | 0;
      sum = (a2 >>> 0) + (a3 >>> 0);
      b2 = (b2 + b3 + (sum > 0xffffffff ? 1 : 0)) | 0;
      a2 = sum | 0;
      // v1 = (v1 <<< 13) ^ v0; v3 = (v3 <<< 16) ^ v2; v0 <<<= 32
      let turned = (a1 << 13) | (b1 >>> 19);
      b1 = ((b1 << 13) | (a1 >>> 19)) ^ b0;
      a1 = turned ^ a0;
      turned = (a3 << 16) | (b3 >>> 16);
      b3 = ((b3 << 16) | (a3 >>> 16)) ^ b2;
      a3 = turned ^ a2;
      turned = a0;
      a0 = b0;
      b0 = turned;
      // v2 += v1; v0 += v3
      sum = (a2 >>> 0) + (a1 >>> 0);
      b2 = (b2 + b1 + (sum > 0xffffffff ? 1 : 0)) | 0;
      a2 = sum | 0;
      sum = (a0 >>> 0) + (a3 >>> 0);
      b0 = (b0 + b3 + (sum > 0xffffffff ? 1 : 0)) | 0;
      a0 = sum | 0;
      // v1 = (v1 <<< 17) ^ v2; v3 = (v3 <<< 21) ^ v0; v2 <<<= 32
      turned = (a1 << 17) | (b1 >>> 15);
      b1 = ((b1 << 17) | (a1 >>> 15)) ^ b2;
      a1 = turned ^ a2;
      turned = (a3 << 21) | (b3 >>> 11);
      b3 = ((b3 << 21) | (a3 >>> 11)) ^ b0;
      a3 = turned ^ a0;
      turned = a2;
      a2 = b2;
      b2 = turned;
      if (step < compressions && (step & 1) === 1) {
        a0 ^= low;
        b0 ^= high;
      }
    }
    this.#low = (a0 ^ a1 ^ a2 ^ a3) >>> 0;
    this.#high = (b0 ^ b1 ^ b2 ^ b3) >>> 0;
    return this;
  }

  low(): number {
    return this.#low;
  }

  high(): number {
    return this.#high;
  }
}

/** Four bytes at `at`, little-endian; what lies at or behind `end` counts as 0. */
function word(data: Uint8Array, at: number, end: number): number {
  if (at + 4 <= end)
    return (data[at] ?? 0) | ((data[at + 1] ?? 0) << 8) | ((data[at + 2] ?? 0) << 16) | ((data[at + 3] ?? 0) << 24);
  let value = 0;
  for (let i = at; i < end; i++) value |= (data[i] ?? 0) << (8 * (i - at));
  return value;
}
