/**
 * SipHash-2-4 of a byte string under a 128-bit key, in 32-bit halves.
 *
 * Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", 2012; test vectors from its appendix.
 * Keyed, so that nobody can choose file names that collide.
 */
import { assert } from './assert.ts';

export const SIPHASH_KEY_BYTES = 16;

export class SipHash {
  readonly #key: Uint32Array;
  /** v0 low, v0 high, v1 low, ... v3 high; reused by every call. */
  readonly #state = new Int32Array(8);

  constructor(key: Uint8Array) {
    assert(key.length === SIPHASH_KEY_BYTES, `SipHash key of ${key.length} bytes, expected ${SIPHASH_KEY_BYTES}`);
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
    this.#key = Uint32Array.of(
      view.getUint32(0, true),
      view.getUint32(4, true),
      view.getUint32(8, true),
      view.getUint32(12, true),
    );
  }

  /** Runs the hash; `low()` and `high()` then hold the two 32-bit halves, until the next call. */
  hash(data: Uint8Array, length = data.length): this {
    const [k0 = 0, k1 = 0, k2 = 0, k3 = 0] = this.#key;
    const v = this.#state;
    v[0] = k0 ^ 0x70736575;
    v[1] = k1 ^ 0x736f6d65;
    v[2] = k2 ^ 0x6e646f6d;
    v[3] = k3 ^ 0x646f7261;
    v[4] = k0 ^ 0x6e657261;
    v[5] = k1 ^ 0x6c796765;
    v[6] = k2 ^ 0x79746573;
    v[7] = k3 ^ 0x74656462;
    const whole = length & ~7;
    for (let i = 0; i < whole; i += 8) mix(v, word(data, i, 4), word(data, i + 4, 4));
    const rest = length - whole;
    mix(v, word(data, whole, Math.min(rest, 4)), word(data, whole + 4, Math.max(rest - 4, 0)) | (length << 24));
    v[4] = (v[4] ?? 0) ^ 0xff;
    for (let i = 0; i < 4; i++) round(v);
    return this;
  }

  low(): number {
    const v = this.#state;
    return ((v[0] ?? 0) ^ (v[2] ?? 0) ^ (v[4] ?? 0) ^ (v[6] ?? 0)) >>> 0;
  }

  high(): number {
    const v = this.#state;
    return ((v[1] ?? 0) ^ (v[3] ?? 0) ^ (v[5] ?? 0) ^ (v[7] ?? 0)) >>> 0;
  }
}

/** Up to four bytes, little-endian. */
function word(data: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value |= (data[at + i] ?? 0) << (8 * i);
  return value;
}

function mix(v: Int32Array, low: number, high: number): void {
  v[6] = (v[6] ?? 0) ^ low;
  v[7] = (v[7] ?? 0) ^ high;
  round(v);
  round(v);
  v[0] = (v[0] ?? 0) ^ low;
  v[1] = (v[1] ?? 0) ^ high;
}

function round(v: Int32Array): void {
  let [a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0] = v;
  let low = (a0 >>> 0) + (b0 >>> 0);
  a1 = (a1 + b1 + (low > 0xffffffff ? 1 : 0)) | 0;
  a0 = low | 0;
  let swap = (b0 << 13) | (b1 >>> 19);
  b1 = ((b1 << 13) | (b0 >>> 19)) ^ a1;
  b0 = swap ^ a0;
  swap = a0;
  a0 = a1;
  a1 = swap;
  low = (c0 >>> 0) + (d0 >>> 0);
  c1 = (c1 + d1 + (low > 0xffffffff ? 1 : 0)) | 0;
  c0 = low | 0;
  swap = (d0 << 16) | (d1 >>> 16);
  d1 = ((d1 << 16) | (d0 >>> 16)) ^ c1;
  d0 = swap ^ c0;
  low = (a0 >>> 0) + (d0 >>> 0);
  a1 = (a1 + d1 + (low > 0xffffffff ? 1 : 0)) | 0;
  a0 = low | 0;
  swap = (d0 << 21) | (d1 >>> 11);
  d1 = ((d1 << 21) | (d0 >>> 11)) ^ a1;
  d0 = swap ^ a0;
  low = (c0 >>> 0) + (b0 >>> 0);
  c1 = (c1 + b1 + (low > 0xffffffff ? 1 : 0)) | 0;
  c0 = low | 0;
  swap = (b0 << 17) | (b1 >>> 15);
  b1 = ((b1 << 17) | (b0 >>> 15)) ^ c1;
  b0 = swap ^ c0;
  swap = c0;
  c0 = c1;
  c1 = swap;
  v[0] = a0;
  v[1] = a1;
  v[2] = b0;
  v[3] = b1;
  v[4] = c0;
  v[5] = c1;
  v[6] = d0;
  v[7] = d1;
}
