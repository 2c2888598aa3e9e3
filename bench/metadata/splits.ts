/** What a split costs: one partition of a populated store, split by the code that splits it under a mount. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { silentLog } from '../../base/log.ts';
import { SystemClock } from '../../base/time.ts';
import { ROOT_INO } from '../../base/units.ts';
import { Splitter } from '../../shard/splitter.ts';
import { NamespaceStore } from '../../shard/store.ts';
import { type Figure, microseconds, milliseconds, whole } from './figures.ts';
import { DIRECTORY, type Workbench } from './workbench.ts';

/** More than a partition may have, whatever its threshold. */
const FILES = 140_000;
const UNSPLIT = 1_000_000;
const NAME_BYTES = 64;
const ROWS_PER_BARRIER = 20_000;
const COMMAND_MS = 60_000;

export interface SplitCost {
  readonly rows: number;
  /** Of a moved row, barriers and commits of the databases left out and alone. */
  readonly rowUs: number;
  readonly barrierUs: number;
  /** Of the records: how long the control thread does nothing else. */
  readonly longestMs: number;
}

export function splitCost(bench: Workbench): Promise<SplitCost> {
  return bench.once('splits', async () => {
    const populated = bench.store({ files: FILES, nameBytes: NAME_BYTES, empty: true, splitAt: UNSPLIT });
    const copy = join(bench.folder, 'splitting');
    execFileSync('cp', ['-r', populated, copy], { timeout: COMMAND_MS });
    const clock = new SystemClock();
    const store = NamespaceStore.open(join(copy, 'meta'), { log: silentLog, clock, ballastBytes: 0 });
    try {
      return measured(store, clock);
    } finally {
      store.close();
      bench.drop(copy);
    }
  });
}

function measured(store: NamespaceStore, clock: SystemClock): SplitCost {
  const root = store.inode(ROOT_INO);
  const dir = root && store.lookup(root, Buffer.from(DIRECTORY))?.ino;
  assert(dir !== undefined, `A populated store without ${DIRECTORY}`);
  const splitter = new Splitter(store, silentLog);
  let stepsMs = 0;
  let barriersMs = 0;
  let longestMs = 0;
  store.crowded.add({ dir, index: 0 });
  while (splitter.counts.splits === 0) {
    const start = clock.monotonicMs();
    assert(splitter.step(), 'A partition of so many names does not split');
    const ms = clock.monotonicMs() - start;
    stepsMs += ms;
    longestMs = Math.max(longestMs, ms);
    if (store.pendingRows < ROWS_PER_BARRIER) continue;
    const at = clock.monotonicMs();
    store.barrier();
    barriersMs += clock.monotonicMs() - at;
  }
  const inode = store.inode(dir);
  assert(inode !== undefined, 'A directory is gone');
  const rows = store.partition(inode, 1).entries;
  return { rows, rowUs: (stepsMs * 1000) / rows, barrierUs: (barriersMs * 1000) / rows, longestMs };
}

export async function splits(bench: Workbench): Promise<Figure[]> {
  const row = 'splits';
  const { rows, rowUs, barrierUs, longestMs } = await splitCost(bench);
  return [
    { row, what: `a name moved by a split, of ${whole(rows)}`, found: microseconds(rowUs) },
    { row, what: 'its share of barriers and commits', found: microseconds(barrierUs) },
    { row, what: 'the longest record', found: milliseconds(longestMs) },
  ];
}
