/** The rows of the namespace as the rest of the program sees them; immutable: a change is a new object. */
import type { Extent, OwnName } from '../base/layout.ts';
import type { Timespec } from '../base/time.ts';
import type { Ino, Lsn, Position, Slot } from '../base/units.ts';

/** Directory entry types, as DT_* of readdir(3): the file type bits of the mode, shifted by 12. */
export const DT_DIR = 4;
export const DT_REG = 8;
export const DT_LNK = 10;

export interface Dentry {
  readonly dir: Ino;
  readonly position: Position;
  /** 1 to 255 bytes, neither '/' nor NUL in them. */
  readonly name: Uint8Array;
  readonly ino: Ino;
  /** DT_* */
  readonly type: number;
}

/** How the bytes of a regular file are kept; 'none' for everything that has no bytes. */
export type LayoutKind = 'none' | 'own' | 'packed';

/** Bits of `Inode.flags`. */
export const FLAG_UNSETTLED = 1;
/** The own file was flushed after its last recorded change. */
export const FLAG_FLUSHED = 2;
/** `second` is an fsynced copy of the own file. */
export const FLAG_COPY = 4;
/** The inode has rows in `xattrs`; without this bit nobody need look. */
export const FLAG_XATTRS = 8;
/** Among them an access ACL / a default ACL. */
export const FLAG_ACL_ACCESS = 16;
export const FLAG_ACL_DEFAULT = 32;
/** `pacsfs tier pin`. */
export const FLAG_PINNED = 64;

export interface Inode {
  readonly ino: Ino;
  /** File type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Names of the inode; for a directory 1 while it is named, 0 once removed: what stat shows is derived. */
  readonly nlink: number;
  readonly size: number;
  readonly atime: Timespec;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  readonly btime: Timespec;
  /** Device number as the kernel encodes it, 32 bits; 0 for all but devices. */
  readonly rdev: number;
  readonly flags: number;
  /** Mount generation in which the inode was made. */
  readonly generation: number;
  readonly layout: LayoutKind;
  /** Present exactly when `layout` is 'own'. */
  readonly own: OwnName | undefined;
  /** Sorted by file offset, without overlap; what no extent covers is a hole. Empty unless 'packed'. */
  readonly extents: readonly Extent[];
  /** With FLAG_COPY the fsynced copy, else the cold place of a recalled file. */
  readonly second: readonly Extent[];
  /** One of its names: directory and position; 0 for a file of which that name has gone. For a directory its only one. */
  readonly parent: Ino;
  readonly position: number;
  readonly project: number;
  /** Reserved for retention: seconds since 1970, 0 = none; and holds. */
  readonly retainUntilSec: number;
  readonly holds: number;
  /** The record that last wrote this row. */
  readonly lsn: Lsn;
  /** Directories only: which partitions exist, partition i being bit i (byte i >> 3, bit i & 7); at most 512 bytes. */
  readonly partitions: Uint8Array;
}

export interface PartitionName {
  readonly slot: Slot;
  readonly dir: Ino;
  /** GIGA+ number: the bit-reversed prefix of its positions. */
  readonly index: number;
}

export interface Partition extends PartitionName {
  readonly entries: number;
  /** How many of the entries are directories. */
  readonly directories: number;
  /** Last change of the partition's entries, and the record that made it. */
  readonly changed: Timespec;
  readonly lsn: Lsn;
  /** Of its positions those from here on still lie in the partition it splits off from; 2^53 when nothing is under way. */
  readonly boundary: number;
}

/** What stat shows of a directory and its own row does not hold. */
export interface DirectoryTotals {
  readonly entries: number;
  readonly directories: number;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
}
