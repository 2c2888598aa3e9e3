/**
 * A seeded life in which files move in the background: made in bursts and packed, removed, cut, written, renamed and copied,
 * above all while a worker copies them, and with a daemon that is killed at any step. It knows what every file has to be.
 */
import { KIB } from '../../base/units.ts';
import { O_RDWR } from '../support/loose_user.ts';
import { Random } from '../support/random.ts';
import { type Fixture, pattern, same } from './fixture.ts';

/** What moves in a life: begun, and how many files it has moved since the daemon started. */
export interface Mover {
  begin(fixture: Fixture, random: Random): void;
  files(fixture: Fixture): number;
}

export class Life {
  readonly #fixture: Fixture;
  readonly #random: Random;
  readonly #mover: Mover;
  readonly #files = new Map<string, Uint8Array>();
  #number = 0;
  moved = 0;
  kills = 0;

  constructor(fixture: Fixture, seed: number, mover: Mover) {
    this.#fixture = fixture;
    this.#mover = mover;
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
    else this.#move();
    if (isMoving) {
      loose.work();
      this.moved += this.#mover.files(this.#fixture);
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

  /** Some steps, which then stand still where they are. */
  #move(): void {
    const { loose } = this.#fixture;
    this.#mover.begin(this.#fixture, this.#random);
    const before = this.#mover.files(this.#fixture);
    for (let turns = 1 + this.#random.below(10); turns > 0; turns--) {
      loose.clock.advance(100);
      loose.tick();
      if (this.#random.below(3) > 0) loose.work();
      if (loose.jobs.some((job) => job.kind === 'pack' && job.job.moves !== undefined)) return;
    }
    this.moved += this.#mover.files(this.#fixture) - before;
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
