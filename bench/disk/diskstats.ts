/** What has reached a disk, from /proc/diskstats, and how long a hard disk would take for it. */
import { readFileSync } from 'node:fs';

const SECTOR_BYTES = 512;
const SEEK_SECONDS = 0.008;
const BYTES_PER_SECOND = 180e6;

/** Since the device was made. */
export interface DiskCounts {
  readonly reads: number;
  readonly readBytes: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly flushes: number;
}

/** `text`: /proc/diskstats; fields as in the kernel's Documentation/admin-guide/iostats.rst. Throws for an unknown device. */
export function parseDiskstats(text: string, device: string): DiskCounts {
  for (const line of text.split('\n')) {
    const [, , name, ...fields] = line.trim().split(/\s+/);
    if (name !== device) continue;
    const field = (number: number) => Number(fields[number] ?? 0);
    return {
      reads: field(0),
      readBytes: field(2) * SECTOR_BYTES,
      writes: field(4),
      writtenBytes: field(6) * SECTOR_BYTES,
      flushes: field(15),
    };
  }
  throw new Error(`Cannot count requests of ${device}: it is not in /proc/diskstats`);
}

export function diskCounts(device: string): DiskCounts {
  return parseDiskstats(readFileSync('/proc/diskstats', 'utf8'), device);
}

export function since(before: DiskCounts, after: DiskCounts): DiskCounts {
  return {
    reads: after.reads - before.reads,
    readBytes: after.readBytes - before.readBytes,
    writes: after.writes - before.writes,
    writtenBytes: after.writtenBytes - before.writtenBytes,
    flushes: after.flushes - before.flushes,
  };
}

/**
 * Seconds on a modelled hard disk: 8 ms for each request and each flush, and 180 MB/s. That requests may follow each other
 * on the disk is left out, which favours whoever makes many small ones.
 */
export function hardDiskSeconds({ reads, readBytes, writes, writtenBytes, flushes }: DiskCounts): number {
  return (reads + writes + flushes) * SEEK_SECONDS + (readBytes + writtenBytes) / BYTES_PER_SECOND;
}
