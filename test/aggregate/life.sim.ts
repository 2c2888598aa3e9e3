/**
 * Seeded lives of a data store: files packed, some rejected, shared, cut and released, punched, with disks that fail and
 * restarts in between. After every step what the model's inodes name is what was written, and the rows count it right.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { punch } from '../../aggregate/punch.ts';
import { E } from '../../base/errno.ts';
import { type Extent, occupied } from '../../base/layout.ts';
import { MIB } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { isSame, SMALL_AGGREGATE, TemporaryStore } from './temporary_store.ts';

const STEPS = 100;
let store: TemporaryStore | undefined;

afterEach(() => store?.remove());

interface ModelFile {
  readonly contents: Uint8Array;
  readonly extents: readonly Extent[];
}

class Life {
  readonly store: TemporaryStore;
  readonly random: Random;
  files: ModelFile[] = [];

  constructor(own: TemporaryStore, seed: number) {
    this.store = own;
    this.random = new Random(seed);
  }

  step(): void {
    const choice = this.random.below(100);
    if (choice < 50) this.#pack();
    else if (choice < 70) this.#release();
    else if (choice < 80) this.#share();
    else if (choice < 95) this.#barrier();
    else this.#restart();
  }

  /** Distinct ranges that some file names. */
  expectCounts(): void {
    const live = new Map<number, Map<number, number>>();
    for (const extent of this.files.flatMap(({ extents }) => extents)) {
      const ranges = live.get(extent.aggregate) ?? new Map<number, number>();
      live.set(extent.aggregate, ranges.set(extent.rangeStart, occupied(extent.rangeLength)));
    }
    for (const row of this.store.data.ledger.rows()) {
      const counted = [...(live.get(row.id)?.values() ?? [])].reduce((sum, bytes) => sum + bytes, 0);
      expect({ id: row.id, live: row.live }).toEqual({ id: row.id, live: counted });
      live.delete(row.id);
    }
    expect(live.size).toBe(0);
  }

  expectContents(): void {
    for (const { contents, extents } of this.files) {
      expect(isSame(this.store.read(extents, contents.length), contents)).toBe(true);
    }
  }

  #pack(): void {
    const made = Array.from({ length: 1 + this.random.below(12) }, () => {
      const contents = this.random.bytes(this.random.below(this.random.below(4) === 0 ? 1.5 * MIB : 50_000) + 1);
      return { contents, file: this.store.own(contents) };
    });
    const fails = this.random.below(10) === 0;
    const error = this.random.below(2) === 0 ? E.ENOSPC : E.EIO;
    if (fails)
      this.store.backing.arm({ kind: 'write', error, path: 'aggregates', after: this.random.below(3), times: 1 });
    const job = this.store.job(made.map(({ file }) => file));
    if (this.random.below(15) === 0) {
      this.store.run(job);
      this.store.data.abandonPack(job.id);
      this.store.commit();
    } else {
      const switched = this.store.finish(this.store.run(job), () => this.random.below(5) > 0);
      for (const { ino, extents } of switched) {
        const contents = made.find(({ file }) => file.ino === ino)?.contents;
        if (contents !== undefined) this.files.push({ contents, extents });
      }
    }
    this.store.backing.disarm();
    for (const { file } of made) this.store.data.unlinkOwnLater(file.own);
  }

  /** A second inode that names a part of the first one's bytes, as copy_file_range makes them. */
  #share(): void {
    const at = this.random.below(this.files.length);
    const file = this.files[at];
    const [first] = file?.extents ?? [];
    if (file === undefined || first === undefined) return;
    this.files[at] = { ...file, extents: file.extents.map((extent) => ({ ...extent, shared: true })) };
    const skipped = this.random.below(first.length);
    const length = 1 + this.random.below(first.length - skipped);
    const from = first.fileOffset + skipped;
    this.files.push({
      contents: file.contents.subarray(from, from + length),
      extents: [{ ...first, shared: true, fileOffset: 0, length, offset: first.offset + skipped }],
    });
  }

  #release(): void {
    for (let n = this.random.below(8); n >= 0; n--) {
      const [file] = this.files.splice(this.random.below(this.files.length), 1);
      if (file === undefined) return;
      this.store.data.ledger.release(file.extents, {
        stillShared: ({ aggregate, rangeStart }) =>
          this.files.some(({ extents }) =>
            extents.some((extent) => extent.aggregate === aggregate && extent.rangeStart === rangeStart),
          ),
      });
    }
    this.store.commit();
  }

  #barrier(): void {
    this.store.barrier();
    for (const job of this.store.data.takePunches()) expect(punch(job, this.store.backing)).toBe(0);
  }

  #restart(): void {
    this.store.reopen();
    this.store.commit();
  }
}

describe('lives of a data store', () => {
  for (const seed of [1, 2, 3]) {
    test(`seed ${seed}`, () => {
      store = new TemporaryStore({ aggregateBytes: SMALL_AGGREGATE });
      const life = new Life(store, seed);
      for (let step = 0; step < STEPS; step++) {
        life.step();
        life.expectCounts();
        if (step % 15 === 0) life.expectContents();
      }
      life.expectContents();
      expect(life.files.length).toBeGreaterThan(0);
      expect(store.backing.openFiles).toBe(store.data.openFiles);
    });
  }
});
