/** `pacsfs shard check`: every row of one shard or all against its checksum, and the databases by SQLite's own check. */
import { sqliteCode } from '../../shard/failure.ts';
import { DamagedRow, ShardScan } from '../../shard/scan.ts';
import { DAMAGED, type ShardDatabase } from '../../shard/shard_database.ts';
import { Failure, failureOf, USAGE } from '../failure.ts';
import { print, printJson, remark } from '../output.ts';
import { Bar } from '../shards/bar.ts';
import { bytesOf, type LookAt, lookAtShards, wholeNumber } from '../shards/reading.ts';

export interface ShardCheckOptions {
  readonly shard?: string;
  readonly json?: boolean;
}

interface Checked {
  readonly shard: number;
  readonly rows: number;
  /** By table. */
  readonly damaged: Readonly<Record<string, number>>;
  /** What SQLite says; undefined where it was not asked. */
  readonly complaints: readonly string[] | undefined;
}

/** A row takes so many bytes of its database, about. */
const BYTES_A_ROW = 120;

export async function checkShards(target: string, options: ShardCheckOptions): Promise<void> {
  const bar = new Bar('checking rows');
  try {
    const bad = await lookAtShards(target, (at) => {
      const checked = check(at, options, bar);
      bar.end();
      show(at, checked, options);
      return checked.filter(isDamaged).map(({ shard }) => shard);
    });
    if (bad.length > 0)
      throw new Failure(`Damage found in shard ${bad.join(', ')}: unmount and run \`pacsfs fsck --repair\``);
  } catch (thrown) {
    throw failureOf(`check the shards of ${target}`, thrown);
  } finally {
    bar.end();
  }
}

function check(at: LookAt, options: ShardCheckOptions, bar: Bar): Checked[] {
  const { databases, store, isMounted } = at;
  const last = databases.shards.length - 1;
  const only =
    options.shard === undefined ? undefined : wholeNumber(options.shard, { what: '--shard', from: 0, to: last });
  const wanted = [...databases.shards.entries()].filter(([shard]) => only === undefined || shard === only);
  const absent = databases.missing.filter(({ shard }) => only === undefined || shard === only);
  if (absent.length > 0 && only !== undefined)
    throw new Failure(`Cannot check shard ${only}: ${absent[0]?.path} ${absent[0]?.reason}`, USAGE);
  if (isMounted)
    remark("mounted: rows are checked as they are committed; SQLite's own check needs the store unmounted");
  const total = Math.ceil(wanted.reduce((sum, [shard]) => sum + bytesOf(store, shard).bytes, 0) / BYTES_A_ROW);
  let done = 0;
  return wanted
    .filter(([shard]) => !absent.some((missing) => missing.shard === shard))
    .map(([shard, database]) => {
      const rows = checkRows(database, () => bar.show(Math.min(++done, total), total));
      return { shard, ...rows, complaints: isMounted ? undefined : integrity(database) };
    });
}

function checkRows(
  database: ShardDatabase,
  onRow: () => void,
): { readonly rows: number; readonly damaged: Record<string, number> } {
  const scan = new ShardScan(database);
  const damaged: Record<string, number> = {};
  let rows = 0;
  const tables = [scan.inodes(), scan.dentries(), scan.partitions(), scan.xattrs(), scan.symlinks()] as const;
  try {
    for (const table of tables) {
      for (const row of table) {
        rows += 1;
        onRow();
        if (row instanceof DamagedRow && isStillDamaged(database, row))
          damaged[row.table] = (damaged[row.table] ?? 0) + 1;
      }
    }
  } catch (thrown) {
    if (sqliteCode(thrown) === '') throw thrown;
    damaged[sqliteCode(thrown)] = 1;
  }
  return { rows, damaged };
}

/** An inode and its list of extents may have been read around a commit of the daemon: a second look tells. */
function isStillDamaged(database: ShardDatabase, row: DamagedRow): boolean {
  return row.table !== 'inodes' || database.inode(row.ino) === DAMAGED;
}

function integrity({ file }: ShardDatabase): string[] {
  try {
    const lines = file.prepare<[], string>('PRAGMA integrity_check(10)').pluck(true).all();
    return lines.filter((line) => line !== 'ok');
  } catch (thrown) {
    if (sqliteCode(thrown) === '') throw thrown;
    return [sqliteCode(thrown)];
  }
}

function isDamaged({ damaged, complaints }: Checked): boolean {
  return Object.keys(damaged).length > 0 || (complaints ?? []).length > 0;
}

function show({ store, isMounted }: LookAt, checked: readonly Checked[], options: ShardCheckOptions): void {
  if (options.json === true) {
    printJson({ store, mounted: isMounted, clean: !checked.some(isDamaged), shards: checked });
    return;
  }
  for (const one of checked) {
    const parts = Object.entries(one.damaged).map(([table, count]) => `${count} damaged in ${table}`);
    const said = [...parts, ...(one.complaints ?? [])].join('; ');
    print(`shard ${one.shard}: ${one.rows.toLocaleString('en')} rows, ${said === '' ? 'ok' : said}`);
  }
}
