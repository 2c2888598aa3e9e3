/**
 * The mutations of one record, at most one for each row: a later one takes the place of an earlier one. Most records
 * have three or four, which are found by looking at each; long ones get an index.
 */
import type { Mutation } from './mutation.ts';

/** A row: its table (one letter) and up to three parts of its key; unused parts are 0. */
export interface RowKey {
  readonly table: string;
  readonly first: number;
  readonly second: number;
  readonly third: number | string;
}

/** From this many mutations on an index is cheaper than looking at each. */
const INDEX_FROM = 24;

export class MutationSet implements Iterable<Mutation> {
  #keys: RowKey[] = [];
  #mutations: Mutation[] = [];
  #index: Map<string, number> | undefined;

  get size(): number {
    return this.#mutations.length;
  }

  [Symbol.iterator](): Iterator<Mutation> {
    return this.#mutations[Symbol.iterator]();
  }

  get(key: RowKey): Mutation | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : this.#mutations[at];
  }

  put(key: RowKey, mutation: Mutation): void {
    const at = this.#find(key);
    if (at >= 0) {
      this.#mutations[at] = mutation;
      return;
    }
    this.#keys.push(key);
    this.#mutations.push(mutation);
    if (this.#index !== undefined) this.#index.set(textOf(key), this.#keys.length - 1);
    else if (this.#keys.length >= INDEX_FROM) this.#reindex();
  }

  /** Takes out all that `matches`; what comes later is applied after all that is left. */
  drop(matches: (mutation: Mutation) => boolean): void {
    const left = this.#mutations.map((mutation) => !matches(mutation));
    this.#keys = this.#keys.filter((_, i) => left[i]);
    this.#mutations = this.#mutations.filter((_, i) => left[i]);
    if (this.#index !== undefined) this.#reindex();
  }

  #find(key: RowKey): number {
    if (this.#index !== undefined) return this.#index.get(textOf(key)) ?? -1;
    for (let i = 0; i < this.#keys.length; i++) {
      const other = this.#keys[i];
      if (other === undefined || other.first !== key.first || other.table !== key.table) continue;
      if (other.second === key.second && other.third === key.third) return i;
    }
    return -1;
  }

  #reindex(): void {
    this.#index = new Map(this.#keys.map((key, i) => [textOf(key), i]));
  }
}

function textOf(key: RowKey): string {
  return `${key.table}${key.first}/${key.second}/${key.third}`;
}
