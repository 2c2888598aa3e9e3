/** Writes the databases of a rebuilt store into a folder of their own: directory by directory, then what lost its place. */
import { assert } from '../../base/assert.ts';
import { isErrno } from '../../base/errno.ts';
import { type AggregateRow, type Extent, occupied, type VolumeRow } from '../../base/layout.ts';
import { compareTimes, EPOCH, type Timespec } from '../../base/time.ts';
import { type AggregateId, type Ino, type Position, ROOT_INO, SLOT_COUNT, type Slot } from '../../base/units.ts';
import type { Catalogue, ChosenFile } from '../../shard/catalogue.ts';
import { emptyInode } from '../../shard/empty_inode.ts';
import { Loader } from '../../shard/loader.ts';
import { POSITION_LIMIT, partitionSlot } from '../../shard/partition_map.ts';
import { type Placement, POSITIONS_PER_HASH } from '../../shard/position.ts';
import { DT_DIR, DT_REG, type Inode } from '../../shard/rows.ts';
import { formatNamespace, SINGLE_PARTITION } from '../../shard/store.ts';
import { Failure } from '../failure.ts';
import type { Progress } from '../fsck/progress.ts';
import { type Choice, type Problem, rangeKey } from './choose.ts';
import { firstSequenceAfter, lsnAfter, startAfter } from './numbers.ts';
import type { Survey } from './survey.ts';
import { isName, type Tree } from './tree.ts';

export interface WriteJob {
  readonly folder: string;
  readonly storeId: string;
  readonly shards: number;
  readonly volumes: readonly VolumeRow[];
  readonly hashKey: Uint8Array;
  readonly placement: Placement;
  readonly now: Timespec;
  readonly survey: Survey;
  readonly tree: Tree;
  readonly catalogue: Catalogue;
  readonly choice: Choice;
  readonly progress: Progress;
  readonly onProblem: (problem: Problem, file: ChosenFile) => void;
}

export class Writer {
  directories = 0;
  /** Aggregates of which some file names bytes. */
  readonly live = new Map<AggregateId, { live: number; end: number; newestSec: number }>();
  readonly #job: WriteJob;
  readonly #loader: Loader;
  readonly #seenShared = new Set<string>();
  readonly #positions = new Map<Ino, Position>();
  #lost = 0;

  constructor(job: WriteJob) {
    this.#job = job;
    const { folder, storeId, shards: shardCount, now, volumes, hashKey, survey } = job;
    const lsn = lsnAfter(survey.lsn);
    const made = formatNamespace(folder, { storeId, shardCount, now, volumes, hashKey, lsn });
    if (isErrno(made)) throw new Failure(`Cannot make the metadata in ${folder}: ${made.name}`);
    this.#loader = Loader.open(folder, { now, lsn });
    this.#loader.putStarts(startAfter(survey.start));
  }

  run(): void {
    const { tree, survey, progress } = this.#job;
    const needed = this.#needed();
    for (const ino of needed) this.#placeChildren(ino, needed);
    progress.begin('directories', needed.size + 1);
    // The root and lost+found last: only then it is known what the others could not take.
    for (const ino of needed) {
      if (ino !== ROOT_INO && ino !== tree.lostAndFound) this.#writeDirectory(ino, needed);
      progress.advance(1);
    }
    if (needed.has(tree.lostAndFound) || this.#lost > 0 || this.#rootLoses(needed)) {
      needed.add(tree.lostAndFound);
      this.#writeDirectory(ROOT_INO, needed);
      this.#placeChildren(tree.lostAndFound, needed);
      this.#writeDirectory(tree.lostAndFound, needed);
    } else this.#writeDirectory(ROOT_INO, needed);
    progress.end();
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const nextSequence = firstSequenceAfter(survey.sequences[slot] ?? 0);
      this.#loader.putSequence({ slot: slot as Slot, nextSequence });
    }
    this.#writeAggregates();
    this.#loader.finish();
  }

  close(): void {
    this.#loader.close();
  }

  /** The directories that files go to, and those above them. */
  #needed(): Set<Ino> {
    const { tree, catalogue } = this.#job;
    const needed = new Set<Ino>([ROOT_INO]);
    for (const place of catalogue.places()) {
      for (let ino = place; !needed.has(ino); ino = tree.directories.get(ino)?.parent ?? ROOT_INO) needed.add(ino);
    }
    return needed;
  }

  /** Directories come first, so that a name that is one's and a file's is the directory's. */
  #placeChildren(ino: Ino, needed: ReadonlySet<Ino>): Entries {
    const { tree, placement } = this.#job;
    const entries = new Entries(ino, placement);
    for (const child of tree.children(ino)) {
      if (!needed.has(child.ino) && child.ino !== tree.lostAndFound) continue;
      const position = entries.placeDirectory(child.name);
      if (position === undefined) throw new Failure(`Cannot place directory ${child.ino}: 16 names share its hash`);
      this.#positions.set(child.ino, position);
    }
    return entries;
  }

  #rootLoses(needed: ReadonlySet<Ino>): boolean {
    const entries = this.#placeChildren(ROOT_INO, needed);
    for (const file of this.#job.catalogue.chosenIn(ROOT_INO)) if (!entries.takes(file.name)) return true;
    return false;
  }

  #writeDirectory(ino: Ino, needed: ReadonlySet<Ino>): void {
    const { tree, catalogue, now } = this.#job;
    const directory = tree.directories.get(ino);
    if (directory === undefined) return;
    const entries = this.#placeChildren(ino, needed);
    const count = { entries: 0, directories: 0 };
    for (const child of tree.children(ino)) {
      if (!needed.has(child.ino)) continue;
      const position = this.#positionOf(child.ino);
      this.#loader.putDentry(entries.slot, { dir: ino, position, name: child.name, ino: child.ino, type: DT_DIR });
      count.entries += 1;
      count.directories += 1;
    }
    let newest = EPOCH;
    for (const file of newestOfEachName(catalogue.chosenIn(ino), (older) => this.#lose(older))) {
      const position = entries.takes(file.name) ? entries.place(file.name) : undefined;
      if (position === undefined) {
        this.#lose(file);
        continue;
      }
      this.#loader.putDentry(entries.slot, { dir: ino, position, name: file.name, ino: file.ino, type: DT_REG });
      this.#writeFile(file, position);
      count.entries += 1;
      if (compareTimes(file.mtime, newest) > 0) newest = file.mtime;
    }
    const changed = newest === EPOCH ? now : newest;
    const { lsn, parent } = directory;
    const position = ino === ROOT_INO ? 0 : this.#positionOf(ino);
    this.#loader.putInode({ ...this.#row(directory, changed), parent, position });
    const partition = { slot: entries.slot, dir: ino, index: 0, changed, lsn, boundary: POSITION_LIMIT };
    this.#loader.putPartition({ ...partition, ...count });
    this.directories += 1;
  }

  #positionOf(ino: Ino): Position {
    const position = this.#positions.get(ino);
    assert(position !== undefined, `Directory ${ino} was not placed`);
    return position;
  }

  /** Its name is another's, which is newer: most likely it was replaced. */
  #lose(file: ChosenFile): void {
    const { catalogue, tree, onProblem } = this.#job;
    const isLost = file.place === tree.lostAndFound;
    const name = Buffer.from(isLost ? `#${file.ino}.${file.lsn}` : `#${file.ino}`);
    this.#lost += 1;
    if (!isLost) onProblem('name-taken', file);
    catalogue.choose({ ...file, place: tree.lostAndFound, name });
  }

  #writeFile(file: ChosenFile, position: Position): void {
    const { choice } = this.#job;
    const extents = file.extents.map((extent) => {
      const isShared = choice.shared.has(rangeKey(extent));
      if (isShared)
        this.#loader.putSharer({ aggregate: extent.aggregate, rangeStart: extent.rangeStart, ino: file.ino });
      this.#count(extent, { isShared, mtime: file.mtime });
      return { ...extent, shared: isShared };
    });
    const { place, own, size } = file;
    const layout = own === undefined ? 'packed' : 'own';
    this.#loader.putInode({
      ...this.#row(file, file.mtime),
      size,
      layout,
      own,
      extents,
      parent: place,
      position,
      partitions: new Uint8Array(0),
    });
  }

  #count(extent: Extent, of: { readonly isShared: boolean; readonly mtime: Timespec }): void {
    if (of.isShared) {
      if (this.#seenShared.has(rangeKey(extent))) return;
      this.#seenShared.add(rangeKey(extent));
    }
    const end = extent.rangeStart + occupied(extent.rangeLength);
    const count = this.live.get(extent.aggregate) ?? { live: 0, end: 0, newestSec: of.mtime.sec };
    count.live += occupied(extent.rangeLength);
    count.end = Math.max(count.end, end);
    count.newestSec = Math.max(count.newestSec, of.mtime.sec);
    this.live.set(extent.aggregate, count);
  }

  #row(of: Pick<Inode, 'ino' | 'mode' | 'uid' | 'gid' | 'lsn'> & { readonly start: number }, mtime: Timespec): Inode {
    const { ino, mode, uid, gid, lsn, start } = of;
    const times = { ctime: this.#job.now, btime: mtime };
    const row = emptyInode(ino, mode, mtime);
    return { ...row, ...times, uid, gid, lsn, generation: start, partitions: SINGLE_PARTITION };
  }

  /** The newest id keeps its row, for no id is given twice. */
  #writeAggregates(): void {
    const { survey } = this.#job;
    for (const { id, volume, size } of survey.aggregates.values()) {
      const { live, end, newestSec } = this.live.get(id) ?? { live: 0, end: 0, newestSec: 0 };
      if (live === 0 && id !== survey.newestAggregate) continue;
      const written = Math.max(end, size);
      const row: AggregateRow = {
        id,
        volume: volume.row.id,
        state: 'sealed',
        written,
        live,
        newestMtimeSec: newestSec,
        lastReadDay: 0,
      };
      this.#loader.putAggregate(row);
    }
  }

  /** Aggregates of this store of which no file names a byte. */
  unused(): AggregateId[] {
    const { survey } = this.#job;
    return [...survey.aggregates.keys()].filter((id) => id !== survey.newestAggregate && !this.live.has(id));
  }
}

/** Positions of a directory's names. */
class Entries {
  readonly slot: Slot;
  readonly #placement: Placement;
  readonly #used = new Map<Position, number>();
  readonly #directories = new Set<string>();

  constructor(ino: Ino, placement: Placement) {
    this.slot = partitionSlot(ino, 0);
    this.#placement = placement;
  }

  placeDirectory(name: Uint8Array): Position | undefined {
    this.#directories.add(keyOf(name));
    return this.place(name);
  }

  /** Whether a file may have the name, if a position is left. */
  takes(name: Uint8Array): boolean {
    return isName(name) && !this.#directories.has(keyOf(name));
  }

  /** Undefined when as many names have its hash as can. */
  place(name: Uint8Array): Position | undefined {
    const base = this.#placement.base(name);
    const used = this.#used.get(base) ?? 0;
    if (used >= POSITIONS_PER_HASH) return undefined;
    this.#used.set(base, used + 1);
    return (base + used) as Position;
  }
}

/** `files` come by name, of one name the oldest first. */
export function* newestOfEachName(
  files: Iterable<ChosenFile>,
  onOlder: (file: ChosenFile) => void,
): Generator<ChosenFile> {
  let last: ChosenFile | undefined;
  for (const file of files) {
    if (last !== undefined && keyOf(last.name) === keyOf(file.name)) onOlder(last);
    else if (last !== undefined) yield last;
    last = file;
  }
  if (last !== undefined) yield last;
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString('latin1');
}
