/**
 * Seeded lives with compaction: files made in bursts and packed, removed, cut, written, renamed and copied, while passes of
 * compaction are under way and the daemon is killed at any of their steps. Contents are what the model says all the time,
 * and in the end little is taken that is not live. The same lives find a build that switches without comparing.
 */
import { describe, expect, test } from 'vitest';
import { KIB, MIB } from '../../base/units.ts';
import type { Inode } from '../../shard/rows.ts';
import { O_RDWR } from '../support/loose_user.ts';
import { Random } from '../support/random.ts';
import { firstSeed } from '../support/seed.ts';
import { type Fixture, pattern, same, start } from './fixture.ts';

const STEPS = 120;

class Life {
  readonly #fixture: Fixture;
  readonly #random: Random;
  readonly #files = new Map<string, Uint8Array>();
  #number = 0;
  moved = 0;
  kills = 0;

  constructor(fixture: Fixture, seed: number) {
    this.#fixture = fixture;
    this.#random = new Random(seed);
  }

  step(): void {
    const { loose, user } = this.#fixture;
    const isMoving = loose.jobs.some((job) => job.kind === 'pack' && job.job.moves !== undefined);
    // While a worker copies files are changed above all.
    const choice = isMoving ? 2 + this.#random.below(7) : this.#random.below(20);
    const name = this.#any();
    if (choice < 2) this.#burst();
    else if (choice < 5) this.#thin(isMoving ? 2 : 30);
    else if (choice < 7 && name !== undefined) this.#cut(name);
    else if (choice < 9 && name !== undefined) this.#write(name);
    else if (choice < 11 && name !== undefined) this.#copy(name);
    else if (choice < 12 && name !== undefined) {
      const to = `r${this.#number++}`;
      user.rename(name, to);
      this.#files.set(to, this.#files.get(name) ?? new Uint8Array(0));
      this.#files.delete(name);
    } else if (choice < 13) loose.pack();
    else if (choice < 14) this.#kill();
    else this.#compact();
    if (isMoving) {
      loose.work();
      this.moved += loose.filesystem.compactor.status.files;
    }
  }

  #burst(): void {
    const { loose, user } = this.#fixture;
    for (let i = 0; i < 24; i++) {
      const name = `f${this.#number++}`;
      const bytes = pattern(1 + this.#random.below(300 * KIB), this.#number);
      user.put(name, bytes);
      this.#files.set(name, bytes);
    }
    loose.pack();
  }

  #remove(): void {
    const name = this.#any();
    if (name === undefined || this.#files.size < 6) return;
    this.#fixture.user.remove(name);
    this.#files.delete(name);
  }

  #thin(count: number): void {
    for (let i = 0; i < count; i++) this.#remove();
  }

  #cut(name: string): void {
    const bytes = this.#files.get(name) ?? new Uint8Array(0);
    const size = this.#random.below(bytes.length + 1);
    this.#fixture.user.truncate(name, size);
    this.#files.set(name, bytes.slice(0, size));
  }

  #write(name: string): void {
    const { user } = this.#fixture;
    const file = user.open(name, O_RDWR);
    const bytes = Uint8Array.from(this.#files.get(name) ?? []);
    const part = this.#random.bytes(1 + this.#random.below(2000));
    const at = this.#random.below(bytes.length + 1);
    user.write(file, part, at);
    user.close(file);
    const after = new Uint8Array(Math.max(bytes.length, at + part.length));
    after.set(bytes);
    after.set(part, at);
    this.#files.set(name, after);
  }

  #copy(name: string): void {
    const { user } = this.#fixture;
    if ((this.#files.get(name)?.length ?? 0) === 0) return;
    const to = `c${this.#number++}`;
    user.copy(name, to);
    this.#files.set(to, this.#files.get(name) ?? new Uint8Array(0));
  }

  /** Some steps of a pass, which then stands still where it is. */
  #compact(): void {
    const { loose } = this.#fixture;
    loose.filesystem.compactor.ask();
    const before = loose.filesystem.compactor.status.files;
    for (let turns = 1 + this.#random.below(10); turns > 0; turns--) {
      loose.clock.advance(100);
      loose.tick();
      if (this.#random.below(3) > 0) loose.work();
      if (loose.jobs.some((job) => job.kind === 'pack' && job.job.moves !== undefined)) return;
    }
    this.moved += loose.filesystem.compactor.status.files - before;
  }

  #kill(): void {
    const { loose } = this.#fixture;
    loose.workUnheard((job) => this.#random.below(2) === 0 && job.kind === 'pack');
    this.kills += 1;
    loose.crash();
  }

  wrong(): string[] {
    const { user } = this.#fixture;
    return [...this.#files].flatMap(([name, bytes]) => (same(user.read(name), bytes) ? [] : [name]));
  }

  #any(): string | undefined {
    return [...this.#files.keys()][this.#random.below(Math.max(1, this.#files.size))];
  }
}

function live(seed: number, plant?: (fixture: Fixture) => void): { readonly life: Life; readonly wrong: string[] } {
  const fixture = start({ data: { aggregateBytes: 8 * MIB, lanesPerVolume: 1 }, filesystem: { packBelow: MIB } });
  const life = new Life(fixture, seed);
  let wrong: string[] = [];
  for (let step = 0; step < STEPS && wrong.length === 0; step++) {
    plant?.(fixture);
    life.step();
    if (step % 8 === 7) wrong = life.wrong();
  }
  if (wrong.length > 0) return { life, wrong };
  const { loose } = fixture;
  loose.pack();
  loose.compact();
  const { status } = loose.filesystem.compactor;
  console.log(
    `compaction, seed ${seed}: ${life.moved} files moved in steps, ${life.kills} kills; last: ${JSON.stringify(status)}`,
  );
  wrong = [...life.wrong(), ...loose.damageNow(), ...life.wrong()];
  const sealed = [...loose.data.ledger.rows()].filter(({ state, live: bytes }) => state === 'sealed' && bytes > 0);
  const taken = sealed.reduce((sum, { volume, id }) => sum + blocksOf(fixture, volume, id), 0);
  const lives = sealed.reduce((sum, row) => sum + row.live, 0);
  // What is more than a quarter live stays; punches that a kill has lost may be missing there.
  if (taken > 4 * lives + MIB) wrong.push(`${taken} bytes taken, ${lives} live`);
  return { life, wrong };
}

function blocksOf({ loose }: Fixture, ...[volume, id]: Parameters<Fixture['loose']['data']['statAggregate']>): number {
  const stat = loose.data.statAggregate(volume, id);
  return 'blocks' in stat ? stat.blocks * 512 : 0;
}

/** Whatever happens to files while a worker copies, the record is made of the rows that were planned. */
function switchWithoutComparing({ loose }: Fixture): void {
  const { filesystem, namespace } = loose;
  const { compactor } = filesystem;
  if (Object.hasOwn(compactor, 'finish')) return;
  const planned = new Map<number, Inode>();
  const finish = compactor.finish.bind(compactor);
  const inode = namespace.inode.bind(namespace);
  const post = compactor.step.bind(compactor);
  compactor.step = () => {
    namespace.inode = (ino) => {
      const row = inode(ino);
      if (row !== undefined) planned.set(ino, row);
      return row;
    };
    const changed = post();
    namespace.inode = inode;
    return changed;
  };
  compactor.finish = (result) => {
    namespace.inode = (ino) => planned.get(ino) ?? inode(ino);
    finish(result);
    namespace.inode = inode;
    planned.clear();
  };
}

describe('lives with compaction', () => {
  const first = firstSeed('PACSFS_SEED');
  for (const seed of [first, first + 1])
    test(`seed ${seed}`, () => {
      console.log(`life with compaction: PACSFS_SEED=${seed}`);
      const { life, wrong } = live(seed);
      expect(wrong).toEqual([]);
      expect(life.moved).toBeGreaterThan(0);
    });

  test('find a switch that does not compare', () => {
    for (let seed = first; seed < first + 12; seed++) {
      let wrong: string[];
      try {
        ({ wrong } = live(seed, switchWithoutComparing));
      } catch (thrown) {
        wrong = [String(thrown)];
      }
      if (wrong.length === 0) continue;
      console.log(`planted: a switch without comparing: found by seed ${seed}: ${wrong[0]}`);
      return;
    }
    expect.unreachable('Not found in 12 lives');
  });
});
