/**
 * Decoders of the fixed structs behind a request's header. The dispatcher has checked that the struct is there whole;
 * nothing here throws. 64-bit fields that do not fit in a double are NaN, which the handlers answer.
 */
import { getI64, getU53 } from '../../base/bytes.ts';
import { E, type Result } from '../../base/errno.ts';
import type { Timespec } from '../../base/time.ts';
import type { AttributeChanges, NewNode } from '../types.ts';
import {
  BODY,
  Fattr,
  FSYNC_FDATASYNC,
  OPEN_KILL_SUIDGID,
  SETXATTR_ACL_KILL_SGID,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
} from './protocol.ts';

/** Permission bits with setuid, setgid and sticky. */
const MODE_BITS = 0o7777;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
/** Regular, character device, block device, FIFO, socket. */
const NODE_TYPES = [S_IFREG, 0o020000, 0o060000, 0o010000, 0o140000];
const NSEC_LIMIT = 1_000_000_000;
/** Fields of SETATTR that say whose request it is, and change nothing. */
const FATTR_CONTEXT = Fattr.FH | Fattr.LOCKOWNER;

/**
 * fuse_setattr_in: valid 0, fh 8, size 16, lock_owner 24, atime 32, mtime 40, ctime 48, atimensec 56, mtimensec 60,
 * ctimensec 64, mode 68, uid 76, gid 80. An empty mask asks for the loss of setuid and setgid bits.
 */
export function decodeSetattr(view: DataView): Result<AttributeChanges> {
  const valid = view.getUint32(BODY, true);
  const changes: { -readonly [K in keyof AttributeChanges]: AttributeChanges[K] } = {};
  if ((valid & Fattr.MODE) !== 0) changes.mode = view.getUint32(BODY + 68, true) & MODE_BITS;
  if ((valid & Fattr.UID) !== 0) changes.uid = view.getUint32(BODY + 76, true);
  if ((valid & Fattr.GID) !== 0) changes.gid = view.getUint32(BODY + 80, true);
  if ((valid & Fattr.SIZE) !== 0) {
    changes.size = getU53(view, BODY + 16);
    if (Number.isNaN(changes.size)) return E.EFBIG;
  }
  if ((valid & Fattr.ATIME_NOW) !== 0) changes.atime = 'now';
  else if ((valid & Fattr.ATIME) !== 0) changes.atime = time(view, 32, 56);
  if ((valid & Fattr.MTIME_NOW) !== 0) changes.mtime = 'now';
  else if ((valid & Fattr.MTIME) !== 0) changes.mtime = time(view, 40, 60);
  if ((valid & Fattr.CTIME) !== 0) changes.ctime = time(view, 48, 64);
  if (!isTime(changes.atime) || !isTime(changes.mtime) || !isTime(changes.ctime)) return E.EINVAL;
  if ((valid & Fattr.KILL_SUIDGID) !== 0 || (valid & ~FATTR_CONTEXT) === 0) changes.killPrivileges = true;
  return changes;
}

function time(view: DataView, secAt: number, nsecAt: number): Timespec {
  return { sec: getI64(view, BODY + secAt), nsec: view.getUint32(BODY + nsecAt, true) };
}

function isTime(value: Timespec | 'now' | undefined): boolean {
  return typeof value !== 'object' || (value.nsec < NSEC_LIMIT && Number.isSafeInteger(value.sec));
}

/** fuse_mknod_in: mode 0, rdev 4, umask 8. EINVAL for types that mknod(2) does not make. */
export function decodeMknod(view: DataView): Result<NewNode> {
  const mode = view.getUint32(BODY, true);
  const type = mode & S_IFMT;
  if (type !== 0 && !NODE_TYPES.includes(type)) return E.EINVAL;
  return {
    mode: (type === 0 ? S_IFREG : type) | (mode & MODE_BITS),
    rdev: view.getUint32(BODY + 4, true),
    umask: view.getUint32(BODY + 8, true),
  };
}

/** fuse_mkdir_in: mode 0, umask 4. The kernel leaves the type out of the mode. */
export function decodeMkdir(view: DataView): NewNode {
  return { mode: S_IFDIR | (view.getUint32(BODY, true) & MODE_BITS), umask: view.getUint32(BODY + 4, true) };
}

/** fuse_create_in: flags 0, mode 4, umask 8, open_flags 12. */
export function decodeCreate(view: DataView): { flags: number; node: NewNode } {
  return {
    flags: view.getUint32(BODY, true),
    node: { mode: S_IFREG | (view.getUint32(BODY + 4, true) & MODE_BITS), umask: view.getUint32(BODY + 8, true) },
  };
}

/** fuse_open_in: flags 0, open_flags 4. */
export function decodeOpen(view: DataView): { flags: number; killPrivileges: boolean } {
  return {
    flags: view.getUint32(BODY, true),
    killPrivileges: (view.getUint32(BODY + 4, true) & OPEN_KILL_SUIDGID) !== 0,
  };
}

/** The first field of fuse_rename_in and rename2_in (newdir), link_in (oldnodeid), release_in, fsync_in and others (fh). */
export function decodeFirst64(view: DataView): number {
  return getU53(view, BODY);
}

/** fuse_rename2_in: newdir 0, flags 8. */
export function decodeRenameFlags(view: DataView): number {
  return view.getUint32(BODY + 8, true);
}

/** fuse_read_in (READ, READDIR, READDIRPLUS): fh 0, offset 8, size 16, read_flags 20, lock_owner 24, flags 32. */
export function decodeRead(view: DataView): { handle: number; offset: number; size: number } {
  return { handle: getU53(view, BODY), offset: getU53(view, BODY + 8), size: view.getUint32(BODY + 16, true) };
}

/** fuse_write_in: fh 0, offset 8, size 16, write_flags 20, lock_owner 24, flags 32. */
export function decodeWrite(view: DataView): {
  handle: number;
  offset: number;
  size: number;
  killPrivileges: boolean;
  fromCache: boolean;
} {
  const flags = view.getUint32(BODY + 20, true);
  return {
    handle: getU53(view, BODY),
    offset: getU53(view, BODY + 8),
    size: view.getUint32(BODY + 16, true),
    killPrivileges: (flags & WRITE_KILL_SUIDGID) !== 0,
    fromCache: (flags & WRITE_CACHE) !== 0,
  };
}

/** fuse_fsync_in: fh 0, fsync_flags 8. */
export function decodeFsync(view: DataView): { dataOnly: boolean } {
  return { dataOnly: (view.getUint32(BODY + 8, true) & FSYNC_FDATASYNC) !== 0 };
}

/** fuse_setxattr_in: size 0, flags 4, and where SETXATTR_EXT was agreed on setxattr_flags 8. */
export function decodeSetxattr(
  view: DataView,
  extended: boolean,
): { size: number; flags: number; killSetgid: boolean } {
  return {
    size: view.getUint32(BODY, true),
    flags: view.getUint32(BODY + 4, true),
    killSetgid: extended && (view.getUint32(BODY + 8, true) & SETXATTR_ACL_KILL_SGID) !== 0,
  };
}

/** fuse_getxattr_in (GETXATTR, LISTXATTR): size 0. */
export function decodeGetxattr(view: DataView): { size: number } {
  return { size: view.getUint32(BODY, true) };
}

/** fuse_fallocate_in: fh 0, offset 8, length 16, mode 24. */
export function decodeFallocate(view: DataView): { handle: number; offset: number; length: number; mode: number } {
  return {
    handle: getU53(view, BODY),
    offset: getU53(view, BODY + 8),
    length: getU53(view, BODY + 16),
    mode: view.getUint32(BODY + 24, true),
  };
}

/** fuse_lseek_in: fh 0, offset 8, whence 16. */
export function decodeLseek(view: DataView): { handle: number; offset: number; whence: number } {
  return { handle: getU53(view, BODY), offset: getU53(view, BODY + 8), whence: view.getUint32(BODY + 16, true) };
}

/** fuse_copy_file_range_in: fh_in 0, off_in 8, nodeid_out 16, fh_out 24, off_out 32, len 40, flags 48. */
export function decodeCopyFileRange(view: DataView): {
  from: { handle: number; offset: number };
  to: { node: number; handle: number; offset: number };
  length: number;
  flags: number;
} {
  return {
    from: { handle: getU53(view, BODY), offset: getU53(view, BODY + 8) },
    to: { node: getU53(view, BODY + 16), handle: getU53(view, BODY + 24), offset: getU53(view, BODY + 32) },
    length: getU53(view, BODY + 40),
    flags: getU53(view, BODY + 48),
  };
}

/** fuse_batch_forget_in: count 0. */
export function decodeBatchForget(view: DataView): { count: number } {
  return { count: view.getUint32(BODY, true) };
}
