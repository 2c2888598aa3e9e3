/** Token buckets for the bandwidth caps of a policy. They never sleep: they say how long to wait. */
import type { VolumeRow } from '../../base/layout.ts';
import { MIB } from '../../base/units.ts';
import type { Policy } from './policy.ts';

/** Milliseconds from an arbitrary start that never go back, as `Clock.monotonicMs`. */
export type MonotonicMs = () => number;

/** A bucket holds what comes in within this time: after a rest that much goes at once. */
const BURST_MS = 250;
const LEAST_BURST_BYTES = MIB;

/**
 * Takes may run into debt, and the next one waits until it is paid: a take larger than the bucket passes, and on average
 * the rate holds whatever the sizes.
 */
export class TokenBucket {
  readonly #bytesPerMs: number;
  readonly #capacity: number;
  readonly #monotonicMs: MonotonicMs;
  #tokens: number;
  #lastMs: number;

  constructor(bytesPerSecond: number, monotonicMs: MonotonicMs) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    // That of a slow target never holds more than a second's worth.
    this.#capacity = Math.min(bytesPerSecond, Math.max(LEAST_BURST_BYTES, this.#bytesPerMs * BURST_MS));
    this.#monotonicMs = monotonicMs;
    this.#tokens = this.#capacity;
    this.#lastMs = monotonicMs();
  }

  /** Milliseconds until a take may begin; 0 for now. */
  waitMs(): number {
    this.#fill();
    return this.#tokens >= 0 ? 0 : Math.ceil(-this.#tokens / this.#bytesPerMs);
  }

  /** Bytes that are about to be moved. */
  take(bytes: number): void {
    this.#fill();
    this.#tokens -= bytes;
  }

  /** Bytes that were taken and not moved, for they failed. */
  giveBack(bytes: number): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + bytes);
  }

  #fill(): void {
    const now = this.#monotonicMs();
    const elapsed = Math.max(0, now - this.#lastMs);
    this.#lastMs = now;
    this.#tokens = Math.min(this.#capacity, this.#tokens + elapsed * this.#bytesPerMs);
  }
}

/** All caps of a policy: a move to a volume is held by the total's, its tier's and its own. */
export class BandwidthCaps {
  readonly #total: TokenBucket | undefined;
  readonly #tiers: ReadonlyMap<string, TokenBucket>;
  readonly #volumes: ReadonlyMap<number, TokenBucket>;

  constructor(bandwidth: Policy['bandwidth'], monotonicMs: MonotonicMs) {
    const bucket = (rate: number) => new TokenBucket(rate, monotonicMs);
    this.#total = bandwidth.total === undefined ? undefined : bucket(bandwidth.total);
    this.#tiers = new Map([...bandwidth.tiers].map(([tier, rate]) => [tier, bucket(rate)]));
    this.#volumes = new Map([...bandwidth.volumes].map(([volume, rate]) => [volume, bucket(rate)]));
  }

  /** 0: the bytes are taken and may go now. Else nothing is taken: ask again after so many milliseconds. */
  tryTake(bytes: number, to: Pick<VolumeRow, 'id' | 'tier'>): number {
    const buckets = this.#of(to);
    const wait = Math.max(0, ...buckets.map((bucket) => bucket.waitMs()));
    if (wait > 0) return wait;
    for (const bucket of buckets) bucket.take(bytes);
    return 0;
  }

  giveBack(bytes: number, to: Pick<VolumeRow, 'id' | 'tier'>): void {
    for (const bucket of this.#of(to)) bucket.giveBack(bytes);
  }

  #of(to: Pick<VolumeRow, 'id' | 'tier'>): TokenBucket[] {
    return [this.#total, this.#tiers.get(to.tier), this.#volumes.get(to.id)].filter((bucket) => bucket !== undefined);
  }
}
