/** LOOKUP, and everything that makes an inode or a name: CREATE, MKNOD, MKDIR, SYMLINK, LINK, TMPFILE. */
import { E, type Errno, isErrno, type Result } from '../../base/errno.ts';
import type { Timespec } from '../../base/time.ts';
import { type Ino, ROOT_INO, type Slot, slotOf } from '../../base/units.ts';
import type { Record } from '../../shard/record.ts';
import { FLAG_ACL_ACCESS, FLAG_ACL_DEFAULT, FLAG_UNSETTLED, FLAG_XATTRS, type Inode } from '../../shard/rows.ts';
import { createFromDefault, parseAcl, serialiseAcl } from '../acl.ts';
import {
  type Core,
  dentryType,
  LINK_MAX,
  type NewOwn,
  PERMISSION_BITS,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
} from '../core.ts';
import { startLive } from '../live_files.ts';
import { addName, type FreePlace, findName, freePlace, type Place } from '../names.ts';
import { settle } from '../settle.ts';
import type { Caller, Entry, NewNode, OpenReply } from '../types.ts';
import { countOpen } from './files.ts';
import { ACL_ACCESS, ACL_DEFAULT } from './xattrs.ts';

const SYMLINK_MAX = 4095;
const DOT = 0x2e;

export function lookup(core: Core, _caller: Caller, parent: Ino, name: Uint8Array): Result<Entry> {
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
    return lookupDots(core, parent, name.length);
  }
  const dir = core.directory(parent);
  if (isErrno(dir)) return dir;
  const dentry = findName(core, dir, name);
  if (isErrno(dentry)) return dentry;
  const inode = core.namespace.readInode(dentry.ino);
  // A name whose inode is missing or damaged is damage, not absence: fsck says which.
  return isErrno(inode) ? E.EIO : core.entry(inode);
}

/** `.` of any inode and `..` of a directory, as an NFS server asks for them. */
function lookupDots(core: Core, ino: Ino, dots: number): Result<Entry> {
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  if (dots === 1) return core.entry(inode);
  const parent = core.inode(inode.ino === ROOT_INO ? ROOT_INO : inode.parent);
  return isErrno(parent) ? parent : core.entry(parent);
}

export function makeNode(core: Core, caller: Caller, at: Place, node: NewNode): Result<Entry> {
  const place = freePlace(core, at);
  if (isErrno(place)) return place;
  const type = node.mode & S_IFMT || S_IFREG;
  if (type === S_IFDIR || type === S_IFLNK) return E.EINVAL;
  const record = core.namespace.begin();
  const layout = type === S_IFREG ? 'packed' : 'none';
  const inode = newInode(core, record, {
    caller,
    node: { ...node, mode: type | (node.mode & PERMISSION_BITS) },
    place,
  });
  return name(core, record, place, { ...inode, layout });
}

export function makeDirectory(core: Core, caller: Caller, at: Place, node: NewNode): Result<Entry> {
  const place = freePlace(core, at);
  if (isErrno(place)) return place;
  const record = core.namespace.begin();
  const slot = core.namespace.slotForDirectory(place.dir.ino, place.name);
  const mode = S_IFDIR | (node.mode & PERMISSION_BITS);
  return name(core, record, place, newInode(core, record, { caller, node: { ...node, mode }, place, slot }));
}

export function makeSymlink(core: Core, caller: Caller, at: Place, target: Uint8Array): Result<Entry> {
  if (target.length === 0) return E.ENOENT;
  if (target.length > SYMLINK_MAX) return E.ENAMETOOLONG;
  const place = freePlace(core, at);
  if (isErrno(place)) return place;
  const record = core.namespace.begin();
  const node = { mode: S_IFLNK | 0o777, umask: 0 };
  const inode = newInode(core, record, { caller, node, place });
  record.putSymlink(inode.ino, target);
  return name(core, record, place, { ...inode, size: target.length });
}

export function create(
  core: Core,
  caller: Caller,
  at: Place & { readonly flags: number },
  node: NewNode,
): Result<{ entry: Entry; open: OpenReply }> {
  const place = freePlace(core, at);
  if (isErrno(place)) return place;
  const made = core.newOwn();
  if (isErrno(made)) return made;
  const record = core.namespace.begin();
  const mode = S_IFREG | (node.mode & PERMISSION_BITS);
  const { time } = made;
  const inode = addOwn(newInode(core, record, { caller, node: { ...node, mode }, place, time }), made.name);
  const open = openNew(core, inode, at.flags);
  if (isErrno(open)) return undo(core, inode.ino, { made, why: open });
  return { entry: name(core, record, place, inode), open };
}

export function createUnnamed(
  core: Core,
  caller: Caller,
  at: { readonly parent: Ino; readonly flags: number },
  node: NewNode,
): Result<{ entry: Entry; open: OpenReply }> {
  const dir = core.writableDirectory(at.parent);
  if (isErrno(dir)) return dir;
  if (core.namespace.low()) return E.ENOSPC;
  const made = core.newOwn();
  if (isErrno(made)) return made;
  const record = core.namespace.begin();
  const mode = S_IFREG | (node.mode & PERMISSION_BITS);
  const place = { dir, name: new Uint8Array(0), position: 0 };
  const { time } = made;
  const base = newInode(core, record, { caller, node: { ...node, mode }, place, slot: slotOf(dir.ino), time });
  const inode = addOwn({ ...base, nlink: 0 }, made.name);
  const open = openNew(core, inode, at.flags);
  if (isErrno(open)) return undo(core, inode.ino, { made, why: open });
  core.completes(record, inode.ino);
  core.put(record, inode);
  core.commit(record);
  return { entry: core.entry(inode), open };
}

export function makeLink(core: Core, ino: Ino, at: Place): Result<Entry> {
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  if ((inode.mode & S_IFMT) === S_IFDIR) return E.EPERM;
  if (inode.nlink >= LINK_MAX) return E.EMLINK;
  const place = freePlace(core, at);
  if (isErrno(place)) return place;
  const now = core.now();
  const live = core.live.find(ino);
  const record = core.namespace.begin();
  const entry = name(core, record, place, { ...inode, nlink: inode.nlink + 1, ctime: now });
  // An O_TMPFILE may get its name through a descriptor that no RELEASE will follow.
  if (live !== undefined && live.handles === 0 && inode.nlink === 0) settle(core, live);
  return entry;
}

/** Puts the inode and its new name into the record and commits it. */
function name(core: Core, record: Record, place: FreePlace, inode: Inode): Entry {
  const named: Inode = { ...inode, parent: place.dir.ino, position: place.position };
  core.completes(record, inode.ino);
  const type = dentryType(inode.mode);
  const now = core.now();
  addName(
    record,
    place.dir,
    { dir: place.dir.ino, position: place.position, name: place.name, ino: inode.ino, type },
    now,
  );
  core.put(record, named);
  core.commit(record);
  return core.entry(core.namespace.inode(inode.ino) ?? named);
}

function addOwn(inode: Inode, own: NonNullable<Inode['own']>): Inode {
  return { ...inode, layout: 'own', own, flags: inode.flags | FLAG_UNSETTLED };
}

/** No row has named the own file. */
function undo(core: Core, ino: Ino, { made, why }: { readonly made: NewOwn; readonly why: Errno }): Errno {
  core.live.delete(ino);
  core.data.removeOwn(made.name);
  return why;
}

/** Counted before its record: from there on nothing may fail. */
function openNew(core: Core, inode: Inode, flags: number): Result<OpenReply> {
  const live = core.live.of(inode);
  startLive(live, inode, { isNew: true });
  live.copied = [];
  return countOpen(core, inode, flags);
}

interface NewInode {
  readonly caller: Caller;
  /** Mode with the type bits. */
  readonly node: NewNode;
  readonly place: Pick<FreePlace, 'dir' | 'name'> & { readonly position: number };
  /** Default: the slot of the partition that holds the name. */
  readonly slot?: Slot;
  /** Default: now. */
  readonly time?: Timespec;
}

/** The row of a new inode, owner, group and permissions by the rules; xattrs it inherits go into the record. */
function newInode(core: Core, record: Record, made: NewInode): Inode {
  const { caller, node, place } = made;
  const now = made.time ?? core.now();
  const inSlot = made.slot ?? core.namespace.partitionOf(place.dir, place.position).slot;
  const number = record.newIno(inSlot);
  const isDirectory = (node.mode & S_IFMT) === S_IFDIR;
  const inheritsGroup = (place.dir.mode & S_ISGID) !== 0;
  const inherited = inheritAcl(core, record, { number, dir: place.dir, node });
  return {
    ino: number,
    mode: inherited.mode | (isDirectory && inheritsGroup ? S_ISGID : 0),
    uid: caller.uid,
    gid: inheritsGroup ? place.dir.gid : caller.gid,
    nlink: 1,
    size: 0,
    atime: now,
    mtime: now,
    ctime: now,
    btime: now,
    rdev: node.rdev ?? 0,
    flags: inherited.flags,
    generation: core.namespace.generation,
    layout: 'none',
    own: undefined,
    extents: [],
    second: [],
    parent: place.dir.ino,
    position: place.position,
    project: place.dir.project,
    retainUntilSec: 0,
    holds: 0,
    lsn: record.lsn,
    partitions: FIRST_PARTITION,
  };
}

/** The bitmap of a directory with one partition. */
const FIRST_PARTITION = Uint8Array.of(1);

/** A default ACL of the directory takes the place of the umask. Source: posix_acl_create in the kernel. */
function inheritAcl(
  core: Core,
  record: Record,
  made: { readonly number: Ino; readonly dir: Inode; readonly node: NewNode },
): { mode: number; flags: number } {
  const { number, dir, node } = made;
  const type = node.mode & S_IFMT;
  const masked = type === S_IFLNK ? node.mode : node.mode & ~node.umask;
  if (!core.options.acl || type === S_IFLNK || (dir.flags & FLAG_ACL_DEFAULT) === 0) return { mode: masked, flags: 0 };
  const stored = core.namespace.xattr(dir.ino, ACL_DEFAULT);
  const acl = stored === undefined ? undefined : parseAcl(stored);
  if (stored === undefined || acl === undefined || isErrno(acl)) return { mode: masked, flags: 0 };
  const inherited = createFromDefault(acl, node.mode);
  let flags = 0;
  if (inherited.access !== undefined) {
    record.putXattr(number, ACL_ACCESS, serialiseAcl(inherited.access));
    flags |= FLAG_XATTRS | FLAG_ACL_ACCESS;
  }
  if (type === S_IFDIR) {
    record.putXattr(number, ACL_DEFAULT, stored);
    flags |= FLAG_XATTRS | FLAG_ACL_DEFAULT;
  }
  return { mode: type | (node.mode & PERMISSION_BITS & ~0o777) | (inherited.mode & 0o777), flags };
}
