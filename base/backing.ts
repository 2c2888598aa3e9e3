/**
 * The backing interface: every byte that pacsfs writes or reads, but SQLite's own, passes here, so that tests can record
 * histories and inject faults. Implementations: `PosixBacking` (this machine's filesystems) and those of the tests.
 *
 * Counts come back as a number that is negative for -errno; nothing here throws for what a disk may do.
 */
import { isErrno, type Result } from './errno.ts';
import type { Timespec } from './time.ts';
import { KIB } from './units.ts';

/** What a flush makes durable: the bytes of a file, or the names in a folder. Plain data: any thread may do it. */
export interface FlushTarget {
  readonly kind: 'file' | 'folder';
  readonly path: string;
}

/** Bytes of a file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface BackingStat {
  readonly ino: number;
  readonly device: number;
  readonly size: number;
  /** 512-byte blocks in use. */
  readonly blocks: number;
  readonly isDirectory: boolean;
  /** As the host has them, to the nanosecond. */
  readonly mtime: Timespec;
  readonly ctime: Timespec;
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
  /** As `read` where that needs no disk; -EAGAIN, or fewer bytes, where it does. -EOPNOTSUPP: that cannot be told. */
  readNow?(into: Uint8Array, offset: number): number;
  /** Writes all of `from` or returns -errno (a short write is completed or reported). */
  write(from: Uint8Array, offset: number): number;
  stat(): Result<BackingStat>;
  truncate(size: number): number;
  /** Sets its mtime (and, as the host does, its ctime to now): 0 or -errno. */
  setModified(mtime: Timespec): number;
  /** fallocate(2): `mode` is a sum of FALLOC_* of base/libc.ts. */
  allocate(mode: number, range: { readonly offset: number; readonly length: number }): number;
  /** First data (or hole) at or after `offset`, or -ENXIO. */
  seek(offset: number, kind: 'data' | 'hole'): number;
  /** Makes the bytes (and the size) survive power loss: fdatasync(2). Never call it again after it failed. */
  flush(): number;
  /**
   * Writes to the disk what the host has not written yet of a range, waits for it, and makes nothing durable:
   * sync_file_range(2). An error is that of a failed flush.
   */
  writeBack(range: ByteRange): number;
  /** Has the host begin with that and waits for nothing, so that several disks work at once; 0 or -errno. */
  startWriteBack?(range: ByteRange): number;
  /** Of a file of this host: its descriptor, for the kernel's pass-through and for threads that read it (`readDescriptor`). */
  readonly descriptor?: number;
  /**
   * Whether anybody has it open or mapped for writing: 0 nobody, -EAGAIN somebody, another -errno where that cannot be told.
   * For files open for reading only.
   */
  probeWriters?(): number;
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

/** Flushes one target by its name, on whatever thread; 0 or -errno. Never call it again after it failed. */
export function flushTarget(backing: Backing, target: FlushTarget): number {
  if (target.kind === 'folder') return backing.flushFolder(target.path);
  const file = backing.open(target.path, { write: true });
  if (isErrno(file)) return -file.number;
  const outcome = file.flush();
  file.close();
  return outcome;
}

/**
 * What one write to the host's cache takes at most: a host that keeps it in large folios copies each without a stop, and
 * where fresh memory is slow (virtual machines) nothing else gets that processor for milliseconds.
 */
export const WRITE_PIECE_BYTES = 128 * KIB;

/** Writes all of `bytes` into a file by its name; the bytes written or -errno, as `BackingFile.write`. */
export function writeTarget(
  backing: Backing,
  target: FlushTarget,
  change: { readonly bytes: Uint8Array; readonly offset: number },
): number {
  const file = backing.open(target.path, { write: true });
  if (isErrno(file)) return -file.number;
  let outcome = 0;
  for (let done = 0; done < change.bytes.length && outcome >= 0; done += WRITE_PIECE_BYTES) {
    outcome = file.write(change.bytes.subarray(done, done + WRITE_PIECE_BYTES), change.offset + done);
  }
  file.close();
  return outcome < 0 ? outcome : change.bytes.length;
}

/** Writes back a part of one file by its name; 0 or -errno, as `BackingFile.writeBack`. */
export function writeBackTarget(backing: Backing, target: FlushTarget, range: ByteRange): number {
  const file = backing.open(target.path, { write: true });
  if (isErrno(file)) return -file.number;
  const outcome = file.writeBack(range);
  file.close();
  return outcome;
}
