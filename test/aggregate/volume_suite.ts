/** What every kind of volume does; each kind's tests run it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { folderOf, type Volume } from '../../aggregate/volume.ts';
import { E, isErrno } from '../../base/errno.ts';
import { alignedBuffer } from '../../base/libc.ts';
import { type AggregateId, MIB } from '../../base/units.ts';
import { Random } from '../support/random.ts';
import { isSame, value } from './temporary_store.ts';

export interface VolumeUnderTest {
  readonly volume: Volume;
  /** As another thread, or the next daemon, opens it. */
  reopen(): Volume;
  /** An aggregate with these bytes, durable, by whatever means the kind has. */
  put(id: AggregateId, bytes: Uint8Array): void;
  remove(): void;
}

const FIRST = 4_095 as AggregateId;
const SECOND = 4_096 as AggregateId;
const LENGTHS = [1, 65_536, 300_000, 9 * MIB + 4_321];

export function describeVolume(
  name: string,
  make: () => VolumeUnderTest,
  { hasOwnFiles }: { readonly hasOwnFiles: boolean },
): void {
  describe(name, () => {
    const random = new Random(21);
    let made: VolumeUnderTest;
    beforeEach(() => {
      made = make();
    });
    afterEach(() => made.remove());

    test('its identity can be read', () => {
      const file = value(made.volume.lendIdentity());
      const bytes = new Uint8Array(4096);
      const text = new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0)));
      expect(JSON.parse(text)).toMatchObject({ volumeId: made.volume.row.id, volume: made.volume.row.name });
      file.close();
    });

    test.each(LENGTHS)('an aggregate of %i bytes reads as it was written, in any range', (length) => {
      const bytes = random.bytes(length);
      made.put(FIRST, bytes);
      for (const volume of [made.volume, made.reopen()]) {
        const file = value(volume.openAggregate(FIRST));
        const whole = new Uint8Array(length + 10);
        expect(file.read(whole, 0)).toBe(length);
        expect(isSame(whole.subarray(0, length), bytes)).toBe(true);
        for (let i = 0; i < 100; i++) {
          const from = random.below(length);
          const into = new Uint8Array(1 + random.below(Math.min(length, 3 * MIB)));
          const count = file.read(into, from);
          expect(count).toBe(Math.min(into.length, length - from));
          expect(isSame(into.subarray(0, count), bytes.subarray(from, from + count))).toBe(true);
        }
        expect(file.read(whole, length)).toBe(0);
        expect(value(file.stat()).size).toBe(length);
        file.close();
      }
    });

    test('aggregates are listed, told of, and removed', () => {
      made.put(FIRST, random.bytes(100_000));
      made.put(SECOND, random.bytes(5));
      const { volume } = made;
      expect([...value(volume.aggregateFolders())].sort()).toEqual([folderOf(FIRST), folderOf(SECOND)]);
      expect(value(volume.aggregateIds(folderOf(FIRST)))).toEqual([FIRST]);
      expect(value(volume.aggregateIds(folderOf(SECOND)))).toEqual([SECOND]);
      expect(value(volume.aggregateIds(99))).toEqual([]);
      const { size, blocks } = value(volume.statAggregate(FIRST));
      expect(size).toBe(100_000);
      expect(blocks * 512).toBeGreaterThanOrEqual(100_000);
      expect(volume.unlinkAggregate(FIRST)).toBe(0);
      expect(volume.unlinkAggregate(FIRST)).toBe(-E.ENOENT.number);
      expect(volume.statAggregate(FIRST)).toBe(E.ENOENT);
      expect(volume.openAggregate(FIRST)).toBe(E.ENOENT);
      expect(value(volume.aggregateIds(folderOf(FIRST)))).toEqual([]);
      expect(value(made.reopen().statAggregate(SECOND)).size).toBe(5);
    });

    test('one that is set aside is gone, and can be made again', () => {
      made.put(FIRST, random.bytes(100));
      expect(made.volume.setAsideAggregate(FIRST)).toBe(0);
      expect(made.volume.openAggregate(FIRST)).toBe(E.ENOENT);
      expect(made.volume.setAsideAggregate(FIRST)).toBe(-E.ENOENT.number);
      made.put(FIRST, random.bytes(100));
      expect(made.volume.setAsideAggregate(FIRST)).toBe(0);
    });

    test('one that is open reads on when its name is gone', () => {
      const bytes = random.bytes(70_000);
      made.put(FIRST, bytes);
      const file = value(made.volume.lendAggregate(FIRST));
      const into = alignedBuffer(4096);
      expect(file.read(into, 0)).toBe(4096);
      expect(made.volume.unlinkAggregate(FIRST)).toBe(0);
      expect(file.read(into, 0)).toBe(4096);
      expect(isSame(into, bytes.subarray(0, 4096))).toBe(true);
      file.close();
    });

    test('its space is that of a disk', () => {
      const { total, free, available } = value(made.volume.space());
      expect(total).toBeGreaterThan(0);
      expect(free).toBeLessThanOrEqual(total);
      expect(available).toBeLessThanOrEqual(free);
    });

    test(
      hasOwnFiles ? 'own files are made, found and removed' : 'own files, punching and appending are refused',
      () => {
        const { volume } = made;
        const own = { volume: volume.row.id, start: 3, number: 8 };
        expect(volume.holdsOwnFiles).toBe(hasOwnFiles);
        if (hasOwnFiles) {
          const file = value(volume.createOwn(own));
          expect(file.write(Uint8Array.of(1, 2), 0)).toBe(2);
          file.close();
          expect(volume.createOwn(own)).toBe(E.EEXIST);
          expect(value(volume.ownStarts())).toEqual([3]);
          expect(value(volume.ownNames(3))).toEqual([own]);
          expect(value(volume.statOwn(own)).size).toBe(2);
          expect(volume.unlinkOwn(own)).toBe(0);
          expect(volume.removeOwnStart(3)).toBe(0);
        } else {
          made.put(FIRST, random.bytes(10));
          expect(volume.createOwn(own)).toBe(E.EOPNOTSUPP);
          expect(volume.createAggregate(SECOND)).toBe(E.EOPNOTSUPP);
          expect(volume.openAggregate(FIRST, { write: true })).toBe(E.EROFS);
          const file = value(volume.openAggregate(FIRST));
          expect(file.write(new Uint8Array(1), 0)).toBe(-E.EROFS.number);
          expect(file.truncate(0)).toBe(-E.EROFS.number);
          expect(file.allocate(3, { offset: 0, length: 4096 })).toBe(-E.EROFS.number);
          file.close();
        }
        expect(volume.openOwn(own)).toBe(E.ENOENT);
        expect(volume.statOwn(own)).toBe(E.ENOENT);
        expect(volume.unlinkOwn(own)).toBe(-E.ENOENT.number);
        expect(value(volume.ownStarts())).toEqual([]);
        expect(isErrno(volume.lendOwn(own))).toBe(true);
      },
    );
  });
}
