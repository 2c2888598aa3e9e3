/**
 * Calls of the C library that only tests make, in the manner of base/libc.ts: what the system call answers, with -errno
 * in place of -1. Addresses of mappings are plain numbers.
 */
import koffi from 'koffi';

const library = koffi.load('libc.so.6');
const c = {
  mmap: library.func(
    'int64_t mmap(int64_t address, uint64_t length, int protection, int flags, int fd, int64_t offset)',
  ),
  munmap: library.func('int munmap(int64_t address, uint64_t length)'),
  msync: library.func('int msync(int64_t address, uint64_t length, int flags)'),
  store: library.func('memcpy', 'int64_t', ['int64_t', 'const void *', 'uint64_t']),
  load: library.func('memcpy', 'void *', [koffi.out('uint8_t *'), 'int64_t', 'uint64_t']),
  renameat2: library.func(
    'int renameat2(int oldDir, const char *old, int newDir, const char *new, unsigned int flags)',
  ),
  linkat: library.func('int linkat(int oldDir, const char *old, int newDir, const char *new, int flags)'),
  getxattr: library.func('int64_t getxattr(const char *path, const char *name, _Out_ uint8_t *value, uint64_t size)'),
  posixFadvise: library.func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)'),
};

const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MS_SYNC = 4;
const POSIX_FADV_DONTNEED = 4;
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

function outcome(value: number): number {
  return value === -1 ? -koffi.errno() : value;
}

/** Address of a shared mapping of the file's first `length` bytes, for reading and writing. */
export function mapShared(fd: number, length: number): number {
  return outcome(Number(c.mmap(0, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)));
}

export function unmap(address: number, length: number): number {
  return outcome(c.munmap(address, length));
}

export function syncMapping(address: number, length: number): number {
  return outcome(c.msync(address, length, MS_SYNC));
}

/** Copies bytes into mapped memory; a page behind the file's end ends the process with SIGBUS. */
export function store(address: number, from: Uint8Array): void {
  c.store(address, from, from.length);
}

/** Copies bytes out of mapped memory. */
export function load(address: number, into: Uint8Array): void {
  c.load(into, address, into.length);
}

export function renameat2(from: string, to: string, flags: number): number {
  return outcome(c.renameat2(AT_FDCWD, from, AT_FDCWD, to, flags));
}

/** Gives an open file, such as one made with O_TMPFILE, a name. */
export function nameHandle(fd: number, name: string): number {
  return outcome(c.linkat(AT_FDCWD, `/proc/self/fd/${fd}`, AT_FDCWD, name, AT_SYMLINK_FOLLOW));
}

/** The value of an extended attribute of at most 1,000 bytes, as text; undefined when there is none. */
export function textAttribute(path: string, name: string): string | undefined {
  const value = new Uint8Array(1000);
  const length = Number(c.getxattr(path, name, value, value.length));
  return length < 0 ? undefined : Buffer.from(value.subarray(0, length)).toString();
}

/** Asks the kernel to drop the file's clean pages, so that the next read asks the filesystem. */
export function dropPages(fd: number): void {
  c.posixFadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}
