/** The client of the benchmarks, `load.c`, compiled when first wanted: one process with a thread for each writer or reader. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Extent, parseExtents } from '../disk/jumps.ts';

/** The source stays in bench/; this module runs from dist/bench/load or from bench/load. */
const SOURCES = [
  join(import.meta.dirname, 'load.c'),
  join(import.meta.dirname, '..', '..', '..', 'bench', 'load', 'load.c'),
];
const COMPILE_MS = 60_000;
const RUN_MS = 1_800_000;
const OUTPUT_BYTES = 512 * 2 ** 20;
const MIB = 2 ** 20;

export type Act =
  | 'write'
  | 'overwrite'
  | 'read'
  | 'scatter'
  | 'strew'
  | 'open'
  | 'first'
  | 'create'
  | 'stat'
  | 'unlink'
  | 'brief';

export interface Job {
  readonly path: string;
  /** Which thread does it, 0, 1, ... */
  readonly thread?: number;
  /** Bytes, for acts that want to know. */
  readonly size?: number;
}

export interface Load {
  readonly act: Act;
  readonly jobs: readonly Job[];
  /** Bytes of one write or read; default 1 MiB. */
  readonly block?: number;
  readonly fsync?: boolean;
  readonly direct?: boolean;
}

export interface Loaded {
  readonly files: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of the load program itself. */
  readonly cpuSeconds: number;
  /** What one job took. */
  readonly microseconds: Latency;
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly most: number;
}

export class LoadProgram {
  readonly #folder: string;
  readonly #program: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'pacsfs-load-'));
    this.#program = join(this.#folder, 'load');
    const source = join(this.#folder, 'load.c');
    copySource(source);
    execFileSync('gcc', ['-O2', '-Wall', '-pthread', '-o', this.#program, source], { timeout: COMPILE_MS });
  }

  run({ act, jobs, block = MIB, fsync = false, direct = false }: Load): Loaded {
    const flags = `${fsync ? 'f' : ''}${direct ? 'd' : ''}-`;
    return JSON.parse(this.#output([act, `${block}`, flags], jobs)) as Loaded;
  }

  /** Where files lie on their disk, as FIEMAP tells. */
  extents(paths: readonly string[]): Map<string, Extent[]> {
    const lines = this.#lines('extents', paths);
    return new Map(lines.map((line) => parseExtents(line)).map(({ path, extents }) => [path, extents]));
  }

  /** `user.pacsfs.extents` of files on a mount. */
  layouts(paths: readonly string[]): Map<string, string> {
    return new Map(this.#lines('xattr', paths).map((line) => line.split('\t') as [string, string]));
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #lines(act: string, paths: readonly string[]): string[] {
    const jobs = paths.map((path) => ({ path }));
    return this.#output([act, '1', '-'], jobs).split('\n').slice(0, paths.length);
  }

  #output(args: readonly string[], jobs: readonly Job[]): string {
    const input = jobs.map(({ thread = 0, size = 0, path }) => `${thread}\t${Math.round(size)}\t${path}\n`).join('');
    return execFileSync(this.#program, args, { input, encoding: 'utf8', timeout: RUN_MS, maxBuffer: OUTPUT_BYTES });
  }
}

function copySource(to: string): void {
  for (const source of SOURCES) {
    try {
      copyFileSync(source, to);
      return;
    } catch {
      // The other place has it.
    }
  }
  throw new Error(`Cannot find load.c, expected at ${SOURCES.join(' or ')}`);
}
