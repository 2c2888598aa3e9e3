/** Of all that indexes say of one file: which state of it comes back, and where to. */
import type { Extent } from '../../base/layout.ts';
import { type Ino, type Slot, slotOf } from '../../base/units.ts';
import type { Catalogue, FilePart, PartState } from '../../shard/catalogue.ts';
import type { Progress } from '../fsck/progress.ts';
import { stateOf, worst } from './evidence.ts';
import { firstSequenceAfter, inoInSlot } from './numbers.ts';
import { type FoundOwn, ownKey, type Survey } from './survey.ts';
import type { Tree } from './tree.ts';

const MODE_TYPE = 0o170000;
const MODE_FILE = 0o100000;
/** Of a file of which nothing is known but its bytes. */
const NAMELESS_MODE = MODE_FILE | 0o600;

export type Problem = 'damaged-file' | 'incomplete-file' | 'nameless-own-file' | 'name-taken';

export interface ChooseJob {
  readonly survey: Survey;
  readonly tree: Pick<Tree, 'placeOf' | 'lostAndFound'>;
  readonly catalogue: Catalogue;
  readonly readAll: boolean;
  readonly progress: Progress;
  readonly onProblem: (problem: Problem, file: FilePart) => void;
}

/** One packing of a file, or one mention of it. */
interface Version {
  readonly head: FilePart;
  readonly extents: readonly Extent[];
  readonly state: PartState;
}

export class Choice {
  files = 0;
  bytes = 0;
  /** Files that were deleted, or replaced by what no index tells of: their space was given back. */
  gone = 0;
  /** Own files that are older than what was chosen of their file. */
  readonly superseded = new Set<string>();
  /** Ranges that copies share, by `rangeKey`. */
  readonly shared = new Set<string>();
  readonly #job: ChooseJob;
  readonly #taken = new Set<string>();

  constructor(job: ChooseJob) {
    this.#job = job;
  }

  run(): void {
    this.chooseFiles();
    this.#takeNameless();
  }

  chooseFiles(): void {
    const { catalogue, progress } = this.#job;
    progress.begin('files', catalogue.parts);
    for (const parts of catalogue.inodes()) {
      this.#chooseOf(parts);
      progress.advance(parts.length);
    }
    progress.end();
  }

  /** Own files with bytes that no file which was chosen has, or had. */
  nameless(): FoundOwn[] {
    return [...this.#job.survey.ownFiles]
      .filter(([key, { stat }]) => !this.#taken.has(key) && !this.superseded.has(key) && stat.size > 0)
      .map(([, found]) => found);
  }

  #chooseOf(parts: readonly FilePart[]): void {
    const { survey, onProblem } = this.#job;
    const [first] = parts;
    // A number is a directory's or a file's, never both: whatever says otherwise is not believed.
    if (first === undefined || survey.directories.has(first.ino)) return;
    let isIncomplete = false;
    const versions = versionsOf(parts);
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i];
      if (version === undefined) continue;
      const state = version.head.own === undefined ? this.#packedState(version) : this.#ownState(version.head);
      if (state === 'incomplete') isIncomplete = true;
      if (state === 'punched' || state === 'incomplete') continue;
      if (state === 'damaged') onProblem('damaged-file', version.head);
      this.#take(version);
      for (const { head: older } of versions.slice(0, i))
        if (older.own !== undefined && !this.#taken.has(ownKey(older.own))) this.superseded.add(ownKey(older.own));
      return;
    }
    if (isIncomplete) onProblem('incomplete-file', first);
    else this.gone += 1;
  }

  #ownState({ own }: FilePart): PartState {
    const key = own === undefined ? '' : ownKey(own);
    return this.#job.survey.ownFiles.has(key) && !this.#taken.has(key) ? 'whole' : 'punched';
  }

  #packedState({ head, extents, state }: Version): PartState | 'incomplete' {
    let end = 0;
    let bytes = 0;
    for (const { fileOffset, length } of extents) {
      if (fileOffset < end) return 'incomplete';
      end = fileOffset + length;
      bytes += length;
    }
    if (state === 'punched') return 'punched';
    if (bytes !== head.dataBytes || end > head.size) return 'incomplete';
    return worst([state, ...extents.filter(({ shared }) => shared).map((extent) => this.#sharedState(extent))]);
  }

  #sharedState(extent: Extent): PartState {
    const { survey, readAll } = this.#job;
    const file = survey.openAggregate(extent.aggregate);
    if (file === undefined || survey.aggregates.get(extent.aggregate)?.volume.row.id !== extent.volume)
      return 'punched';
    const state = stateOf(file, extent, { readAll });
    file.close();
    return state;
  }

  #take({ head, extents }: Version): void {
    const { catalogue, survey, tree } = this.#job;
    const found = head.own === undefined ? undefined : survey.ownFiles.get(ownKey(head.own));
    if (found !== undefined) this.#taken.add(ownKey(found.own));
    for (const extent of extents) if (extent.shared) this.shared.add(rangeKey(extent));
    // An own file that was written since says itself how long it is, and when that was.
    const isSame = found === undefined || found.stat.size === head.size;
    const { size, mtime } = isSame ? head : found.stat;
    const mode = (head.mode & MODE_TYPE) === MODE_FILE ? head.mode : NAMELESS_MODE;
    this.files += 1;
    this.bytes += size;
    catalogue.choose({ ...head, mode, size, mtime, extents, place: tree.placeOf(head.dir) });
  }

  /** Own files that no index names: all that were open or waited to be packed, and dedicated ones that came too late. */
  #takeNameless(): void {
    const { survey, catalogue, tree, onProblem } = this.#job;
    const place = tree.lostAndFound;
    const slot: Slot = slotOf(place);
    let sequence = firstSequenceAfter(survey.sequences[slot] ?? 0) + 1;
    for (const { own, stat } of this.nameless()) {
      const ino: Ino = inoInSlot(slot, sequence++);
      const name = Buffer.from(`own-${own.volume}-${own.start}-${own.number}`);
      const mark = { lsn: survey.lsn, start: own.start, aggregate: 0 as FilePart['aggregate'], at: 0 };
      const { size, mtime } = stat;
      const attributes = { mode: NAMELESS_MODE, uid: 0, gid: 0, size, mtime, dataBytes: 0 };
      const part: FilePart = { ino, dir: place, name, ...mark, ...attributes, own, state: 'whole', extents: [] };
      catalogue.choose({ ...part, place });
      this.files += 1;
      this.bytes += size;
      onProblem('nameless-own-file', part);
    }
    survey.sequences[slot] = sequence;
  }
}

/**
 * From the oldest to the newest. The parts of one packing follow each other in its aggregate, and in the file: where a
 * part begins before the last one's end, or all is there, another packing begins.
 */
function versionsOf(parts: readonly FilePart[]): Version[] {
  const versions: Version[] = [];
  let run: FilePart[] = [];
  const end = () => {
    const head = run.at(-1);
    if (head === undefined) return;
    const extents = run.flatMap((part) => part.extents);
    versions.push({ head, extents, state: worst(run.map(({ state }) => state)) });
    run = [];
  };
  let bytes = 0;
  for (const part of parts) {
    const last = run.at(-1);
    const goesOn =
      last !== undefined &&
      last.lsn === part.lsn &&
      last.start === part.start &&
      last.aggregate === part.aggregate &&
      last.dataBytes === part.dataBytes &&
      bytes < part.dataBytes &&
      (last.extents.at(-1)?.fileOffset ?? 0) < (part.extents[0]?.fileOffset ?? 0);
    if (!goesOn) {
      end();
      bytes = 0;
    }
    run.push(part);
    bytes += part.extents.reduce((sum, { length }) => sum + length, 0);
  }
  end();
  return versions;
}

export function rangeKey({ aggregate, rangeStart }: Extent): string {
  return `${aggregate}:${rangeStart}`;
}
