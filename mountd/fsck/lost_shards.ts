/** Shards whose files are lost: found before anything else is looked at, and by a repair made anew. */
import { bootId } from '../../base/boot.ts';
import { isErrno } from '../../base/errno.ts';
import { PosixBacking } from '../../base/posix_backing.ts';
import { SystemClock } from '../../base/time.ts';
import { BackupError } from '../../shard/backup/reader.ts';
import { StoreDatabases } from '../../shard/databases.ts';
import type { MissingShard } from '../../shard/missing_shard.ts';
import { refillShards } from '../../shard/refill.ts';
import { Failure } from '../failure.ts';
import { recollect } from '../refill/recollection.ts';
import { metaFolder } from '../store_paths.ts';
import type { Finding } from './findings.ts';
import { flushRecovered } from './flush_recovered.ts';
import { KINDS } from './kinds.ts';
import { openData } from './open_data.ts';
import { openNamespace } from './open_namespace.ts';
import type { FsckJob } from './rounds.ts';

export interface LostShard extends MissingShard {
  /** One that only cannot be read now may come back: it is not replaced. */
  readonly isRepairable: boolean;
}

/** Tells of each. Throws `StoreError` when the store cannot be opened at all. */
export function findLostShards(job: FsckJob): LostShard[] {
  const folder = metaFolder(job.store);
  const databases = StoreDatabases.open(folder, { now: new SystemClock().now(), readOnly: true, allowMissing: true });
  const missing = databases.missing.map((each) => ({ ...each, isRepairable: each.state !== 'unreadable' }));
  databases.close();
  for (const { shard, reason, path, isRepairable } of missing) {
    const database = path.slice(path.lastIndexOf('/') + 1);
    const expected = isRepairable ? 'a shard of this store' : 'one that can be read: see to the disk, or move it away';
    tell(job, { kind: 'missing-shard', where: { shard, database }, found: `it ${reason}`, expected });
  }
  return missing;
}

function tell(job: FsckJob, finding: Finding): void {
  job.onFound(finding, KINDS[finding.kind]);
}

/**
 * Order: files that hold all that backup and journals have take their places; then what else can be known is put into
 * them by records; then they are whole. Interrupted, the next repair goes on.
 */
export function refillLostShards(job: FsckJob, lost: readonly LostShard[]): void {
  const missing = lost.filter(({ state }) => state !== 'unfinished');
  if (missing.length > 0) takePlaces(job, missing);
  finish(job);
}

function takePlaces(job: FsckJob, missing: readonly MissingShard[]): void {
  const backing = job.backing ?? new PosixBacking();
  const now = new SystemClock().now();
  const backup = job.backup === undefined ? undefined : backing.open(job.backup);
  if (backup !== undefined && isErrno(backup)) throw new Failure(`Cannot read ${job.backup}: ${backup.name}`);
  try {
    refillShards({
      backing,
      folder: metaFolder(job.store),
      bootId: job.bootId ?? bootId(),
      now,
      missing,
      backup,
      journals: job.journals ?? [],
      suffix: new Date(now.sec * 1000).toISOString().replaceAll(/[:.]/g, '-'),
    });
  } catch (thrown) {
    if (thrown instanceof BackupError) throw new Failure(`Cannot use ${job.backup}: ${thrown.message}`);
    throw thrown;
  } finally {
    backup?.close();
  }
}

function finish(job: FsckJob): void {
  const backing = job.backing ?? new PosixBacking();
  const clock = new SystemClock();
  const namespace = openNamespace(job, { clock, backing, repair: true });
  try {
    const unfinished = [...namespace.unfinishedShards()];
    const partial = unfinished.filter(([, state]) => state !== 'complete').map(([shard]) => shard);
    const data = openData(job, namespace, backing);
    flushRecovered(data, namespace, backing);
    data.close();
    const made =
      partial.length === 0
        ? undefined
        : recollect({
            namespace,
            lost: new Set(partial),
            backing,
            volumes: job.volumes,
            folder: metaFolder(job.store),
            now: clock.now(),
            readAll: job.contents,
            progress: job.progress,
          });
    namespace.finishShards();
    const done = namespace.barrier();
    if (isErrno(done)) throw new Failure(`Cannot finish the repair: ${done.name}; free some space there and try again`);
    namespace.checkpoint();
    for (const [shard] of unfinished) {
      const found =
        made === undefined || !partial.includes(shard)
          ? 'everything is back, from journals and backup'
          : `from indexes: ${made.files} files, ${made.directories} directories, ${made.names} names; what only this shard knew is lost`;
      job.onRefilled?.(`Shard ${shard} was made anew: ${found}`);
    }
  } finally {
    namespace.close();
  }
}
