/** A database that takes its rows later answers like one that takes them at once. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { EPOCH } from '../../base/time.ts';
import type { Ino, Lsn, Position, Slot } from '../../base/units.ts';
import { carryOut } from '../../shard/apply.ts';
import type { Mutation } from '../../shard/mutation.ts';
import type { Dentry } from '../../shard/rows.ts';
import { SHARD_SCHEMA } from '../../shard/schema.ts';
import { ShardDatabase } from '../../shard/shard_database.ts';
import { SqliteFile } from '../../shard/sqlite_file.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { plainInode, scratchFolder } from './fixture.ts';

const SEED = firstSeed('PACSFS_SEED');
const ROUNDS = 60;
const STEPS = 120;
const SLOTS = [3, 4] as Slot[];
const DIRS = [4096 + 3, 8192 + 4] as Ino[];
const POSITIONS = 600;
/** Names of attributes, of a byte each. */
const XATTRS = [0, 65, 200, 255];

class Pair {
  readonly random: Random;
  readonly #direct: ShardDatabase;
  readonly #later: ShardDatabase;
  #lsn = 0 as Lsn;

  constructor(seed: number) {
    this.random = new Random(seed);
    const make = (name: string) =>
      new ShardDatabase(SqliteFile.create(join(scratchFolder(), name), { schema: SHARD_SCHEMA, now: EPOCH }));
    this.#direct = make('direct.db');
    this.#later = make('later.db');
  }

  close(): void {
    this.#direct.file.close();
    this.#later.file.close();
  }

  apply(mutation: Mutation): void {
    this.#lsn = (this.#lsn + 1) as Lsn;
    carryOut(this.#direct, mutation);
    if (this.#later.backlog.isTaking) this.#later.backlog.add(mutation, this.#lsn);
    else carryOut(this.#later, mutation);
  }

  /** From here on, rows wait. */
  take(): void {
    this.#later.writeDeferred();
    this.#later.backlog.isTaking = true;
    this.#later.file.catchUp = () => this.catchUp(Number.POSITIVE_INFINITY);
  }

  catchUp(count: number): void {
    const { backlog, file } = this.#later;
    const { catchUp } = file;
    file.catchUp = undefined;
    for (let done = 0; done < count; done++) {
      const next = backlog.first();
      if (next === undefined) break;
      carryOut(this.#later, next.mutation);
      backlog.applied();
    }
    if (backlog.length > 0) file.catchUp = catchUp;
    else backlog.isTaking = false;
  }

  check(): void {
    const answers = [this.#direct, this.#later].map((shard) => SLOTS.flatMap((slot) => answersOf(shard, slot)));
    expect(answers[1]).toEqual(answers[0]);
  }

  /** What is asked of the database alone: what waits is written first. */
  checkRest(): void {
    const rest = (shard: ShardDatabase) =>
      DIRS.flatMap((dir) => [
        SLOTS.map((slot) => shard.firstDentry({ slot, dir, from: 0, to: POSITIONS })),
        SLOTS.map((slot) => shard.count({ slot, dir, from: 0, to: POSITIONS })),
      ]);
    expect(rest(this.#later)).toEqual(rest(this.#direct));
  }
}

/** Everything that one slot has of both directories, each way it can be asked for. */
function answersOf(shard: ShardDatabase, slot: Slot): unknown[] {
  const found: unknown[] = [shard.nextSequence(slot)];
  for (const dir of DIRS) {
    // Each of them has one slot.
    found.push(shard.inode(dir), shard.partition(slot, dir, slot === SLOTS[0] ? 0 : 5));
    found.push(shard.xattrNames(dir).map(hexOf), hexOf(shard.symlink(dir)));
    for (const byte of XATTRS) found.push(hexOf(shard.xattr(dir, Uint8Array.of(byte))));
    found.push(shard.dentries({ slot, dir, from: 32, to: 47 }).rows.map(textOf));
    found.push(listed((from) => shard.dentrySlice({ slot, dir, from, to: POSITIONS })));
    found.push(listed((from) => shard.dentriesToMove({ slot, dir, from, to: POSITIONS }, 'first')));
    found.push(backwards((to) => shard.dentriesToMove({ slot, dir, from: 0, to }, 'last')));
  }
  return found;
}

interface Slice {
  readonly rows: readonly Dentry[];
  readonly more: boolean;
  readonly last: number;
}

function listed(slice: (from: number) => Slice): string[] {
  const all: string[] = [];
  for (let from = 0; ; ) {
    const { rows, more, last } = slice(from);
    all.push(...rows.map(textOf));
    if (!more) return all;
    from = last + 1;
  }
}

function backwards(slice: (to: number) => Slice): string[] {
  const all: string[] = [];
  for (let to = POSITIONS; ; ) {
    const { rows, more, last } = slice(to);
    all.push(...rows.map(textOf));
    if (!more) return all;
    to = last - 1;
  }
}

function hexOf(bytes: unknown): string {
  return bytes instanceof Uint8Array ? Buffer.from(bytes).toString('hex') : String(bytes);
}

function textOf({ position, name, ino }: Dentry): string {
  return `${position} ${Buffer.from(name)} ${ino}`;
}

function randomMutation(random: Random): Mutation {
  const slot = SLOTS[random.below(2)] ?? SLOTS[0] ?? (0 as Slot);
  const dir = DIRS[random.below(2)] ?? DIRS[0] ?? (1 as Ino);
  const position = (16 + random.below(POSITIONS - 16)) as Position;
  const index = slot === SLOTS[0] ? 0 : 5;
  const name = random.bytes(4 + random.below(6));
  const xattr = Uint8Array.of(XATTRS[random.below(XATTRS.length)] ?? 0);
  switch (random.below(20)) {
    case 0:
      return { kind: 'no-inode', ino: dir, extents: true, xattrs: true, symlink: true, own: true, orphan: true };
    case 1: {
      const to = Math.min(POSITIONS, position + random.below(200)) as Position;
      return { kind: 'no-dentries', slot, dir, from: position, to };
    }
    case 2:
    case 3:
    case 4:
      return { kind: 'no-dentry', slot, dir, position };
    case 5:
      return {
        kind: 'inode',
        inode: { ...plainInode(dir, EPOCH), uid: random.below(1000) },
        lists: 0,
        own: 'add',
        orphan: 'keep',
      };
    case 6: {
      const entries = random.below(100);
      const row = { slot, dir, index, entries, directories: 0, changed: EPOCH, lsn: 1 as Lsn, boundary: 16 };
      return { kind: 'partition', partition: row };
    }
    case 7:
      return { kind: 'no-partition', slot, dir, index };
    case 8:
      return { kind: 'xattr', ino: dir, name: xattr, value: name };
    case 9:
      return { kind: 'symlink', ino: dir, target: name };
    case 10:
      return { kind: 'sequence', slot, next: 0 };
    case 11:
      return { kind: 'no-xattr', ino: dir, name: xattr };
    case 12:
      return { kind: 'no-xattrs', ino: dir };
    case 13:
      return { kind: 'no-symlink', ino: dir };
    case 14:
      return { kind: 'xattr', ino: dir, name: xattr, value: name };
    default:
      return { kind: 'dentry', slot, dentry: { dir, position, name, ino: (1 + random.below(9999)) as Ino, type: 8 } };
  }
}

it(`whatever waits, reads see it (seed ${SEED})`, () => {
  for (let round = 0; round < ROUNDS; round++) {
    const pair = new Pair(SEED + round);
    const { random } = pair;
    const sequences = new Map<Slot, number>();
    for (let step = 0; step < STEPS; step++) {
      const mutation = randomMutation(random);
      // They never go down.
      if (mutation.kind === 'sequence') {
        const next = (sequences.get(mutation.slot) ?? 1) + random.below(1000);
        sequences.set(mutation.slot, next);
        pair.apply({ ...mutation, next });
      } else pair.apply(mutation);
      if (random.below(15) === 0) pair.take();
      if (random.below(10) === 0) pair.catchUp(1 + random.below(10));
      if (random.below(8) === 0) pair.check();
      if (random.below(40) === 0) pair.checkRest();
    }
    pair.check();
    pair.checkRest();
    pair.close();
  }
}, 240_000);

it('what waits does not change with the buffer that it came in', () => {
  const pair = new Pair(1);
  pair.take();
  const name = Buffer.from('a name');
  const dentry = { dir: DIRS[0] as Ino, position: 40 as Position, name, ino: 7 as Ino, type: 8 };
  pair.apply({ kind: 'dentry', slot: SLOTS[0] as Slot, dentry });
  name.fill(0);
  pair.check();
  pair.close();
});
