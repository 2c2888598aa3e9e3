/**
 * Fills a shard that was made anew with what backup and journal could not tell: from the indexes of aggregates, and the
 * rows of the other shards. It adds what is not there and changes nothing that is; what is left to be made of that (counts,
 * names without an inode, inodes without a name) is the business of fsck's checks that follow.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { openVolumes } from '../../aggregate/volume_set.ts';
import type { Backing } from '../../base/backing.ts';
import { E, isErrno } from '../../base/errno.ts';
import type { VolumeRow } from '../../base/layout.ts';
import type { Timespec } from '../../base/time.ts';
import {
  type Ino,
  type Lsn,
  type Position,
  ROOT_INO,
  type ShardId,
  SLOT_COUNT,
  type Slot,
  sequenceOf,
  slotOf,
} from '../../base/units.ts';
import { Catalogue, type ChosenFile, type FilePart } from '../../shard/catalogue.ts';
import { POSITIONS_PER_HASH } from '../../shard/position.ts';
import type { Record } from '../../shard/record.ts';
import { DT_DIR, DT_REG, type Inode } from '../../shard/rows.ts';
import type { NamespaceStore } from '../../shard/store.ts';
import { Failure } from '../failure.ts';
import { newDirectory } from '../fsck/new_directory.ts';
import type { Progress } from '../fsck/progress.ts';
import { Choice } from '../rebuild/choose.ts';
import { firstSequenceAfter } from '../rebuild/numbers.ts';
import { type FoundDirectory, type FoundOwn, Survey } from '../rebuild/survey.ts';
import { isName } from '../rebuild/tree.ts';
import { newestOfEachName } from '../rebuild/write.ts';
import { VOLUME_KINDS } from '../volume_kinds.ts';
import { Survivors } from './survivors.ts';

const PENDING_ROWS = 10_000;
const ROOT_MODE = 0o040755;
const UNKNOWN_MODE = 0o040700;
const FILE_MODE = 0o100600;
const PERMISSION_BITS = 0o7777;

export interface RecollectionJob {
  readonly namespace: NamespaceStore;
  readonly lost: ReadonlySet<ShardId>;
  readonly backing: Backing;
  readonly volumes: readonly VolumeRow[];
  /** For a table of what indexes say, about 400 bytes a file. */
  readonly folder: string;
  readonly now: Timespec;
  readonly readAll: boolean;
  readonly progress: Progress;
}

export interface Recollected {
  files: number;
  directories: number;
  /** Of inodes that are in other shards. */
  names: number;
}

/** Throws `Failure`, and `ShardFailure` as any commit. */
export function recollect(job: RecollectionJob): Recollected {
  const path = join(job.folder, 'refill.catalogue');
  rmSync(path, { force: true });
  const catalogue = new Catalogue(path);
  try {
    return new Recollection(job, catalogue).run();
  } finally {
    catalogue.close();
    rmSync(path, { force: true });
  }
}

class Recollection {
  readonly #job: RecollectionJob;
  readonly #namespace: NamespaceStore;
  readonly #catalogue: Catalogue;
  readonly #survivors: Survivors;
  readonly #survey: Survey;
  readonly #made: Recollected = { files: 0, directories: 0, names: 0 };
  /** Directories that are being made: names of different times can form a ring. */
  readonly #underWay = new Set<Ino>();

  constructor(job: RecollectionJob, catalogue: Catalogue) {
    const { namespace, lost, backing, volumes, readAll, progress } = job;
    const { storeId } = namespace;
    this.#job = job;
    this.#namespace = namespace;
    this.#catalogue = catalogue;
    this.#survivors = new Survivors(namespace, lost);
    const set = openVolumes(volumes, { backing, storeId, kinds: VOLUME_KINDS });
    if (isErrno(set)) throw new Failure(`Cannot open the volumes: ${set.name}`);
    const [missing] = set.missing;
    if (missing !== undefined)
      throw new Failure(
        `Cannot make a shard anew without volume '${missing.name}' at ${missing.path}: ${missing.reason}; bring it back first`,
      );
    const wants = (ino: Ino) => this.#survivors.isLost(slotOf(ino)) || this.#survivors.nameless.has(ino);
    this.#survey = new Survey({ storeId, volumes: [...set.present.values()], catalogue, readAll, wants, progress });
  }

  run(): Recollected {
    const survivors = this.#survivors;
    survivors.run();
    this.#survey.run();
    for (const key of survivors.ownFiles.keys()) this.#survey.ownFiles.delete(key);
    this.#reserve();
    const choice = this.#choose();
    if (survivors.lacks(ROOT_INO)) this.#makeDirectory(ROOT_INO);
    for (const ino of survivors.directories) this.#makeDirectory(ino);
    for (const place of this.#catalogue.places()) this.#makeFiles(place);
    for (const { ino, parent, position } of survivors.nameless.values()) this.#nameDirectory({ ino, parent, position });
    for (const parts of this.#catalogue.inodes()) this.#nameFile(parts);
    for (const own of choice.nameless()) this.#keepOwn(own);
    this.#barrier();
    return this.#made;
  }

  #choose(): Choice {
    const { readAll, progress } = this.#job;
    // Numbers of directories are what they were: each file goes where its index says.
    const tree = { placeOf: (dir: Ino) => dir, lostAndFound: ROOT_INO };
    const shared = { survey: this.#survey, catalogue: this.#catalogue, readAll, progress };
    const choice = new Choice({ ...shared, tree, onProblem: () => {} });
    choice.chooseFiles();
    return choice;
  }

  /** No number is given twice: above all that anything tells of lies a wide gap. */
  #reserve(): void {
    const { sequences } = this.#survey;
    for (const ino of this.#survivors.named.keys()) {
      const slot = slotOf(ino);
      sequences[slot] = Math.max(sequences[slot] ?? 0, sequenceOf(ino));
    }
    for (const shard of this.#job.lost)
      for (const { slot, nextSequence } of this.#namespace.scan(shard).sequences())
        sequences[slot] = Math.max(sequences[slot] ?? 0, nextSequence);
    this.#change((record) => {
      for (let slot = 0 as Slot; slot < SLOT_COUNT; slot++)
        if (this.#survivors.isLost(slot)) record.reserve(slot, firstSequenceAfter(sequences[slot] ?? 0));
    });
  }

  // ---- Directories ----

  /** With those above it, as far as they are lost and anything tells of them. */
  #makeDirectory(ino: Ino): Inode | undefined {
    const survivors = this.#survivors;
    if (!survivors.lacks(ino)) return this.#namespace.inode(ino);
    const [name] = survivors.named.get(ino) ?? [];
    const found = this.#survey.directories.get(ino);
    if (this.#underWay.has(ino) || (survivors.removed.has(ino) && name === undefined)) return undefined;
    this.#underWay.add(ino);
    const place = name === undefined ? this.#placeAbove(ino, found) : { dir: name.dir, position: name.position };
    this.#change((record) => {
      record.putInode({
        ...this.#directoryRow(ino, found),
        parent: place?.dir ?? (0 as Ino),
        position: place?.position ?? 0,
      });
      const above = name === undefined && place !== undefined ? this.#namespace.inode(place.dir) : undefined;
      if (above === undefined || found === undefined || place === undefined) return;
      this.#putName(record, above, { ...place, name: found.name, ino, type: DT_DIR });
    });
    this.#made.directories += 1;
    return this.#namespace.inode(ino);
  }

  #directoryRow(ino: Ino, found: FoundDirectory | undefined): Inode {
    const { now } = this.#job;
    const mode = ino === ROOT_INO ? ROOT_MODE : UNKNOWN_MODE;
    const row = newDirectory({ ino, mode, parent: ROOT_INO }, { now, generation: found?.start ?? 0 });
    const partitions = this.#survivors.bitmapOf(ino);
    if (found === undefined) return { ...row, partitions };
    const { uid, gid } = found;
    return { ...row, mode: 0o040000 | (found.mode & PERMISSION_BITS), uid, gid, partitions };
  }

  #placeAbove(
    ino: Ino,
    found: FoundDirectory | undefined,
  ): { readonly dir: Ino; readonly position: Position } | undefined {
    if (ino === ROOT_INO) return { dir: ROOT_INO, position: 0 as Position };
    if (found?.above === undefined) return undefined;
    const above = this.#makeDirectory(found.above);
    const position = above === undefined ? undefined : this.#placeFor(above, found.name);
    return above === undefined || position === undefined ? undefined : { dir: above.ino, position };
  }

  /** A place in a partition that was lost: what is not in another one was removed or renamed. */
  #placeFor(dir: Inode, name: Uint8Array): Position | undefined {
    if ((dir.mode & 0o170000) !== 0o040000 || !isName(name)) return undefined;
    if (this.#namespace.findName(dir, name) !== E.ENOENT) return undefined;
    const position = this.#namespace.placeFor(dir, name);
    if (isErrno(position) || !this.#survivors.isLost(this.#namespace.partitionOf(dir, position).slot)) return undefined;
    return this.#survivors.wasRemoved(dir.ino, position) ? undefined : position;
  }

  #putName(
    record: Record,
    dir: Inode,
    entry: { readonly position: Position; readonly name: Uint8Array; readonly ino: Ino; readonly type: number },
    now = this.#job.now,
  ): void {
    const { position, name, ino, type } = entry;
    if (dir.ino === ino) return;
    record.putDentry(dir, { dir: dir.ino, position, name, ino, type });
    record.touchDirectory(dir, { entries: 1, directories: type === DT_DIR ? 1 : 0, now, position });
  }

  // ---- Files ----

  #makeFiles(place: Ino): void {
    const older: ChosenFile[] = [];
    for (const file of newestOfEachName(this.#catalogue.chosenIn(place), (each) => older.push(each)))
      this.#makeFile(file, true);
    // Their name is another's, which is newer: they get one in lost+found.
    for (const file of older) this.#makeFile(file, false);
  }

  #makeFile(file: ChosenFile, mayHaveName: boolean): void {
    const survivors = this.#survivors;
    const { ino, mtime } = file;
    if (!survivors.lacks(ino) || survivors.removed.has(ino)) return;
    const [known] = survivors.named.get(ino) ?? [];
    const dir = known === undefined && mayHaveName ? this.#makeDirectory(file.place) : undefined;
    const position = dir === undefined ? undefined : this.#placeFor(dir, file.name);
    const place = known ?? (dir === undefined || position === undefined ? undefined : { dir: dir.ino, position });
    this.#change((record) => {
      const row = this.#fileRow(file);
      record.putInode({ ...row, parent: place?.dir ?? (0 as Ino), position: place?.position ?? 0 });
      if (dir === undefined || position === undefined) return;
      this.#putName(record, dir, { position, name: file.name, ino, type: DT_REG }, mtime);
    });
    this.#made.files += 1;
  }

  #fileRow(file: ChosenFile): Inode {
    const { ino, uid, gid, size, mtime, own, start } = file;
    // Who shares is in system.db, which is there; an index that tells of a file again says so of all its bytes.
    const extents = file.extents.map((extent) => {
      const { aggregate, rangeStart } = extent;
      return { ...extent, shared: this.#namespace.sharers(aggregate, rangeStart).length > 0 };
    });
    const layout = own === undefined ? 'packed' : 'own';
    return { ...this.#plainRow(ino, mtime), mode: file.mode, uid, gid, size, layout, own, extents, generation: start };
  }

  /** Bytes that no index tells of belonged to files that were open or waited: they are kept, without a name. */
  #keepOwn({ own, stat }: FoundOwn): void {
    const slot = this.#lostSlot();
    this.#change((record) => {
      const row = this.#plainRow(record.newIno(slot), stat.mtime);
      record.putInode({ ...row, mode: FILE_MODE, size: stat.size, layout: 'own', own });
    });
    this.#made.files += 1;
  }

  #lostSlot(): Slot {
    for (let slot = 0 as Slot; slot < SLOT_COUNT; slot++) if (this.#survivors.isLost(slot)) return slot;
    throw new Failure('Cannot make a shard anew: it has no slots');
  }

  #plainRow(ino: Ino, mtime: Timespec): Inode {
    const { now } = this.#job;
    const times = { atime: mtime, mtime, ctime: now, btime: mtime };
    const row = newDirectory(
      { ino, mode: FILE_MODE, parent: 0 as Ino },
      { now, generation: this.#namespace.generation },
    );
    return { ...row, ...times, lsn: 0 as Lsn, partitions: new Uint8Array(0) };
  }

  // ---- Names of what is in other shards ----

  #nameDirectory({
    ino,
    parent,
    position,
  }: {
    readonly ino: Ino;
    readonly parent: Ino;
    readonly position: Position;
  }): void {
    const row = this.#namespace.inode(ino);
    const found = this.#survey.directories.get(ino);
    if (row === undefined || found === undefined || row.mode >> 12 !== DT_DIR) return;
    this.#giveBack({ ino, parent, position, type: DT_DIR }, found.name);
  }

  #nameFile(parts: readonly FilePart[]): void {
    const [first] = parts;
    const place = first === undefined ? undefined : this.#survivors.nameless.get(first.ino);
    const row = place === undefined ? undefined : this.#namespace.inode(place.ino);
    if (place === undefined || row === undefined) return;
    for (const { name } of [...parts].reverse()) if (this.#giveBack({ ...place, type: row.mode >> 12 }, name)) return;
  }

  /** The place is the hash of the name, so that a name of another time is told from the last one. */
  #giveBack(
    to: { readonly ino: Ino; readonly parent: Ino; readonly position: Position; readonly type: number },
    name: Uint8Array,
  ): boolean {
    const { ino, parent, position, type } = to;
    const dir = this.#namespace.inode(parent);
    if (dir === undefined || dir.mode >> 12 !== DT_DIR || !isName(name)) return false;
    const base = this.#namespace.inspect().positionBase(name);
    if (position < base || position >= base + POSITIONS_PER_HASH) return false;
    if (this.#namespace.findName(dir, name) !== E.ENOENT) return false;
    const [there] = this.#namespace.list(dir, position - 1, 1);
    if (there?.position === position || this.#survivors.wasRemoved(parent, position)) return false;
    this.#change((record) => this.#putName(record, dir, { position, name, ino, type }));
    this.#made.names += 1;
    return true;
  }

  // ---- Records ----

  #change(build: (record: Record) => void): void {
    const record = this.#namespace.begin();
    build(record);
    this.#namespace.commit(record);
    if (this.#namespace.pendingRows > PENDING_ROWS) this.#barrier();
  }

  #barrier(): void {
    const done = this.#namespace.barrier();
    if (isErrno(done))
      throw new Failure(`Cannot write what came back: ${done.name}; free some space there and try again`);
  }
}
