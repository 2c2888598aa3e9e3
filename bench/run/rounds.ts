/** Runs a workload's stages on all places in turn, on one image of a loop device at a time. */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type LoopDisk, loopDisk } from '../disk/disk.ts';
import type { LoadProgram } from '../load/load_program.ts';
import { peerPlaces } from '../mount/peers.ts';
import { MountedPlace, type Place, plainPlace } from '../mount/place.ts';
import type { Figures, Round } from '../report/judge.ts';
import { type Machine, Turn } from './turn.ts';
import type { Workload } from './workload.ts';

const GIB = 2 ** 30;
/** Left to others on the disk that holds the image. */
const SPARE_GIB = 6;

export interface RunOptions {
  readonly workload: Workload;
  readonly kind: 'ext4' | 'xfs';
  /** Where the image is made. */
  readonly parent: string;
  readonly peers: readonly string[];
  readonly scale: number;
  readonly load: LoadProgram;
  note(sentence: string): void;
  /** What goes on, for whoever waits. */
  tell(line: string): void;
  /** Asked between two turns: whether to stop, putting everything away. */
  isInterrupted(): boolean;
}

/** Rounds from `first` to before `end`; each is handed to `done` when it is over. */
export async function runRounds(
  options: RunOptions,
  of: { first: number; end: number; done(round: Round): void },
): Promise<void> {
  if (of.first >= of.end) return;
  const { isAlone = false } = options.workload;
  if (isAlone) {
    for (let round = of.first; round < of.end; round++) of.done(await roundAlone(options, round));
    return;
  }
  await onDisk(options, async (disk, machine) => {
    for (let round = of.first; round < of.end; round++) {
      options.tell(`${options.kind}, round ${round + 1}`);
      const places = openAll(options, disk.folder);
      try {
        of.done(await oneRound(options, places, { machine, round }));
      } finally {
        endAll(places);
      }
    }
  });
}

/** All else here waits for children without the event loop, which is what hears signals. */
function signals(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Each place has the disk to itself. */
async function roundAlone(options: RunOptions, round: number): Promise<Round> {
  const found: Record<string, Figures> = {};
  for (const open of openers(options)) {
    await onDisk(options, async (disk, machine) => {
      const places = [open(disk.folder)];
      try {
        Object.assign(found, await oneRound(options, places, { machine, round }));
      } finally {
        endAll(places);
      }
    });
  }
  return found;
}

async function oneRound(
  options: RunOptions,
  places: readonly Place[],
  of: { machine: Machine; round: number },
): Promise<Round> {
  const found: Record<string, Record<string, number>> = {};
  for (const stage of options.workload.stages) {
    for (const place of places) {
      if (options.peers.includes(place.name) && stage.isForPeers !== true) continue;
      await signals();
      if (options.isInterrupted()) throw new Error('Interrupted');
      const start = performance.now();
      const figures = stage.run(new Turn(place, of));
      found[place.name] = { ...found[place.name], ...figures };
      options.tell(`  ${stage.name}, ${place.name}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
    }
  }
  return found;
}

function openers({ workload, load }: RunOptions): ((folder: string) => Place)[] {
  return [
    (folder: string) => plainPlace(folder, load),
    (folder: string) => new MountedPlace(folder, { load }),
    ...(workload.hasUnpacked === true
      ? [(folder: string) => new MountedPlace(folder, { load, isUnpacked: true })]
      : []),
  ];
}

function openAll(options: RunOptions, folder: string): Place[] {
  const places: Place[] = [];
  try {
    for (const open of openers(options)) places.push(open(folder));
    if (options.workload.hasPeers === true) {
      places.push(...peerPlaces(folder, options.peers, (reason) => options.note(`Skipped: ${reason}.`)));
    }
    return places;
  } catch (thrown) {
    endAll(places);
    throw thrown;
  }
}

/** All are ended, whichever of them fails. */
function endAll(places: readonly Place[]): void {
  const failures: unknown[] = [];
  for (const place of places) {
    try {
      place.end();
    } catch (thrown) {
      failures.push(thrown);
    }
  }
  if (failures.length > 0) throw failures[0];
}

async function onDisk(options: RunOptions, act: (disk: LoopDisk, machine: Machine) => Promise<void>): Promise<void> {
  const { kind, load, scale, note } = options;
  const folder = mkdtempSync(join(options.parent, 'pacsfs-bench-'));
  const gib = gibOf(options);
  try {
    options.tell(`${kind} image of ${gib} GiB`);
    const disk = loopDisk(folder, gib, { kind });
    try {
      const scratch = (name: string) => mkdtempSync(join(folder, `${name}-`));
      await act(disk, { load, device: disk.device, kind, imageBytes: gib * GIB, scale, note, scratch });
    } finally {
      disk.remove();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By the scale, and by the free space. */
function gibOf({ workload, parent, scale, note }: RunOptions): number {
  const { bavail, bsize } = statfsSync(parent);
  const wanted = Math.max(1, Math.ceil(workload.gib * Math.min(1, scale)));
  const found = Math.min(wanted, Math.floor((bavail * bsize) / GIB) - SPARE_GIB);
  if (found < 1) throw new Error(`Cannot make an image in ${parent}: expected ${1 + SPARE_GIB} GiB free at least`);
  if (found < wanted) note(`An image of ${found} GiB instead of ${wanted}: no more space is free.`);
  return found;
}
