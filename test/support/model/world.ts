/**
 * The mount, the model beside it, and the handles that are open on both. Operations draw their arguments from its seeded
 * chance, act on both sides, and compare through `same`.
 */
import { closeSync } from 'node:fs';
import { seedOf, xorshift32 } from '../../../bench/studies/random.ts';
import * as calls from '../test_calls.ts';
import type { Place, Tree, TreeFile } from './tree.ts';

export const DIRECTORIES = ['d0', 'd1', 'd2', 'd3'] as const;
const NAMES_PER_DIRECTORY = 10;
const HISTORY = 40;
const POOL_BYTES = 1 << 21;
/** Most sizes and offsets stay below this, some go up to LARGE_BYTES and pass `packBelow`. */
const USUAL_BYTES = 200_000;
const LARGE_BYTES = 1_500_000;

/** What mount and model disagree about. */
export class Difference extends Error {}

export interface Handle {
  readonly fd: number;
  readonly file: TreeFile;
  readonly mode: 'r' | 'w' | 'rw' | 'append';
  mapping: Mapping | undefined;
}

export interface Mapping {
  readonly address: number;
  readonly length: number;
  /** Stored to since the last msync: SEEK_DATA may not see such bytes. */
  dirty: boolean;
}

export class World {
  readonly root: string;
  readonly tree: Tree;
  readonly handles: Handle[] = [];
  readonly counts = new Map<string, number>();
  #random: () => number;
  readonly #pool = new Uint8Array(POOL_BYTES);
  #history: string[] = [];

  constructor(root: string, tree: Tree, seed: string) {
    this.root = root;
    this.tree = tree;
    this.#random = xorshift32(seedOf('operations', seed));
    const words = new Uint32Array(this.#pool.buffer);
    const draw = xorshift32(seedOf('pool', seed));
    for (let i = 0; i < words.length; i++) words[i] = draw();
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor((this.#random() / 2 ** 32) * limit);
  }

  chance(probability: number): boolean {
    return this.#random() / 2 ** 32 < probability;
  }

  one<T>(choices: readonly T[]): T {
    const chosen = choices[this.below(choices.length)];
    if (chosen === undefined) throw new Error('Cannot choose from nothing');
    return chosen;
  }

  place(): Place {
    return { directory: this.one(DIRECTORIES), name: `n${this.below(NAMES_PER_DIRECTORY)}` };
  }

  /** A place that has a file, if any. */
  used(): readonly [Place, TreeFile] | undefined {
    const all = [...this.tree.places()];
    return all.length === 0 ? undefined : this.one(all);
  }

  handle(...modes: Handle['mode'][]): Handle | undefined {
    const fitting = modes.length === 0 ? this.handles : this.handles.filter((handle) => modes.includes(handle.mode));
    return fitting.length === 0 ? undefined : this.one(fitting);
  }

  path(place: Place): string {
    return `${this.root}/${place.directory}/${place.name}`;
  }

  /** A length that is often small, often a whole number of pages, now and then large. */
  length(): number {
    const kind = this.below(10);
    if (kind < 3) return 1 + this.below(600);
    if (kind < 5) return 4096 * (1 + this.below(8));
    if (kind < 9) return 1 + this.below(40_000);
    return 1 + this.below(USUAL_BYTES);
  }

  /** An offset in or a little behind a file of this size. */
  offset(size: number): number {
    const kind = this.below(20);
    if (kind === 0) return this.below(LARGE_BYTES);
    if (kind < 3) return Math.min(size + this.below(20_000), LARGE_BYTES);
    if (kind < 6) return size;
    const inside = this.below(size + 1);
    return kind < 9 ? inside - (inside % 4096) : inside;
  }

  size(): number {
    return this.chance(0.05) ? this.below(LARGE_BYTES) : this.below(USUAL_BYTES);
  }

  /** Random bytes, a view into a pool. */
  bytes(length: number): Uint8Array {
    const start = this.below(POOL_BYTES - length);
    return this.#pool.subarray(start, start + length);
  }

  /** Notes what is about to be done, for the report of a difference. */
  note(kind: string, text: string): void {
    this.count(kind);
    this.#history.push(`${kind} ${text}`);
    if (this.#history.length > HISTORY * 2) this.#history = this.#history.slice(-HISTORY);
  }

  count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  history(): readonly string[] {
    return this.#history.slice(-HISTORY);
  }

  same(what: string, found: unknown, wanted: unknown): void {
    if (found !== wanted) throw new Difference(`${what}: found ${String(found)}, wanted ${String(wanted)}`);
  }

  sameBytes(what: string, found: Uint8Array, wanted: Uint8Array): void {
    if (Buffer.compare(found, wanted) === 0) return;
    let at = 0;
    while (at < found.length && at < wanted.length && found[at] === wanted[at]) at++;
    let end = Math.min(found.length, wanted.length);
    while (end > at && found[end - 1] === wanted[end - 1]) end--;
    const some = (bytes: Uint8Array) => Buffer.from(bytes.subarray(at, at + 16)).toString('hex');
    throw new Difference(
      `${what}: found ${found.length} bytes, wanted ${wanted.length}; they differ within bytes ${at} to ${end}: ` +
        `found ${some(found)}, wanted ${some(wanted)}`,
    );
  }

  close(handle: Handle): void {
    if (handle.mapping !== undefined) {
      this.same('munmap', calls.unmap(handle.mapping.address, handle.mapping.length), 0);
    }
    closeSync(handle.fd);
    this.handles.splice(this.handles.indexOf(handle), 1);
  }

  closeAll(): void {
    for (const handle of [...this.handles]) this.close(handle);
  }
}

/** 'ok', or the name of the error that the call threw. */
export function attempt(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
    throw error;
  }
}
