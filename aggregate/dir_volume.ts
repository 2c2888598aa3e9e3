/** A volume that is one directory: `own/START/n` and `aggregates/FOLDER/ID`, all numbers decimal. */
import { join } from 'node:path';
import type { Backing, BackingFile, BackingSpace, BackingStat, FlushTarget } from '../base/backing.ts';
import { E, errnoOf, isErrno, type Result } from '../base/errno.ts';
import type { OwnName, VolumeRow } from '../base/layout.ts';
import { alignedBuffer } from '../base/libc.ts';
import type { AggregateId } from '../base/units.ts';
import { IDENTITY_FILE } from './identity.ts';
import { type AggregateOpen, folderOf, type Volume } from './volume.ts';

const DECIMAL = /^(0|[1-9][0-9]{0,14})$/;
const START_MAX = 2 ** 32 - 1;
const NUMBER_MAX = 2 ** 48 - 1;

export class DirVolume implements Volume {
  readonly row: VolumeRow;
  readonly holdsOwnFiles = true;
  readonly #backing: Backing;
  readonly #root: string;
  /** Folders whose own names (in the folders above) are durable, or in the hands of whoever flushes them. */
  readonly #durableFolders = new Set<string>();
  #takesDirect: boolean | undefined;

  constructor(row: VolumeRow, backing: Backing) {
    this.row = row;
    this.#backing = backing;
    this.#root = row.paths[0] ?? '';
  }

  lendIdentity(): Result<BackingFile> {
    return this.#backing.open(join(this.#root, IDENTITY_FILE));
  }

  createOwn(name: OwnName): Result<BackingFile> {
    return this.#create(this.#ownFolder(name.start), String(name.number), {});
  }

  openOwn(name: OwnName): Result<BackingFile> {
    return this.#backing.open(this.#ownPath(name), { write: true });
  }

  lendOwn(name: OwnName): Result<BackingFile> {
    return this.#backing.open(this.#ownPath(name));
  }

  unlinkOwn(name: OwnName): number {
    return this.#backing.unlink(this.#ownPath(name));
  }

  setAsideOwn(name: OwnName): number {
    return this.#setAside(this.#ownPath(name), `own-${name.start}-${name.number}`);
  }

  statOwn(name: OwnName): Result<BackingStat> {
    return this.#backing.stat(this.#ownPath(name));
  }

  ownStarts(): Result<readonly number[]> {
    return this.#numbers('own', START_MAX);
  }

  removeOwnStart(start: number): number {
    return this.#backing.removeFolder(this.#ownFolder(start));
  }

  ownNames(start: number): Result<readonly OwnName[]> {
    const numbers = this.#numbers(join('own', String(start)), NUMBER_MAX);
    if (isErrno(numbers)) return numbers;
    return numbers.map((number) => ({ volume: this.row.id, start, number }));
  }

  ownTarget(name: OwnName): FlushTarget {
    return { kind: 'file', path: this.#ownPath(name) };
  }

  ownNameTargets(start: number): readonly FlushTarget[] {
    return this.#nameTargets(this.#ownFolder(start), 'own');
  }

  createAggregate(id: AggregateId, options: AggregateOpen = {}): Result<BackingFile> {
    return this.#create(this.#aggregateFolder(id), String(id), options);
  }

  openAggregate(id: AggregateId, options: AggregateOpen = {}): Result<BackingFile> {
    return this.#backing.open(this.#aggregatePath(id), options);
  }

  lendAggregate(id: AggregateId): Result<BackingFile> {
    this.#takesDirect ??= this.acceptsDirect();
    return this.openAggregate(id, { direct: this.#takesDirect });
  }

  unlinkAggregate(id: AggregateId): number {
    return this.#backing.unlink(this.#aggregatePath(id));
  }

  setAsideAggregate(id: AggregateId): number {
    return this.#setAside(this.#aggregatePath(id), `aggregate-${id}`);
  }

  statAggregate(id: AggregateId): Result<BackingStat> {
    return this.#backing.stat(this.#aggregatePath(id));
  }

  aggregateFolders(): Result<readonly number[]> {
    return this.#numbers('aggregates', NUMBER_MAX);
  }

  aggregateIds(folder: number): Result<readonly AggregateId[]> {
    const numbers = this.#numbers(join('aggregates', String(folder)), NUMBER_MAX);
    if (isErrno(numbers)) return numbers;
    return numbers.filter((number) => number > 0 && folderOf(number as AggregateId) === folder) as AggregateId[];
  }

  aggregateTarget(id: AggregateId): FlushTarget {
    return { kind: 'file', path: this.#aggregatePath(id) };
  }

  aggregateNameTargets(id: AggregateId): readonly FlushTarget[] {
    return this.#nameTargets(this.#aggregateFolder(id), 'aggregates');
  }

  space(): Result<BackingSpace> {
    return this.#backing.space(this.#root);
  }

  /** Reads the identity file with O_DIRECT: some hosts refuse at open, others at the first transfer. */
  acceptsDirect(): boolean {
    const file = this.#backing.open(join(this.#root, IDENTITY_FILE), { direct: true });
    if (isErrno(file)) return false;
    const count = file.read(alignedBuffer(4096), 0);
    file.close();
    return count >= 0;
  }

  #ownFolder(start: number): string {
    return join(this.#root, 'own', String(start));
  }

  #ownPath(name: OwnName): string {
    return `${this.#root}/own/${name.start}/${name.number}`;
  }

  #aggregateFolder(id: AggregateId): string {
    return join(this.#root, 'aggregates', String(folderOf(id)));
  }

  #aggregatePath(id: AggregateId): string {
    return `${this.#root}/aggregates/${folderOf(id)}/${id}`;
  }

  /** The folder is made when its absence is noticed: asking each time would cost a system call. */
  #create(folder: string, name: string, options: AggregateOpen): Result<BackingFile> {
    const path = `${folder}/${name}`;
    const file = this.#backing.open(path, { ...options, write: true, create: true });
    if (file !== E.ENOENT) return file;
    // The bare folder that a disk was mounted on is not the volume: what went there would be gone with the next mount.
    if (isErrno(this.#backing.stat(join(this.#root, IDENTITY_FILE)))) return E.EIO;
    const made = this.#backing.makeFolder(folder);
    if (made < 0) return errnoOf(-made);
    return this.#backing.open(path, { ...options, write: true, create: true });
  }

  /** Order: the new name is durable before the old one's absence need be. */
  #setAside(from: string, name: string): number {
    const folder = join(this.#root, 'lost');
    const made = this.#backing.makeFolder(folder);
    if (made < 0) return made;
    // A number may come to `lost/` more than once: what no durable record names does not use it up.
    let to = join(folder, name);
    for (let copy = 2; !isErrno(this.#backing.stat(to)); copy++) to = join(folder, `${name}.${copy}`);
    const moved = this.#backing.rename(from, to);
    return moved < 0 ? moved : this.#backing.flushFolder(folder);
  }

  #nameTargets(folder: string, parent: string): readonly FlushTarget[] {
    const paths = this.#durableFolders.has(folder) ? [folder] : [folder, join(this.#root, parent), this.#root];
    this.#durableFolders.add(folder);
    return paths.map((path) => ({ kind: 'folder', path }));
  }

  /** Names in a folder that are numbers; others are not pacsfs's. A folder that is not there is empty. */
  #numbers(folder: string, max: number): Result<readonly number[]> {
    const names = this.#backing.list(join(this.#root, folder));
    if (names === E.ENOENT) return [];
    if (isErrno(names)) return names;
    return names
      .filter((name) => DECIMAL.test(name))
      .map(Number)
      .filter((number) => number <= max);
  }
}
