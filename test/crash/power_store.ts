/** A small store over a disk whose power can be cut: two shards, little of everything, its workers under the test's control. */
import { KIB, MIB } from '../../base/units.ts';
import { LooseFilesystem, StillClock } from '../support/loose_filesystem.ts';
import type { Random } from '../support/random.ts';
import type { PowerDatabases } from './power_databases.ts';
import type { PowerDisk } from './power_disk.ts';

/** 2026-01-01, in microseconds. */
const CLOCK_START = 1_767_225_600_000_000;

export interface PowerStoreOptions {
  readonly disk: PowerDisk;
  /** Where its metadata lie; the volumes are in `volumesFolder`. */
  readonly folder: string;
  readonly volumesFolder: string;
  readonly bootId: string;
  /** How far its clock is from the first life's. */
  readonly shiftMicros?: number;
  readonly isFormatted?: boolean;
  /** Told of commits and checkpoints. */
  readonly databases?: PowerDatabases;
  readonly packBuffer: Uint8Array;
  /** Who decides in which order workers do what is urgent. */
  readonly random?: Random;
}

export function openPowerStore(options: PowerStoreOptions): LooseFilesystem {
  const { disk, folder, volumesFolder, bootId, packBuffer, databases, random } = options;
  const clock = new StillClock(CLOCK_START + (options.shiftMicros ?? 0));
  disk.now = () => clock.now();
  return new LooseFilesystem({
    disk,
    folder,
    volumesFolder,
    bootId,
    clock,
    packBuffer,
    ...(random === undefined ? {} : { nextUrgent: (count: number) => random.below(count) }),
    volumes: 2,
    isFormatted: options.isFormatted ?? true,
    hashKey: new Uint8Array(16).fill(7),
    filesystem: { packBelow: 16 * KIB },
    data: { aggregateBytes: 4 * MIB, aheadFrom: 24 * KIB, aheadBytes: MIB, ownAhead: 4 },
    journalShape: { segmentBytes: 128 * KIB },
    namespace: {
      walLimit: 64 * KIB,
      shardTxnRows: 60,
      shardTxnMs: 1_000,
      cachedInodes: 1_000,
      cachedPartitions: 1_000,
      // Directories of a few names split, a name a record.
      splitAt: 4,
      movedRows: 2,
      ...(databases === undefined ? {} : { watch: databases }),
    },
  });
}
