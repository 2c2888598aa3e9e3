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
  preadv2: library.func('int64_t preadv2(int fd, const void *iov, int count, int64_t offset, int flags)'),
  fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
  lseek: library.func('int64_t lseek(int fd, int64_t offset, int whence)'),
  fdatasync: library.func('int fdatasync(int fd)'),
  syncFileRange: library.func('int sync_file_range(int fd, int64_t offset, int64_t count, unsigned int flags)'),
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
  prctl: library.func('int prctl(int option, unsigned long argument)'),
  ioctl: library.func('int ioctl(int fd, unsigned long request, void *argument)'),
  fcntl: library.func('int fcntl(int fd, int command, ...)'),
  clockGettime: library.func('int clock_gettime(int clock, void *out)'),
  exitNow: library.func('void _exit(int code)'),
  open: library.func('int open(const char *path, int flags, ...)'),
  close: library.func('int close(int fd)'),
  mmap: library.func('void *mmap(void *address, uint64_t length, int protection, int flags, int fd, int64_t offset)'),
  mknod: library.func('int mknod(const char *path, unsigned int mode, unsigned long device)'),
  statx: library.func('int statx(int dirfd, const char *path, int flags, unsigned int mask, void *found)'),
  futimens: library.func('int futimens(int fd, const void *times)'),
  memset: library.func('uint64_t memset(void *bytes, int value, uint64_t count)'),
  posixMemalign: library.func('int posix_memalign(_Out_ void **out, uint64_t alignment, uint64_t size)'),
};

const EIO = 5;
export const POLLIN = 1;
export const POLLERR = 8;
export const POLLHUP = 16;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;
const SYNC_FILE_RANGE_WRITE = 2;
/** WAIT_BEFORE, WRITE and WAIT_AFTER. */
const SYNC_FILE_RANGE_WRITE_AND_WAIT = 7;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
export const UTIME_OMIT = 2 ** 30 - 2;
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

/** As `write`, without making the calling thread wait. */
export function writeLater(fd: number, from: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    c.write.async(fd, from, from.length, (thrown: unknown, value: number) => {
      resolve(thrown instanceof Error ? -EIO : outcome(Number(value)));
    });
  });
}

export function pread(fd: number, into: Uint8Array, offset: number): number {
  return outcome(c.pread(fd, into, into.length, offset));
}

export function pwrite(fd: number, from: Uint8Array, offset: number): number {
  return outcome(c.pwrite(fd, from, from.length, offset));
}

/** Bytes of a struct iovec {address u64, length u64}. */
export const IOVEC_BYTES = 16;

/** Writes `count` pieces of memory in one call; `iovecs` holds a struct iovec for each. */
export function writev(fd: number, iovecs: Uint8Array, count: number): number {
  return outcome(c.writev(fd, iovecs, count));
}

const RWF_NOWAIT = 8;
/** Written and read within one call. */
const iovec = new BigUint64Array(2);

/** As `pread`, of what is in the host's memory: -EAGAIN where it would wait for a disk, or fewer bytes than were asked for. */
export function preadNow(fd: number, into: Uint8Array, offset: number): number {
  iovec[0] = BigInt(addressOf(into));
  iovec[1] = BigInt(into.length);
  return outcome(c.preadv2(fd, iovec, 1, offset, RWF_NOWAIT));
}

export function fallocate(fd: number, mode: number, range: { offset: number; length: number }): number {
  return outcome(c.fallocate(fd, mode, range.offset, range.length));
}

/** Offset of the next data or hole at or after `offset`; -ENXIO past the end (or past the last data). */
export function lseek(fd: number, offset: number, whence: number): number {
  return outcome(Number(c.lseek(fd, offset, whence)));
}

/** `mode` with the type bits. */
export function mknod(path: string, mode: number, device = 0): number {
  return outcome(c.mknod(path, mode, device));
}

export function fdatasync(fd: number): number {
  return outcome(c.fdatasync(fd));
}

/** Writes the dirty pages of a range to the disk and waits for them; makes nothing durable, but reports errors. */
export function syncFileRange(fd: number, range: { offset: number; length: number }): number {
  return outcome(c.syncFileRange(fd, range.offset, range.length, SYNC_FILE_RANGE_WRITE_AND_WAIT));
}

/** Has the host begin to write the dirty pages of a range, without a wait for the disk. */
export function startSyncFileRange(fd: number, range: { offset: number; length: number }): number {
  return outcome(c.syncFileRange(fd, range.offset, range.length, SYNC_FILE_RANGE_WRITE));
}

export function copyFileRange(
  from: { fd: number; offset: number },
  to: { fd: number; offset: number },
  length: number,
): number {
  return outcome(c.copyFileRange(from.fd, [from.offset], to.fd, [to.offset], length, 0));
}

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC = 0x7ff;

/** Bytes of a struct statx: the same on all architectures, unlike those of struct stat. */
export const STATX_BYTES = 256;

/** Fills `found` with the struct statx of an open file, or of a path (links followed). */
export function statx(file: number | string, found: Uint8Array): number {
  if (typeof file === 'string') return outcome(c.statx(AT_FDCWD, file, 0, STATX_BASIC, found));
  return outcome(c.statx(file, '', AT_EMPTY_PATH, STATX_BASIC, found));
}

/** `times` are two struct timespec of 64-bit fields: atime, mtime; UTIME_OMIT as nanoseconds leaves one as it is. */
export function futimens(fd: number, times: Uint8Array): number {
  return outcome(c.futimens(fd, times));
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

/** As `umount2`, without making the calling thread wait for whoever serves the mount. */
export function umount2Later(target: string, flags: number): Promise<number> {
  return new Promise((resolve) => {
    c.umount2.async(target, flags, (thrown: unknown, value: number) => {
      // koffi carries the error number from the thread that made the call to this callback.
      resolve(thrown instanceof Error ? -EIO : outcome(value));
    });
  });
}

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** Whether this process is killed when the thread that started it ends. */
export function dieWithParent(wanted: boolean): number {
  return outcome(c.prctl(PR_SET_PDEATHSIG, wanted ? SIGKILL : 0));
}

/** `argument` points to what the request wants. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  return outcome(c.ioctl(fd, request, argument));
}

const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_UNLCK = 2;

/**
 * Whether anybody could write the file, by an open descriptor or a mapping: a lease for reading, taken and given back.
 * `fd` must be open for reading only. 0: nobody; -EAGAIN: somebody; another -errno where the filesystem knows no leases.
 */
export function probeWriters(fd: number): number {
  const taken = outcome(c.fcntl(fd, F_SETLEASE, 'int', F_RDLCK));
  if (taken >= 0) c.fcntl(fd, F_SETLEASE, 'int', F_UNLCK);
  return taken;
}

const CLOCK_REALTIME = 0;
const CLOCK_REALTIME_COARSE = 5;
const timespec = new Uint32Array(4);

/** Wall time to the nanosecond, by the clock that the host's filesystems take their times from. */
export function realTime(): { readonly sec: number; readonly nsec: number } {
  return timeOf(CLOCK_REALTIME);
}

/** Wall time of the kernel's last clock tick, which its filesystems use: up to 10 ms ago. */
export function lastTick(): { readonly sec: number; readonly nsec: number } {
  return timeOf(CLOCK_REALTIME_COARSE);
}

function timeOf(clock: number): { readonly sec: number; readonly nsec: number } {
  c.clockGettime(clock, timespec);
  // Two 64-bit numbers, the second of which is small.
  return { sec: (timespec[1] ?? 0) * 2 ** 32 + (timespec[0] ?? 0), nsec: timespec[2] ?? 0 };
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

/** Where bytes lie in memory: below 2^47. */
export function addressOf(bytes: Uint8Array): number {
  return Number(c.memset(bytes, 0, 0));
}

/** As `alignedBuffer`, in memory that threads can share. */
export function sharedBuffer(size: number, alignment = 4096): Uint8Array {
  const whole = new Uint8Array(new SharedArrayBuffer(size + alignment));
  whole.fill(0);
  const start = (alignment - (addressOf(whole) % alignment)) % alignment;
  return whole.subarray(start, start + size);
}

/** As `sharedBuffer`, all zeros; a page of it takes memory from the first touch on. */
export function sharedArena(size: number, alignment = 4096): Uint8Array {
  const whole = new Uint8Array(new SharedArrayBuffer(size + alignment));
  const start = (alignment - (addressOf(whole) % alignment)) % alignment;
  return whole.subarray(start, start + size);
}

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 2n ** 64n - 1n;

/**
 * The first `bytes` of a file that is there, in memory that other processes may share; the file gets that length, and the
 * room for it, first. -errno (-ENOSPC: no room). It stays mapped: an ArrayBuffer must not outlive its memory.
 */
export function mapShared(path: string, bytes: number): ArrayBuffer | number {
  const fd = outcome(c.open(path, O_RDWR | O_CLOEXEC));
  if (fd < 0) return fd;
  try {
    // Without its room a page that is touched would end the process.
    const room = fallocate(fd, 0, { offset: 0, length: bytes });
    if (room < 0) return room;
    const address: unknown = c.mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    if (koffi.address(address) === MAP_FAILED) return -koffi.errno();
    return koffi.view(address, bytes);
  } finally {
    c.close(fd);
  }
}
