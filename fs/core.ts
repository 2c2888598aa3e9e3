/**
 * What every operation works on: the two stores, the clock, the in-memory state of open files, and the few rules that
 * many operations share. An operation decides (reads only), builds one record, commits it, and answers.
 */
import type { DataStore } from '../aggregate/store.ts';
import type { Backing, BackingFile } from '../base/backing.ts';
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Extent, OwnName, VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { type Clock, compareTimes, type Timespec } from '../base/time.ts';
import type { Ino, VolumeId } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import { FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import type { NamespaceStore } from '../shard/store.ts';
import { type LiveFile, LiveFiles } from './live_files.ts';
import type { Attributes, AttributesReply, Entry } from './types.ts';

export const S_IFMT = 0o170000;
export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFSOCK = 0o140000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_IXGRP = 0o0010;
export const PERMISSION_BITS = 0o7777;

export const NAME_MAX = 255;
/** Names of one inode: what fits the 32 bits that stat shows, and leaves room. */
export const LINK_MAX = 2 ** 31 - 1;
/** Largest file: byte offsets stay exact in a double. */
export const MAX_FILE_SIZE = Number.MAX_SAFE_INTEGER;

/** This mount is the only writer, so the kernel may keep what it was told. */
const VALID_SEC = 86_400;
const RELATIME_SEC = 86_400;
/** How many access times wait to be recorded, at most. */
const LAZY_ATIMES = 8_192;

export interface FilesystemOptions {
  readonly readOnly: boolean;
  /** Serve POSIX ACLs. */
  readonly acl: boolean;
  /** List user.pacsfs.* among the xattrs. */
  readonly layoutXattrs: boolean;
  readonly noAtime: boolean;
  /** Files up to this many bytes are packed; 0 = none. */
  readonly packBelow: number;
  readonly packDelayMs: number;
  readonly commitIntervalMs: number;
  /** Settled files that wait for packing, at most; beyond it creates wait. */
  readonly landingFiles: number;
  readonly landingBytes: number;
}

/** What operations tell the packer; the packer itself knows the core. */
export interface PackQueue {
  /** The file has settled and may be packed. */
  add(inode: Inode, live: LiveFile): void;
  /** It is opened for writing, removed or changed: it must not be packed as it is. */
  cancel(ino: Ino): void;
}

export interface CoreParts {
  readonly namespace: NamespaceStore;
  readonly data: DataStore;
  /** The same that the data store was given: for copies from one own file to another. */
  readonly backing: Backing;
  readonly clock: Clock;
  readonly log: Log;
  readonly options: FilesystemOptions;
}

export class Core {
  readonly namespace: NamespaceStore;
  readonly data: DataStore;
  readonly backing: Backing;
  readonly volumes: ReadonlyMap<VolumeId, VolumeRow>;
  readonly clock: Clock;
  readonly log: Log;
  readonly options: FilesystemOptions;
  readonly live = new LiveFiles();
  /** Access times taken and not yet recorded. */
  readonly #lazyAtimes = new Map<Ino, Timespec>();
  #packer: PackQueue | undefined;
  #broken: string | undefined;

  constructor(parts: CoreParts) {
    this.namespace = parts.namespace;
    this.data = parts.data;
    this.backing = parts.backing;
    this.volumes = new Map(parts.namespace.volumes().map((row) => [row.id, row]));
    this.clock = parts.clock;
    this.log = parts.log;
    this.options = parts.options;
  }

  get packer(): PackQueue {
    if (this.#packer === undefined) throw new Error('The packer is attached when the filesystem is made');
    return this.#packer;
  }

  attach(packer: PackQueue): void {
    this.#packer = packer;
  }

  /** Why nothing is written any more, after a flush has failed; undefined while all is well. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** A flush failed: what it covered may be lost, and a second one would lie. From now on changes get EIO. */
  markBroken(reason: string): void {
    if (this.#broken !== undefined) return;
    this.#broken = reason;
    this.log.error(
      { reason },
      'This mount takes no more changes: unmount, check the disk, run pacsfs fsck, mount again',
    );
  }

  /** EROFS or EIO when changes are refused. */
  refusal(): Errno | undefined {
    if (this.options.readOnly) return E.EROFS;
    return this.#broken === undefined ? undefined : E.EIO;
  }

  now(): Timespec {
    return this.clock.now();
  }

  /** The inode's row, or ESTALE: the kernel asks only for what it was told of. */
  inode(ino: Ino): Result<Inode> {
    const row = this.namespace.readInode(ino);
    return row === E.ENOENT ? E.ESTALE : row;
  }

  /** The row of a directory that names may be made in. */
  directory(ino: Ino): Result<Inode> {
    const row = this.inode(ino);
    if (isErrno(row)) return row;
    if ((row.mode & S_IFMT) !== S_IFDIR) return E.ENOTDIR;
    return row;
  }

  /** As `directory`, for changes: neither a read-only mount nor a directory that was removed takes new names. */
  writableDirectory(ino: Ino): Result<Inode> {
    const refused = this.refusal();
    if (refused !== undefined) return refused;
    const row = this.directory(ino);
    if (isErrno(row)) return row;
    return row.nlink === 0 ? E.ENOENT : row;
  }

  /** Every put of an inode's row goes this way: it carries what was so far only in memory. */
  put(record: Record, inode: Inode): void {
    const row = this.#withLiveTimes(inode);
    const atime = this.#lazyAtimes.get(inode.ino);
    if (atime !== undefined) this.#lazyAtimes.delete(inode.ino);
    record.putInode(atime !== undefined && compareTimes(atime, inode.atime) > 0 ? { ...row, atime } : row);
  }

  /** Of an unsettled file: so that after a crash its own file's mtime is believed only if it is later than the record. */
  #withLiveTimes(inode: Inode): Inode {
    const live = isUnsettled(inode) ? this.live.find(inode.ino) : undefined;
    if (live?.size === undefined) return inode;
    const ctime = compareTimes(live.ctime, inode.ctime) > 0 ? live.ctime : inode.ctime;
    return { ...inode, mtime: live.mtime, ctime };
  }

  /** Writes the record; aggregates whose counts it changed go along. */
  commit(record: Record): void {
    for (const row of this.data.ledger.takeChangedRows()) record.putAggregate(row);
    this.namespace.commit(record);
  }

  /**
   * The row of a directory with the times it shows: a put of the row must carry them, since from then on the row, being
   * newest, is believed before the partitions.
   */
  withTotals(dir: Inode): Inode {
    const totals = this.namespace.totals(dir);
    return { ...dir, mtime: totals.mtime, ctime: totals.ctime };
  }

  attributes(inode: Inode): Attributes {
    const atime = this.#lazyAtimes.get(inode.ino) ?? inode.atime;
    const type = inode.mode & S_IFMT;
    if (type === S_IFDIR) {
      const totals = this.namespace.totals(inode);
      const size = 4096 + totals.entries * 32;
      const nlink = inode.nlink === 0 ? 0 : 2 + totals.directories;
      const { mtime, ctime } = totals;
      return { ...identity(inode), atime, mtime, ctime, nlink, size, blocks: 8 * Math.ceil(size / 4096) };
    }
    const { mtime, ctime, nlink } = inode;
    if (inode.layout === 'own' && inode.own !== undefined) {
      const live = this.live.find(inode.ino);
      const blocks = this.#ownBlocks(inode);
      if (live?.size !== undefined) {
        return { ...identity(inode), atime, mtime: live.mtime, ctime: live.ctime, nlink, size: live.size, blocks };
      }
      return { ...identity(inode), atime, mtime, ctime, nlink, size: inode.size, blocks };
    }
    return { ...identity(inode), atime, mtime, ctime, nlink, size: inode.size, blocks: extentBlocks(inode.extents) };
  }

  attributesReply(inode: Inode): AttributesReply {
    return { attributes: this.attributes(inode), validSec: VALID_SEC };
  }

  entry(inode: Inode): Entry {
    return {
      attributes: this.attributes(inode),
      validSec: VALID_SEC,
      entryValidSec: VALID_SEC,
      generation: inode.generation,
    };
  }

  /** Relatime: an access is noted when the last one noted is older than the last change, or than a day. */
  wantsAccess(inode: Inode, times: { readonly mtime: Timespec; readonly ctime: Timespec }): boolean {
    if (this.options.noAtime || this.refusal() !== undefined) return false;
    const atime = this.#lazyAtimes.get(inode.ino) ?? inode.atime;
    if (compareTimes(atime, times.mtime) <= 0 || compareTimes(atime, times.ctime) <= 0) return true;
    return this.now().sec - atime.sec >= RELATIME_SEC;
  }

  noteAccess(inode: Inode, times: { readonly mtime: Timespec; readonly ctime: Timespec }): void {
    if (!this.wantsAccess(inode, times)) return;
    this.#lazyAtimes.set(inode.ino, this.now());
    if (this.#lazyAtimes.size >= LAZY_ATIMES) this.recordAccesses();
  }

  /** Records the access times that wait. */
  recordAccesses(): void {
    if (this.#lazyAtimes.size === 0) return;
    const record = this.namespace.begin();
    for (const [ino, atime] of this.#lazyAtimes) {
      const inode = this.namespace.inode(ino);
      if (inode === undefined) continue;
      const row = (inode.mode & S_IFMT) === S_IFDIR ? this.withTotals(inode) : inode;
      record.putInode({ ...row, atime });
    }
    this.#lazyAtimes.clear();
    this.commit(record);
  }

  forgetAccess(ino: Ino): void {
    this.#lazyAtimes.delete(ino);
  }

  /** A caller that set the access time itself overrules the one that was noted. */
  overruleAccess(ino: Ino): void {
    this.#lazyAtimes.delete(ino);
  }

  /** A new empty own file on the volume where new files go now. */
  newOwn(): Result<{ readonly name: OwnName; readonly file: BackingFile }> {
    const volume = this.data.newestPlacement();
    return isErrno(volume) ? volume : this.data.createOwn(volume);
  }

  /** Whether the own file has bytes that no flush has covered. */
  needsFlush(inode: Inode): boolean {
    return (inode.flags & FLAG_FLUSHED) === 0 || this.live.find(inode.ino)?.unflushed === true;
  }

  #ownBlocks(inode: Inode): number {
    // A file just made has no blocks; asking the host would cost a call for each.
    if (inode.own === undefined || (inode.size === 0 && this.live.find(inode.ino) === undefined)) return 0;
    const file = this.data.openOwn(inode.own);
    if (isErrno(file)) return Math.ceil(inode.size / 512);
    const stat = file.stat();
    return isErrno(stat) ? Math.ceil(inode.size / 512) : stat.blocks;
  }
}

export function isUnsettled(inode: Inode): boolean {
  return (inode.flags & FLAG_UNSETTLED) !== 0;
}

export function dentryType(mode: number): number {
  return (mode & S_IFMT) >> 12;
}

/** 512-byte blocks that packed bytes take up. */
function extentBlocks(extents: readonly Extent[]): number {
  let bytes = 0;
  for (const extent of extents) bytes += Math.ceil(extent.length / 512) * 512;
  return bytes / 512;
}

function identity(inode: Inode): Pick<Attributes, 'ino' | 'btime' | 'mode' | 'uid' | 'gid' | 'rdev'> {
  return { ino: inode.ino, btime: inode.btime, mode: inode.mode, uid: inode.uid, gid: inode.gid, rdev: inode.rdev };
}
