/**
 * Look-ups with far less memory than metadata: the mount's processes and all pages that they read share a tenth of it, so
 * nearly every row asked for comes from the disk. Wanted: one read for the name, one for the inode.
 */
import { readFileSync, statSync } from 'node:fs';
import { type Figure, mebibytes, median, microseconds } from './figures.ts';
import { MemoryGroup } from './memory_group.ts';
import { NameUser } from './name_user.ts';
import { dropCaches, metadataBytes, type Workbench } from './workbench.ts';

const FILES = 20_000_000;
const NAME_BYTES = 64;
const SHARE = 10;
const CALLS = 2_000;
/** The first ones read the inner pages of the trees. */
const WARM_ROUNDS = 30;
const ROUNDS = 7;
const PAGE_BYTES = 8_192;
const MOST_READS = 2;

export async function lookups(bench: Workbench): Promise<Figure[]> {
  const row = 'lookups';
  const store = bench.store({ files: FILES, nameBytes: NAME_BYTES, empty: false });
  const metadata = metadataBytes(store);
  const limit = Math.floor(metadata / SHARE);
  // Pages that somebody else has read would be counted against nobody here.
  await dropCaches(3);
  const group = MemoryGroup.make(limit);
  if (group === undefined) {
    console.log('SKIPPED: lookups: no memory controller of cgroups version 1 under /sys/fs/cgroup/memory');
    return [];
  }
  try {
    const found = await measured(bench, { store, group });
    const { pages, processes } = found.usage;
    return [
      { row, what: 'metadata', found: mebibytes(metadata) },
      {
        row,
        what: `memory limit, of which processes, pages`,
        found: [limit, processes, pages].map((bytes) => mebibytes(bytes)).join(', '),
      },
      { row, what: 'stat, cold kernel cache', found: microseconds(found.cost) },
      {
        row,
        what: "data reads a look-up, as the device counts them: everybody's",
        found: found.deviceReads.toFixed(2),
        wanted: `at most ${MOST_READS}`,
        met: found.deviceReads <= MOST_READS,
      },
      {
        row,
        what: `bytes that the daemon had read a look-up / ${PAGE_BYTES}, the host's read-ahead with it`,
        found: found.reads.toFixed(2),
      },
    ];
  } finally {
    group.remove();
  }
}

async function measured(bench: Workbench, of: { readonly store: string; readonly group: MemoryGroup }) {
  const mount = bench.mount(of.store, { group: of.group });
  const user = new NameUser({ directory: mount.directory, nameBytes: NAME_BYTES });
  try {
    const { daemonPid } = mount.status();
    const device = deviceOf(of.store);
    const costs: number[] = [];
    const reads: number[] = [];
    const deviceReads: number[] = [];
    for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
      const numbers = Array.from({ length: CALLS }, () => Math.floor(Math.random() * FILES));
      const before = { bytes: readBytes(daemonPid), device: completedReads(device) };
      const cost = await user.each({ act: 'stat', numbers });
      if (round < WARM_ROUNDS) continue;
      costs.push(cost);
      reads.push((readBytes(daemonPid) - before.bytes) / PAGE_BYTES / CALLS);
      deviceReads.push((completedReads(device) - before.device) / CALLS);
    }
    return {
      usage: of.group.usage(),
      cost: median(costs),
      reads: median(reads),
      deviceReads: median(deviceReads),
    };
  } finally {
    user.end();
    mount.unmount();
  }
}

/** Bytes that a process has had fetched from disks. */
function readBytes(pid: number): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? Number.NaN);
}

/** Major and minor number of the disk that a path is on. */
function deviceOf(path: string): string {
  const { dev } = statSync(path);
  return `${(dev >> 8) & 0xfff} ${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
}

function completedReads(device: string): number {
  for (const line of readFileSync('/proc/diskstats', 'utf8').split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (`${fields[0]} ${fields[1]}` === device) return Number(fields[3]);
  }
  return Number.NaN;
}
