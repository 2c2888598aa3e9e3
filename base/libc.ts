/**
 * The few calls of the C library that Node lacks, through koffi. Every function returns what the system call does, with
 * -errno in place of -1, and never throws. Byte arguments are passed without a copy.
 *
 * Sources: the Linux manual pages, section 2; numbers from the kernel's uapi headers (x86-64 and arm64 agree on these).
 */
import koffi from 'koffi';

const library = koffi.load('libc.so.6');

const c = {
  read: library.func('int64_t read(int fd, void *buffer, uint64_t count)'),
  write: library.func('int64_t write(int fd, const void *buffer, uint64_t count)'),
  pread: library.func('int64_t pread(int fd, void *buffer, uint64_t count, int64_t offset)'),
  pwrite: library.func('int64_t pwrite(int fd, const void *buffer, uint64_t count, int64_t offset)'),
  writev: library.func('int64_t writev(int fd, const void *iov, int count)'),
  fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
  lseek: library.func('int64_t lseek(int fd, int64_t offset, int whence)'),
  fdatasync: library.func('int fdatasync(int fd)'),
  copyFileRange: library.func(
    'int64_t copy_file_range(int in, _Inout_ int64_t *inOffset, int out, _Inout_ int64_t *outOffset, uint64_t length, unsigned int flags)',
  ),
  poll: library.func('int poll(void *fds, unsigned long count, int timeoutMs)'),
  eventfd: library.func('int eventfd(unsigned int initial, int flags)'),
  flock: library.func('int flock(int fd, int operation)'),
  mount: library.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  ),
  umount2: library.func('int umount2(const char *target, int flags)'),
  exitNow: library.func('void _exit(int code)'),
  posixMemalign: library.func('int posix_memalign(_Out_ void **out, uint64_t alignment, uint64_t size)'),
};

export const POLLIN = 1;
export const POLLERR = 8;
export const POLLHUP = 16;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;
export const FALLOC_ZERO_RANGE = 16;
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_DIRSYNC = 128;
export const MS_NOATIME = 1024;
export const MNT_DETACH = 2;

function outcome(value: number): number {
  return value < 0 ? -koffi.errno() : value;
}

export function read(fd: number, into: Uint8Array): number {
  return outcome(c.read(fd, into, into.length));
}

export function write(fd: number, from: Uint8Array): number {
  return outcome(c.write(fd, from, from.length));
}

export function pread(fd: number, into: Uint8Array, offset: number): number {
  return outcome(c.pread(fd, into, into.length, offset));
}

export function pwrite(fd: number, from: Uint8Array, offset: number): number {
  return outcome(c.pwrite(fd, from, from.length, offset));
}

export function fallocate(fd: number, mode: number, range: { offset: number; length: number }): number {
  return outcome(c.fallocate(fd, mode, range.offset, range.length));
}

/** Offset of the next data or hole at or after `offset`; -ENXIO past the end (or past the last data). */
export function lseek(fd: number, offset: number, whence: number): number {
  return outcome(Number(c.lseek(fd, offset, whence)));
}

export function fdatasync(fd: number): number {
  return outcome(c.fdatasync(fd));
}

export function copyFileRange(
  from: { fd: number; offset: number },
  to: { fd: number; offset: number },
  length: number,
): number {
  return outcome(c.copyFileRange(from.fd, [from.offset], to.fd, [to.offset], length, 0));
}

/** `fds` is an array of `struct pollfd` {int32 fd, int16 events, int16 revents}. */
export function poll(fds: Uint8Array, timeoutMs: number): number {
  return outcome(c.poll(fds, fds.length / 8, timeoutMs));
}

export function eventfd(): number {
  return outcome(c.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/** An advisory lock on the open file, without waiting; 0, or -EAGAIN while another holds it. */
export function flock(fd: number, operation: number): number {
  return outcome(c.flock(fd, operation));
}

export interface MountCall {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  /** MS_* bits. */
  readonly flags: number;
  readonly data: string;
}

export function mount(call: MountCall): number {
  return outcome(c.mount(call.source, call.target, call.type, call.flags, call.data));
}

export function umount2(target: string, flags: number): number {
  return outcome(c.umount2(target, flags));
}

/** Ends the process at once, whatever its threads wait for: no handlers, no finalizers. */
export function exitNow(code: number): never {
  c.exitNow(code);
  throw new Error(`_exit(${code}) returned`);
}

/** Memory outside the collector's reach at an aligned address, as O_DIRECT wants; it is never freed. */
export function alignedBuffer(size: number, alignment = 4096): Uint8Array {
  const out: unknown[] = [null];
  const failure: number = c.posixMemalign(out, alignment, size);
  if (failure !== 0) throw new Error(`Cannot allocate ${size} aligned bytes: errno ${failure}`);
  const bytes = new Uint8Array(koffi.view(out[0], size));
  bytes.fill(0);
  return bytes;
}
