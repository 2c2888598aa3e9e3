/** Parts of fsck that need no store: the table of inodes, the table of ranges, lines, and the documentation's list. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Extent } from '../../base/layout.ts';
import { EPOCH } from '../../base/time.ts';
import { type AggregateId, type Ino, inoOf, type ShardId, type Slot } from '../../base/units.ts';
import { HAS_XATTR, InodeTable, PARENT_NAMES_IT, ROW_DAMAGED } from '../../mountd/fsck/inode_table.ts';
import { KINDS } from '../../mountd/fsck/kinds.ts';
import { newDirectory } from '../../mountd/fsck/new_directory.ts';
import { Progress } from '../../mountd/fsck/progress.ts';
import { RangeTable } from '../../mountd/fsck/range_table.ts';
import { renderCounts, renderFinding } from '../../mountd/fsck/report.ts';
import { CHECKOUT } from '../support/mount_harness.ts';

const SHARDS = 3;
const shardOf = (slot: Slot) => (slot % SHARDS) as ShardId;

function row(ino: Ino, parent = 0 as Ino, position = 0) {
  return newDirectory({ ino, mode: 0o040755, parent, position }, { now: EPOCH, generation: 0 });
}

describe('the table of inodes', () => {
  it('finds every inode of every shard, and no other', () => {
    const table = new InodeTable(shardOf);
    const inos: Ino[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      table.beginShard();
      for (let slot = shard; slot < 4096; slot += 5 * SHARDS)
        for (let sequence = 17; sequence < 40; sequence += 2) {
          const ino = inoOf(slot as Slot, sequence);
          inos.push(ino);
          table.add(row(ino));
        }
    }
    expect(table.count).toBe(inos.length);
    expect(inos.length).toBeGreaterThan(9_000);
    for (const [index, ino] of inos.entries()) {
      expect(table.find(ino)).toBe(index);
      expect(table.ino(index)).toBe(ino);
      expect(table.find(ino + 4096)).toBe(-1);
    }
    expect(table.find(2 ** 53 - 1)).toBe(-1);
  });

  it('keeps the recorded name, else the first', () => {
    const table = new InodeTable(shardOf);
    table.beginShard();
    const at = table.add(row(4096 as Ino, 7 as Ino, 500));
    table.addName(at, 9 as Ino, 400);
    expect([table.foundParent(at), table.foundPosition(at)]).toEqual([9, 400]);
    expect(table.has(at, PARENT_NAMES_IT)).toBe(false);
    table.addName(at, 7 as Ino, 500);
    table.addName(at, 9 as Ino, 600);
    expect([table.foundParent(at), table.foundPosition(at), table.names(at)]).toEqual([7, 500, 3]);
    expect(table.has(at, PARENT_NAMES_IT)).toBe(true);
    table.set(at, HAS_XATTR);
    table.clear(at, PARENT_NAMES_IT);
    expect(table.has(at, HAS_XATTR) && !table.has(at, PARENT_NAMES_IT)).toBe(true);
  });

  it('knows of a damaged row that it is there', () => {
    const table = new InodeTable(shardOf);
    table.beginShard();
    table.addDamaged(4096 as Ino);
    const at = table.find(4096);
    expect(table.has(at, ROW_DAMAGED)).toBe(true);
    expect(table.isDirectory(at)).toBe(false);
  });
});

describe('the table of ranges', () => {
  it('gives them by aggregate, sorted by place and inode', () => {
    const table = new RangeTable();
    const extent = (aggregate: number, rangeStart: number): Extent => ({
      fileOffset: 0,
      length: 100,
      volume: 1 as Extent['volume'],
      aggregate: aggregate as AggregateId,
      offset: rangeStart,
      rangeStart,
      rangeLength: 100,
      checksums: Uint32Array.of(0),
      shared: rangeStart === 0,
    });
    for (let i = 0; i < 100; i++) table.add((200 - i) as Ino, extent(1 + (i % 2), ((i * 37) % 50) * 4096));
    table.sort();
    expect(table.ids()).toEqual([1, 2]);
    for (const id of table.ids()) {
      const keys = [...(table.of(id) ?? [])].map(({ start, ino }) => start * 1_000 + ino);
      expect(keys).toHaveLength(50);
      expect(keys).toEqual(keys.toSorted((a, b) => a - b));
    }
    for (const { start, shared } of table.of(1 as AggregateId) ?? []) expect(shared).toBe(start === 0);
    expect(table.bytes).toBe(10_000);
  });
});

describe('lines', () => {
  const finding = {
    kind: 'wrong-type',
    where: { directory: 1, position: 64, inode: 5 },
    name: Buffer.from('M\xfcller\n', 'latin1'),
    found: 4,
    expected: 8,
  } as const;

  it('hold numbers, and names only when asked', () => {
    expect(renderFinding(finding, { names: false })).toBe(
      'wrong-type: directory 1, position 64, inode 5: found 4, expected 8',
    );
    expect(renderFinding(finding, { names: true })).toBe(
      'wrong-type: directory 1, position 64, inode 5, name "M\\xfcller\\x0a": found 4, expected 8',
    );
  });

  it('count by kind, the most frequent first', () => {
    const counts = new Map([
      ['wrong-nlink', 2],
      ['waiting-orphan', 9],
      ['wrong-type', 3],
    ] as const);
    expect(renderCounts(counts, 'damage')).toBe('3 wrong-type, 2 wrong-nlink');
    expect(renderCounts(counts, 'note')).toBe('9 waiting-orphan');
  });
});

describe('progress', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  function written(isTerminal: boolean): { stream: NodeJS.WriteStream; text: () => string } {
    let text = '';
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString();
        done();
      },
    });
    const shown = Object.assign(stream, {
      isTTY: isTerminal,
      columns: 80,
      cursorTo() {},
      clearLine() {},
      moveCursor() {},
    });
    return { stream: shown as unknown as NodeJS.WriteStream, text: () => text };
  }

  it('is silent for a second, then a line now and then where there is no terminal', () => {
    vi.useFakeTimers();
    const { stream, text } = written(false);
    const progress = new Progress(stream);
    progress.begin('inodes', 4);
    progress.advance(1);
    expect(text()).toBe('');
    vi.advanceTimersByTime(11_000);
    progress.advance(1);
    progress.advance(1);
    expect(text()).toBe('pacsfs: checking inodes: 50 %\n');
    progress.end();
  });

  it('is a bar on a terminal', () => {
    vi.useFakeTimers();
    const { stream, text } = written(true);
    const progress = new Progress(stream);
    progress.begin('inodes', 4);
    vi.advanceTimersByTime(1_100);
    progress.advance(2);
    expect(text()).toMatch(/checking inodes \[.*50 %/);
    progress.end();
  });
});

describe('docs/fsck.md', () => {
  it('tells of every kind', () => {
    const text = readFileSync(join(CHECKOUT, 'docs', 'fsck.md'), 'utf8');
    expect(Object.keys(KINDS).filter((kind) => !text.includes(`\`${kind}\``))).toEqual([]);
  });
});
