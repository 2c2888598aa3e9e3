/** Extended attributes: stored ones, POSIX ACLs (which move the mode along), and the ones that show where a file lies. */
import { E, isErrno, type Result } from '../../base/errno.ts';
import type { Ino } from '../../base/units.ts';
import { FLAG_ACL_ACCESS, FLAG_ACL_DEFAULT, FLAG_PINNED, FLAG_XATTRS, type Inode } from '../../shard/rows.ts';
import { equivalentMode, parseAcl, serialiseAcl } from '../acl.ts';
import { type Core, S_IFDIR, S_IFLNK, S_IFMT, S_ISGID } from '../core.ts';
import { isLayoutName, LAYOUT_NAMES, PIN_NAME, readLayoutXattr } from '../layout_xattrs.ts';
import type { Caller } from '../types.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('latin1');
export const ACL_ACCESS = encoder.encode('system.posix_acl_access');
export const ACL_DEFAULT = encoder.encode('system.posix_acl_default');
const NAMESPACES = ['user.', 'trusted.', 'security.'];
const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const VALUE_MAX = 65_536;
const NAME_MAX = 255;
/** What listxattr(2) can return. */
const LIST_MAX = 65_536;

interface XattrChange {
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  /** XATTR_CREATE, XATTR_REPLACE. */
  readonly flags: number;
  readonly killSetgid: boolean;
}

export function getXattr(core: Core, _caller: Caller, ino: Ino, name: Uint8Array): Result<Uint8Array> {
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  const text = decoder.decode(name);
  if (isLayoutName(text)) return readLayoutXattr(core, inode, text);
  const allowed = checkName(core, text);
  if (allowed !== undefined) return allowed;
  if ((inode.flags & FLAG_XATTRS) === 0) return E.ENODATA;
  return core.namespace.readXattr(ino, name);
}

export function listXattrs(core: Core, caller: Caller, ino: Ino): Result<Uint8Array> {
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  const stored = (inode.flags & FLAG_XATTRS) === 0 ? [] : core.namespace.xattrNames(ino);
  const names = stored.filter((name) => isListed(core, caller, decoder.decode(name)));
  const shown = core.options.layoutXattrs ? LAYOUT_NAMES.map((name) => encoder.encode(name)) : [];
  const size = [...names, ...shown].reduce((sum, name) => sum + name.length + 1, 0);
  const list = new Uint8Array(size);
  let at = 0;
  for (const name of [...names, ...shown]) {
    list.set(name, at);
    at += name.length + 1;
  }
  return list;
}

/**
 * The kernel keeps `trusted.*` from whoever lacks CAP_SYS_ADMIN when it is read, but leaves the list to the filesystem,
 * which is told no capabilities: root stands for them.
 */
function isListed(core: Core, caller: Caller, name: string): boolean {
  if (isAclName(name)) return core.options.acl;
  return caller.uid === 0 || !name.startsWith('trusted.');
}

export function setXattr(core: Core, _caller: Caller, ino: Ino, change: XattrChange): Result<void> {
  const refused = core.refusal();
  if (refused !== undefined) return refused;
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  const text = decoder.decode(change.name);
  if (change.name.length > NAME_MAX) return E.ERANGE;
  if (change.value.length > VALUE_MAX) return E.E2BIG;
  if (text === PIN_NAME) return setPin(core, inode, change.value);
  if (isLayoutName(text)) return E.EPERM;
  const unknown = checkName(core, text);
  if (unknown !== undefined) return unknown;
  if (isAclName(text)) return setAcl(core, inode, { ...change, isDefault: text.endsWith('default') });
  const existing = (inode.flags & FLAG_XATTRS) === 0 ? undefined : core.namespace.xattr(ino, change.name);
  if (existing !== undefined && (change.flags & XATTR_CREATE) !== 0) return E.EEXIST;
  if (existing === undefined && (change.flags & XATTR_REPLACE) !== 0) return E.ENODATA;
  if (existing === undefined && listSize(core, inode) + change.name.length + 1 > LIST_MAX) return E.ENOSPC;
  if (core.namespace.low()) return E.ENOSPC;
  const record = core.namespace.begin();
  record.putXattr(ino, change.name, change.value);
  putChanged(core, record, inode, { flags: inode.flags | FLAG_XATTRS });
  core.commit(record);
}

export function removeXattr(core: Core, _caller: Caller, ino: Ino, name: Uint8Array): Result<void> {
  const refused = core.refusal();
  if (refused !== undefined) return refused;
  const inode = core.inode(ino);
  if (isErrno(inode)) return inode;
  const text = decoder.decode(name);
  if (text === PIN_NAME) return setPin(core, inode, new Uint8Array(0));
  if (isLayoutName(text)) return E.EPERM;
  const unknown = checkName(core, text);
  if (unknown !== undefined) return unknown;
  if ((inode.flags & FLAG_XATTRS) === 0 || core.namespace.xattr(ino, name) === undefined) return E.ENODATA;
  const record = core.namespace.begin();
  record.deleteXattr(ino, name);
  putChanged(core, record, inode, { flags: flagsWithout(core, inode, text) });
  core.commit(record);
}

function setAcl(core: Core, inode: Inode, change: XattrChange & { readonly isDefault: boolean }): Result<void> {
  const type = inode.mode & S_IFMT;
  if (type === S_IFLNK) return E.EOPNOTSUPP;
  if (change.isDefault && type !== S_IFDIR) return E.EACCES;
  const acl = parseAcl(change.value);
  if (isErrno(acl)) return acl;
  const text = change.isDefault ? 'system.posix_acl_default' : 'system.posix_acl_access';
  if (acl.length === 0) {
    const removed = removeXattr(core, NOBODY, inode.ino, change.name);
    return removed === E.ENODATA ? undefined : removed;
  }
  const record = core.namespace.begin();
  if (change.isDefault) {
    record.putXattr(inode.ino, change.name, serialiseAcl(acl));
    putChanged(core, record, inode, { flags: inode.flags | FLAG_XATTRS | FLAG_ACL_DEFAULT });
  } else {
    const { permissions, exact } = equivalentMode(acl);
    const bits = (inode.mode & ~0o777) | (permissions & 0o777);
    const newMode = change.killSetgid ? bits & ~S_ISGID : bits;
    if (exact) record.deleteXattr(inode.ino, change.name);
    else record.putXattr(inode.ino, change.name, serialiseAcl(acl));
    const flags = exact ? flagsWithout(core, inode, text) : inode.flags | FLAG_XATTRS | FLAG_ACL_ACCESS;
    putChanged(core, record, inode, { flags, mode: newMode });
  }
  core.commit(record);
}

const NOBODY: Caller = { uid: 0, gid: 0, pid: 0 };

/** `user.pacsfs.pin`: the file stays on its tier while it is set to anything but the empty string. */
function setPin(core: Core, inode: Inode, value: Uint8Array): Result<void> {
  const flags = value.length === 0 ? inode.flags & ~FLAG_PINNED : inode.flags | FLAG_PINNED;
  const record = core.namespace.begin();
  putChanged(core, record, inode, { flags });
  core.commit(record);
}

function putChanged(
  core: Core,
  record: ReturnType<Core['namespace']['begin']>,
  inode: Inode,
  change: { readonly flags: number; readonly mode?: number },
): void {
  const row = (inode.mode & S_IFMT) === S_IFDIR ? core.withTotals(inode) : inode;
  const ctime = core.now();
  core.completes(record, inode.ino);
  core.put(record, { ...row, ...change, ctime });
}

/** The flags once an attribute is gone; the last one takes FLAG_XATTRS along. */
function flagsWithout(core: Core, inode: Inode, name: string): number {
  const others = core.namespace.xattrNames(inode.ino).filter((other) => decoder.decode(other) !== name);
  let flags = others.length === 0 ? inode.flags & ~FLAG_XATTRS : inode.flags;
  if (name === 'system.posix_acl_access') flags &= ~FLAG_ACL_ACCESS;
  if (name === 'system.posix_acl_default') flags &= ~FLAG_ACL_DEFAULT;
  return flags;
}

function listSize(core: Core, inode: Inode): number {
  if ((inode.flags & FLAG_XATTRS) === 0) return 0;
  return core.namespace.xattrNames(inode.ino).reduce((sum, name) => sum + name.length + 1, 0);
}

function isAclName(name: string): boolean {
  return name === 'system.posix_acl_access' || name === 'system.posix_acl_default';
}

function checkName(core: Core, name: string): typeof E.EOPNOTSUPP | undefined {
  if (isAclName(name)) return core.options.acl ? undefined : E.EOPNOTSUPP;
  if (!NAMESPACES.some((prefix) => name.startsWith(prefix))) return E.EOPNOTSUPP;
  return NAMESPACES.includes(name) ? E.EINVAL : undefined;
}
