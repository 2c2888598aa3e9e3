/**
 * What every operation works on: the two stores, the clock, the in-memory state of open files, and the few rules that
 * many operations share. An operation decides (reads only), builds one record, commits it, and answers.
 */
import type { DataStore } from '../aggregate/store.ts';
import type { Backing, BackingStat } from '../base/backing.ts';
import { E, type Errno, isErrno, type Result } from '../base/errno.ts';
import type { Extent, OwnName, VolumeRow } from '../base/layout.ts';
import type { Log } from '../base/log.ts';
import { type Clock, compareTimes, type Timespec } from '../base/time.ts';
import type { Ino, VolumeId } from '../base/units.ts';
import type { Record } from '../shard/record.ts';
import { FLAG_COPY, FLAG_FLUSHED, FLAG_UNSETTLED, type Inode } from '../shard/rows.ts';
import type { NamespaceStore } from '../shard/store.ts';
import type { DropName } from './doubts.ts';
import type { FsyncMode } from './fsync_mode.ts';
import { type LiveFile, LiveFiles, mayChangeUnseen, startLive } from './live_files.ts';
import { OpenTable } from './open_table.ts';
import { type BackingIds, Passthrough } from './passthrough.ts';
import type { KernelRequest } from './requests.ts';
import type { Attributes, AttributesReply, Deferred, Entry } from './types.ts';

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
/** How often the databases' files are looked for. */
const FILES_INTERVAL_MS = 3_000;

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
  /** How the first fsync of a small file makes it durable: see fsync_mode.ts. */
  readonly fsyncMode: FsyncMode;
  /** Bytes on their way to the disk, of files into which much is written, beyond which their writers wait. */
  readonly dirtyLimit: number;
  /** Settled files that wait for packing, at most; beyond it creates wait. */
  readonly landingFiles: number;
  readonly landingBytes: number;
  /**
   * The mount is there and in use: its former daemon has ended, this one goes on. Nothing is concluded from handles that
   * nobody has opened here, the open table says what the kernel holds. Default false.
   */
  readonly takeover?: boolean;
}

/** A new own file, and what the host has as its times: no write can be earlier. */
export interface NewOwn {
  readonly name: OwnName;
  readonly time: Timespec;
}

/** What operations tell the packer; the packer itself knows the core. */
export interface PackQueue {
  /** The file has settled and may be packed. */
  add(inode: Inode, live: LiveFile): void;
  /** It settled without a byte in a segment, or has another name since: an index is to describe it. */
  mention(ino: Ino): void;
  /** A worker has it, by the name that it had. */
  isPacking(ino: Ino): boolean;
  /** Whether it waits, or is being packed. */
  has(ino: Ino): boolean;
  /** It is opened for writing, removed or changed: it must not be packed as it is. */
  cancel(ino: Ino): void;
}

/** What operations ask for when bytes must be durable before they go on. */
export interface Durability {
  /** Packs a file that nobody has open, else flushes it; settled once a record says so. */
  secure(ino: Ino): Deferred<void>;
  /** Flushes its own file; settled once a record says so. */
  flush(ino: Ino): Deferred<void>;
}

/** Tells whether what was written unseen equals extents; the file then settles. */
export interface ContentComparer {
  begin(inode: Inode, live: LiveFile, extents: readonly Extent[]): void;
  /** Whether a file is being compared. */
  has(ino: Ino): boolean;
}

export interface CoreParts {
  readonly namespace: NamespaceStore;
  readonly data: DataStore;
  /** The same that the data store was given: for copies from one own file to another. */
  readonly backing: Backing;
  readonly clock: Clock;
  readonly log: Log;
  readonly options: FilesystemOptions;
  /** Default: one that ends with this process. */
  readonly openTable?: OpenTable | undefined;
  /** Where the kernel can be told to drop names. */
  readonly dropName?: DropName | undefined;
  /** The kernel's, where open files may be passed through. */
  readonly backingIds?: BackingIds | undefined;
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
  readonly openTable: OpenTable;
  /** Removed directories whose partitions are being removed: see large_orphans.ts. */
  readonly largeOrphans = new Set<Ino>();
  readonly passthrough?: Passthrough;
  /** The request being served, where carrying it out twice would not be the same as once. */
  request: KernelRequest | undefined;
  /** Layouts with which opens were answered: objects of rows, gone with the last row in memory that has them. */
  readonly #cachedLayouts = new WeakSet<object>();
  /** Access times taken and not yet recorded. */
  readonly #lazyAtimes = new Map<Ino, Timespec>();
  #filesMs = Number.NEGATIVE_INFINITY;
  #packer: PackQueue | undefined;
  #durability: Durability | undefined;
  #comparisons: ContentComparer | undefined;

  constructor(parts: CoreParts) {
    this.namespace = parts.namespace;
    this.data = parts.data;
    this.backing = parts.backing;
    this.volumes = new Map(parts.namespace.volumes().map((row) => [row.id, row]));
    this.clock = parts.clock;
    this.log = parts.log;
    this.options = parts.options;
    this.openTable = parts.openTable ?? OpenTable.inMemory();
    const { namespace, data, openTable, log, clock, options } = this;
    // On a disk that is nearly full whoever writes has to be heard, so that something is left for the rows.
    const mayPass = (volume: VolumeId) => options.readOnly || !(namespace.scarce() || data.isScarce(volume));
    if (parts.backingIds !== undefined)
      this.passthrough = new Passthrough(parts.backingIds, { data, openTable, log, clock, mayPass });
  }

  get packer(): PackQueue {
    if (this.#packer === undefined) throw new Error('The packer is attached when the filesystem is made');
    return this.#packer;
  }

  get durability(): Durability {
    if (this.#durability === undefined) throw new Error('Durability is attached when the filesystem is made');
    return this.#durability;
  }

  get comparisons(): ContentComparer {
    if (this.#comparisons === undefined) throw new Error('Comparisons are attached when the filesystem is made');
    return this.#comparisons;
  }

  attach(packer: PackQueue, durability: Durability, comparisons: ContentComparer): void {
    this.#packer = packer;
    this.#durability = durability;
    this.#comparisons = comparisons;
  }

  /** Why nothing is written any more, after a flush has failed; undefined while all is well. */
  get broken(): string | undefined {
    return this.namespace.broken;
  }

  /** A flush failed: what it covered may be lost, and a second one would lie. From now on changes get EIO. */
  markBroken(reason: string): void {
    if (this.broken !== undefined) return;
    // The mark outlives the daemon: nothing else is done about the loss before it stands.
    this.namespace.markBroken(reason);
    this.log.error(
      { reason },
      'This store takes no more changes: unmount, check the disk, run pacsfs fsck --repair, mount again',
    );
  }

  /** Now and then: whether each database still is the file that its name names. */
  lookForDatabases(nowMs: number): void {
    if (nowMs - this.#filesMs < FILES_INTERVAL_MS || this.broken !== undefined) return;
    this.#filesMs = nowMs;
    this.hasLostDatabase();
  }

  /** What is written to a file without a name is nowhere once it is closed: that it has none any more is a loss. */
  hasLostDatabase(): boolean {
    const lost = this.namespace.lostFile();
    if (lost !== undefined) this.markBroken(`Database ${lost} while it was in use`);
    return lost !== undefined;
  }

  /** EROFS or EIO when changes are refused. */
  refusal(): Errno | undefined {
    if (this.broken !== undefined) return E.EIO;
    return this.options.readOnly ? E.EROFS : undefined;
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
    const atime = this.#lazyAtimes.get(inode.ino);
    if (atime !== undefined) this.#lazyAtimes.delete(inode.ino);
    record.putInode(atime !== undefined && compareTimes(atime, inode.atime) > 0 ? { ...inode, atime } : inode);
  }

  /** Writes the record; aggregates whose counts it changed go along. */
  commit(record: Record): void {
    for (const row of this.data.ledger.takeChangedRows()) record.putAggregate(row);
    this.namespace.commit(record);
  }

  /**
   * Marks the record that carries the effect of a request: `ino` is the inode that it makes, or changes. Whoever puts a
   * record off passes the request that was being served when it began.
   */
  completes(record: Record, ino: Ino, request = this.request): void {
    if (request !== undefined) record.completes({ ...request, ino });
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
    if (inode.own !== undefined) {
      const live = this.unsettled(inode);
      if (live === undefined) {
        return { ...identity(inode), atime, mtime, ctime, nlink, size: inode.size, blocks: this.#ownBlocks(inode) };
      }
      const { size = inode.size, blocks } = live;
      return { ...identity(inode), atime, mtime: live.mtime, ctime: live.ctime, nlink, size, blocks };
    }
    return { ...identity(inode), atime, mtime, ctime, nlink, size: inode.size, blocks: extentBlocks(inode.extents) };
  }

  /**
   * The live state of an unsettled file, fresh; undefined for any other. One that nobody has touched since the daemon
   * started gets its state here.
   */
  unsettled(inode: Inode): LiveFile | undefined {
    if (inode.own === undefined || !isUnsettled(inode)) return undefined;
    const found = this.live.find(inode.ino);
    const live = found?.size === undefined ? this.#adopt(inode.own, inode) : found;
    if (live !== undefined) this.refresh(inode, live);
    return live;
  }

  /** Brings the times of an unsettled file up to date with its own file; cheap when it has not changed since. */
  refresh(inode: Inode, live: LiveFile): void {
    if (live.size === undefined || inode.own === undefined) return;
    const stat = live.isStale || mayChangeUnseen(live) ? this.#statOwn(inode.own) : undefined;
    // What cannot be asked keeps what is known of it: whoever reads it will meet the error.
    if (stat !== undefined && !isErrno(stat)) this.#take(stat, inode, live);
    live.ctime = later(inode.ctime, live.hostCtime);
  }

  /** Of an own file that is lost the row is what is known. Nobody knows what of it was flushed. */
  #adopt(own: OwnName, inode: Inode): LiveFile | undefined {
    const stat = this.#statOwn(own);
    if (isErrno(stat)) return undefined;
    const live = this.live.of(inode);
    // Handles that a predecessor gave out write on past this process.
    const { isWrittenUnseen } = live;
    startLive(live, inode);
    live.isWrittenUnseen = isWrittenUnseen;
    live.unflushed = true;
    live.isMappable = true;
    this.#take(stat, inode, live);
    return live;
  }

  #take(stat: BackingStat, inode: Inode, live: LiveFile): void {
    live.size = stat.size;
    live.mtime = isMark(stat.mtime) ? inode.mtime : stat.mtime;
    live.hostCtime = stat.ctime;
    live.blocks = stat.blocks;
    live.isStale = false;
  }

  #statOwn(own: OwnName): Result<BackingStat> {
    if (this.options.readOnly) return this.data.statOwn(own);
    const file = this.data.openOwn(own);
    return isErrno(file) ? file : file.stat();
  }

  attributesReply(inode: Inode): AttributesReply {
    return { attributes: this.attributes(inode), validSec: this.#validSec(inode) };
  }

  entry(inode: Inode): Entry {
    return {
      attributes: this.attributes(inode),
      validSec: this.#validSec(inode),
      entryValidSec: VALID_SEC,
      generation: inode.generation,
    };
  }

  /** Stores through a mapping of a backing file are the one change that the kernel does not notice itself. */
  #validSec(inode: Inode): number {
    const live = inode.own === undefined ? undefined : this.live.find(inode.ino);
    return live?.isMappable === true && mayChangeUnseen(live) ? 0 : VALID_SEC;
  }

  /** Pages that the kernel keeps of the inode are not to be believed at the next cached open. */
  forgetCachedOpen(inode: Inode): void {
    this.#cachedLayouts.delete(inode.own ?? inode.extents);
  }

  /** Notes that an open of the present layout is answered; true when one was before. */
  noteCachedOpen(inode: Inode): boolean {
    const layout = inode.own ?? inode.extents;
    if (this.#cachedLayouts.has(layout)) return true;
    this.#cachedLayouts.add(layout);
    return false;
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
  newOwn(): Result<NewOwn> {
    const volume = this.data.newestPlacement();
    if (isErrno(volume)) return volume;
    const ahead = this.data.ownPool.take(volume);
    // Its own time is the mark; every write gives it one that is not before this.
    if (ahead !== undefined) return { name: ahead, time: this.clock.lastTick() };
    const made = this.data.createOwn(volume);
    if (isErrno(made)) return made;
    const stat = made.file.stat();
    return { name: made.name, time: isErrno(stat) ? this.now() : stat.mtime };
  }

  /** Whether the own file has bytes that neither a flush nor a copy of this mount has covered. */
  needsFlush(inode: Inode): boolean {
    const live = this.unsettled(inode) ?? this.live.find(inode.ino);
    if (live?.unflushed === true) return true;
    if ((inode.flags & FLAG_FLUSHED) !== 0) return false;
    return (inode.flags & FLAG_COPY) === 0 || live === undefined || live.copyAt !== live.changes;
  }

  #ownBlocks(inode: Inode): number {
    if (inode.own === undefined || inode.size === 0) return 0;
    const stat = this.#statOwn(inode.own);
    return isErrno(stat) ? Math.ceil(inode.size / 512) : stat.blocks;
  }
}

export function later(a: Timespec, b: Timespec): Timespec {
  return compareTimes(a, b) < 0 ? b : a;
}

/** An own file made ahead of its use has this mtime until it is written: the row knows better. */
function isMark({ sec, nsec }: Timespec): boolean {
  return sec === 0 && nsec === 0;
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
