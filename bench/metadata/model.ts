/** What a directory of 10^9 files comes to, on paper: from figures that were measured with fewer in this run. */
import Database from 'better-sqlite3';
import { fileBytes } from './bytes.ts';
import { type Figure, microseconds, milliseconds, times, whole } from './figures.ts';
import { restartOf } from './restart.ts';
import { splitCost } from './splits.ts';
import { databasesOf, type Workbench } from './workbench.ts';

const FILES = 1_000_000_000;
const SHARDS = 16;
const PARTITIONS = 4_096;
const SPLIT_AT = 65_536;
/** Mean of 2^u for u in [0, 1). */
const STAGGER = 1 / Math.LN2;
const SAMPLE_FILES = 1_000_000;
const SMALL = 100_000;
const LARGE = 10_000_000;
const GB = 1e9;

export async function model(bench: Workbench): Promise<Figure[]> {
  const row = 'model';
  const { made } = await fileBytes(bench);
  const size = made * FILES;
  const inner = innerShare(bench.store({ files: SAMPLE_FILES, nameBytes: 64, empty: false }));
  const { rowUs, barrierUs, longestMs } = await splitCost(bench);
  // Each partition but the first was split off from one that had just passed its threshold: half of its names moved.
  const moved = ((PARTITIONS - 1) * SPLIT_AT * STAGGER) / 2;
  const perFile = (moved / FILES) * (rowUs + barrierUs);
  const hours = (moved * (rowUs + barrierUs)) / 3_600_000_000;
  const small = await restartOf(bench, SMALL);
  const large = await restartOf(bench, LARGE);
  const gb = (bytes: number) => `${(bytes / GB).toFixed(bytes < 10 * GB ? 1 : 0)} GB`;
  const figure = (what: string, found: string): Figure => ({ row, what, found });
  return [
    figure('databases, 64-byte names, and each of 16 shards', `${gb(size)}, ${gb(size / SHARDS)}`),
    figure('inner pages of the trees: with them in memory a look-up is 2 reads', `${gb(size * inner)}`),
    figure('partitions, and names in each', `${whole(PARTITIONS)}, ${whole(FILES / PARTITIONS)}`),
    figure('names moved by all splits, a file', `${whole(moved)}, ${(moved / FILES).toFixed(2)}`),
    figure('what that adds to a create', microseconds(perFile)),
    figure('all splits', `${hours.toFixed(2)} h of the control thread, ${milliseconds(longestMs)} at most at a time`),
    figure(
      `kill -9 to the next fsync, ${whole(LARGE)} files against ${whole(SMALL)}`,
      times(large.replacedMs / small.replacedMs),
    ),
    figure('the same with 10^9: the journal bounds it, files do not', milliseconds(large.replacedMs)),
  ];
}

/** Share of a shard's pages that are no leaves. */
function innerShare(store: string): number {
  let inner = 0;
  let all = 0;
  for (const path of databasesOf(store).filter((name) => !name.endsWith('system.db'))) {
    const db = new Database(path, { readonly: true });
    const counted = db.prepare<[], { pagetype: string; bytes: number }>(
      'SELECT pagetype, sum(pgsize) AS bytes FROM dbstat GROUP BY pagetype',
    );
    for (const { pagetype, bytes } of counted.all()) {
      all += bytes;
      if (pagetype === 'internal') inner += bytes;
    }
    db.close();
  }
  return inner / all;
}
