/** `pacsfs shard list` and `pacsfs shard stats`: the shards of a store, what lies in them, and slots on their way. */

import { approximateSize } from '../../base/sizes.ts';
import { countRows, type RowCounts } from '../../shard/row_counts.ts';
import { failureOf } from '../failure.ts';
import { print, printJson } from '../output.ts';
import { Bar } from '../shards/bar.ts';
import { bytesOf, type LookAt, lookAtShards } from '../shards/reading.ts';
import { renderSpread, spreadOf } from '../shards/spread.ts';
import type { ShardLine, ShardsStatus } from '../shards/status.ts';

export interface ShardListOptions {
  readonly json?: boolean;
}

type Described = ShardLine & { readonly bytes: number; readonly logBytes: number; readonly rows?: RowCounts };

export async function listShards(target: string, options: ShardListOptions): Promise<void> {
  await lookAtShards(target, (at) => show(at, describe(at), options));
}

/** As `list`, with every row counted. */
export async function shardStats(target: string, options: ShardListOptions): Promise<void> {
  const bar = new Bar('counting rows');
  try {
    await lookAtShards(target, (at) => {
      const described = describe(at);
      // What a row takes at least tells how far it is.
      const total = described.reduce((sum, { bytes }) => sum + bytes, 0) / 100;
      let done = 0;
      const counted = described.map((line, shard) => {
        const database = at.databases.shards[shard];
        if (database === undefined || line.isMissing) return line;
        const rows = countRows(database, (count) => {
          done += count;
          bar.show(Math.min(done, total), Math.ceil(total));
        });
        return { ...line, rows };
      });
      bar.end();
      show(at, counted, options);
    });
  } catch (thrown) {
    throw failureOf(`read the shards of ${target}`, thrown);
  } finally {
    bar.end();
  }
}

function describe({ store, status }: LookAt): Described[] {
  return status.shards.map((line) => ({ ...line, ...bytesOf(store, line.shard) }));
}

function sum(rows: RowCounts): number {
  return Object.values(rows).reduce((all, count) => all + count, 0);
}

function show({ store, isMounted, status }: LookAt, shards: readonly Described[], options: ShardListOptions): void {
  const whole = shards.filter(({ isMissing }) => !isMissing);
  const counted = whole.flatMap(({ rows }) => (rows === undefined ? [] : [sum(rows)]));
  const spread = {
    slots: spreadOf(shards.map(({ slots }) => slots)),
    bytes: spreadOf(whole.map(({ bytes }) => bytes)),
    ...(counted.length > 0 ? { rows: spreadOf(counted) } : {}),
  };
  if (options.json === true) {
    const { moves, splitting } = status;
    printJson({ store, mounted: isMounted, shards, spread, moves, splitting });
    return;
  }
  print(table(shards));
  print(renderSpread('slots', spread.slots));
  if (spread.rows !== undefined) print(renderSpread('rows', spread.rows));
  print(describeMoves(status));
  if (status.splitting > 0) print(`partitions being split or merged: ${status.splitting}`);
}

function table(shards: readonly Described[]): string {
  const hasRows = shards.some(({ rows }) => rows !== undefined);
  const head = [
    'shard',
    'slots',
    ...(hasRows ? ['inodes', 'names', 'rows'] : []),
    'database',
    'log',
    'record',
    'state',
  ];
  const lines = shards.map((line) => {
    const { rows } = line;
    const counts = hasRows ? [rows?.inodes, rows?.dentries, rows && sum(rows)] : [];
    return [
      `${line.shard}`,
      `${line.slots}`,
      ...counts.map((count) => count?.toLocaleString('en') ?? '-'),
      approximateSize(line.bytes),
      approximateSize(line.logBytes),
      `${line.lsn}`,
      stateOf(line),
    ];
  });
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map((cells) => cells[i]?.length ?? 0)));
  return [head, ...lines]
    .map((cells) => cells.map((cell, i) => (i === head.length - 1 ? cell : cell.padStart(widths[i] ?? 0))).join('  '))
    .join('\n');
}

function stateOf({ isMissing, incoming, outgoing }: ShardLine): string {
  if (isMissing) return 'missing';
  const parts = [];
  if (incoming > 0) parts.push(`${incoming} slots coming`);
  if (outgoing > 0) parts.push(`${outgoing} slots being removed`);
  return parts.length === 0 ? 'ok' : parts.join(', ');
}

/** One line. */
export function describeMoves({ moves }: ShardsStatus): string {
  const { toMove, copying, removing, failed, paused } = moves;
  const why = paused === undefined ? '' : `; waiting: ${paused}`;
  const refused = failed === 0 ? '' : `; ${failed} could not be moved: see meta/pacsfs.log, run \`pacsfs fsck\``;
  if (toMove === 0 && removing === 0) return `moves: none, every shard has its share${refused}`;
  return `moves: ${toMove} slots to move, ${copying} of them being copied, ${removing} left behind to be removed${why}${refused}`;
}
