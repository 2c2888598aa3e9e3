/**
 * Negotiation: a pure function from the kernel's INIT to the reply. A feature is asked for only where the kernel offers
 * it; what is missing has a fallback elsewhere (old kernels send FLUSH, GETXATTR security.capability or a chmod more).
 *
 * fuse_init_in:  major 0, minor 4, max_readahead 8, flags 12, flags2 16 (from 7.36), unused to 64
 * fuse_init_out: major 0, minor 4, max_readahead 8, flags 12, max_background u16 16, congestion_threshold u16 18,
 *                max_write 20, time_gran 24, max_pages u16 28, map_alignment u16 30, flags2 32, max_stack_depth 36,
 *                request_timeout u16 40, unused to 64
 */
import { E, type Result } from '../../base/errno.ts';
import {
  BODY,
  compatInitInBytes,
  compatInitOutBytes,
  InitFlag,
  InitFlag2,
  initOutBytes,
  MAJOR_VERSION,
  MAX_IO_BYTES,
  MINOR_VERSION,
  MINOR_VERSION_MIN,
} from './protocol.ts';

/** What the kernel says of itself. */
export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  /** Bytes. */
  readonly maxReadahead: number;
  readonly flags: number;
  /** 0 where the kernel does not know INIT_EXT. */
  readonly flags2: number;
}

/** What was agreed; plain numbers, so that a daemon that takes over a live mount can be told by its predecessor. */
export interface Negotiated {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  /** Bytes of the largest WRITE. */
  readonly maxWrite: number;
  /** Pages of the largest READ or WRITE. */
  readonly maxPages: number;
  /** How deep backing filesystems may be stacked below this one: 0 without pass-through. */
  readonly maxStackDepth: number;
}

export interface NegotiationOptions {
  /** POSIX ACLs; they cost one GETXATTR an inode. Default true. */
  readonly acl?: boolean;
  /** The kernel's writeback cache; excludes pass-through. Default false. */
  readonly writeback?: boolean;
  /** Pass-through to backing files. Default false. */
  readonly passthrough?: boolean;
  /** Bytes in a page of this machine's kernel. Default 4096. */
  readonly pageSize?: number;
}

/** Requests that the kernel sends ahead (read-ahead, asynchronous direct I/O) before it waits. */
const MAX_BACKGROUND = 64;
/** From this many on the kernel reports the mount as congested. */
const CONGESTION_THRESHOLD = 48;
/** What a kernel without MAX_PAGES moves in one request. */
const DEFAULT_MAX_PAGES = 32;
const DEFAULT_PAGE_BYTES = 4096;

const WANTED =
  InitFlag.ASYNC_READ |
  InitFlag.ATOMIC_O_TRUNC |
  InitFlag.EXPORT_SUPPORT |
  InitFlag.BIG_WRITES |
  InitFlag.DONT_MASK |
  InitFlag.DO_READDIRPLUS |
  InitFlag.READDIRPLUS_AUTO |
  InitFlag.ASYNC_DIO |
  InitFlag.PARALLEL_DIROPS |
  InitFlag.MAX_PAGES |
  InitFlag.CACHE_SYMLINKS |
  InitFlag.EXPLICIT_INVAL_DATA |
  InitFlag.HANDLE_KILLPRIV_V2 |
  InitFlag.SETXATTR_EXT;

/** `bodyBytes` is at least the 16 bytes that every kernel sends. */
export function decodeInit(view: DataView, bodyBytes: number): InitRequest {
  const flags = view.getUint32(BODY + 12, true);
  const extended = (flags & InitFlag.INIT_EXT) !== 0 && bodyBytes >= compatInitInBytes + 4;
  return {
    major: view.getUint32(BODY, true),
    minor: view.getUint32(BODY + 4, true),
    maxReadahead: view.getUint32(BODY + 8, true),
    flags,
    flags2: extended ? view.getUint32(BODY + 16, true) : 0,
  };
}

/**
 * EPROTO for kernels before 5.4. For a newer major version the reply names ours and holds nothing else: the kernel then
 * sends another INIT.
 */
export function negotiate(kernel: InitRequest, options: NegotiationOptions): Result<Negotiated> {
  if (kernel.major < MAJOR_VERSION) return E.EPROTO;
  if (kernel.major === MAJOR_VERSION && kernel.minor < MINOR_VERSION_MIN) return E.EPROTO;
  const { flags, flags2 } = wantedFlags(kernel, options);
  const pageSize = options.pageSize ?? DEFAULT_PAGE_BYTES;
  const maxPages = (flags & InitFlag.MAX_PAGES) !== 0 ? MAX_IO_BYTES / pageSize : DEFAULT_MAX_PAGES;
  return {
    major: MAJOR_VERSION,
    minor: kernel.major > MAJOR_VERSION ? MINOR_VERSION : Math.min(kernel.minor, MINOR_VERSION),
    // The kernel takes the smaller of this and its own, which the supervisor may have raised since this INIT was made.
    maxReadahead: MAX_IO_BYTES,
    flags,
    flags2,
    maxBackground: MAX_BACKGROUND,
    congestionThreshold: CONGESTION_THRESHOLD,
    maxWrite: Math.min(MAX_IO_BYTES, maxPages * pageSize),
    maxPages,
    maxStackDepth: (flags2 & InitFlag2.PASSTHROUGH) !== 0 ? 1 : 0,
  };
}

function wantedFlags(kernel: InitRequest, options: NegotiationOptions): { flags: number; flags2: number } {
  let wanted: number = WANTED;
  if (options.acl !== false) wanted |= InitFlag.POSIX_ACL;
  if (options.writeback === true) wanted |= InitFlag.WRITEBACK_CACHE;
  let flags = kernel.flags & wanted;
  if ((kernel.flags & InitFlag.INIT_EXT) === 0) return { flags: flags >>> 0, flags2: 0 };

  let wanted2: number = InitFlag2.DIRECT_IO_ALLOW_MMAP;
  if (options.passthrough === true && options.writeback !== true) wanted2 |= InitFlag2.PASSTHROUGH;
  const flags2 = kernel.flags2 & wanted2;
  if (flags2 !== 0) flags |= InitFlag.INIT_EXT;
  return { flags: flags >>> 0, flags2: flags2 >>> 0 };
}

/** Writes the reply at `at` (zeroed before) and returns its length. */
export function encodeInit(view: DataView, at: number, reply: Negotiated, kernelMajor: number): number {
  view.setUint32(at, reply.major, true);
  view.setUint32(at + 4, reply.minor, true);
  if (kernelMajor !== MAJOR_VERSION) return compatInitOutBytes;
  view.setUint32(at + 8, reply.maxReadahead, true);
  view.setUint32(at + 12, reply.flags, true);
  view.setUint16(at + 16, reply.maxBackground, true);
  view.setUint16(at + 18, reply.congestionThreshold, true);
  view.setUint32(at + 20, reply.maxWrite, true);
  view.setUint32(at + 24, 1, true);
  view.setUint16(at + 28, reply.maxPages, true);
  view.setUint32(at + 32, reply.flags2, true);
  view.setUint32(at + 36, reply.maxStackDepth, true);
  return initOutBytes;
}
