/**
 * Encoders of reply structs, in place. Each writes every byte of its struct, the padding too (the buffer holds the
 * previous reply), and returns its length.
 */
import { setI64, setU53 } from '../../base/bytes.ts';
import type { Timespec } from '../../base/time.ts';
import type { Attributes, AttributesReply, Entry, FilesystemStatistics, OpenReply } from '../types.ts';
import {
  attrOutBytes,
  copyFileRangeOutBytes,
  entryOutBytes,
  getxattrOutBytes,
  lseekOutBytes,
  openOutBytes,
  statfsOutBytes,
  statxBytes,
  statxOutBytes,
  writeOutBytes,
} from './protocol.ts';

/** st_blksize of every file. Larger ones change how recent kernels write partial blocks into the page cache. */
const BLOCK_BYTES = 4096;
const MAX_U32 = 0xffff_ffff;
/** STATX_BASIC_STATS and STATX_BTIME. */
const STATX_MASK = 0x0fff;

/**
 * fuse_attr: ino 0, size 8, blocks 16, atime 24, mtime 32, ctime 40, atimensec 48, mtimensec 52, ctimensec 56, mode 60,
 * nlink 64, uid 68, gid 72, rdev 76, blksize 80, flags 84
 */
export function encodeAttributes(view: DataView, at: number, attributes: Attributes): void {
  setU53(view, at, attributes.ino);
  setU53(view, at + 8, attributes.size);
  setU53(view, at + 16, attributes.blocks);
  setI64(view, at + 24, attributes.atime.sec);
  setI64(view, at + 32, attributes.mtime.sec);
  setI64(view, at + 40, attributes.ctime.sec);
  view.setUint32(at + 48, attributes.atime.nsec, true);
  view.setUint32(at + 52, attributes.mtime.nsec, true);
  view.setUint32(at + 56, attributes.ctime.nsec, true);
  view.setUint32(at + 60, attributes.mode, true);
  view.setUint32(at + 64, Math.min(attributes.nlink, MAX_U32), true);
  view.setUint32(at + 68, attributes.uid, true);
  view.setUint32(at + 72, attributes.gid, true);
  view.setUint32(at + 76, attributes.rdev, true);
  view.setUint32(at + 80, BLOCK_BYTES, true);
  view.setUint32(at + 84, 0, true);
}

/** A time to live: seconds, of which the kernel wants whole ones and nanoseconds apart. */
function encodeValidity(view: DataView, seconds: number, at: { sec: number; nsec: number }): void {
  const whole = Math.floor(seconds);
  setU53(view, at.sec, whole);
  view.setUint32(at.nsec, Math.floor((seconds - whole) * 1e9), true);
}

/** fuse_attr_out: attr_valid 0, attr_valid_nsec 8, attr 16 */
export function encodeAttributesReply(view: DataView, at: number, reply: AttributesReply): number {
  encodeValidity(view, reply.validSec, { sec: at, nsec: at + 8 });
  view.setUint32(at + 12, 0, true);
  encodeAttributes(view, at + 16, reply.attributes);
  return attrOutBytes;
}

/** fuse_entry_out: nodeid 0, generation 8, entry_valid 16, attr_valid 24, entry_valid_nsec 32, attr_valid_nsec 36, attr 40 */
export function encodeEntry(view: DataView, at: number, entry: Entry): number {
  setU53(view, at, entry.attributes.ino);
  setU53(view, at + 8, entry.generation);
  encodeValidity(view, entry.entryValidSec, { sec: at + 16, nsec: at + 32 });
  encodeValidity(view, entry.validSec, { sec: at + 24, nsec: at + 36 });
  encodeAttributes(view, at + 40, entry.attributes);
  return entryOutBytes;
}

/** An entry with node id 0: in a LOOKUP "there is no such name, and that may be kept"; in READDIRPLUS "ask again". */
export function encodeNoEntry(view: DataView, at: number, validSec: number): number {
  for (let word = 0; word < entryOutBytes; word += 4) view.setUint32(at + word, 0, true);
  encodeValidity(view, validSec, { sec: at + 16, nsec: at + 32 });
  return entryOutBytes;
}

/** fuse_open_out: fh 0, open_flags 8, backing_id 12 */
export function encodeOpen(view: DataView, at: number, open: OpenReply): number {
  setU53(view, at, open.handle);
  view.setUint32(at + 8, open.openFlags, true);
  view.setInt32(at + 12, open.backingId ?? 0, true);
  return openOutBytes;
}

/** fuse_write_out: size 0 */
export function encodeWritten(view: DataView, at: number, count: number): number {
  view.setUint32(at, count, true);
  view.setUint32(at + 4, 0, true);
  return writeOutBytes;
}

/** fuse_copy_file_range_out: bytes_copied 0 */
export function encodeCopied(view: DataView, at: number, count: number): number {
  setU53(view, at, count);
  return copyFileRangeOutBytes;
}

/** fuse_getxattr_out: size 0 */
export function encodeXattrSize(view: DataView, at: number, size: number): number {
  view.setUint32(at, size, true);
  view.setUint32(at + 4, 0, true);
  return getxattrOutBytes;
}

/** fuse_lseek_out: offset 0 */
export function encodeOffset(view: DataView, at: number, offset: number): number {
  setU53(view, at, offset);
  return lseekOutBytes;
}

/** fuse_kstatfs: blocks 0, bfree 8, bavail 16, files 24, ffree 32, bsize 40, namelen 44, frsize 48, spare to 80 */
export function encodeStatistics(view: DataView, at: number, statistics: FilesystemStatistics): number {
  setU53(view, at, statistics.blocks);
  setU53(view, at + 8, statistics.blocksFree);
  setU53(view, at + 16, statistics.blocksAvailable);
  setU53(view, at + 24, statistics.files);
  setU53(view, at + 32, statistics.filesFree);
  view.setUint32(at + 40, statistics.blockSize, true);
  view.setUint32(at + 44, statistics.nameMax, true);
  view.setUint32(at + 48, statistics.blockSize, true);
  for (let word = 52; word < statfsOutBytes; word += 4) view.setUint32(at + word, 0, true);
  return statfsOutBytes;
}

/**
 * fuse_statx_out: attr_valid 0, attr_valid_nsec 8, flags 12, spare 16, stat 32. In stat: mask 0, blksize 4, attributes 8,
 * nlink 16, uid 20, gid 24, mode u16 28, ino 32, size 40, blocks 48, attributes_mask 56, atime 64, btime 80, ctime 96,
 * mtime 112, rdev_major 128, rdev_minor 132, dev_major 136, dev_minor 140, spare to 256
 */
export function encodeStatx(view: DataView, at: number, reply: AttributesReply): number {
  for (let word = 0; word < statxOutBytes; word += 4) view.setUint32(at + word, 0, true);
  encodeValidity(view, reply.validSec, { sec: at, nsec: at + 8 });
  const stat = at + statxOutBytes - statxBytes;
  const { attributes } = reply;
  view.setUint32(stat, STATX_MASK, true);
  view.setUint32(stat + 4, BLOCK_BYTES, true);
  view.setUint32(stat + 16, Math.min(attributes.nlink, MAX_U32), true);
  view.setUint32(stat + 20, attributes.uid, true);
  view.setUint32(stat + 24, attributes.gid, true);
  view.setUint16(stat + 28, attributes.mode, true);
  setU53(view, stat + 32, attributes.ino);
  setU53(view, stat + 40, attributes.size);
  setU53(view, stat + 48, attributes.blocks);
  encodeStatxTime(view, stat + 64, attributes.atime);
  encodeStatxTime(view, stat + 80, attributes.btime);
  encodeStatxTime(view, stat + 96, attributes.ctime);
  encodeStatxTime(view, stat + 112, attributes.mtime);
  view.setUint32(stat + 128, deviceMajor(attributes.rdev), true);
  view.setUint32(stat + 132, deviceMinor(attributes.rdev), true);
  return statxOutBytes;
}

function encodeStatxTime(view: DataView, at: number, time: Timespec): void {
  setI64(view, at, time.sec);
  view.setUint32(at + 8, time.nsec, true);
}

/** A device number of 32 bits as the kernel packs it: 12 bits of minor, 12 of major, 8 of minor, from the top. */
export function deviceMajor(device: number): number {
  return (device >>> 8) & 0xfff;
}

export function deviceMinor(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00);
}
