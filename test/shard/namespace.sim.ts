/**
 * A random walk of creates, unlinks, renames, links and crashes over several directories, against a model in memory that
 * remembers what was durable. `PACSFS_SEED` repeats one that failed.
 */
import { expect, it } from 'vitest';
import { assert } from '../../base/assert.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { Ino, Lsn } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';
import { type CheckpointOutcome, checkpointDatabase } from '../../shard/store.ts';
import { firstSeed } from '../support/seed.ts';
import { TestClock, TestStore } from './fixture.ts';

const SEED = firstSeed('PACSFS_SEED');
const STEPS = 6000;

type Model = Map<Ino, Map<string, Ino>>;

function copyOf(model: Model): Model {
  return new Map([...model].map(([dir, names]) => [dir, new Map(names)]));
}

/** Each look takes half a millisecond, so that no step gets far. */
class HurriedClock extends TestClock {
  #looks = 0;

  override monotonicMs(): number {
    this.#looks += 1;
    return this.#looks / 2;
  }
}

class Walk {
  /** What the databases did beside the walk, for those who want to know that it was something. */
  readonly counts = { commits: 0, moved: 0 };
  readonly #test = new TestStore({
    shardCount: 3,
    cachedInodes: 50,
    cachedPartitions: 4,
    nameHash: few,
    shardTxnRows: 20,
    walLimit: 1 << 15,
    clock: new HurriedClock(),
    watch: {
      committed: () => {
        this.counts.commits += 1;
      },
      checkpointed: () => {},
    },
  });
  readonly #directories: Ino[] = [];
  #model: Model = new Map();
  #durable: Model;
  /** A barrier in steps that is under way: what it covers. */
  #underWay: { readonly lsn: Lsn; readonly model: Model } | undefined;
  /** Databases whose logs a worker is to move, or has moved without being heard. */
  #moves: { readonly path: string; outcome?: CheckpointOutcome }[] = [];
  #state = SEED;

  constructor() {
    for (let i = 0; i < 6; i++) {
      const dir = this.#test.makeDirectory(this.#test.root(), `dir${i}`);
      this.#directories.push(dir.ino);
      this.#model.set(dir.ino, new Map());
    }
    this.#test.store.barrier();
    this.#durable = copyOf(this.#model);
  }

  #pick(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  #dir(): { dir: Inode; names: Map<string, Ino> } {
    const ino = this.#directories[this.#pick(this.#directories.length)];
    assert(ino !== undefined, 'No directory');
    return { dir: this.#test.get(ino), names: this.#model.get(ino) ?? new Map() };
  }

  #name(): string {
    return `f${this.#pick(150)}`;
  }

  step(): void {
    const kind = this.#pick(1000);
    if (kind < 450) this.#create();
    else if (kind < 650) this.#unlink();
    else if (kind < 800) this.#rename();
    else if (kind < 975) this.#cycle();
    else if (kind < 985) this.#check();
    else if (kind < 995) this.#barrier();
    else this.#crash();
  }

  #create(): void {
    const { dir, names } = this.#dir();
    const name = this.#name();
    const found = this.#test.store.lookup(dir, Buffer.from(name));
    expect(found?.ino).toBe(names.get(name));
    if (found !== undefined) return;
    names.set(name, this.#test.make(dir, name).ino);
  }

  #unlink(): void {
    const { dir, names } = this.#dir();
    const name = this.#name();
    if (!names.delete(name)) return;
    this.#test.unlink(dir, name);
  }

  #rename(): void {
    const from = this.#dir();
    const to = this.#dir();
    const [oldName, newName] = [this.#name(), this.#name()];
    const { store } = this.#test;
    const source = store.lookup(from.dir, Buffer.from(oldName));
    if (source === undefined || (from.dir.ino === to.dir.ino && oldName === newName)) return;
    const target = store.lookup(to.dir, Buffer.from(newName));
    const place = target?.position ?? store.placeFor(to.dir, Buffer.from(newName));
    assert(!isErrno(place), 'No place');
    const now = this.#test.clock.now();
    const record = store.begin();
    record.deleteDentry(from.dir, source);
    record.touchDirectory(from.dir, { entries: -1, directories: 0, now });
    if (target !== undefined) record.deleteInode(target.ino);
    record.putDentry(to.dir, { ...source, dir: to.dir.ino, position: place, name: Buffer.from(newName) });
    record.touchDirectory(to.dir, { entries: target === undefined ? 1 : 0, directories: 0, now });
    const inode = record.inode(source.ino);
    assert(inode !== undefined, 'No inode');
    record.putInode({ ...inode, parent: to.dir.ino, position: place });
    store.commit(record);
    from.names.delete(oldName);
    to.names.set(newName, source.ino);
  }

  /** One step of a barrier, of the databases, or of a worker. */
  #cycle(): void {
    const { store } = this.#test;
    const move = this.#moves[this.#pick(Math.max(1, this.#moves.length))];
    const kind = this.#pick(4);
    if (kind === 0 && this.#underWay === undefined) {
      this.#underWay = { lsn: store.lsn, model: copyOf(this.#model) };
      store.barrierBegins(0);
    } else if (kind === 1 && this.#underWay !== undefined) {
      const { lsn, model } = this.#underWay;
      this.#underWay = undefined;
      if (lsn <= store.durableLsn) return;
      expect(store.appendBarrier(lsn)).toBeUndefined();
      store.barrierFlushed(lsn, 0);
      this.#durable = model;
    } else if (kind === 2) {
      expect(store.turn()).not.toBe(E.ENOSPC);
      this.#moves.push(...store.takeMoves().map((path) => ({ path })));
    } else if (move !== undefined) {
      if (move.outcome === undefined) {
        move.outcome = checkpointDatabase(move.path);
        return;
      }
      this.#moves = this.#moves.filter((each) => each !== move);
      store.moved(move.path, move.outcome);
      if (move.outcome.isComplete) this.counts.moved += 1;
    }
  }

  #barrier(): void {
    this.#test.store.barrier();
    this.#underWay = undefined;
    this.#durable = copyOf(this.#model);
  }

  #crash(): void {
    this.#underWay = undefined;
    this.#moves = [];
    this.#test.reopen();
    this.#model = copyOf(this.#durable);
    this.#check();
  }

  #check(): void {
    const { store } = this.#test;
    for (const [ino, names] of this.#model) {
      const dir = this.#test.get(ino);
      const listed = store.list(dir, 0, 1000);
      const found = listed.map((dentry) => [Buffer.from(dentry.name).toString(), dentry.ino] as const);
      expect(new Map(found)).toEqual(names);
      expect(found).toHaveLength(names.size);
      expect(store.totals(dir).entries).toBe(names.size);
      for (const dentry of listed)
        expect(store.inode(dentry.ino)).toMatchObject({ parent: ino, position: dentry.position });
    }
    const inodes = Array.from({ length: 3 }, (_, shard) => [...store.scan(shard).inodes()].length);
    const files = [...this.#model.values()].reduce((sum, names) => sum + names.size, 0);
    expect(inodes.reduce((a, b) => a + b)).toBe(files + this.#model.size + 1);
  }

  finish(): void {
    this.#barrier();
    this.#crash();
  }
}

/** Names share 30 hashes, so that positions are contended for. */
function few(name: Uint8Array): number {
  const text = Buffer.from(name).toString();
  return text.startsWith('dir') ? 1000 + Number(text.slice(3)) : 1 + (Number(text.slice(1)) % 30) * 2 ** 40;
}

it(`a random walk agrees with its model (seed ${SEED})`, () => {
  const walk = new Walk();
  for (let i = 0; i < STEPS; i++) walk.step();
  walk.finish();
  // The databases went through their cycle beside all that.
  expect(walk.counts.commits).toBeGreaterThan(20);
  expect(walk.counts.moved).toBeGreaterThan(5);
}, 60_000);
