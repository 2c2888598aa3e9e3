/**
 * Makes cell files anew that are missing, truncated or damaged, from any k good ones, range by range: cells that are each
 * bad somewhere help each other. Pure of scheduling: one aggregate a call, or a step.
 *
 * Order of durability: a new cell file is whole and flushed under a temporary name before it takes the name, and so the
 * place, of the bad one; its folder is flushed before it is told.
 */
import { E, errnoOf, isErrno, type Result } from '../../base/errno.ts';
import type { AggregateId } from '../../base/units.ts';
import { CellWriter } from './cell_writer.ts';
import { Cells } from './cells.ts';
import type { EcVolume } from './ec_volume.ts';
import { positionsFor } from './rendezvous.ts';
import { isClean, type ScrubOptions, type ScrubReport, scrubAggregate, Walk } from './scrub.ts';

export interface RepairReport {
  /** What was found before. */
  readonly found: ScrubReport;
  /** Positions of directories that got a cell file. */
  readonly repaired: readonly number[];
  /** Places of cells that are bad and have no directory to lie in. */
  readonly left: readonly number[];
}

export interface RepairOptions extends ScrubOptions {
  /** Only cells of this directory. */
  readonly position?: number;
}

/**
 * EIO when some range has fewer than k good cells, or parity is not that of the data: nothing is changed then. ENODEV when
 * too many directories are away.
 */
export function repairAggregate(
  volume: EcVolume,
  aggregate: AggregateId,
  options: RepairOptions = {},
): Result<RepairReport> {
  const found = scrubAggregate(volume, aggregate, options);
  if (isErrno(found)) return found;
  if (isClean(found)) return { found, repaired: [], left: [] };
  if (found.isLost || found.isInconsistent) return E.EIO;
  const bad = found.cells.filter(({ state }) => state !== 'good').map(({ place }) => place);
  const targets = targetsFor(volume, found, bad);
  const wanted = targets.filter(({ position }) => options.position === undefined || position === options.position);
  const left = bad.filter((place) => !targets.some((target) => target.place === place));
  const rebuilt =
    wanted.length === 0 ? 0 : rebuild(volume, aggregate, { targets: wanted, direct: options.direct ?? true });
  if (rebuilt < 0) return errnoOf(-rebuilt);
  const repaired = wanted.map(({ position }) => position);
  if (left.length === 0 && options.position === undefined) removeStrays(volume, found, repaired);
  return { found, repaired, left };
}

interface Target {
  readonly place: number;
  readonly position: number;
}

/** A bad cell stays in its directory; a missing one goes where hashing wants it, or to the first that has no good one. */
function targetsFor(volume: EcVolume, found: ScrubReport, bad: readonly number[]): readonly Target[] {
  const { directories } = volume.tools;
  const present = directories.present();
  const taken = new Set<number>();
  for (const { position } of found.cells) if (position !== undefined) taken.add(position);
  const order = positionsFor(found.aggregate, directories.count);
  const targets: Target[] = [];
  const free = (position: number | undefined): position is number =>
    position !== undefined && present.includes(position) && !taken.has(position);
  const give = (place: number, position: number) => {
    taken.add(position);
    targets.push({ place, position });
  };
  const homeless: number[] = [];
  for (const place of bad) {
    const { position } = found.cells[place] ?? {};
    if (position !== undefined) targets.push({ place, position });
    else if (free(order[place])) give(place, order[place]);
    else homeless.push(place);
  }
  for (const place of homeless) {
    const position = order.find(free);
    if (position !== undefined) give(place, position);
  }
  return targets;
}

function rebuild(
  volume: EcVolume,
  aggregate: AggregateId,
  of: { readonly targets: readonly Target[]; readonly direct: boolean },
): number {
  const { tools } = volume;
  const cells = Cells.open(tools, aggregate, { direct: of.direct });
  if (isErrno(cells)) return -cells.number;
  const writers: CellWriter[] = [];
  let outcome = 0;
  for (const { place, position } of of.targets) {
    const at = { backing: tools.backing, directories: tools.directories, aggregate, place, position };
    const writer = outcome < 0 ? outcome : CellWriter.create(at, { replaces: true });
    if (typeof writer === 'number') outcome = writer;
    else writers.push(writer);
  }
  outcome = outcome < 0 ? outcome : copyCells(cells, writers);
  const some = cells.some();
  if (outcome === 0 && some === undefined) outcome = -E.EIO.number;
  const steps: readonly ((writer: CellWriter) => number)[] = [
    (writer) => (some === undefined ? -E.EIO.number : writer.writeTrailer(some)),
    (writer) => writer.flush(),
    (writer) => writer.publish(),
    (writer) => writer.flushName(),
  ];
  for (const step of steps) for (const writer of writers) if (outcome === 0) outcome = step(writer);
  cells.close();
  if (outcome < 0) for (const writer of writers) writer.abandon();
  return outcome;
}

/** Each range from the cell itself where it is good there, else from k others. */
function copyCells(cells: Cells, writers: readonly CellWriter[]): number {
  const { code, coder } = cells.tools;
  for (const { from, blocks, good } of new Walk(cells).ranges()) {
    const sources = blocks.filter(({ place }) => good[place] === true).slice(0, code.dataCells);
    const lost = blocks.filter(({ place }) => good[place] !== true && writers.some((writer) => writer.place === place));
    if (lost.length > 0) {
      if (sources.length < code.dataCells) return -E.EIO.number;
      coder.rebuild(sources, lost);
    }
    for (const { place, bytes } of lost) {
      // Where the old trailer is whole it must know these bytes.
      if (cells.at(place)?.holds(bytes, from) === false) return -E.EIO.number;
    }
    for (const writer of writers) {
      const outcome = writer.append(blocks[writer.place]?.bytes ?? new Uint8Array(0));
      if (outcome < 0) return outcome;
    }
  }
  return 0;
}

/** Only when all cells are good: a stray may be of use until then. */
function removeStrays(volume: EcVolume, found: ScrubReport, repaired: readonly number[]): void {
  for (const { position } of found.strays) {
    if (!repaired.includes(position)) volume.tools.directories.removeCell(position, found.aggregate);
  }
}

export interface RebuildStep {
  readonly aggregate: AggregateId;
  /** 'kept': it was there, whole by its trailer; 'elsewhere': no cell of it belongs here; 'removed': nobody knows its id. */
  readonly outcome: 'kept' | 'rebuilt' | 'elsewhere' | 'removed' | 'failed';
  /** Of 'failed'. */
  readonly error: number;
}

/**
 * Fills a directory that was replaced, or has returned: which cells are there already is all the progress there is, so it
 * may be stopped between any two steps and begun anew. What it holds of ids that `isKnown` denies is removed. One step for
 * each aggregate; nothing at all where the directory is not of this volume.
 */
export function* rebuildDirectory(
  volume: EcVolume,
  of: { readonly position: number; readonly isKnown: (id: AggregateId) => boolean },
): Generator<RebuildStep> {
  const { position, isKnown } = of;
  const { directories } = volume.tools;
  if (!directories.present().includes(position)) return;
  const folders = volume.aggregateFolders();
  for (const folder of isErrno(folders) ? [] : folders) {
    const here = directories.cellIds(position, folder);
    for (const id of isErrno(here) ? [] : here) {
      if (isKnown(id)) continue;
      const removed = directories.removeCell(position, id);
      yield { aggregate: id, outcome: removed < 0 ? 'failed' : 'removed', error: Math.max(0, -removed) };
    }
    const ids = volume.aggregateIds(folder);
    for (const id of isErrno(ids) ? [] : ids) if (isKnown(id)) yield rebuildOne(volume, id, position);
  }
}

function rebuildOne(volume: EcVolume, aggregate: AggregateId, position: number): RebuildStep {
  const cells = Cells.open(volume.tools, aggregate);
  if (isErrno(cells)) return { aggregate, outcome: 'failed', error: cells.number };
  const cell = cells.inspect(position);
  const isKept = !isErrno(cell) && cells.isOfThese(cell);
  cells.close();
  if (isKept) return { aggregate, outcome: 'kept', error: 0 };
  const report = repairAggregate(volume, aggregate, { position });
  if (isErrno(report)) return { aggregate, outcome: 'failed', error: report.number };
  return { aggregate, outcome: report.repaired.length > 0 ? 'rebuilt' : 'elsewhere', error: 0 };
}
