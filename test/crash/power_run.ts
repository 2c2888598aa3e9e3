/**
 * Recorded lives of a store, and power cuts in them. A life is one start of the daemon: recovery, then a seeded workload
 * (`power_user.ts`) on a disk in memory (`power_disk.ts`) and real databases whose commits are kept (`power_databases.ts`).
 * Before each call that changes the disk or makes it durable, and at every commit and checkpoint, the power may be cut:
 * some of the states in which the disk may then be found are made (`power_moods.ts`), and each is recovered under another
 * boot id and another clock, and compared with what the model allows (`power_check.ts`, `power_model.ts`).
 *
 * The next life goes on from one of these states: so recoveries are recorded and cut too, on a disk that was cut before.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BATCH_BUFFER_BYTES } from '../../aggregate/batch.ts';
import { alignedBuffer } from '../../base/libc.ts';
import type { Lsn } from '../../base/units.ts';
import type { LooseFilesystem } from '../support/loose_filesystem.ts';
import { Random } from '../support/random.ts';
import { checkState, type PowerState, readerOf, STATE_FOLDER } from './power_check.ts';
import { PowerDatabases, placeDatabases } from './power_databases.ts';
import { PowerDisk } from './power_disk.ts';
import { capture, PowerModel } from './power_model.ts';
import { ALL, drawCut } from './power_moods.ts';
import { openPowerStore } from './power_store.ts';
import { PowerUser } from './power_user.ts';

const STEPS_A_LIFE = 120;
const HOUR_MICROS = 3_600_000_000;
/** One state in so many is also put to work. */
const THOROUGHLY_EVERY = 8;

/** Calls at which the power is cut more often than at others: there are few of them. */
const RARE: ReadonlySet<string> = new Set(['commit', 'checkpoint', 'flush', 'flushFolder']);

/** What makes a build wrong. */
export interface Plant {
  readonly name: string;
  /** Done to the disk and the store of a life. */
  readonly life?: (life: { readonly disk: PowerDisk; readonly loose: LooseFilesystem }) => void;
  /** Done once before all lives; what it returns undoes it. */
  readonly begin?: () => () => void;
  /** Recovery is told that the machine was not booted since. */
  readonly isSameBoot?: boolean;
}

export interface PowerOptions {
  readonly seed: number;
  /** States to check. */
  readonly states: number;
  /** A folder of this run alone, best in memory. */
  readonly folder: string;
  /** A fault that is to be found. */
  readonly plant?: Plant;
}

export interface Violation {
  readonly seed: number;
  readonly state: number;
  readonly where: string;
  readonly what: readonly string[];
}

export class PowerRun {
  readonly #options: PowerOptions;
  readonly #random: Random;
  readonly #packBuffer = alignedBuffer(BATCH_BUFFER_BYTES);
  #model = new PowerModel();
  #life = 0;
  #waiting: PowerState[] = [];
  #made = 0;
  /** What the power was cut at, and what the programs did. */
  readonly cuts = new Map<string, number>();
  readonly did = new Map<string, number>();
  /** Cuts in the recovery of a state that a cut had left. */
  inRecovery = 0;
  /** Cuts while a directory was being split or merged. */
  inSplit = 0;
  checked = 0;
  violation: Violation | undefined;

  constructor(options: PowerOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  get lives(): number {
    return this.#life;
  }

  /** Lives until enough states were checked, or one was wrong. */
  run(): void {
    const { folder, states } = this.#options;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const end = this.#options.plant?.begin?.();
    try {
      let state = this.#format();
      while (this.checked < states && this.violation === undefined) state = this.#live(state);
    } finally {
      end?.();
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #format(): PowerState {
    const disk = new PowerDisk(this.#options.folder, () => ({ sec: 0, nsec: 0 }));
    const folder = join(this.#options.folder, STATE_FOLDER);
    const loose = openPowerStore({ ...this.#store(), disk, folder, bootId: 'boot-0', isFormatted: false });
    loose.stop();
    disk.flushAll();
    const databases = new PowerDatabases(loose.metaFolder).cut('all', this.#random);
    const promised = { lsn: 0 as Lsn, versions: new Map() };
    return { number: 0, disk: disk.cut(ALL, this.#random), databases, promised, where: 'the start' };
  }

  #store() {
    return { volumesFolder: this.#options.folder, packBuffer: this.#packBuffer };
  }

  /** One start of the daemon; returns a state to go on from. */
  #live(start: PowerState): PowerState {
    this.#life += 1;
    const folder = join(this.#options.folder, `life-${this.#life}`);
    const { disk } = start;
    disk.move(join(this.#options.folder, STATE_FOLDER), folder);
    placeDatabases(start.databases, join(folder, 'meta'));
    const databases = new PowerDatabases(join(folder, 'meta'));
    const model = new PowerModel();
    this.#model = model;
    const record = { disk, databases, folder };
    disk.before = (call, path) => this.#mayCut(record, `${call} ${path.slice(this.#options.folder.length)}`);
    databases.before = (what, path) => this.#mayCut(record, `${what} ${path.slice(folder.length)}`);
    const bootId = `boot-${this.#life}`;
    const shiftMicros = this.#shift();
    let last = start;
    let loose: LooseFilesystem | undefined;
    try {
      loose = openPowerStore({ ...this.#store(), disk, folder, bootId, shiftMicros, databases, random: this.#random });
      this.#options.plant?.life?.({ disk, loose });
      this.#begin(loose);
      const store = loose;
      const restart = (isReplaced: boolean) => {
        store.kill();
        databases.closed();
        store.open({ takeover: isReplaced });
        this.#options.plant?.life?.({ disk, loose: store });
      };
      const user = new PowerUser(loose, { model, random: this.#random, restart });
      user.takeOver(model.snapshots.at(-1)?.names ?? new Map());
      for (let step = 0; step < STEPS_A_LIFE && this.violation === undefined; step++) {
        last = this.#check() ?? last;
        if (this.checked >= this.#options.states) break;
        const what = user.step();
        if (!loose.namespace.moving.isEmpty) this.inSplit += this.#waiting.length;
        this.did.set(what, (this.did.get(what) ?? 0) + 1);
        user.verify(model.snapshot(what, loose).names);
      }
      last = this.#check() ?? last;
    } catch (thrown) {
      const what = [thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)];
      this.violation ??= { seed: this.#options.seed, state: this.checked, where: `life ${this.#life}`, what };
    } finally {
      disk.before = () => {};
      databases.before = () => {};
      loose?.kill();
      rmSync(folder, { recursive: true, force: true });
    }
    return last;
  }

  /** What was recovered is the model's first moment: at the record that was found, and at those that recovery made. */
  #begin(loose: LooseFilesystem): void {
    const read = readerOf(loose);
    const found = capture(loose, { what: 'found' });
    for (const [ino, { isFile }] of found.entries) {
      const bytes = isFile ? read(ino) : 0;
      if (typeof bytes !== 'number') this.#model.wrote(ino, bytes.slice());
    }
    this.#model.snapshot('found', loose);
    this.#model.snapshots.unshift({ ...found, lsn: loose.foundLsn });
    this.#model.promise(loose.foundLsn, []);
  }

  /** The states of this step's cuts; returns one of them, when all are right. */
  #check(): PowerState | undefined {
    const states = this.#waiting.splice(0);
    for (const state of states) {
      if (this.checked >= this.#options.states || this.violation !== undefined) break;
      this.checked += 1;
      // Recovery changes the state, and the next life may start from it.
      const disk = state.disk.cut(ALL, this.#random);
      const isSameBoot = this.#options.plant?.isSameBoot === true;
      const what = checkState(
        { ...state, disk },
        {
          ...this.#store(),
          folder: this.#options.folder,
          model: this.#model,
          bootId: isSameBoot ? `boot-${this.#life}` : 'boot-x',
          shiftMicros: this.#shift(),
          thoroughly: this.#random.below(THOROUGHLY_EVERY) === 0,
        },
      );
      if (what.length > 0) {
        const { seed } = this.#options;
        this.violation = { seed, state: this.checked, where: `life ${this.#life}, ${state.where}`, what };
      }
    }
    return this.violation === undefined ? states[this.#random.below(states.length)] : undefined;
  }

  #mayCut(
    record: { readonly disk: PowerDisk; readonly databases: PowerDatabases; readonly folder: string },
    where: string,
  ) {
    const [kind = ''] = where.split(' ');
    if (this.#random.below(RARE.has(kind) ? 4 : 12) !== 0) return;
    const { disk, databases, folder } = record;
    this.cuts.set(kind, (this.cuts.get(kind) ?? 0) + 1);
    const promised = this.#model.promised();
    if (this.#model.snapshots.length === 0) this.inRecovery += 1;
    for (let count = 1 + this.#random.below(3); count > 0; count--) {
      const cut = drawCut(this.#random, disk.changes);
      const image = disk.cut(cut, this.#random);
      image.move(folder, join(this.#options.folder, STATE_FOLDER));
      this.#made += 1;
      const state = {
        number: this.#made,
        disk: image,
        databases: databases.cut(cut.databases, this.#random),
      };
      this.#waiting.push({ ...state, promised, where });
    }
  }

  /** Clocks are set, back too, while the power is off. */
  #shift(): number {
    const hours = [0, 0, 1, -1, 24, -24 * 365][this.#random.below(6)] ?? 0;
    return hours * HOUR_MICROS;
  }
}
