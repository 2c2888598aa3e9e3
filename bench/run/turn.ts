/** One place's turn at one stage of one round: what a workload is given, and how it measures. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type DiskCounts, diskCounts, hardDiskSeconds, since } from '../disk/diskstats.ts';
import type { Job, Load, Loaded, LoadProgram } from '../load/load_program.ts';
import type { Place } from '../mount/place.ts';
import type { Figures } from '../report/judge.ts';
import { sizesOf } from '../studies/sizes.ts';

const TICKS_PER_SECOND = 100;
const GB = 1e9;
const MIB = 2 ** 20;
const THOUSAND = 1000;

export interface Machine {
  readonly load: LoadProgram;
  /** Of /proc/diskstats. */
  readonly device: string;
  readonly kind: 'ext4' | 'xfs';
  readonly imageBytes: number;
  /** What numbers and sizes are multiplied by. */
  readonly scale: number;
  /** A folder beside the image, made empty: for what must not lie on the place. */
  scratch(name: string): string;
  /** For what is to be said below the table; the same sentence counts once. */
  note(sentence: string): void;
}

/** A measured part of a turn: until everything is on the disk. */
export interface Measured {
  readonly loaded: Loaded;
  readonly seconds: number;
  readonly disk: DiskCounts;
  /** Of the whole machine. */
  readonly cpuSeconds: number;
}

export class Turn {
  readonly place: Place;
  readonly machine: Machine;
  /** Names from which it draws are the same for all places, and differ from round to round. */
  readonly round: number;

  constructor(place: Place, { machine, round }: { machine: Machine; round: number }) {
    this.place = place;
    this.machine = machine;
    this.round = round;
  }

  /** So many files by the scale, the same for each thread. */
  files(count: number, threads = 1): number {
    return Math.max(1, Math.round((count * this.machine.scale) / threads)) * threads;
  }

  /** So many bytes by the scale, whole MiB, and no more than a `share` of the image. */
  bytes(wanted: number, share: number): number {
    const { imageBytes, scale, note } = this.machine;
    const room = imageBytes * share;
    const mib = Math.max(1, Math.floor(Math.min(wanted * scale, room) / MIB));
    if (room < wanted * scale) note(`Files of ${mib} MiB, smaller than they were to be: the image has no more room.`);
    return mib * MIB;
  }

  path(...parts: readonly string[]): string {
    return join(this.place.folder, ...parts);
  }

  folder(...parts: readonly string[]): string {
    const path = this.path(...parts);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** And the space is free again. */
  remove(name: string): void {
    rmSync(this.path(name), { recursive: true, force: true });
    this.place.settle();
  }

  run(load: Load): Loaded {
    return this.machine.load.run(load);
  }

  /** The load, and until all of it is on the disk. */
  settled(load: Load): Measured {
    this.place.settle();
    const disk = diskCounts(this.machine.device);
    const cpu = machineCpuSeconds();
    const loaded = this.run(load);
    const start = performance.now();
    this.place.settle();
    const seconds = loaded.seconds + (performance.now() - start) / 1000;
    return {
      loaded,
      seconds,
      disk: since(disk, diskCounts(this.machine.device)),
      cpuSeconds: machineCpuSeconds() - cpu,
    };
  }
}

/** Series that threads write side by side, a folder each; `files` of all together. */
export function seriesJobs(turn: Turn, of: { name: string; writers: number; files: number; size?: number }): Job[] {
  const each = turn.files(of.files, of.writers) / of.writers;
  return Array.from({ length: of.writers }, (_, thread) => {
    const folder = turn.folder(of.name, `series${thread}`);
    const sizes = sizesOf(1 + thread + turn.round * of.writers, each);
    return sizes.map((size, at): Job => ({ thread, size: of.size ?? size, path: join(folder, nameOf(at)) }));
  }).flat();
}

/** As a modality names its images: the order of names is that of the series. */
export function nameOf(index: number): string {
  return `1.2.840.113619.2.55.3.604688119.971.${String(index).padStart(6, '0')}.dcm`;
}

/** What an ingest cost, each figure under `key`. */
export function ingestFigures(key: string, measured: Measured, memory: number): Figures {
  const { loaded, seconds, disk, cpuSeconds } = measured;
  return {
    [`${key}, files/s`]: loaded.files / seconds,
    [`${key}, requests a file`]: (disk.reads + disk.writes + disk.flushes) / loaded.files,
    [`${key}, flushes a file`]: disk.flushes / loaded.files,
    [`${key}, hard disk files/s`]: loaded.files / hardDiskSeconds(disk),
    [`${key}, bytes a byte`]: disk.writtenBytes / loaded.bytes,
    [`${key}, CPU s a 1,000 files`]: (cpuSeconds / loaded.files) * THOUSAND,
    [`${key}, CPU s a GB`]: (cpuSeconds / loaded.bytes) * GB,
    [`${key}, memory MiB`]: memory / MIB,
  };
}

/** All that is neither idle nor waiting for a disk. */
function machineCpuSeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}
