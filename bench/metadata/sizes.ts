/**
 * What one call costs in directories of different sizes: each size a store of its own, all mounted at once, measured in
 * turn, round after round; figures are medians of the rounds.
 */
import { readFileSync } from 'node:fs';
import { type Figure, median, microseconds, times, whole } from './figures.ts';
import type { NameAct } from './name_member.ts';
import { NameUser } from './name_user.ts';
import { dropCaches, type Mount, readOnce, type Workbench } from './workbench.ts';

const PAGE_BYTES = 8_192;
const CALLS = 1_000;
const ROUNDS = 15;
const NAME_BYTES = 16;
const ACTS: readonly { readonly act: NameAct; readonly title: string }[] = [
  { act: 'stat', title: 'stat, cold kernel cache' },
  { act: 'create', title: 'create (open, close)' },
  { act: 'make', title: 'create (mknod)' },
  { act: 'unlink', title: 'unlink' },
];

export interface SizesWanted {
  readonly row: string;
  /** Entries, ascending. */
  readonly sizes: readonly number[];
  /** What the last of them may cost against the reference. */
  readonly reference: number;
  readonly limit: number;
}

class Place {
  readonly size: number;
  readonly mount: Mount;
  readonly user: NameUser;
  readonly costs: Record<NameAct, number[]> = { stat: [], create: [], make: [], unlink: [], settle: [] };
  /** Pages that a stat had fetched from the disk: the databases are to be in memory. */
  readonly reads: number[] = [];
  readonly #daemonPid: number;
  readonly #random: () => number;

  constructor(size: number, mount: Mount) {
    this.size = size;
    this.#daemonPid = mount.status().daemonPid;
    this.mount = mount;
    this.user = new NameUser({ directory: mount.directory, nameBytes: NAME_BYTES });
    let state = size;
    this.#random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
  }

  /** Names that are there, anywhere in the directory. */
  existing(): number[] {
    return Array.from({ length: CALLS }, () => Math.floor(this.#random() * this.size));
  }

  async run(act: NameAct, numbers: readonly number[]): Promise<void> {
    const before = diskReads(this.#daemonPid);
    this.costs[act].push(await this.user.each({ act, numbers }));
    if (act === 'stat') this.reads.push((diskReads(this.#daemonPid) - before) / CALLS);
  }
}

export async function sizes(bench: Workbench, wanted: SizesWanted): Promise<Figure[]> {
  const stores = wanted.sizes.map((files) => bench.store({ files, nameBytes: NAME_BYTES, empty: true }));
  const places: Place[] = [];
  try {
    for (const [at, store] of stores.entries()) {
      // Twice: pages that were read once are the first that the kernel lets go.
      for (let time = 0; time < 2; time++) readOnce(store);
      places.push(new Place(wanted.sizes[at] ?? 0, bench.mount(store)));
    }
    for (let round = 0; round < ROUNDS; round++) await oneRound(bench, places, round);
  } finally {
    for (const { user, mount } of places) {
      user.end();
      mount.unmount();
    }
  }
  const reads = places.map(({ reads }) => median(reads).toFixed(2)).join(', ');
  const fromDisk: Figure = { row: wanted.row, what: 'pages from the disk a stat', found: reads };
  return [...ACTS.flatMap(({ act, title }) => compared(places, { ...wanted, act, title })), fromDisk];
}

function diskReads(pid: number): number {
  const bytes = /^read_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1];
  return Number(bytes ?? Number.NaN) / PAGE_BYTES;
}

async function oneRound(bench: Workbench, places: readonly Place[], round: number): Promise<void> {
  // Another one begins each time.
  const turn = places.map((_, at) => places[(at + round) % places.length] as Place);
  const created = bench.newNumbers(CALLS);
  const made = bench.newNumbers(CALLS);
  await dropCaches(2);
  for (const place of turn) await place.run('stat', place.existing());
  for (const place of turn) await place.run('create', created);
  await settle(turn);
  for (const place of turn) await place.run('make', made);
  await settle(turn);
  await dropCaches(2);
  for (const place of turn) await place.run('unlink', made);
  await settle(turn);
  for (const place of turn) await place.user.each({ act: 'unlink', numbers: created });
  await settle(turn);
}

async function settle(places: readonly Place[]): Promise<void> {
  for (const { user } of places) await user.each({ act: 'settle', numbers: [] });
}

function compared(places: readonly Place[], of: SizesWanted & { act: NameAct; title: string }): Figure[] {
  const { row, act, title, reference, limit } = of;
  const figures = places.map(
    ({ size, costs }): Figure => ({ row, what: `${title}, ${whole(size)}`, found: microseconds(median(costs[act])) }),
  );
  const last = places.at(-1);
  const base = places.find(({ size }) => size === reference);
  if (last === undefined || base === undefined) return figures;
  // Pairs of one round: what the machine did in it both have met.
  const ratio = median(last.costs[act].map((cost, round) => cost / (base.costs[act][round] ?? Number.NaN)));
  const what = `${title}, ${whole(last.size)} against ${whole(reference)}`;
  return [...figures, { row, what, found: times(ratio), wanted: `at most ${limit}`, met: ratio <= limit }];
}
