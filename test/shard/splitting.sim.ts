/**
 * Splits and merges step in between creates, unlinks, renames, look-ups and listings at random, against a model; the store
 * is closed and opened, and abandoned as by a kill. `PACSFS_SEED` repeats a walk that failed.
 */
import { expect, it } from 'vitest';
import { silentLog } from '../../base/log.ts';
import { partitionIndexes } from '../../shard/partition_map.ts';
import { Splitter } from '../../shard/splitter.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { cycle, TestStore } from './fixture.ts';
import { directory, inOrder, listed, SplitModel } from './split_model.ts';

const SEED = firstSeed('PACSFS_SEED');
const WALKS = 3;
const STEPS = 4_000;
/** Names that are there before anything moves, so that moves take many records and much happens in between. */
const FIRST_NAMES = 600;
/** With the second one all that there is would fit one partition: it merges, in many records too. */
const SPLIT_AT = [64, 64, 16_384];

/** Names that share hashes, up to 12 of them one, in a part of all positions: so that splits go deep, and cut groups. */
function crowdedHash(name: Uint8Array): number {
  const number = Number(Buffer.from(name).toString().slice(1));
  if (!Number.isFinite(number)) return 12345;
  const group = Math.floor(number / 12);
  const spread = (Math.imul(group, 0x9e3779b1) >>> 0) / 2 ** 32;
  return Math.floor(spread ** 3 * 2 ** 49);
}

class Walk {
  readonly #test: TestStore;
  readonly #model: SplitModel;
  readonly #random: Random;
  readonly #cookies: number[] = [0];
  #splitter: Splitter;
  splits = 0;
  merges = 0;
  deepest = 0;
  cut = 0;
  midway = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    const caches = this.#random.below(2) === 0 ? { cachedInodes: 60, cachedPartitions: 4 } : {};
    this.#test = new TestStore({
      shardCount: 3,
      splitAt: 64,
      bootId: 'one boot',
      nameHash: crowdedHash,
      shardTxnRows: 300,
      movedRows: 17,
      ...caches,
    });
    // Under this boot every whole record counts from here on.
    this.#test.store.raiseStart();
    this.#model = new SplitModel(this.#test, this.#test.makeDirectory(this.#test.root(), 'dir').ino);
    this.#splitter = new Splitter(this.#test.store, silentLog);
    while (this.#model.names.size < FIRST_NAMES) this.#change(100);
  }

  /** `growth` is how likely a create is: the directory grows for a while and shrinks for a while. */
  step(growth: number): void {
    const kind = this.#random.below(100);
    if (kind < 62) this.#change(growth);
    else if (kind < 74) this.#rename();
    else if (kind < 88) this.#move();
    else if (kind < 94) this.#list();
    else if (kind < 98) this.#lookup();
    else if (kind < 99) this.#barrier();
    else if (this.#random.below(4) === 0) this.#again();
  }

  #name(): string {
    return `f${this.#random.below(3_000)}`;
  }

  #existing(): string | undefined {
    const names = [...this.#model.names.keys()];
    return names[this.#random.below(names.length)];
  }

  #change(growth: number): void {
    if (this.#random.below(100) < growth) {
      const name = this.#name();
      if (!this.#model.names.has(name)) this.#model.create(name, this.#random.below(10) === 0);
    } else {
      const name = this.#existing();
      if (name !== undefined) this.#model.unlink(name);
    }
  }

  #rename(): void {
    const [from, to] = [this.#existing(), this.#random.below(2) === 0 ? this.#existing() : this.#name()];
    if (from !== undefined && to !== undefined && from !== to) this.#model.rename(from, to);
  }

  #move(): void {
    const { store } = this.#test;
    const before = this.#splitter.counts;
    this.#splitter.step();
    const after = this.#splitter.counts;
    this.splits += after.splits - before.splits;
    this.merges += after.merges - before.merges;
    for (const { boundary } of store.moving) if (boundary % 16 !== 0) this.cut += 1;
    if (!store.moving.isEmpty) this.midway += 1;
    this.deepest = Math.max(this.deepest, partitionIndexes(directory(store, this.#model.dir).partitions).length);
  }

  /** A part of the directory from a cookie that was returned at any time before, whatever has become of its name. */
  #list(): void {
    const { store } = this.#test;
    const dir = directory(store, this.#model.dir);
    const cookie = this.#cookies[this.#random.below(this.#cookies.length)] ?? 0;
    const limit = 1 + this.#random.below(90);
    const slice = store.list(dir, cookie, limit);
    const expected = inOrder(this.#model.names).filter(([, { position }]) => position > cookie);
    expect(slice.map(({ name }) => Buffer.from(name).toString())).toEqual(
      expected.slice(0, limit).map(([name]) => name),
    );
    const last = slice.at(-1);
    if (last !== undefined) this.#cookies.push(last.position);
  }

  #lookup(): void {
    const { store } = this.#test;
    const dir = directory(store, this.#model.dir);
    for (let i = 0; i < 20; i++) {
      const name = this.#name();
      expect([name, store.lookup(dir, Buffer.from(name))?.ino]).toEqual([name, this.#model.names.get(name)?.ino]);
    }
  }

  #barrier(): void {
    const { store } = this.#test;
    if (this.#random.below(2) === 0) {
      cycle(store, this.#random.below(3) > 0);
      return;
    }
    store.appendBarrier(store.lsn);
    store.barrierFlushed(store.lsn, 0);
  }

  /** Closed without a barrier: what the databases lack comes out of the journal, and half of a split goes on. */
  #again(): void {
    this.check();
    const { store, folder } = this.#test;
    store.close();
    this.#test.store = this.#test.open(folder, { splitAt: SPLIT_AT[this.#random.below(SPLIT_AT.length)] ?? 64 });
    this.#test.store.raiseStart();
    // As their next changes would.
    const dir = directory(this.#test.store, this.#model.dir);
    for (const index of partitionIndexes(dir.partitions)) this.#test.store.crowded.add({ dir: dir.ino, index });
    this.#splitter = new Splitter(this.#test.store, silentLog);
    this.check();
  }

  check(): void {
    this.#model.check();
    const { store } = this.#test;
    const dir = directory(store, this.#model.dir);
    const all = inOrder(this.#model.names);
    for (let i = 0; i < 15; i++) {
      const cookie = this.#cookies[this.#random.below(this.#cookies.length)] ?? 0;
      const rest = all.filter(([, { position }]) => position > cookie).map(([name, { ino }]) => [name, ino]);
      expect(listed(store, dir, cookie, 1 + this.#random.below(200))).toEqual(rest);
    }
  }

  /** Nothing is left to do: what is there fits its bounds, and nothing is half done. */
  settle(): void {
    while (this.#splitter.hasWork) this.#move();
    expect([...this.#test.store.moving]).toEqual([]);
    this.check();
  }

  empty(): void {
    for (const name of [...this.#model.names.keys()]) this.#model.unlink(name);
    this.settle();
    const dir = directory(this.#test.store, this.#model.dir);
    expect(partitionIndexes(dir.partitions)).toEqual([0]);
  }
}

for (let walk = 0; walk < WALKS; walk++) {
  const seed = SEED + walk;
  it(`a random walk through splits and merges agrees with its model (seed ${seed})`, () => {
    const walker = new Walk(seed);
    for (let i = 0; i < STEPS; i++) walker.step(Math.floor(i / 700) % 2 === 0 ? 85 : 15);
    walker.settle();
    walker.empty();
    // What the walk is for has happened.
    expect(walker.splits).toBeGreaterThan(5);
    expect(walker.merges).toBeGreaterThan(3);
    expect(walker.deepest).toBeGreaterThan(4);
    expect(walker.midway).toBeGreaterThan(25);
    expect(walker.cut).toBe(0);
  }, 60_000);
}
