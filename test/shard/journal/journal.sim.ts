/**
 * Seeded lives of a journal on a disk that is cut off: records, barriers whole and half, segments let go, starts, kills and
 * power cuts at any write, also of recovery. After a kill every record is there, after a power cut those up to some LSN not
 * below the last completed barrier, and recovery, however often it is cut off itself, always comes to the same.
 */
import { describe, expect, test } from 'vitest';
import { flushTarget } from '../../../base/backing.ts';
import { isErrno } from '../../../base/errno.ts';
import { silentLog } from '../../../base/log.ts';
import type { Ino, Lsn } from '../../../base/units.ts';
import { Journal } from '../../../shard/journal/journal.ts';
import type { JournalRecord } from '../../../shard/journal/record_codec.ts';
import { MAX_REQUESTS } from '../../../shard/journal/request_table.ts';
import { SurvivingJournal } from '../../../shard/journal/survivor.ts';
import { Random } from '../../support/random.ts';
import { firstSeed } from '../../support/seed.ts';
import { SectorDisk, Stopped } from './sector_disk.ts';

const PATH = '/meta/journal';
const MIRROR = '/other';
const SEGMENT = 128 << 10;
const STEPS = 400;

class Life {
  readonly #random: Random;
  readonly #hasMirror: boolean;
  #disk = new SectorDisk();
  #boot = 1;
  #journal: Journal;
  /** What each record says, by LSN. */
  #said = new Map<number, number>();
  #last = 1;
  #durable = 1;
  #released = 2;
  #start = 0;
  #generation = 0;
  #generationFrom = 2;
  #salt = 0;
  readonly did = new Map<string, number>();

  constructor(random: Random, hasMirror: boolean) {
    this.#random = random;
    this.#hasMirror = hasMirror;
    const shape = { segmentBytes: SEGMENT, segments: 4 };
    expect(Journal.create(this.#disk, { path: PATH, storeId: 's', lsn: 1 as Lsn, shape })).toBe(0);
    this.#journal = this.#open(this.#disk);
  }

  step(): void {
    const choice = this.#random.below(1000);
    if (choice < 20) this.#cutOff();
    else if (choice < 30) this.#note('kill', () => this.#kill(this.#last, this.#last));
    else if (choice < 40) this.#note('power cut', () => this.#powerCut(this.#last));
    else this.#act();
  }

  #note(what: string, act: () => void): void {
    this.did.set(what, (this.did.get(what) ?? 0) + 1);
    act();
  }

  #act(): void {
    const choice = this.#random.below(100);
    if (choice < 70) this.#note('append', () => this.#append());
    else if (choice < 85) this.#note('barrier', () => this.#barrier(true));
    else if (choice < 92) this.#note('half a barrier', () => this.#barrier(false));
    else if (choice < 97) this.#note('release', () => this.#release());
    else this.#note('start', () => this.#raiseStart());
  }

  /** The program ends at one of its next writes. */
  #cutOff(): void {
    this.#disk.stopAfter(this.#random.below(6));
    const before = this.#last;
    const calls = this.#random.below(12);
    try {
      for (let i = 0; i < calls; i++) this.#act();
    } catch (thrown) {
      if (!(thrown instanceof Stopped)) throw thrown;
    }
    this.#disk.stopAfter(Number.POSITIVE_INFINITY);
    expect(this.#last).toBeGreaterThanOrEqual(before);
    // The one under way may be there or not.
    if (this.#random.below(2) === 0) this.#note('kill at a write', () => this.#kill(this.#last, this.#last + 1));
    else this.#note('power cut at a write', () => this.#powerCut(this.#last + 1));
  }

  #append(): void {
    const lsn = (this.#last + 1) as Lsn;
    const size = this.#random.below(20) === 0 ? this.#random.below(300_000) : this.#random.below(2_000);
    // Often the very same bytes as a record that was dropped.
    const value = this.#random.below(2) === 0 ? lsn : ++this.#salt * 1e7;
    this.#said.set(lsn, value);
    const record: JournalRecord = {
      lsn,
      mutations: [
        { kind: 'meta', key: 'k', value },
        { kind: 'xattr', ino: 5 as Ino, name: new Uint8Array(1), value: new Uint8Array(value === lsn ? 100 : size) },
      ],
      completes: { unique: BigInt(lsn), opcode: 1, node: 1, ino: 5 as Ino },
    };
    expect(this.#journal.append(record)).toBe(0);
    this.#last = lsn;
  }

  #barrier(isWhole: boolean): void {
    const lsn = (this.#durable + this.#random.below(this.#last - this.#durable + 1)) as Lsn;
    expect(this.#journal.appendBarrier(lsn, this.#released)).toBe(0);
    if (this.#random.below(2) === 0 && this.#last > 2) this.#append();
    const targets = this.#journal.takeFlushTargets();
    if (!isWhole) targets.pop();
    for (const target of targets) expect(flushTarget(this.#disk, target)).toBe(0);
    if (!isWhole) return;
    expect(this.#journal.flushed(lsn, 0)).toBe(0);
    this.#durable = lsn;
  }

  #release(): void {
    const from = this.#released + this.#random.below(Math.max(1, this.#durable + 2 - this.#released));
    this.#journal.release(from as Lsn);
    this.#released = Math.max(this.#released, from);
  }

  #raiseStart(): void {
    const generation = this.#generation + this.#random.below(2);
    expect(this.#journal.raiseStart({ start: this.#start + 1, generation, bootId: `boot ${this.#boot}` })).toBe(0);
    this.#start += 1;
    if (generation !== this.#generation) this.#generationFrom = this.#last + 1;
    this.#generation = generation;
  }

  #open(disk: SectorDisk, boot = this.#boot): Journal {
    const journal = Journal.open({
      backing: disk,
      path: PATH,
      storeId: 's',
      bootId: `boot ${boot}`,
      readOnly: false,
      log: silentLog,
      segments: 4,
      // As for a daemon that takes over: it decides by itself whether that is enough.
      recentFrom: this.#random.below(2) === 0 ? (this.#released as Lsn) : undefined,
      reached: (this.#random.below(2) === 0 ? Math.max(0, this.#released - 1) : this.#durable) as Lsn,
    });
    if (isErrno(journal)) throw new Error(`No journal: ${journal.name}`);
    if (this.#hasMirror) journal.follow({ paths: [MIRROR], known: [] }, () => {});
    return journal;
  }

  #kill(least: number, most: number): void {
    // Without a START of this boot the journal cannot know that it is still the same.
    if (this.#journal.rebooted && this.#startedIn !== this.#boot) {
      this.#reopen(this.#durable, most);
      return;
    }
    this.#reopen(least, most);
    for (let lsn = Math.max(this.#generationFrom, this.#last - MAX_REQUESTS + 1); lsn <= this.#last; lsn++)
      expect([lsn, this.#journal.executed(BigInt(lsn))?.unique]).toEqual([lsn, BigInt(lsn)]);
  }

  #powerCut(most: number): void {
    this.#disk.powerCut(this.#random);
    this.#boot += 1;
    this.#reopen(this.#durable, most, true);
  }

  get #startedIn(): number {
    return this.#lastStartBoot;
  }

  #lastStartBoot = 0;

  #reopen(least: number, most: number, isPowerCut = false): void {
    const whole = this.#open(this.#disk.copy());
    this.#interrupt(isPowerCut);
    this.#journal = this.#open(this.#disk);
    const { lsn, barrierLsn } = this.#journal;
    expect([lsn, barrierLsn]).toEqual([whole.lsn, whole.barrierLsn]);
    // Databases may commit what a barrier covers as soon as this is open: it survives the power from here on.
    const cut = this.#disk.copy();
    cut.powerCut(this.#random);
    expect(this.#open(cut, this.#boot + 1).lsn).toBeGreaterThanOrEqual(barrierLsn);
    expect(lsn).toBeGreaterThanOrEqual(least);
    expect(lsn).toBeLessThanOrEqual(most);
    expect(barrierLsn).toBeGreaterThanOrEqual(this.#durable);
    expect(this.#journal.start).toBeGreaterThanOrEqual(this.#start);
    this.#start = this.#journal.start;
    // A START that was under way may stand.
    if (this.#journal.generation !== this.#generation) this.#generationFrom = lsn + 1;
    this.#generation = this.#journal.generation;
    this.#last = lsn;
    this.#durable = Math.min(barrierLsn, lsn);
    this.#expectRecords(this.#journal.readFrom(this.#released as Lsn));
    if (this.#hasMirror) this.#expectMirror();
    if (this.#random.below(3) === 0) return;
    this.#raiseStart();
    this.#generationFrom = this.#last + 1;
    this.#lastStartBoot = this.#boot;
  }

  /** Recovery is cut off itself, a few times. */
  #interrupt(isPowerCut: boolean): void {
    for (let i = this.#random.below(4); i > 0; i--) {
      this.#disk.stopAfter(this.#random.below(12));
      try {
        this.#open(this.#disk);
      } catch (thrown) {
        if (!(thrown instanceof Stopped)) throw thrown;
        this.did.set('recovery cut off', (this.did.get('recovery cut off') ?? 0) + 1);
      }
      this.#disk.stopAfter(Number.POSITIVE_INFINITY);
      if (isPowerCut && this.#random.below(2) === 0) this.#disk.powerCut(this.#random);
    }
  }

  #expectRecords(records: Iterable<JournalRecord | undefined>): void {
    let expected = this.#released;
    for (const record of records) {
      const [mutation] = [...(record?.mutations ?? [])];
      const value = mutation?.kind === 'meta' ? mutation.value : undefined;
      expect([record?.lsn, value]).toEqual([expected, this.#said.get(expected)]);
      expected += 1;
    }
    expect(expected).toBe(Math.max(this.#released, this.#last + 1));
  }

  /** The mirror has it all, alone. */
  #expectMirror(): void {
    const options = { backing: this.#disk, path: MIRROR, storeId: 's', bootId: `boot ${this.#boot}` };
    const survivor = SurvivingJournal.open(options);
    if (isErrno(survivor)) throw new Error(`No mirror: ${survivor.name}`);
    expect(survivor.firstLsn).toBeLessThanOrEqual(this.#released);
    expect(survivor.lastLsn).toBe(this.#last);
    this.#expectRecords(survivor.records(this.#released as Lsn));
  }

  end(): void {
    this.#kill(this.#durable, this.#last);
  }
}

describe('lives of a journal', () => {
  const first = firstSeed('PACSFS_SEED');
  const lives = Number(process.env['PACSFS_LIVES'] ?? 12);
  for (let seed = first; seed < first + lives; seed++)
    test(`seed ${seed}`, () => {
      console.log(`life of a journal: PACSFS_SEED=${seed}`);
      const life = new Life(new Random(seed), seed % 3 === 0);
      for (let step = 0; step < STEPS; step++) life.step();
      life.end();
    });
});
