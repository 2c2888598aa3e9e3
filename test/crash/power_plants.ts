/**
 * Builds that are wrong on purpose: tests of the test. Each breaks one rule of durability and must be found by the same
 * power cuts that find nothing in the true build.
 */
import { BLOCK_BYTES, type PackResult } from '../../aggregate/pack.ts';
import { punch } from '../../aggregate/punch.ts';
import { compareTimes, EPOCH } from '../../base/time.ts';
import { type LiveFile, LiveFiles } from '../../fs/live_files.ts';
import { FLAG_COPY, FLAG_FLUSHED, type Inode } from '../../shard/rows.ts';
import type { NamespaceStore, Record } from '../../shard/store.ts';
import { LooseFilesystem } from '../support/loose_filesystem.ts';
import type { PowerDisk } from './power_disk.ts';
import type { Plant } from './power_run.ts';

export const PLANTS: readonly Plant[] = [
  { name: 'a barrier skips the flush of what was packed', life: ({ disk }) => lie(disk, '/aggregates/') },
  { name: 'a barrier skips the flush of own files', life: ({ disk }) => lie(disk, '/own/') },
  { name: 'a barrier skips the flush of the journal', life: ({ disk }) => lie(disk, '/journal/') },
  {
    name: 'a shard is committed ahead of its barrier',
    life: ({ loose: { namespace } }) => {
      const append = namespace.appendBarrier.bind(namespace);
      namespace.appendBarrier = (...args) => {
        const [lsn] = args;
        const outcome = append(...args);
        namespace.barrierFlushed(lsn, 0);
        // Whatever their age: the first look notes since when they are dirty.
        for (const nowMs of [0, Number.MAX_SAFE_INTEGER]) namespace.barrierBegins(nowMs);
        while (namespace.turn() === true);
        return outcome;
      };
    },
  },
  { name: 'records after the last barrier are trusted', isSameBoot: true },
  { name: 'a claim is believed without a look at the disk', begin: () => judging(true) },
  { name: 'a claim never counts', begin: () => judging(false) },
  {
    name: 'own files are unlinked at the switch, not behind the barrier',
    life: ({ loose: { data } }) => {
      data.unlinkOwnLater = (name) => void data.removeOwn(name);
    },
  },
  {
    name: 'space is written ahead over what was packed since the job was made',
    life: ({ loose: { data } }) => {
      const start = data.startAhead.bind(data);
      data.startAhead = (isQuiet) => {
        const job = start(isQuiet);
        return job === undefined || job.fresh ? job : { ...job, offset: BLOCK_BYTES };
      };
    },
  },
  {
    name: 'compaction punches what it has moved with the record, not behind its barrier',
    life: (life) => punchAtOnce(life, life.loose.filesystem.compactor),
  },
  {
    name: 'a migration punches what it has moved with the record, not behind its barrier',
    life: (life) => punchAtOnce(life, life.loose.filesystem.migrator),
  },
  { name: 'a copy made at fsync is kept on the word of size and times', begin: believeSizeAndTimes },
  {
    name: 'a copy made at fsync wins after a second fsync',
    life: ({ loose }) => {
      const { namespace, data } = loose;
      const begin = namespace.begin.bind(namespace);
      namespace.begin = () => keepingCopies(begin(), namespace);
      // The second fsync has let go of the copy, whose bytes are to stay for it to win.
      data.takePunches = () => [];
    },
  },
  {
    name: 'a split deletes the rows that it has moved with the next record',
    life: ({ loose: { namespace } }) => {
      const begin = namespace.begin.bind(namespace);
      let late: Parameters<Record['deleteDentries']>[0] | undefined;
      namespace.begin = () => {
        const record = begin();
        if (late !== undefined) record.deleteDentries(late);
        late = undefined;
        record.deleteDentries = (range) => {
          late = range;
        };
        return record;
      };
    },
  },
];

function judging(isTrue: boolean): () => void {
  const { holds } = LooseFilesystem.prototype;
  LooseFilesystem.prototype.holds = () => isTrue;
  return () => {
    LooseFilesystem.prototype.holds = holds;
  };
}

/**
 * Every live file says that nothing was changed since its copy was made, as long as its size and mtime are those that it
 * had then.
 */
function believeSizeAndTimes(): () => void {
  const original = LiveFiles.prototype.of;
  LiveFiles.prototype.of = function of(this: LiveFiles, inode: Inode): LiveFile {
    const isNew = this.find(inode.ino) === undefined;
    const live = original.call(this, inode);
    if (!isNew) return live;
    let copied: Pick<LiveFile, 'size' | 'mtime'> | undefined;
    Object.defineProperty(live, 'copyAt', {
      get: () => {
        const isSame = copied?.size === live.size && compareTimes(copied?.mtime ?? EPOCH, live.mtime) === 0;
        return copied !== undefined && isSame ? live.changes : undefined;
      },
      set: (changes: number | undefined) => {
        copied = changes === undefined ? undefined : { size: live.size, mtime: live.mtime };
      },
    });
    return live;
  };
  return () => {
    LiveFiles.prototype.of = original;
  };
}

/** The dead ranges of what it switches go with the record. */
function punchAtOnce(
  { disk, loose }: Parameters<NonNullable<Plant['life']>>[0],
  mover: { finish(result: PackResult): void },
): void {
  const { ledger } = loose.data;
  const [finish, release] = [mover.finish.bind(mover), ledger.release.bind(ledger)];
  mover.finish = (result) => {
    ledger.release = (extents, options) => {
      release(extents, options);
      for (const { aggregate, rangeStart: offset, rangeLength: length } of extents) {
        const volume = loose.volumes.find(({ id }) => id === ledger.row(aggregate)?.volume);
        if (volume !== undefined) punch({ volume, aggregate, offset, length, onlyZeros: false }, disk);
      }
    };
    finish(result);
    ledger.release = release;
  };
}

/** A record whose rows keep the copy that the second fsync drops. */
function keepingCopies(record: Record, namespace: NamespaceStore): Record {
  const put = record.putInode.bind(record);
  record.putInode = (row) => {
    const before = namespace.inode(row.ino);
    const isSecond =
      before !== undefined &&
      (before.flags & FLAG_COPY) !== 0 &&
      (row.flags & (FLAG_FLUSHED | FLAG_COPY)) === FLAG_FLUSHED &&
      row.own?.number === before.own?.number;
    put(isSecond ? { ...row, second: before.second, size: before.size, flags: row.flags | FLAG_COPY } : row);
  };
  return record;
}

/** Flushes of files and folders on such paths do nothing. */
function lie(disk: PowerDisk, part: string): void {
  disk.isLying = (path) => `${path}/`.includes(part);
}
