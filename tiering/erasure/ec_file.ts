/**
 * An aggregate of an `ec` volume, open for reading. A range comes from the one cell it lies in (two at a border), in whole
 * blocks of 64 KiB that are checked; where a cell is missing, cannot be read or is not what was written, the same range of
 * k others is read, checked and decoded. With fewer than k of them it is -EIO, and the caller's buffer holds no byte.
 */
import type { BackingFile, BackingStat } from '../../base/backing.ts';
import { alignDown, alignUp } from '../../base/bytes.ts';
import { CHECKSUM_BLOCK } from '../../base/crc32c.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import { KIB, MIB } from '../../base/units.ts';
import { type CellLayout, type CellRange, locate } from './cell_layout.ts';
import type { Cells } from './cells.ts';
import type { CellBlock } from './coder.ts';

/** Blocks fetched at once where they do not fit the caller's buffer. */
const SCRATCH_BYTES = MIB;
/** Bytes of each cell that are decoded at once. */
export const DECODE_BYTES = 256 * KIB;

/** Memory of one thread's reads, made when it is first needed. */
export class EcScratch {
  #blocks: Uint8Array | undefined;
  readonly #cells: Uint8Array[] = [];

  get blocks(): Uint8Array {
    this.#blocks ??= new Uint8Array(SCRATCH_BYTES);
    return this.#blocks;
  }

  /** `DECODE_BYTES` for the `index`-th of the cells that are read together. */
  cell(index: number): Uint8Array {
    let cell = this.#cells[index];
    if (cell === undefined) {
      cell = new Uint8Array(DECODE_BYTES);
      this.#cells[index] = cell;
    }
    return cell;
  }
}

export class EcFile implements BackingFile {
  readonly path: string;
  readonly #cells: Cells;
  readonly #scratch: EcScratch;

  constructor(cells: Cells, scratch: EcScratch) {
    this.#cells = cells;
    this.#scratch = scratch;
    this.path = cells.tools.directories.cellPath(cells.firstPosition, cells.aggregate);
  }

  read(into: Uint8Array, offset: number): number {
    for (;;) {
      const { layout } = this.#cells;
      const outcome = this.#readAll(layout, into, offset);
      // It changes at most once: what was read so far is of a stale cell then.
      if (this.#cells.layout === layout) return outcome;
    }
  }

  #readAll(layout: CellLayout, into: Uint8Array, offset: number): number {
    const count = Math.min(into.length, layout.length - offset);
    if (count <= 0) return 0;
    let done = 0;
    while (done < count) {
      const range = locate(layout, offset + done);
      const target = into.subarray(done, done + Math.min(range.length, count - done));
      if (!this.#readRange({ ...range, length: target.length }, target)) {
        into.fill(0, 0, count);
        return -E.EIO.number;
      }
      done += target.length;
    }
    return count;
  }

  /** Of all its cells together: size is that of the aggregate, blocks are what they take up. */
  stat(): Result<BackingStat> {
    const cells = this.#cells;
    let whole: BackingStat | undefined;
    for (let place = 0; place < cells.count; place++) {
      const stat = cells.at(place)?.stat();
      if (stat === undefined || isErrno(stat)) continue;
      whole = { ...stat, blocks: (whole?.blocks ?? 0) + stat.blocks };
    }
    return whole === undefined ? E.EIO : { ...whole, size: cells.layout.length };
  }

  write(): number {
    return -E.EROFS.number;
  }

  truncate(): number {
    return -E.EROFS.number;
  }

  setModified(): number {
    return -E.EROFS.number;
  }

  allocate(): number {
    return -E.EROFS.number;
  }

  /** No holes: what lies in cells was written. */
  seek(offset: number, kind: 'data' | 'hole'): number {
    const { length } = this.#cells.layout;
    if (offset >= length) return -E.ENXIO.number;
    return kind === 'data' ? offset : length;
  }

  /** An aggregate is durable before it can be opened. */
  flush(): number {
    return 0;
  }

  writeBack(): number {
    return 0;
  }

  close(): void {
    this.#cells.close();
  }

  #readRange({ place, at, length }: CellRange, into: Uint8Array): boolean {
    const { cellBytes } = this.#cells.layout;
    const end = at + length;
    const isWhole = at % CHECKSUM_BLOCK === 0 && (end % CHECKSUM_BLOCK === 0 || end === cellBytes);
    if (isWhole) return this.#readBlocks(place, at, into);
    for (let done = 0; done < length; ) {
      const from = at + done;
      const first = alignDown(from, CHECKSUM_BLOCK);
      const last = Math.min(first + SCRATCH_BYTES, alignUp(end, CHECKSUM_BLOCK), cellBytes);
      const blocks = this.#scratch.blocks.subarray(0, last - first);
      if (!this.#readBlocks(place, first, blocks)) return false;
      const part = blocks.subarray(from - first, Math.min(end, last) - first);
      into.set(part, done);
      done += part.length;
    }
    return true;
  }

  /** Whole blocks of one cell. */
  #readBlocks(place: number, from: number, into: Uint8Array): boolean {
    if (this.#readCell(place, from, into)) return true;
    for (let at = 0; at < into.length; at += DECODE_BYTES) {
      const part = into.subarray(at, at + DECODE_BYTES);
      // One bad block is no reason to do without the others.
      const isThere = into.length > DECODE_BYTES && this.#readCell(place, from + at, part);
      if (!isThere && !this.#rebuild(place, from + at, part)) return false;
    }
    return true;
  }

  #readCell(place: number, from: number, into: Uint8Array): boolean {
    const cell = this.#cells.at(place);
    if (cell === undefined) return false;
    if (cell.read(into, from) === 0) return true;
    this.#cells.drop(place);
    return false;
  }

  #rebuild(place: number, from: number, into: Uint8Array): boolean {
    const cells = this.#cells;
    const { code, coder, counters } = cells.tools;
    const sources: CellBlock[] = [];
    for (let other = 0; other < cells.count && sources.length < code.dataCells; other++) {
      if (other === place) continue;
      const bytes = this.#scratch.cell(sources.length).subarray(0, into.length);
      if (this.#readCell(other, from, bytes)) sources.push({ place: other, bytes });
    }
    if (sources.length < code.dataCells) return false;
    coder.rebuild(sources, [{ place, bytes: into }]);
    counters.rebuiltBytes += into.length;
    // Where the cell's trailer is whole it vouches for what was decoded, too.
    return cells.at(place)?.holds(into, from) ?? true;
  }
}
