/**
 * A volume of kind `ec`: each aggregate in k+m cells, on as many of its directories; any m of them may be lost. Written
 * once: aggregates are made whole by `begin`, read, and removed whole. There are no own files, and no byte of a cell file
 * is ever changed or punched, so there is no read-modify-write and no write hole.
 */
import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { IDENTITY_FILE } from '../../aggregate/identity.ts';
import type { AggregateOpen, Volume, VolumeMaker } from '../../aggregate/volume.ts';
import type { BackingFile, BackingSpace, BackingStat, FlushTarget } from '../../base/backing.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { OwnName, VolumeRow } from '../../base/layout.ts';
import type { AggregateId } from '../../base/units.ts';
import { Cells, type EcCounters, type EcTools } from './cells.ts';
import { coderOf } from './coder.ts';
import { EcDirectories, type EcDirectory } from './directories.ts';
import { EcFile, EcScratch } from './ec_file.ts';
import { EcWriter, type WriterOptions } from './ec_writer.ts';
import { spaceOf } from './space.ts';

/** Cell files that one thread keeps open; one read uses at most k+m of them, which is 48. */
const OPEN_CELLS_MAX = 512;

/** For `VolumeKinds`. */
export const openEcVolume: VolumeMaker = (row, options) => {
  const { dataCells: k, parityCells: m } = row;
  if (row.kind !== 'ec' || k < 1 || m < 1 || row.paths.length < k + m) return E.EINVAL;
  return new EcVolume(row, options);
};

export class EcVolume implements Volume {
  readonly row: VolumeRow;
  readonly holdsOwnFiles = false;
  readonly tools: EcTools;
  readonly #scratch = new EcScratch();

  constructor(row: VolumeRow, options: Parameters<VolumeMaker>[1]) {
    const { dataCells, parityCells } = row;
    const code = { dataCells, parityCells };
    this.row = row;
    this.tools = {
      backing: options.backing,
      directories: new EcDirectories(row, options),
      code,
      coder: coderOf(code),
      open: new LRUCache({ max: OPEN_CELLS_MAX, dispose: (cell) => cell.close() }),
      counters: { rebuiltBytes: 0, failedReads: 0, serial: 0 },
    };
  }

  /** All directories, as they are now. */
  directories(): readonly EcDirectory[] {
    return this.tools.directories.check();
  }

  get counters(): Readonly<EcCounters> {
    return this.tools.counters;
  }

  /**
   * Begins an aggregate. EEXIST when any directory has something of that id; ENODEV with fewer than k+m directories, or
   * than k+1 if `allowDegraded`.
   */
  begin(id: AggregateId, options: WriterOptions): Result<EcWriter> {
    return EcWriter.begin(this.tools, id, { newWriteId: randomUUID, ...options });
  }

  lendIdentity(): Result<BackingFile> {
    const { backing, directories } = this.tools;
    const [position] = directories.present();
    return position === undefined ? E.EIO : backing.open(`${directories.root(position)}/${IDENTITY_FILE}`);
  }

  createOwn(): Result<BackingFile> {
    return E.EOPNOTSUPP;
  }

  openOwn(): Result<BackingFile> {
    return E.ENOENT;
  }

  lendOwn(): Result<BackingFile> {
    return E.ENOENT;
  }

  unlinkOwn(): number {
    return -E.ENOENT.number;
  }

  setAsideOwn(): number {
    return -E.ENOENT.number;
  }

  statOwn(): Result<BackingStat> {
    return E.ENOENT;
  }

  ownStarts(): Result<readonly number[]> {
    return [];
  }

  removeOwnStart(): number {
    return -E.ENOENT.number;
  }

  ownNames(): Result<readonly OwnName[]> {
    return [];
  }

  ownTarget(): FlushTarget {
    return { kind: 'folder', path: this.tools.directories.root(0) };
  }

  ownNameTargets(): readonly FlushTarget[] {
    return [];
  }

  /** An aggregate is made by `begin`. */
  createAggregate(): Result<BackingFile> {
    return E.EOPNOTSUPP;
  }

  /**
   * Through the host's cache, whatever `direct` says: places and lengths need no alignment. ENOENT without any cell of it;
   * one of which too few are left is opened all the same, and reads what is left.
   */
  openAggregate(id: AggregateId, options: AggregateOpen = {}): Result<BackingFile> {
    if (options.write === true) return E.EROFS;
    const cells = Cells.open(this.tools, id);
    return isErrno(cells) ? cells : new EcFile(cells, this.#scratch);
  }

  lendAggregate(id: AggregateId): Result<BackingFile> {
    return this.openAggregate(id);
  }

  /** Every cell file, and what was begun of one. What lies on a directory that is away stays there: see `rebuildDirectory`. */
  unlinkAggregate(id: AggregateId): number {
    const { directories } = this.tools;
    let outcome = -E.ENOENT.number;
    for (const position of directories.present()) {
      const removed = directories.removeCell(position, id);
      if (removed === 0 && outcome === -E.ENOENT.number) outcome = 0;
      if (removed < 0 && removed !== -E.ENOENT.number) outcome = removed;
    }
    return outcome;
  }

  /** Each cell file to `lost/` of its directory. */
  setAsideAggregate(id: AggregateId): number {
    const { backing, directories } = this.tools;
    let outcome = -E.ENOENT.number;
    for (const position of directories.present()) {
      const folder = `${directories.root(position)}/lost`;
      const made = backing.makeFolder(folder);
      if (made < 0) return made;
      const moved = backing.rename(directories.cellPath(position, id), `${folder}/aggregate-${id}`);
      if (moved === -E.ENOENT.number) continue;
      // The new name is durable before the old one's absence need be.
      outcome = moved < 0 ? moved : backing.flushFolder(folder);
      if (outcome < 0) return outcome;
    }
    return outcome;
  }

  statAggregate(id: AggregateId): Result<BackingStat> {
    const file = this.openAggregate(id);
    if (isErrno(file)) return file;
    const stat = file.stat();
    file.close();
    return stat;
  }

  /** Of all directories that are there. */
  aggregateFolders(): Result<readonly number[]> {
    return this.#union((position) => this.tools.directories.cellFolders(position));
  }

  /** What was begun and not finished is among them, so that it can be removed. */
  aggregateIds(folder: number): Result<readonly AggregateId[]> {
    return this.#union((position) => this.tools.directories.cellIds(position, folder));
  }

  /** Aggregates are durable before they can be seen. */
  aggregateTarget(id: AggregateId): FlushTarget {
    return { kind: 'folder', path: this.tools.directories.cellFolder(this.#firstPosition(id), id) };
  }

  aggregateNameTargets(): readonly FlushTarget[] {
    return [];
  }

  space(): Result<BackingSpace> {
    return spaceOf(this.tools);
  }

  acceptsDirect(): boolean {
    return false;
  }

  #firstPosition(id: AggregateId): number {
    const { backing, directories } = this.tools;
    const has = (position: number) => !isErrno(backing.stat(directories.cellPath(position, id)));
    return directories.present().find(has) ?? 0;
  }

  /** A directory that cannot be listed is as good as away, while k others can be. */
  #union<T>(list: (position: number) => Result<readonly T[]>): Result<readonly T[]> {
    const all = new Set<T>();
    let listed = 0;
    for (const position of this.tools.directories.present()) {
      const found = list(position);
      if (isErrno(found)) continue;
      listed += 1;
      for (const each of found) all.add(each);
    }
    return listed < this.row.dataCells ? E.EIO : [...all];
  }
}
