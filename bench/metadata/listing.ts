/**
 * Listing a directory of a million files with programs that do not sort: how long the first entry takes, how long all of
 * them, and what memory the daemon takes for it; beside ext4 and XFS. Nothing of the directory is cached anywhere.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, opendirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canMake, type LoopDisk, loopDisk } from '../disk/disk.ts';
import { type Figure, mebibytes, median, milliseconds, whole } from './figures.ts';
import { NameUser } from './name_user.ts';
import { dropCaches, type Mount, memoryOf, resetPeak, type Workbench } from './workbench.ts';

const FILES = 1_000_000;
const NAME_BYTES = 64;
const ROUNDS = 3;
const LOOP_GIB = 3;
const FIRST_ENTRY_MS = 5;
/** What a collector leaves or takes by chance. */
const CHANCE_BYTES = 24 * 2 ** 20;
const WARM_LISTINGS = 3;
const WARM_FILES = 500;
const LIST_MS = 600_000;
const MAKE_AT_A_TIME = 50_000;
const COMMANDS: readonly (readonly string[])[] = [
  ['ls', '-f'],
  ['find', '.', '-maxdepth', '1'],
];

interface Place {
  readonly name: string;
  /** Puts everything away, so that the next listing is cold; where the directory is then. */
  forget(): Promise<string>;
  end(): void;
}

interface Listed {
  /** Of one open and one read, without the start of a program. */
  readonly firstMs: number[];
  readonly commands: { readonly firstLineMs: number[]; readonly allMs: number[] }[];
}

export async function listing(bench: Workbench): Promise<Figure[]> {
  const figures: Figure[] = [];
  const own = new Mounted(bench);
  for (const open of [() => own, () => peer(bench, 'ext4'), () => peer(bench, 'xfs')]) {
    const place = await open();
    if (place === undefined) continue;
    try {
      figures.push(...shown(place, await measured(place)));
      if (place === own) figures.push(...(await own.memory()));
    } finally {
      place.end();
    }
  }
  return figures;
}

async function measured(place: Place): Promise<Listed> {
  const found: Listed = { firstMs: [], commands: COMMANDS.map(() => ({ firstLineMs: [], allMs: [] })) };
  for (let round = 0; round < ROUNDS; round++) {
    found.firstMs.push(firstEntry(await place.forget()));
    for (const [at, command] of COMMANDS.entries()) {
      const directory = await place.forget();
      const { firstLineMs, allMs } = await list(command, directory);
      found.commands[at]?.firstLineMs.push(firstLineMs);
      found.commands[at]?.allMs.push(allMs);
    }
  }
  return found;
}

/** Milliseconds of opening a directory and reading its first entries. */
function firstEntry(directory: string): number {
  const start = performance.now();
  const opened = opendirSync(directory);
  opened.readSync();
  const ms = performance.now() - start;
  opened.closeSync();
  return ms;
}

async function list(command: readonly string[], directory: string): Promise<{ firstLineMs: number; allMs: number }> {
  const [program = '', ...args] = command;
  // The program itself is not to come from the disk.
  await output(program, ['--version'], '/');
  const { firstLineMs, allMs, lines } = await output(program, args, directory);
  if (lines < FILES || lines > FILES + 2) throw new Error(`${command.join(' ')} gives ${lines} lines of ${FILES}`);
  return { firstLineMs, allMs };
}

function output(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ firstLineMs: number; allMs: number; lines: number }> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, { cwd, timeout: LIST_MS, stdio: ['ignore', 'pipe', 'inherit'] });
    let firstLineMs = 0;
    let lines = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      if (firstLineMs === 0) firstLineMs = performance.now() - start;
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines += 1;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve({ firstLineMs, allMs: performance.now() - start, lines });
      else reject(new Error(`${program} ended with ${code}`));
    });
  });
}

function shown({ name }: Place, listed: Listed): Figure[] {
  const row = 'listing';
  const first = median(listed.firstMs);
  const limit =
    name === 'pacsfs' ? { wanted: `under ${milliseconds(FIRST_ENTRY_MS)}`, met: first < FIRST_ENTRY_MS } : {};
  return [
    { row, what: `${name}, open and first entry`, found: milliseconds(first), ...limit },
    ...COMMANDS.flatMap((command, at): Figure[] => {
      const { firstLineMs = [], allMs = [] } = listed.commands[at] ?? {};
      const what = `${name}, ${command.join(' ')}`;
      const rate = whole(FILES / (median(allMs) / 1000));
      return [
        { row, what: `${what}, first line with the program's start`, found: milliseconds(median(firstLineMs)) },
        { row, what: `${what}, all`, found: `${milliseconds(median(allMs))}, ${rate} entries/s` },
      ];
    }),
  ];
}

class Mounted implements Place {
  readonly name = 'pacsfs';
  readonly #bench: Workbench;
  readonly #store: string;
  #mount: Mount | undefined;

  constructor(bench: Workbench) {
    this.#bench = bench;
    this.#store = bench.store({ files: FILES, nameBytes: NAME_BYTES, empty: true });
  }

  async forget(): Promise<string> {
    this.end();
    this.#mount = this.#bench.mount(this.#store);
    warm(join(this.#mount.mountPoint, 'warm'));
    await dropCaches(3);
    return this.#mount.directory;
  }

  end(): void {
    this.#mount?.unmount();
    this.#mount = undefined;
  }

  /** What listings cost the daemon that has made a few already: the first ones have its code compiled. */
  async memory(): Promise<Figure[]> {
    const directory = await this.forget();
    for (let time = 0; time < WARM_LISTINGS; time++) await list(COMMANDS[0] ?? [], directory);
    const pid = this.#mount?.status().daemonPid ?? 0;
    const before = memoryOf(pid).now;
    resetPeak(pid);
    for (const command of [...COMMANDS, ...COMMANDS]) await list(command, directory);
    const { now, peak } = memoryOf(pid);
    const what = `pacsfs, the daemon's memory before, after, at most in ${2 * COMMANDS.length} listings`;
    const found = [before, now, peak].map((bytes) => mebibytes(bytes)).join(', ');
    const wanted = `at most ${mebibytes(CHANCE_BYTES)} more`;
    return [{ row: 'listing', what, found, wanted, met: peak - before <= CHANCE_BYTES }];
  }
}

/** A daemon that has just started has none of its code compiled: it lists something else first. */
function warm(directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (let number = 0; number < WARM_FILES; number++) writeFileSync(join(directory, `${number}`), '');
  for (let time = 0; time < WARM_LISTINGS; time++) readdirSync(directory);
  rmSync(directory, { recursive: true });
}

async function peer(bench: Workbench, kind: 'ext4' | 'xfs'): Promise<Place | undefined> {
  if (!canMake(kind)) {
    console.log(`SKIPPED: listing on ${kind}: this machine cannot make or mount it (mkfs.${kind} is missing?)`);
    return undefined;
  }
  const disk: LoopDisk = loopDisk(bench.folder, LOOP_GIB, { kind, inodes: FILES + 10_000 });
  try {
    const directory = join(disk.folder, 'directory');
    mkdirSync(directory);
    const user = new NameUser({ directory, nameBytes: NAME_BYTES });
    for (let first = 0; first < FILES; first += MAKE_AT_A_TIME) {
      const numbers = Array.from({ length: MAKE_AT_A_TIME }, (_, at) => first + at);
      await user.each({ act: 'make', numbers });
    }
    user.end();
    return {
      name: kind,
      forget: async () => {
        disk.remount();
        await dropCaches(3);
        return directory;
      },
      end: () => disk.remove(),
    };
  } catch (thrown) {
    disk.remove();
    throw thrown;
  }
}
