/**
 * One aggregate being written to an `ec` volume: its bytes in order, a stripe at a time, then sealed or abandoned.
 *
 * Order of durability: the bytes and trailers of all cells under temporary names; a flush of each; only then their names,
 * so that whatever cells of an aggregate stand under their names belong to a whole one; then the folders. The aggregate is
 * sealed, and may be named by rows, when all of that is done. A crash before leaves temporary names, names of which there
 * are fewer than k, or a whole aggregate that no row names: `aggregateIds` lists it and `unlinkAggregate` removes it.
 *
 * Disks work side by side though one thread feeds them: each stripe is handed to the host, which begins to write it to all
 * of them at once, and waited for when the stripe after it has been handed over.
 */
import { E, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import { sharedArena } from '../../base/libc.ts';
import type { AggregateId } from '../../base/units.ts';
import { CELL_BYTES, cellBytesFor } from './cell_layout.ts';
import { type CellPlace, CellWriter } from './cell_writer.ts';
import type { EcTools } from './cells.ts';
import { positionsFor } from './rendezvous.ts';

export interface WriterOptions {
  /** Store epoch: number of the daemon start that writes. */
  readonly start: number;
  /** Go on with as few as k+1 cells, where directories are away or fail. Default false: k+m. */
  readonly allowDegraded?: boolean;
  /** Makes a UUID; default a random one. */
  readonly newWriteId?: () => string;
  /** Memory for one stripe, `stripeMemory(code)` bytes that nobody else uses meanwhile; default its own. */
  readonly memory?: Uint8Array;
}

export interface SealedAggregate {
  readonly aggregate: AggregateId;
  /** Bytes that were appended. */
  readonly length: number;
  /** Cells that are not there; to be made by `repairAggregate`. */
  readonly lostPlaces: readonly number[];
}

/** Bytes that a writer needs: one stripe with its parity. */
export function stripeMemory(code: { readonly dataCells: number; readonly parityCells: number }): number {
  return (code.dataCells + code.parityCells) * CELL_BYTES;
}

export class EcWriter {
  readonly aggregate: AggregateId;
  readonly #tools: EcTools;
  readonly #identity: { readonly storeId: string; readonly start: number; readonly writeId: string };
  readonly #leastCells: number;
  readonly #memory: Uint8Array;
  readonly #cells: CellWriter[];
  /** Those whose names stand, in case it is abandoned. */
  readonly #published: CellWriter[] = [];
  #length = 0;
  #buffered = 0;
  #error = 0;
  #state: 'writing' | 'sealed' | 'abandoned' = 'writing';

  private constructor(
    tools: EcTools,
    of: { readonly aggregate: AggregateId; readonly cells: CellWriter[]; readonly leastCells: number },
    options: {
      readonly storeId: string;
      readonly start: number;
      readonly writeId: string;
      readonly memory: Uint8Array;
    },
  ) {
    const { storeId, start, writeId, memory } = options;
    this.#tools = tools;
    this.aggregate = of.aggregate;
    this.#cells = of.cells;
    this.#leastCells = of.leastCells;
    this.#identity = { storeId, start, writeId };
    this.#memory = memory;
  }

  /** As `EcVolume.begin`. */
  static begin(
    tools: EcTools,
    aggregate: AggregateId,
    options: WriterOptions & { readonly newWriteId: () => string },
  ): Result<EcWriter> {
    const { directories, code } = tools;
    const storeId = directories.storeId();
    if (isErrno(storeId)) return storeId;
    const count = code.dataCells + code.parityCells;
    const leastCells = options.allowDegraded === true ? Math.min(count, code.dataCells + 1) : count;
    const present = directories.present();
    if (present.length < leastCells) return E.ENODEV;
    if (present.some((position) => isTaken(tools, aggregate, position))) return E.EEXIST;
    const cells: CellWriter[] = [];
    let error = 0;
    for (const { place, position } of placesFor(aggregate, { tools, present })) {
      const at: CellPlace = { backing: tools.backing, directories, aggregate, place, position };
      const cell = CellWriter.create(at, { replaces: false });
      if (typeof cell === 'number') error ||= cell;
      else cells.push(cell);
    }
    if (cells.length < leastCells) {
      for (const cell of cells) cell.abandon();
      return error === 0 ? E.ENODEV : errnoOf(-error);
    }
    const memory = options.memory ?? sharedArena(stripeMemory(code));
    const { start, newWriteId } = options;
    return new EcWriter(tools, { aggregate, cells, leastCells }, { storeId, start, writeId: newWriteId(), memory });
  }

  /** Bytes appended so far. */
  get length(): number {
    return this.#length;
  }

  /** 0, or the -errno that has ended it: then nothing is left of it. */
  append(bytes: Uint8Array): number {
    if (this.#state !== 'writing') return this.#error === 0 ? -E.EBADF.number : this.#error;
    const stripeBytes = this.#tools.code.dataCells * CELL_BYTES;
    for (let done = 0; done < bytes.length; ) {
      const part = bytes.subarray(done, done + stripeBytes - this.#buffered);
      this.#memory.set(part, this.#buffered);
      this.#buffered += part.length;
      this.#length += part.length;
      done += part.length;
      if (this.#buffered < stripeBytes) continue;
      const written = this.#writeStripe(CELL_BYTES);
      if (written < 0) return written;
    }
    return 0;
  }

  /** Makes it whole, durable and visible. After an error nothing is left of it, unless the disk refuses that, too. */
  seal(): Result<SealedAggregate> {
    if (this.#state !== 'writing') return this.#error === 0 ? E.EBADF : errnoOf(-this.#error);
    const { code, directories } = this.#tools;
    if (this.#buffered > 0) {
      const cellBytes = cellBytesFor(code, this.#buffered);
      this.#memory.fill(0, this.#buffered, code.dataCells * cellBytes);
      const written = this.#writeStripe(cellBytes);
      if (written < 0) return errnoOf(-written);
    }
    const trailer = {
      ...this.#identity,
      volume: directories.row.id,
      aggregate: this.aggregate,
      code,
      length: this.#length,
    };
    const steps: readonly ((cell: CellWriter) => number)[] = [
      (cell) => cell.writeTrailer(trailer),
      (cell) => cell.flush(),
      (cell) => this.#publish(cell),
      (cell) => cell.flushName(),
    ];
    for (const step of steps) {
      const outcome = this.#forEach(step);
      if (outcome < 0) return errnoOf(-outcome);
    }
    this.#state = 'sealed';
    const count = code.dataCells + code.parityCells;
    const places = Array.from({ length: count }, (_, place) => place);
    const lostPlaces = places.filter((place) => !this.#cells.some((cell) => cell.place === place));
    return { aggregate: this.aggregate, length: this.#length, lostPlaces };
  }

  /** Removes what was written. It has no effect on one that is sealed. */
  abandon(): void {
    if (this.#state !== 'writing') return;
    this.#state = 'abandoned';
    for (const cell of this.#cells) this.#remove(cell);
    this.#cells.length = 0;
  }

  #publish(cell: CellWriter): number {
    this.#published.push(cell);
    return cell.publish();
  }

  #writeStripe(cellBytes: number): number {
    const { code, coder } = this.#tools;
    const count = code.dataCells + code.parityCells;
    const parityAt = code.dataCells * CELL_BYTES;
    // A last stripe is as dense as a full one: its cells lie side by side, its parity where parity always does.
    const blocks = Array.from({ length: count }, (_, place) => {
      const at = place < code.dataCells ? place * cellBytes : parityAt + (place - code.dataCells) * CELL_BYTES;
      return this.#memory.subarray(at, at + cellBytes);
    });
    coder.encode(blocks.slice(0, code.dataCells), blocks.slice(code.dataCells));
    this.#buffered = 0;
    const written = this.#forEach((cell) => cell.append(blocks[cell.place] ?? blocks[0] ?? this.#memory));
    return written < 0 ? written : this.#forEach((cell) => cell.pace());
  }

  /** Cells that fail are given up while enough are left; else all are, and the error is returned. */
  #forEach(act: (cell: CellWriter) => number): number {
    for (const cell of [...this.#cells]) {
      const outcome = act(cell);
      if (outcome >= 0) continue;
      this.#remove(cell);
      this.#cells.splice(this.#cells.indexOf(cell), 1);
      if (this.#cells.length >= this.#leastCells) continue;
      this.#error = outcome;
      this.abandon();
      return outcome;
    }
    return 0;
  }

  #remove(cell: CellWriter): void {
    cell.abandon();
    if (this.#published.includes(cell)) this.#tools.directories.removeCell(cell.position, this.aggregate);
  }
}

function isTaken({ backing, directories }: EcTools, id: AggregateId, position: number): boolean {
  const paths = [directories.cellPath(position, id), directories.temporaryPath(position, id)];
  return paths.some((path) => !isErrno(backing.stat(path)));
}

/** The place of a directory that is away goes to the next one in the order, if there is one more. */
function placesFor(
  aggregate: AggregateId,
  of: { readonly tools: EcTools; readonly present: readonly number[] },
): readonly { readonly place: number; readonly position: number }[] {
  const { directories, code } = of.tools;
  const count = code.dataCells + code.parityCells;
  const order = positionsFor(aggregate, directories.count);
  const spare = order.slice(count).filter((position) => of.present.includes(position));
  const places: { place: number; position: number }[] = [];
  for (const [place, wanted] of order.slice(0, count).entries()) {
    const position = of.present.includes(wanted) ? wanted : spare.shift();
    if (position !== undefined) places.push({ place, position });
  }
  return places;
}
