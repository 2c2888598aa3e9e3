/**
 * `make bench-durability`: what durability costs, against the filesystem below in the same run. Rows by name as arguments
 * (default all but the last): fsync-root fsync-loop flushes journal pause-1m pause-10m. PACSFS_BENCH_DIR says where (default
 * /var/tmp), PACSFS_BENCH_STORE names a populated store for the pauses.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Disk, loopDisk, rootDisk } from './disk/disk.ts';
import { flushCounts } from './durability/flush_counts.ts';
import { fsyncBesideStream } from './durability/fsync_beside_stream.ts';
import { journalCost } from './durability/journal_cost.ts';
import { pause } from './durability/pause.ts';

const LOOP_GIB = 26;

const parent = process.env['PACSFS_BENCH_DIR'] ?? '/var/tmp';
const folder = mkdtempSync(join(parent, 'pacsfs-durability-'));
const populated = process.env['PACSFS_BENCH_STORE'] === undefined ? {} : { store: process.env['PACSFS_BENCH_STORE'] };

const ROWS: Readonly<Record<string, () => Promise<void>>> = {
  'fsync-root': () => fsyncBesideStream(rootDisk(folder)),
  'fsync-loop': () => onLoop(fsyncBesideStream),
  flushes: () => flushCounts(folder),
  // An ext4 without a journal, as the root disk may be, takes so long to make an own file that nothing else shows.
  journal: () => onLoop((disk) => journalCost(folder, disk)),
  'pause-1m': () => pause(folder, { files: 1_000_000, targetMs: 500, ...populated }),
  'pause-10m': () => pause(folder, { files: 10_000_000, targetMs: 2_000, ...populated }),
};

async function onLoop(measure: (disk: Disk) => Promise<void> | void): Promise<void> {
  const disk = loopDisk(folder, LOOP_GIB);
  try {
    await measure(disk);
  } finally {
    disk.remove();
  }
}

async function main(): Promise<number> {
  const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(ROWS).slice(0, -1);
  const unknown = wanted.filter((name) => ROWS[name] === undefined);
  if (unknown.length > 0) {
    process.stderr.write(`Unknown rows ${unknown.join(', ')}; expected ${Object.keys(ROWS).join(', ')}\n`);
    return 2;
  }
  try {
    for (const name of wanted) await ROWS[name]?.();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return 0;
}

process.exitCode = await main();
