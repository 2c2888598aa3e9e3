/**
 * Looks at every byte of an aggregate on an `ec` volume: each cell file's trailer and checksums, and whether parity is
 * that of the data. Pure of scheduling: one aggregate a call.
 */
import { E, isErrno, type Result } from '../../base/errno.ts';
import { sharedArena } from '../../base/libc.ts';
import type { AggregateId } from '../../base/units.ts';
import type { CellFile } from './cell_file.ts';
import { Cells } from './cells.ts';
import type { CellBlock } from './coder.ts';
import { DECODE_BYTES } from './ec_file.ts';
import type { EcVolume } from './ec_volume.ts';

export type CellState =
  | 'good'
  /** No cell file of this place in any directory. */
  | 'missing'
  /** Its trailer is whole, and some of its bytes are not what was written, or cannot be read. */
  | 'damaged';

export interface CellReport {
  readonly place: number;
  /** Undefined when it is missing. */
  readonly position: number | undefined;
  readonly state: CellState;
}

export interface StrayReport {
  readonly position: number;
  /** What stands there under the aggregate's name: no whole cell file, another writing's, or a place that another one has. */
  readonly reason: 'unreadable' | 'foreign' | 'twice';
}

export interface ScrubReport {
  readonly aggregate: AggregateId;
  readonly length: number;
  /** By place. */
  readonly cells: readonly CellReport[];
  readonly strays: readonly StrayReport[];
  /** All data cells are as they were written, and parity is not theirs: a fault of the program or of memory, not of a disk. */
  readonly isInconsistent: boolean;
  /** Some range has fewer than k good cells. */
  readonly isLost: boolean;
}

export interface ScrubOptions {
  /** Past the host's cache, where the directories take O_DIRECT. Default true. */
  readonly direct?: boolean;
}

export function isClean(report: ScrubReport): boolean {
  return report.cells.every(({ state }) => state === 'good') && report.strays.length === 0 && !report.isInconsistent;
}

/** Errors as of `Cells.open`: ENOENT when no directory has a cell of it, EUCLEAN when none is whole. */
export function scrubAggregate(
  volume: EcVolume,
  aggregate: AggregateId,
  options: ScrubOptions = {},
): Result<ScrubReport> {
  const cells = Cells.open(volume.tools, aggregate, { direct: options.direct ?? true });
  if (isErrno(cells)) return cells;
  const report = new Walk(cells).report();
  cells.close();
  return report;
}

/** The same range of all cells, one range after the other. */
export class Walk {
  readonly #cells: Cells;
  readonly #buffers: readonly Uint8Array[];
  readonly #isMissing: readonly boolean[];
  readonly #parity: readonly Uint8Array[];

  constructor(cells: Cells) {
    this.#cells = cells;
    // All are looked at before the layout is: a stale one may have been opened first.
    this.#isMissing = Array.from({ length: cells.count }, (_, place) => cells.at(place) === undefined);
    const bytes = Math.min(DECODE_BYTES, cells.layout.cellBytes);
    this.#buffers = this.#isMissing.map(() => sharedArena(bytes));
    this.#parity = Array.from({ length: cells.tools.code.parityCells }, () => new Uint8Array(bytes));
  }

  /** Of each range: where it begins, its bytes of each cell, and whether these are what was written. */
  *ranges(): Generator<{
    readonly from: number;
    readonly blocks: readonly CellBlock[];
    readonly good: readonly boolean[];
  }> {
    const { cellBytes } = this.#cells.layout;
    for (let from = 0; from < cellBytes; from += DECODE_BYTES) {
      const length = Math.min(DECODE_BYTES, cellBytes - from);
      const blocks = this.#buffers.map((buffer, place) => ({ place, bytes: buffer.subarray(0, length) }));
      const good = blocks.map(({ place, bytes }) => {
        const cell: CellFile | undefined = this.#isMissing[place] === true ? undefined : this.#cells.at(place);
        return cell?.read(bytes, from) === 0;
      });
      yield { from, blocks, good };
    }
  }

  report(): ScrubReport {
    const { code } = this.#cells.tools;
    const { aggregate, layout } = this.#cells;
    const isBad = this.#buffers.map(() => false);
    const strays = straysOf(this.#cells);
    let isInconsistent = false;
    let isLost = this.#isMissing.filter((missing) => !missing).length < code.dataCells;
    for (const { blocks, good } of this.ranges()) {
      for (const [place, isGood] of good.entries()) if (!isGood) isBad[place] = true;
      if (good.filter(Boolean).length < code.dataCells) isLost = true;
      if (!this.#isConsistent(blocks, good)) isInconsistent = true;
    }
    const cells = isBad.map((bad, place): CellReport => {
      if (this.#isMissing[place] === true) return { place, position: undefined, state: 'missing' };
      return { place, position: this.#cells.positionOf(place), state: bad ? 'damaged' : 'good' };
    });
    return { aggregate, length: layout.length, cells, strays, isInconsistent, isLost };
  }

  #isConsistent(blocks: readonly CellBlock[], good: readonly boolean[]): boolean {
    const { code, coder } = this.#cells.tools;
    const data = blocks.slice(0, code.dataCells).map(({ bytes }) => bytes);
    if (good.slice(0, code.dataCells).includes(false)) return true;
    const parity = this.#parity.map((bytes) => bytes.subarray(0, data[0]?.length ?? 0));
    coder.encode(data, parity);
    return parity.every((bytes, i) => {
      const stored = blocks[code.dataCells + i];
      return stored === undefined || good[stored.place] !== true || Buffer.compare(bytes, stored.bytes) === 0;
    });
  }
}

/** What stands in directories under the aggregate's name and is none of its cells. */
function straysOf(cells: Cells): readonly StrayReport[] {
  const strays: StrayReport[] = [];
  for (const position of cells.tools.directories.present()) {
    const cell = cells.inspect(position);
    if (cell === E.ENOENT) continue;
    if (isErrno(cell)) strays.push({ position, reason: 'unreadable' });
    else if (!cells.isOfThese(cell)) strays.push({ position, reason: 'foreign' });
    else if (cells.at(cell.trailer.place) !== undefined && cells.positionOf(cell.trailer.place) !== position)
      strays.push({ position, reason: 'twice' });
  }
  return strays;
}
