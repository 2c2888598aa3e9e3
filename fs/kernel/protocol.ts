/**
 * Numbers of the FUSE kernel protocol, up to version 7.45, little-endian. Source: include/uapi/linux/fuse.h of Linux
 * (names are the header's without its FUSE_ prefix; struct names end in Bytes, which is their size).
 *
 * The way of a request, four hops:
 *
 *     /dev/fuse --read--> session.ts --> opcode_table.ts --> Operations (fs/) --> shard/ and aggregate/
 *                            |                 |                  |
 *                        one message       decode, call,      inodes, rows,
 *                        at a time         encode in place    bytes
 *                            ^                 |                  |
 *     /dev/fuse <--write-----+-----------------+------------------+
 *
 *     request  | header 40 bytes | fixed struct | names, each ended by NUL, or data |
 *     reply    | header 16 bytes | struct or data, nothing on an error              |
 */

export const MAJOR_VERSION = 7;
/** The newest minor version whose messages this binding knows. */
export const MINOR_VERSION = 45;
/** The oldest one it serves: Linux 5.4. */
export const MINOR_VERSION_MIN = 31;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

/** One more than the highest opcode of this protocol version. */
export const OPCODE_LIMIT = 54;

/** Bits of `flags` in INIT, both ways. */
export const InitFlag = {
  ASYNC_READ: 1 << 0,
  POSIX_LOCKS: 1 << 1,
  ATOMIC_O_TRUNC: 1 << 3,
  EXPORT_SUPPORT: 1 << 4,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  SPLICE_WRITE: 1 << 7,
  SPLICE_MOVE: 1 << 8,
  SPLICE_READ: 1 << 9,
  FLOCK_LOCKS: 1 << 10,
  HAS_IOCTL_DIR: 1 << 11,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  ASYNC_DIO: 1 << 15,
  WRITEBACK_CACHE: 1 << 16,
  NO_OPEN_SUPPORT: 1 << 17,
  PARALLEL_DIROPS: 1 << 18,
  HANDLE_KILLPRIV: 1 << 19,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  NO_OPENDIR_SUPPORT: 1 << 24,
  EXPLICIT_INVAL_DATA: 1 << 25,
  MAP_ALIGNMENT: 1 << 26,
  SUBMOUNTS: 1 << 27,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** Bits of `flags2` in INIT (bit 32 of the header is bit 0 here); valid only beside INIT_EXT. */
export const InitFlag2 = {
  SECURITY_CTX: 1 << 0,
  HAS_INODE_DAX: 1 << 1,
  CREATE_SUPP_GROUP: 1 << 2,
  HAS_EXPIRE_ONLY: 1 << 3,
  DIRECT_IO_ALLOW_MMAP: 1 << 4,
  PASSTHROUGH: 1 << 5,
  NO_EXPORT_SUPPORT: 1 << 6,
  HAS_RESEND: 1 << 7,
  ALLOW_IDMAP: 1 << 8,
  OVER_IO_URING: 1 << 9,
  REQUEST_TIMEOUT: 1 << 10,
} as const;

/** Bits of `valid` in SETATTR. */
export const Fattr = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCKOWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

export const WRITE_CACHE = 1 << 0;
export const WRITE_LOCKOWNER = 1 << 1;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const FSYNC_FDATASYNC = 1 << 0;
export const OPEN_KILL_SUIDGID = 1 << 0;
export const SETXATTR_ACL_KILL_SGID = 1 << 0;

export const NotifyCode = {
  INVAL_INODE: 2,
  INVAL_ENTRY: 3,
  STORE: 4,
  DELETE: 6,
  RESEND: 7,
} as const;

/** Sizes of structs in bytes. */
export const inHeaderBytes = 40;
export const outHeaderBytes = 16;
export const attrBytes = 88;
export const entryOutBytes = 128;
export const attrOutBytes = 104;
export const openOutBytes = 16;
export const writeOutBytes = 8;
export const copyFileRangeOutBytes = 8;
export const statfsOutBytes = 80;
export const getxattrOutBytes = 8;
export const lseekOutBytes = 8;
export const initOutBytes = 64;
/** What a kernel of another major version is answered with: the two version numbers. */
export const compatInitOutBytes = 8;
export const statxBytes = 256;
export const statxOutBytes = 288;
export const direntBytes = 24;

export const forgetInBytes = 8;
export const forgetOneBytes = 16;
export const batchForgetInBytes = 8;
export const getattrInBytes = 16;
export const setattrInBytes = 88;
export const mknodInBytes = 16;
export const mkdirInBytes = 8;
export const renameInBytes = 8;
export const rename2InBytes = 16;
export const linkInBytes = 8;
export const openInBytes = 8;
export const createInBytes = 16;
export const releaseInBytes = 24;
export const readInBytes = 40;
export const writeInBytes = 40;
export const fsyncInBytes = 16;
export const setxattrInBytes = 16;
/** Without SETXATTR_EXT. */
export const compatSetxattrInBytes = 8;
export const getxattrInBytes = 8;
/** Without `flags2`: kernels before 5.17. */
export const compatInitInBytes = 16;
export const initInBytes = 64;
export const interruptInBytes = 8;
export const fallocateInBytes = 32;
export const lseekInBytes = 24;
export const copyFileRangeInBytes = 56;
export const statxInBytes = 24;

/** Place of a request's body, and of a reply's, in their buffers. */
export const BODY = inHeaderBytes;
export const PAYLOAD = outHeaderBytes;

/** Longest name of a directory entry or of an extended attribute, without its NUL. */
export const NAME_MAX = 255;
/** Longest target of a symbolic link, without a NUL. */
export const TARGET_MAX = 4095;
/** Longest value of an extended attribute, and longest list of their names. */
export const XATTR_SIZE_MAX = 65_536;
/** The kernel refuses replies with an error number from here on (they are its own). */
export const ERRNO_LIMIT = 512;

/** Bytes of the largest WRITE and READ that are negotiated. */
export const MAX_IO_BYTES = 1_048_576;
/** What a request may be longer than its data: the kernel wants a read buffer of this much more. */
export const MAX_REQUEST_OVERHEAD_BYTES = 4096;
