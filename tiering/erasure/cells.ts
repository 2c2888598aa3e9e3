/**
 * The cells of one aggregate: found by their places, opened when they are asked for. A cell lies where rendezvous hashing
 * says, or, after disks were added or lost, in any other directory: its trailer tells what it is. Identity files are not
 * asked, since a trailer names store, volume and aggregate.
 */
import type { LRUCache } from 'lru-cache';
import type { Backing } from '../../base/backing.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { CellFile } from './cell_file.ts';
import type { CellLayout } from './cell_layout.ts';
import type { CellTrailer } from './cell_trailer_v1.ts';
import type { Code, Coder } from './coder.ts';
import type { EcDirectories } from './directories.ts';
import { positionsFor } from './rendezvous.ts';

/** What all parts of an open `ec` volume share; of one thread. */
export interface EcTools {
  readonly backing: Backing;
  readonly directories: EcDirectories;
  readonly code: Code;
  readonly coder: Coder;
  /** All cell files open for reading, in the order of their last use; what is pushed out is closed. */
  readonly open: LRUCache<string, CellFile>;
  readonly counters: EcCounters;
}

export interface EcCounters {
  /** Bytes that were asked of a cell and came from the others. */
  rebuiltBytes: number;
  /** Reads of cells that were there and could not be used. */
  failedReads: number;
  /** Number of the last `Cells`. */
  serial: number;
}

export class Cells {
  readonly aggregate: AggregateId;
  readonly tools: EcTools;
  /** Number of cells, k+m. */
  readonly count: number;
  readonly #storeId: string;
  readonly #direct: boolean;
  readonly #serial: number;
  /** All positions, those that should have the cells first. */
  readonly #order: readonly number[];
  /** Where the cell of a place was found. */
  readonly #found: (number | undefined)[] = [];
  /** Of the writing whose cells these are; undefined when those of several cannot be told apart. */
  #writeId: string | undefined;
  #layout: CellLayout;
  #isResolved = false;

  private constructor(
    tools: EcTools,
    of: { aggregate: AggregateId; storeId: string; direct: boolean; order: readonly number[]; serial: number },
    first: CellFile,
  ) {
    this.tools = tools;
    this.aggregate = of.aggregate;
    this.count = tools.code.dataCells + tools.code.parityCells;
    this.#layout = first.layout;
    this.#storeId = of.storeId;
    this.#direct = of.direct;
    this.#serial = of.serial;
    this.#order = of.order;
    this.#writeId = first.trailer.writeId;
  }

  /** ENOENT when no directory has a cell of it, EUCLEAN when none of those that are there is whole, EIO in doubt. */
  static open(tools: EcTools, aggregate: AggregateId, options: { readonly direct?: boolean } = {}): Result<Cells> {
    const { directories, counters, code, backing } = tools;
    const storeId = directories.storeId();
    if (isErrno(storeId)) return storeId;
    counters.serial += 1;
    const direct = options.direct ?? false;
    const order = positionsFor(aggregate, directories.count);
    const wanted = { storeId, volume: directories.row.id, aggregate, code, direct };
    let outcome = E.ENOENT;
    for (const position of order) {
      const cell = CellFile.open(backing, directories.cellPath(position, aggregate), wanted);
      if (isErrno(cell)) {
        if (cell !== E.ENOENT) outcome = cell;
        continue;
      }
      const cells = new Cells(tools, { aggregate, storeId, direct, order, serial: counters.serial }, cell);
      tools.open.set(cells.#key(position), cell);
      return cells;
    }
    // Where more than k directories are away an aggregate may lie on those alone.
    const isCertain = directories.count - directories.present().length <= code.dataCells;
    return outcome === E.ENOENT && !isCertain ? E.EIO : outcome;
  }

  /** For one call: another one's may close it. Undefined when it is missing, or cannot be used. */
  at(place: number): CellFile | undefined {
    const known = this.#found[place] ?? this.#order[place] ?? 0;
    const cell = this.#match(known, place);
    if (cell !== undefined) return cell;
    for (const position of this.#order) {
      const other = position === known ? undefined : this.#match(position, place);
      if (other !== undefined) return other;
    }
    this.#found[place] = undefined;
    return undefined;
  }

  /** Of the writing whose cells these are: another one, once, when the first cell that was opened turns out to be stale. */
  get layout(): CellLayout {
    return this.#layout;
  }

  /** Of the directory where its first cell should lie. */
  get firstPosition(): number {
    return this.#order[0] ?? 0;
  }

  /** Where `at` has last found it. */
  positionOf(place: number): number | undefined {
    return this.#found[place];
  }

  /** What lies in one directory, of whatever writing. */
  inspect(position: number): Result<CellFile> {
    const key = this.#key(position);
    const kept = this.tools.open.get(key);
    if (kept !== undefined) return kept;
    const { backing, directories, code } = this.tools;
    const wanted = { storeId: this.#storeId, volume: directories.row.id, aggregate: this.aggregate, code };
    const path = directories.cellPath(position, this.aggregate);
    const cell = CellFile.open(backing, path, { ...wanted, direct: this.#direct });
    if (!isErrno(cell)) this.tools.open.set(key, cell);
    return cell;
  }

  /** What the trailers of all its cells say, but for their places; undefined when none can be read. */
  some(): CellTrailer | undefined {
    for (let place = 0; place < this.count; place++) {
      const cell = this.at(place);
      if (cell !== undefined) return cell.trailer;
    }
    return undefined;
  }

  /** Whether a cell is one of these. */
  isOfThese(cell: CellFile): boolean {
    if (cell.trailer.writeId !== this.#writeId && !this.#isResolved) this.#resolve();
    return cell.trailer.writeId === this.#writeId;
  }

  /** It could not be read, or was not what was written: it is opened anew, for it may have been repaired meanwhile. */
  drop(place: number): void {
    this.tools.counters.failedReads += 1;
    const position = this.#found[place];
    if (position !== undefined) this.tools.open.delete(this.#key(position));
  }

  close(): void {
    for (const position of this.#order) this.tools.open.delete(this.#key(position));
  }

  #match(position: number, place: number): CellFile | undefined {
    const cell = this.inspect(position);
    if (isErrno(cell) || cell.trailer.place !== place || !this.isOfThese(cell)) return undefined;
    this.#found[place] = position;
    return cell;
  }

  /** Ids are never given twice, so cells of two writings are a fault: most cells decide, and nobody where they do not. */
  #resolve(): void {
    this.#isResolved = true;
    const writings = new Map<string, { readonly layout: CellLayout; readonly places: Set<number> }>();
    for (const position of this.#order) {
      const cell = this.inspect(position);
      if (isErrno(cell)) continue;
      const { writeId, place } = cell.trailer;
      const writing = writings.get(writeId) ?? { layout: cell.layout, places: new Set() };
      writing.places.add(place);
      writings.set(writeId, writing);
    }
    const sorted = [...writings].sort(([, a], [, b]) => b.places.size - a.places.size);
    const [most, next] = sorted;
    this.#writeId = undefined;
    if (most === undefined || most[1].places.size < this.tools.code.dataCells) return;
    if (most[1].places.size === next?.[1].places.size) return;
    this.#writeId = most[0];
    this.#layout = most[1].layout;
  }

  #key(position: number): string {
    return `${this.#serial}/${position}`;
  }
}
