import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { E, isErrno } from '../../base/errno.ts';
import type { OwnName } from '../../base/layout.ts';
import type { Ino, VolumeId } from '../../base/units.ts';
import { OpenTable } from '../../fs/open_table.ts';
import { KeptMemory, value } from '../support/loose_filesystem.ts';
import { Random } from '../support/random.ts';

const READS = { writes: false, maps: false };
const WRITES = { writes: true, maps: false };
const MAPS = { writes: true, maps: true };

function file(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pacsfs-open-table-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'table');
  writeFileSync(path, '');
  return path;
}

function answered(table: OpenTable, ino: number, handle = READS): void {
  expect(table.opening(ino as Ino, handle)).toBeUndefined();
  table.opened(ino as Ino);
}

function closed(table: OpenTable, ino: number, handle = READS): void {
  table.releasing(ino as Ino);
  table.released(ino as Ino, handle);
}

const own = (number: number): OwnName => ({ volume: 1 as VolumeId, start: 7, number });

describe('a table in a file', () => {
  test('is found again, with what was left in it', () => {
    const path = file();
    const table = value(OpenTable.open(path, { isFresh: true }));
    answered(table, 4097);
    answered(table, 4097, MAPS);
    answered(table, 2 ** 53 - 1, WRITES);
    answered(table, 5);
    closed(table, 5);
    table.setMode(4097 as Ino, 'passthrough', 12);
    table.setOwn(4097 as Ino, own(2 ** 48 - 1));
    const next = value(OpenTable.open(path, { isFresh: false }));
    expect([...next.entries()].sort((a, b) => a.ino - b.ino)).toEqual([
      {
        ino: 4097,
        handles: 2,
        writers: 1,
        isMappable: true,
        isInDoubt: false,
        mode: 'passthrough',
        own: own(2 ** 48 - 1),
        backingId: 12,
      },
      {
        ino: 2 ** 53 - 1,
        handles: 1,
        writers: 1,
        isMappable: false,
        isInDoubt: false,
        mode: 'none',
        own: undefined,
        backingId: 0,
      },
    ]);
    expect(value(OpenTable.open(path, { isFresh: true })).count).toBe(0);
  });

  test('grows, and gives free entries out again', () => {
    const path = file();
    const table = value(OpenTable.open(path, { isFresh: true }));
    for (let ino = 1; ino <= 5_000; ino++) answered(table, ino, WRITES);
    const { size } = statSync(path);
    for (let ino = 1; ino <= 5_000; ino += 2) closed(table, ino, WRITES);
    for (let ino = 10_001; ino <= 12_500; ino++) answered(table, ino);
    expect(statSync(path).size).toBe(size);
    const next = value(OpenTable.open(path, { isFresh: false }));
    expect(next.count).toBe(5_000);
    expect(next.entry(4_999 as Ino)).toBeUndefined();
    expect(next.entry(5_000 as Ino)).toMatchObject({ handles: 1, writers: 1 });
    expect(next.entry(12_500 as Ino)).toMatchObject({ handles: 1, writers: 0 });
  });

  test('is refused when it is none, of another version or missing', () => {
    const path = file();
    expect(OpenTable.open(path, { isFresh: false })).toBe(E.EINVAL);
    const foreign = Buffer.alloc(4096);
    foreign.writeUInt32LE(0x544f4650, 0);
    foreign.writeUInt32LE(2, 4);
    writeFileSync(path, foreign);
    expect(OpenTable.open(path, { isFresh: false })).toBe(E.EINVAL);
    expect(OpenTable.open(`${path}.missing`, { isFresh: true })).toBe(E.ENOENT);
  });

  test('leaves out entries that are none', () => {
    const path = file();
    const table = value(OpenTable.open(path, { isFresh: true }));
    answered(table, 77);
    const noise = Buffer.alloc(64, 0xff);
    noise.writeUInt32LE(1, 0);
    const handle = Buffer.alloc(4096 + 1024 * 64);
    handle.writeUInt32LE(0x544f4650, 0);
    handle.writeUInt32LE(1, 4);
    handle.writeUInt32LE(1024, 8);
    noise.copy(handle, 4096 + 3 * 64);
    writeFileSync(path, handle);
    expect(value(OpenTable.open(path, { isFresh: false })).count).toBe(0);
  });
});

/** Ends the table at work after so many stores. */
class KilledMemory extends KeptMemory {
  left = Number.POSITIVE_INFINITY;

  readonly stored = (): void => {
    this.left -= 1;
    if (this.left <= 0) throw new Killed();
  };
}

class Killed extends Error {}

/** What the kernel holds: handles that it was told of, less those whose RELEASE was answered. */
interface Held {
  handles: number;
  writers: number;
}

test('after a kill between any two stores no count is too low, and only those in doubt are too high', () => {
  const seed = 20_260_501;
  const random = new Random(seed);
  let doubts = 0;
  for (let round = 0; round < 400; round++) {
    const memory = new KilledMemory();
    let table = value(OpenTable.over(memory, { isFresh: true }));
    const held = new Map<number, Held>();
    for (let life = 0; life < 4; life++) {
      memory.left = 1 + random.below(120);
      try {
        for (;;) step(table, held, random);
      } catch (thrown) {
        if (!(thrown instanceof Killed)) throw thrown;
      }
      memory.left = Number.POSITIVE_INFINITY;
      table = value(OpenTable.over(memory, { isFresh: false }));
      for (const [ino, { handles, writers }] of held) {
        const found = table.entry(ino as Ino);
        const where = `seed ${seed}, round ${round}, inode ${ino}`;
        expect(found?.handles ?? 0, where).toBeGreaterThanOrEqual(handles);
        expect(found?.writers ?? 0, where).toBeGreaterThanOrEqual(writers);
        if (found?.isInDoubt === true) doubts += 1;
        else expect([found?.handles ?? 0, found?.writers ?? 0], where).toEqual([handles, writers]);
        if (found?.own !== undefined) expect(found.own.number % 2 ** 32, where).toBe(found.own.start);
      }
      for (const { ino, isInDoubt } of [...table.entries()]) {
        if (!held.has(ino)) expect(isInDoubt).toBe(true);
        if (isInDoubt && random.below(2) === 0 && (held.get(ino)?.handles ?? 0) === 0) table.forget(ino);
      }
    }
  }
  expect(doubts).toBeGreaterThan(10);
});

/** One request, answered: the kernel's state changes between the store before and the one after its reply. */
function step(table: OpenTable, held: Map<number, Held>, random: Random): void {
  const ino = 1 + random.below(6) + (random.below(2) === 0 ? 0 : 2 ** 40);
  const known = held.get(ino) ?? { handles: 0, writers: 0 };
  held.set(ino, known);
  const choice = random.below(10);
  if (choice < 5) {
    const writes = random.below(2) === 0;
    const refused = table.opening(ino as Ino, { writes, maps: writes });
    expect(isErrno(refused)).toBe(false);
    known.handles += 1;
    known.writers += writes ? 1 : 0;
    table.opened(ino as Ino);
  } else if (choice < 9) {
    if (known.handles === 0) return;
    const writes = known.writers === known.handles || (known.writers > 0 && random.below(2) === 0);
    table.releasing(ino as Ino);
    known.handles -= 1;
    known.writers -= writes ? 1 : 0;
    table.released(ino as Ino, { writes });
  } else {
    const number = 1 + random.below(1_000);
    // Both halves say the same: a name of two halves shows.
    table.setOwn(ino as Ino, { volume: 1 as VolumeId, start: number, number });
  }
}
