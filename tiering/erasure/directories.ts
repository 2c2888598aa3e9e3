/** The directories of an `ec` volume: which of them are there, and where in them an aggregate's cell lies. */
import { join } from 'node:path';
import { identityComplaint, readIdentity } from '../../aggregate/identity.ts';
import { folderOf } from '../../aggregate/volume.ts';
import { directoryComplaint } from '../../aggregate/volume_set.ts';
import type { Backing } from '../../base/backing.ts';
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import type { AggregateId } from '../../base/units.ts';

export interface EcDirectory {
  readonly position: number;
  readonly path: string;
  /** Why it must not be used; undefined when it is the right one. */
  readonly complaint: string | undefined;
}

const TEMPORARY = '.new';
const CELL_NAME = /^([1-9][0-9]{0,14})(\.new)?$/;

export class EcDirectories {
  readonly row: VolumeRow;
  readonly #backing: Backing;
  #storeId: string | undefined;
  /** Folders of cells whose own names (in the folders above) are durable. */
  readonly #durable = new Set<string>();

  constructor(row: VolumeRow, options: { readonly backing: Backing; readonly storeId?: string | undefined }) {
    this.row = row;
    this.#backing = options.backing;
    this.#storeId = options.storeId;
  }

  get count(): number {
    return this.row.paths.length;
  }

  /** As told, else what the first identity of this volume says; EIO when there is none. */
  storeId(): Result<string> {
    for (const [position, path] of this.row.paths.entries()) {
      if (this.#storeId !== undefined) break;
      const identity = readIdentity(this.#backing, path);
      if (isErrno(identity)) continue;
      const { store: storeId } = identity;
      if (identityComplaint(identity, { storeId, volume: this.row, position }) === undefined) this.#storeId = storeId;
    }
    return this.#storeId ?? E.EIO;
  }

  /** All of them, in their order, as they are now. */
  check(): readonly EcDirectory[] {
    const storeId = this.storeId();
    return this.row.paths.map((path, position) => {
      const complaint = isErrno(storeId)
        ? 'no directory of the volume has an identity file'
        : directoryComplaint(this.row, position, { backing: this.#backing, storeId });
      return { position, path, complaint };
    });
  }

  /** Positions of those that are there. */
  present(): readonly number[] {
    return this.check()
      .filter(({ complaint }) => complaint === undefined)
      .map(({ position }) => position);
  }

  root(position: number): string {
    return this.row.paths[position] ?? '';
  }

  cellFolder(position: number, id: AggregateId): string {
    return join(this.root(position), 'aggregates', String(folderOf(id)));
  }

  cellPath(position: number, id: AggregateId): string {
    return `${this.cellFolder(position, id)}/${id}`;
  }

  /** Under which a cell file is written. */
  temporaryPath(position: number, id: AggregateId): string {
    return `${this.cellPath(position, id)}${TEMPORARY}`;
  }

  /** Makes the name of a cell file survive power loss, and the folder's own where it may be new; 0 or -errno. */
  flushNames(position: number, id: AggregateId): number {
    const folder = this.cellFolder(position, id);
    const root = this.root(position);
    const paths = this.#durable.has(folder) ? [folder] : [folder, join(root, 'aggregates'), root];
    for (const path of paths) {
      const outcome = this.#backing.flushFolder(path);
      if (outcome < 0) return outcome;
    }
    this.#durable.add(folder);
    return 0;
  }

  /** Removes an aggregate's cell file and what was begun of one, durably; -ENOENT when there was none. */
  removeCell(position: number, id: AggregateId): number {
    let removed = 0;
    for (const path of [this.cellPath(position, id), this.temporaryPath(position, id)]) {
      const outcome = this.#backing.unlink(path);
      if (outcome < 0 && outcome !== -E.ENOENT.number && outcome !== -E.ENOTDIR.number) return outcome;
      if (outcome === 0) removed += 1;
    }
    return removed === 0 ? -E.ENOENT.number : this.#backing.flushFolder(this.cellFolder(position, id));
  }

  /** Ids of which a directory has a cell file, or has begun one. Names that are neither are not pacsfs's. */
  cellIds(position: number, folder: number): Result<readonly AggregateId[]> {
    const names = this.#backing.list(join(this.root(position), 'aggregates', String(folder)));
    if (names === E.ENOENT) return [];
    if (isErrno(names)) return names;
    const ids = new Set<AggregateId>();
    for (const name of names) {
      const id = Number(CELL_NAME.exec(name)?.[1] ?? 0) as AggregateId;
      if (id > 0 && folderOf(id) === folder) ids.add(id);
    }
    return [...ids];
  }

  cellFolders(position: number): Result<readonly number[]> {
    const names = this.#backing.list(join(this.root(position), 'aggregates'));
    if (names === E.ENOENT) return [];
    if (isErrno(names)) return names;
    return names.filter((name) => /^(0|[1-9][0-9]{0,14})$/.test(name)).map(Number);
  }
}
