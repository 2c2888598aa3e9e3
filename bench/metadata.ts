/**
 * `make bench-metadata`: what names cost in small and in huge directories, through the mount. See USAGE for the rows.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bytes } from './metadata/bytes.ts';
import { daemonTime, walBound } from './metadata/daemon_time.ts';
import { type Figure, tableOf } from './metadata/figures.ts';
import { listing } from './metadata/listing.ts';
import { lookups } from './metadata/lookups.ts';
import { model } from './metadata/model.ts';
import { removal } from './metadata/removal.ts';
import { restart } from './metadata/restart.ts';
import { sizes } from './metadata/sizes.ts';
import { splits } from './metadata/splits.ts';
import { Workbench } from './metadata/workbench.ts';

interface Row {
  readonly what: string;
  /** Left out unless it is named: it takes long, or much room. */
  readonly isLarge?: boolean;
  readonly run: (bench: Workbench) => Promise<Figure[]>;
}

const ROWS: Readonly<Record<string, Row>> = {
  sizes: {
    what: 'stat, create, unlink in directories of 10^3, 10^5, 10^6, 10^7 entries',
    run: (bench) =>
      sizes(bench, { row: 'sizes', sizes: [1_000, 100_000, 1_000_000, 10_000_000], reference: 100_000, limit: 1.15 }),
  },
  'sizes-8': {
    what: 'the same with 10^8 entries against 10^5 (15 GB of disk, as much memory for its pages)',
    isLarge: true,
    run: (bench) => sizes(bench, { row: 'sizes-8', sizes: [100_000, 100_000_000], reference: 100_000, limit: 1.25 }),
  },
  lookups: {
    what: 'reads a look-up with 64-byte names and memory for a tenth of the metadata (6 GB of disk)',
    run: lookups,
  },
  listing: { what: '10^6 entries by ls -f and find, first entry, memory, beside ext4 and XFS', run: listing },
  rm: { what: 'rm -r of 10^6 files, and rmdir after it', run: removal },
  bytes: { what: 'bytes of metadata a file with 64-byte names', run: bytes },
  'daemon-time': { what: "a request's time in the daemon under 16 clients, 3 loads of 30 s", run: daemonTime },
  wal: { what: 'the longest log of a database during 10 minutes of creates', isLarge: true, run: walBound },
  restart: {
    what: 'mount, and kill -9 of the daemon, with 10^5 and 10^7 files',
    run: (bench) => restart(bench, [100_000, 10_000_000]),
  },
  splits: { what: 'what a split costs', run: splits },
  model: { what: '10^9 files on paper, from the figures of bytes, splits and restart', run: model },
};

const USAGE = `Usage: metadata [ROW...]

What names cost in small and huge directories, through the mount; as root. Rows, by default all that are not marked *:
${Object.entries(ROWS)
  .map(([name, { what, isLarge }]) => `  ${(isLarge === true ? '*' : '') + name.padEnd(12)} ${what}\n`)
  .join('')}
PACSFS_BENCH_DIR     where to work (default /var/tmp)
PACSFS_BENCH_STORES  a folder in which populated stores are kept and found again; default: made anew, removed at the end
On a machine that does other work too: chrt -r 1 node dist/bench/metadata.js ...
`;

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const wanted =
    args.length > 0 ? args : Object.entries(ROWS).flatMap(([name, row]) => (row.isLarge === true ? [] : [name]));
  const unknown = wanted.filter((name) => ROWS[name] === undefined);
  if (unknown.length > 0) {
    process.stderr.write(USAGE);
    return args.includes('--help') ? 0 : 2;
  }
  const folder = mkdtempSync(join(process.env['PACSFS_BENCH_DIR'] ?? '/var/tmp', 'pacsfs-metadata-'));
  const bench = new Workbench(folder, process.env['PACSFS_BENCH_STORES']);
  const figures: Figure[] = [];
  try {
    for (const name of wanted) {
      const found = (await ROWS[name]?.run(bench)) ?? [];
      figures.push(...found);
      console.log(`\n${tableOf(found)}`);
    }
  } finally {
    bench.remove();
    rmSync(folder, { recursive: true, force: true });
  }
  if (wanted.length > 1) console.log(`\n${tableOf(figures)}`);
  return 0;
}

process.exitCode = await main();
