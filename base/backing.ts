/**
 * The backing interface: every byte that pacsfs writes or reads, but SQLite's own, passes here, so that tests can record
 * histories and inject faults. Implementations: `PosixBacking` (this machine's filesystems) and those of the tests.
 *
 * Counts come back as a number that is negative for -errno; nothing here throws for what a disk may do.
 */
import type { Result } from './errno.ts';
import type { Timespec } from './time.ts';

export interface BackingStat {
  readonly ino: number;
  readonly device: number;
  readonly size: number;
  /** 512-byte blocks in use. */
  readonly blocks: number;
  readonly isDirectory: boolean;
  /** To the microsecond. */
  readonly mtime: Timespec;
}

export interface BackingSpace {
  /** All three in bytes. */
  readonly total: number;
  readonly free: number;
  /** Free for an unprivileged writer. */
  readonly available: number;
}

export interface BackingOpen {
  /** Default false: read only. */
  readonly write?: boolean;
  /** Make it; fails with EEXIST when it is there. */
  readonly create?: boolean;
  /** O_DIRECT; buffers, offsets and lengths must then be multiples of 4,096. */
  readonly direct?: boolean;
}

export interface BackingFile {
  readonly path: string;
  /** Reads up to `into.length` bytes; fewer only at the end of the file. */
  read(into: Uint8Array, offset: number): number;
  /** Writes all of `from` or returns -errno (a short write is completed or reported). */
  write(from: Uint8Array, offset: number): number;
  stat(): Result<BackingStat>;
  truncate(size: number): number;
  /** fallocate(2): `mode` is a sum of FALLOC_* of base/libc.ts. */
  allocate(mode: number, range: { readonly offset: number; readonly length: number }): number;
  /** First data (or hole) at or after `offset`, or -ENXIO. */
  seek(offset: number, kind: 'data' | 'hole'): number;
  /** Makes the bytes (and the size) survive power loss: fdatasync(2). Never call it again after it failed. */
  flush(): number;
  close(): void;
}

export interface Backing {
  open(path: string, options?: BackingOpen): Result<BackingFile>;
  /** 0 or -errno, each of them. */
  unlink(path: string): number;
  rename(from: string, to: string): number;
  /** Makes the folder and those above it. */
  makeFolder(path: string): number;
  removeFolder(path: string): number;
  /** Makes the names in a folder survive power loss. */
  flushFolder(path: string): number;
  list(path: string): Result<readonly string[]>;
  stat(path: string): Result<BackingStat>;
  space(path: string): Result<BackingSpace>;
  /** Copies inside the host's kernel where it can; the number of bytes copied, 0 at the source's end. */
  copyRange(
    from: { readonly file: BackingFile; readonly offset: number },
    to: { readonly file: BackingFile; readonly offset: number },
    length: number,
  ): number;
}
