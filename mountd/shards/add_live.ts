/**
 * Shards for a store that is mounted: their databases are made by the daemon's main thread, which nobody waits for; the
 * control thread then only counts them.
 */
import { E, type Errno, isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import type { Lsn, ShardId } from '../../base/units.ts';
import { MAX_SHARDS } from '../../shard/format.ts';
import { makeShardFile } from '../../shard/new_shard.ts';
import { type ControlClient, QueryError } from '../control_client.ts';
import { errnoReason, Failure, failureOf } from '../failure.ts';
import type { DaemonRequest } from '../messages.ts';
import { metaFolder } from '../store_paths.ts';
import type { ShardsStatus } from './status.ts';

const TIMEOUT_MS = 30_000;

/** One after the other: two at once would make the same database. */
let last: Promise<unknown> = Promise.resolve();

export function addShards(request: DaemonRequest, count: number, control: ControlClient): Promise<unknown> {
  const next = last.then(() => addNow(request, count, control));
  last = next.catch(() => {});
  return next;
}

async function addNow(request: DaemonRequest, count: number, control: ControlClient): Promise<unknown> {
  const { shards } = (await control.ask({ kind: 'shards' }, TIMEOUT_MS)) as ShardsStatus;
  checkCount(shards.length, count);
  // Committed, so no more than the journal has for good.
  const lsn = Math.max(...shards.map((state) => state.lsn)) as Lsn;
  makeShardFiles(request, { from: shards.length, count, lsn });
  try {
    return await control.ask({ kind: 'addShards', count }, TIMEOUT_MS);
  } catch (thrown) {
    if (!(thrown instanceof QueryError)) throw thrown;
    const why = thrown.errno === 'EROFS' ? 'it takes no changes; see `pacsfs status`' : thrown.errno;
    throw new Failure(`Cannot add shards to ${request.store}: ${why}`);
  }
}

/** Throws a Failure when there would be too many. */
export function checkCount(present: number, count: number): void {
  if (present + count > MAX_SHARDS)
    throw new Failure(`Cannot add ${count} shards to ${present}: a store has at most ${MAX_SHARDS}`);
}

function makeShardFiles(
  { store, storeId }: DaemonRequest,
  { from, count, lsn }: { readonly from: number; readonly count: number; readonly lsn: Lsn },
): void {
  const backing = new PosixBacking();
  const clock = new SystemClock();
  for (let shard = from; shard < from + count; shard++) {
    try {
      const options = { storeId, shard: shard as ShardId, now: clock.now(), lsn, backing };
      const made = makeShardFile(metaFolder(store), options);
      if (isErrno(made)) throw new Failure(refusal(store, shard, made));
    } catch (thrown) {
      throw failureOf(`make shard ${shard} of ${store}`, thrown);
    }
  }
}

export function refusal(store: string, shard: number, errno: Errno): string {
  if (errno === E.EEXIST)
    return `Cannot make shard ${shard} of ${store}: meta/shards has a database of that number which is not an empty one of this store; move it away`;
  return `Cannot make shard ${shard} of ${store}: ${errnoReason(errno)}`;
}
